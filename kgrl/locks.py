"""Locks between processes: a folder that one run at a time writes to, a result that one of several makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from kgrl.objects import a_path

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def alone_in(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """While this runs, no other process is in the folder; ``None``: there is no folder to be in.

    The lock is ``folder/.lock``. It is the system's: whoever dies, by whatever means, lets go of it. A thread
    that is in the folder already may enter it again.

    The file, which is empty, stays. Were it taken away, one who had opened it just before and one who makes it anew
    would hold a lock each, and both be in the folder. It may be deleted by hand while no run is in there.

    Raises:
        BlockingIOError: another run is in there.
        NotADirectoryError: it is a file.
    """
    if folder is None:
        yield
        return
    folder = a_path("folder", folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a folder, which may be a new one")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    lock = FileLock(os.path.realpath(file), is_singleton=True)  # one for all the names that the folder has
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise BlockingIOError(f"{folder} is in use by another run (its lock is {file}): wait until that ends, or name "
                              "another folder") from None
    try:
        yield
    finally:
        lock.release()
        if made and list(folder.iterdir()) == [file]:  # nothing came of it
            with suppress(OSError):  # another run is on its way in
                file.unlink()
                folder.rmdir()


def alone_in_its(option: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: the function runs :func:`alone_in` the folder that its keyword argument ``option`` names."""

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def alone(*args: P.args, **kwargs: P.kwargs) -> T:
            folder = kwargs.get(option)
            with alone_in(None if folder is None else a_path(option, folder)):
                return function(*args, **kwargs)

        return alone

    return decorated


@contextmanager
def one_at_a_time(path: str | os.PathLike[str]) -> Iterator[None]:
    """Waits until no other process makes ``path``; whoever comes second should look whether it is there by then.

    The lock is ``.NAME.lock`` beside the file, and is taken away once the block ends well: who comes later finds the
    file, and needs none. After an error it stays, as those who wait for it must be let in one by one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    with FileLock(file):
        yield
        with suppress(OSError):  # Windows keeps a file that others have open
            file.unlink(missing_ok=True)
