"""Files that are either whole or not there (temporary file, fsync, ``os.replace``); safetensors with JSON metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to; puts it in place only if the block ends well.

    A reader, or a run started after a crash at any moment, finds the old file or the new one, never a part of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
    """Writes tensors and JSON-able metadata as one safetensors file, whole or not at all."""
    # safetensors refuses tensors that share storage, and wants them contiguous and on the CPU
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(plain, {key: json.dumps(value) for key, value in metadata.items()}))


def load_tensors(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what :func:`save_tensors` wrote: the tensors (on the CPU) and the metadata.

    Args:
        path: the file.
        kind: what the file should hold; must equal the metadata's ``kind``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds something else than ``kind``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a {kind} file")
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = {key: json.loads(value) for key, value in (handle.metadata() or {}).items()}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a whole safetensors file of kgrl ({error}); delete or restore it") from error
    if metadata.get("kind") != kind:
        raise ValueError(f"{path} must hold a {kind}, got {metadata.get('kind')!r}")
    return tensors, metadata


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
