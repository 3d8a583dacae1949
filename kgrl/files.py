"""Files that are either whole or not there (temporary file, fsync, ``os.replace``); safetensors with JSON metadata."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from kgrl.objects import a_path
from kgrl.sealed import NOT_SEALED, Damaged, sealed_tensors, unsealed_tensors

if sys.platform != "win32":
    import fcntl

BINARY = getattr(os, "O_BINARY", 0)
T = TypeVar("T")


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


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to; puts it in place only if the block ends well.

    A reader, or a run started after a crash at any moment, finds the old file or the new one, never a part of one. What
    a killed process left of an earlier try is taken away. The new file has the old one's mode; of a symbolic link, the
    file that it leads to is the one replaced.

    Raises:
        OSError: it cannot be written, as where no space is left or where something else than a file is there, or was
            not; the text names ``path``.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is a folder, a device or a pipe, and is not replaced; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    with Temporary(path) as temporary:
        try:
            yield temporary.path
            if temporary.untouched:
                raise FileNotFoundError(f"{path} was to be written, and nothing was")
            with open(temporary.path, "rb+") as handle:  # Windows syncs only what is open for writing
                os.fsync(handle.fileno())
        except OSError as error:
            if error.filename is None and error.errno is not None:  # a failed write does not know its file
                error.filename = str(path)
            raise
        temporary.take_mode()
        os.replace(temporary.path, path)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the platform lets a folder be synced."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes tensors and JSON-able metadata as one safetensors file, whole or not at all, with a digest of it all."""
    path = a_path("path", path)
    content = sealed_tensors(tensors, {key: json.dumps(value) for key, value in metadata.items()})
    with whole_file(path) as temporary, open(temporary, "wb") as handle:
        handle.writelines(content)


class Named(dict[str, T]):
    """What a file holds, by name: what is missing is told with the file."""

    def __init__(self, values: Mapping[str, T], path: Path) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> T:
        raise ValueError(f"{self.path} lacks {name!r}: another version of kgrl wrote it, or it was changed; make it "
                         "anew")


def load_tensors(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what :func:`save_tensors` wrote: the tensors (on the CPU) and the metadata.

    A file without a digest, which earlier versions wrote, is read with a warning. Both dictionaries name the file where
    they are asked for what is not in it.

    Args:
        path: the file.
        kind: what the file should hold; must equal the metadata's ``kind``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds something else than ``kind``.
    """
    path = a_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a {kind} file")
    try:
        tensors, texts, sealed = unsealed_tensors(path)
        metadata = {key: json.loads(value) for key, value in texts.items()}
    except Damaged as error:
        raise ValueError(f"{path} {error}; delete or restore it") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file of kgrl ({error}); delete or restore it") from error
    if metadata.get("kind") != kind:
        raise ValueError(f"{path} must hold a {kind}, got {metadata.get('kind')!r}")
    if not sealed:
        warnings.warn(f"{path} {NOT_SEALED}. It is read unchecked; save it again to have it checked", stacklevel=3)
    return Named(tensors, path), Named(metadata, path)


def restore(module: nn.Module, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Loads a file's tensors into a module that was made with the file's options, some of them perhaps changed.

    Raises:
        ValueError: they do not fit: an option that was changed makes the module another one.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        what = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ValueError(f"{path} does not fit the options given to load: they make another {type(module).__name__} "
                         f"than the one saved ({what}); leave out those that say what it is made of") from error


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, named without it: a part of a flat state."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def digest(*parts: Any) -> str:
    """A SHA-256 (64 hexadecimal digits) over tensors and JSON-able values, the same on every machine."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu()
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        else:
            total.update(json.dumps(part, sort_keys=True).encode() + b"\0")  # or (1, 23) would equal (12, 3)
    return total.hexdigest()
