"""Temporary files beside what they are to replace: nobody else's, and taken away when their process has died."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform != "win32":
    import fcntl

BINARY = getattr(os, "O_BINARY", 0)


class Temporary:
    """A new file beside ``target``, which is there and locked while its block runs, and gone afterwards.

    Its name cannot be foreseen, and whatever has it already, a symbolic link too, is not opened. Where ``target`` is
    there, nobody else may read it before it has that one's mode. The lock, which dies with its process, tells it from
    what a killed one left.

    Args:
        target: what it is to replace.

    Attributes:
        path: where it is.
    """

    path: Path

    def __init__(self, target: Path) -> None:
        self.mode: int | None = None
        with suppress(FileNotFoundError):
            self.mode = stat.S_IMODE(target.stat().st_mode)
        while True:
            self.path = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY
            self._handle = os.open(self.path, flags, 0o666 if self.mode is None else 0o600)
            os.utime(self.path, (0, 0))
            if sys.platform == "win32":
                os.close(self._handle)  # Windows does not rename what is open
                return
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            if self.path.exists():  # or another process took it for a dead one's before it was locked
                break
            os.close(self._handle)

    def take_mode(self) -> None:
        """Gives it the mode of what it is to replace, under which its owner himself may not write."""
        if self.mode is not None:
            os.chmod(self.path, self.mode)

    @property
    def untouched(self) -> bool:
        """Whether nobody has written to it, not even nothing."""
        return self.path.stat().st_mtime_ns == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        if sys.platform != "win32":
            os.close(self._handle)


def remove_leftovers(target: Path) -> None:
    """Takes away the temporary files of ``target`` whose processes have died; those in use stay."""
    if sys.platform == "win32":
        return  # nothing tells there which are in use
    start = f".{target.name}."
    with suppress(FileNotFoundError), os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.name.startswith(start) and entry.name.endswith(".tmp") and entry.is_file(follow_symlinks=False):
                _remove_if_dead(entry.path)


def _remove_if_dead(path: str) -> None:
    with suppress(OSError):  # gone by now, in use, or not ours
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(handle)
