"""File contents that carry a digest of themselves: whatever happens to a bit of them is seen when they are read."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

SEAL = "xxh3_128"
"""What the digest is called, in headers and trailers."""
MARK = f"\nkgrl {SEAL} ".encode()
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
    header, _ = _parts(save(empty, dict(metadata)))
    parts, end = [], 0
    for name in ordered:
        parts.append(_bytes(tensors[name]))
        header[name] |= {"shape": list(tensors[name].shape), "data_offsets": [end, end := end + len(parts[-1])]}
    header["__metadata__"][SEAL] = checksum(_packed(header), *parts)
    return [_packed(header), *parts]


def unsealed_tensors(content: bytes) -> tuple[dict[str, Tensor], dict[str, str], bool]:
    """The tensors and the metadata of a safetensors file, and whether it had a digest, which is right.

    Raises:
        Damaged: it is no safetensors file, or its digest is that of another content.
    """
    try:
        tensors = load(content)  # copies: what becomes of the file later does not reach them
        header, data = _parts(content)
    except (SafetensorError, ValueError, struct.error, RecursionError) as error:
        raise Damaged(f"is not a whole safetensors file of kgrl ({error})") from error
    metadata = header.get("__metadata__", {})
    found = metadata.pop(SEAL, None)
    places = sorted(each["data_offsets"] for name, each in header.items() if name != "__metadata__")
    if found is not None and found != checksum(_packed(header), *[data[begin:end] for begin, end in places]):
        raise Damaged("is not a whole safetensors file of kgrl (it is not what its digest was made of)")
    return tensors, metadata, found is not None


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().reshape(-1).contiguous()
    return plain.view(torch.uint8).numpy().data


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header and the tensors' bytes."""
    length, = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]


def _packed(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text
