"""File contents that carry a digest of themselves: whatever happens to a bit of them is seen when they are read."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

SEAL = "sums"
"""What the digest that is written is called."""
NOT_SEALED = "has no digest: an earlier version wrote it, or it was changed"
ROW = 4096
"""How many words of 64 bits a row has, in :func:`sums`."""


class Damaged(ValueError):
    """A content is not what was written; the text says why, and the caller which file it is."""


def sums(*parts: bytes | memoryview) -> str:
    """A digest of 64 hexadecimal digits that costs no more than reading the content: SHA-256 of sums over it.

    Each part is seen as rows of ``ROW`` words of 64 bits; what counts are the sums along and across the rows, and the
    rest as it is. No change within 32 KiB in a row goes unseen, and no other but one that leaves all sums the same,
    which no accident does. It is no protection against people who would change a file and its digest with it.
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        rows = len(part) // (8 * ROW)
        if rows:
            words = np.frombuffer(part, "<u8", rows * ROW).reshape(rows, ROW)
            total.update(words.sum(0, dtype="<u8"))
            total.update(words.sum(1, dtype="<u8"))
        total.update(memoryview(part)[rows * 8 * ROW :])
    return total.hexdigest()


def sha256_of_parts(*parts: bytes | memoryview) -> str:
    """The digest that earlier versions wrote."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


DIGESTS = {SEAL: sums, "sha256": sha256_of_parts}
"""By their names in headers and trailers: those that are read; the first is written."""


def seal(content: bytes) -> bytes:
    """``content``, and behind it its digest."""
    return content + _trailer(SEAL, content)


def unseal(content: bytes) -> bytes:
    """What :func:`seal` was given.

    Raises:
        Damaged: it has no digest, or that of another content.
    """
    for name in DIGESTS:
        inner = content[: -len(_trailer(name, b""))]
        trailer = content[len(inner) :]
        if trailer.startswith(_mark(name)):
            if trailer != _trailer(name, inner):
                raise Damaged("is not what its digest was made of")
            return inner
    raise Damaged(NOT_SEALED)


def _mark(name: str) -> bytes:
    return f"\nkgrl {name} ".encode()


def _trailer(name: str, content: bytes) -> bytes:
    return _mark(name) + DIGESTS[name](content).encode() + b"\n"


def sealed_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """The parts of a safetensors file with a digest of all else in its metadata: of one content always the same.

    safetensors alone writes metadata in an order that changes from process to process, and copies all tensors twice.

    Args:
        tensors: on any device; some may share storage.
        metadata: text by text.
    """
    ordered = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # so that each begins where it may
    header, _ = _parts(save({name: torch.empty(0, dtype=tensors[name].dtype) for name in ordered}, dict(metadata)))
    parts, end = [], 0
    for name in ordered:
        parts.append(_bytes(tensors[name]))
        header[name] |= {"shape": list(tensors[name].shape), "data_offsets": [end, end := end + len(parts[-1])]}
    header["__metadata__"][SEAL] = sums(_packed(header), *parts)
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
    found = {name: metadata.pop(name) for name in DIGESTS if name in metadata}
    places = sorted(each["data_offsets"] for name, each in header.items() if name != "__metadata__")
    for name, digest in found.items():
        if digest != DIGESTS[name](_packed(header), *[data[begin:end] for begin, end in places]):
            raise Damaged("is not a whole safetensors file of kgrl (it is not what its digest was made of)")
    return tensors, metadata, bool(found)


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
