"""File contents that carry a digest of themselves: whatever happens to a bit of them is seen when they are read."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

SEAL = "xxh3_128"
"""What the digest is called, in headers and trailers."""
MARK = f"\nkgrl {SEAL} ".encode()
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}
"""What safetensors calls the types that a tensor may have."""
EARLIER = {"sums", "sha256"}
"""Digests that earlier versions wrote, and that are not checked any more."""
NOT_SEALED = "has no digest that is known: an earlier version wrote it, or it was changed"


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
    header, contents = _laid_out(tensors, metadata)
    header["__metadata__"] |= {SEAL: checksum(_packed(header), *contents)}
    return [_packed(header), *contents]


def unsealed_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str], bool]:
    """The tensors and the metadata of a safetensors file, and whether it had a digest, which is right.

    What becomes of the file later does not reach them.

    Raises:
        Damaged: it is no safetensors file, or its digest is that of another content.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:  # mapped: so each tensor is copied once, from the file to where it stays
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # it is no table
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise Damaged(f"is not a whole safetensors file of kgrl ({error})") from error
    found = metadata.pop(SEAL, None)
    for other in EARLIER & metadata.keys():
        del metadata[other]
    if found is not None:
        header, contents = _laid_out(tensors, metadata)
        if found != checksum(_packed(header), *contents):
            raise Damaged("is not a whole safetensors file of kgrl (it is not what its digest was made of)")
    return tensors, metadata, found is not None


def _laid_out(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[dict[str, Any], list[memoryview]]:
    """The header of a file without its digest, and the tensors' bytes in the order that they stand there.

    Raises:
        TypeError: a tensor of a type that safetensors does not know, or a sparse one.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    contents, end = [], 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):  # so that each begins where it may
        if tensors[name].dtype not in NAMES or tensors[name].layout != torch.strided:
            came = f"{tensors[name].dtype} in the layout {tensors[name].layout}"
            raise TypeError(f"the tensor {name!r} cannot be put into a file, as it is {came}: expected a dense one of "
                            + ", ".join(map(str, NAMES)))
        contents.append(_bytes(tensors[name]))
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [end, end := end + len(contents[-1])]}
    return header, contents


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().reshape(-1).contiguous()
    return plain.view(torch.uint8).numpy().data


def _packed(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text
