"""File contents that carry a digest of themselves: whatever happens to a bit of them is seen when they are read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
import xxhash
from safetensors.torch import save
from torch import Tensor

SEAL = "xxh3_128"
"""What the digest is called, in headers and trailers."""
MARK = f"\nkgrl {SEAL} ".encode()
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64,
}
"""By their names in a safetensors file."""
NOT_SEALED = "has no digest: an earlier version wrote it, or it was changed"


class Damaged(ValueError):
    """A content is not what was written; the text says why, and the caller which file it is."""


def checksum(*parts: bytes | memoryview) -> str:
    """XXH3 with 128 bits over the parts and their lengths, in 32 hexadecimal digits; it costs less than reading them.

    It sees accidents. It is no protection against people who would change a file and its digest with it.
    """
    total = xxhash.xxh3_128()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def seal(content: bytes) -> bytes:
    """``content``, and behind it its digest."""
    return content + _trailer(content)


def unseal(content: bytes) -> memoryview:
    """What :func:`seal` was given.

    Raises:
        Damaged: it has no digest, or that of another content.
    """
    size = len(content) - len(_trailer(b""))
    inner, trailer = memoryview(content)[: max(size, 0)], content[max(size, 0) :]
    if not trailer.startswith(MARK):
        raise Damaged(NOT_SEALED)
    if trailer != _trailer(inner):
        raise Damaged("is not what its digest was made of")
    return inner


def _trailer(content: bytes | memoryview) -> bytes:
    return MARK + checksum(content).encode() + b"\n"


def sealed_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """The parts of a safetensors file with a digest of all else in its metadata: of one content always the same.

    safetensors alone writes metadata in an order that changes from process to process, and copies all tensors twice.

    Args:
        tensors: on any device; some may share storage.
        metadata: text by text.
    """
    ordered = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # so that each begins where it may
    empty = {name: torch.empty(0, dtype=tensors[name].dtype, device="cpu") for name in ordered}
    content = save(empty, dict(metadata))
    header = json.loads(content[8:])  # of no bytes of tensors
    parts, end = [], 0
    for name in ordered:
        parts.append(_bytes(tensors[name]))
        header[name] |= {"shape": list(tensors[name].shape), "data_offsets": [end, end := end + len(parts[-1])]}
    header["__metadata__"][SEAL] = checksum(_packed(header), *parts)
    return [_packed(header), *parts]


def unsealed_tensors(file: BinaryIO) -> tuple[dict[str, Tensor], dict[str, str], bool]:
    """The tensors and the metadata of a safetensors file, and whether it had a digest, which is right.

    Each tensor is read straight into memory of its own: what becomes of the file later does not reach it, and nothing
    is copied twice, as safetensors would.

    Args:
        file: at its beginning.

    Raises:
        Damaged: it is no safetensors file, or its digest is that of another content.
    """
    try:
        header = _read_header(file)
        metadata = {key: text + "" for key, text in header.get("__metadata__", {}).items()}  # of text, or TypeError
        found = metadata.pop(SEAL, None)
        parts = {name: each for name, each in header.items() if name != "__metadata__"}
        tensors, contents, start = {}, [], file.tell()
        for name, each in sorted(parts.items(), key=lambda part: part[1]["data_offsets"]):
            begin, end = each["data_offsets"]
            if begin != file.tell() - start:
                raise ValueError("its tensors do not stand one behind the other")
            contents.append(content := _read(file, end - begin))
            plain = torch.from_numpy(content) if len(content) else torch.empty(0, dtype=torch.uint8, device="cpu")
            tensors[name] = plain.view(DTYPES[each["dtype"]]).view(each["shape"])
            if list(tensors[name].shape) != each["shape"]:  # −1 stands for any size, to PyTorch
                raise ValueError(f"{name} has the shape {each['shape']}")
        if file.read(1):
            raise ValueError("it has more than its header says")
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError, struct.error) as error:
        raise Damaged(f"is not a whole safetensors file of kgrl ({error})") from error
    if found is not None:
        unsealed = header | {"__metadata__": metadata}
        if found != checksum(_packed(unsealed), *(content.data for content in contents)):
            raise Damaged("is not a whole safetensors file of kgrl (it is not what its digest was made of)")
    return tensors, metadata, found is not None


def _read_header(file: BinaryIO) -> dict[str, Any]:
    length, = struct.unpack("<Q", file.read(8))
    header = json.loads(_read(file, length).tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    return header


def _read(file: BinaryIO, count: int) -> np.ndarray:
    """The next ``count`` bytes."""
    if not 0 <= count <= os.fstat(file.fileno()).st_size - file.tell():
        raise ValueError("it is shorter than its header says")
    content = np.empty(count, np.uint8)
    file.readinto(content.data)  # type: ignore[attr-defined]  # every file has it
    return content


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().reshape(-1).contiguous()
    return plain.view(torch.uint8).numpy().data


def _packed(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text
