"""File contents that carry a digest of themselves: whatever happens to a bit of them is seen when they are read."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

SEAL = "sha256"
"""What the digest is called in a header."""
TRAILER = b"\nkgrl sha256 "
NOT_SEALED = "has no digest: an earlier version wrote it, or it was changed"


class Damaged(ValueError):
    """A content is not what was written; the text says why, and the caller which file it is."""


def seal(content: bytes) -> bytes:
    """``content``, and behind it its digest."""
    return content + TRAILER + hashlib.sha256(content).hexdigest().encode() + b"\n"


def unseal(content: bytes) -> bytes:
    """What :func:`seal` was given.

    Raises:
        Damaged: it has no digest, or that of another content.
    """
    length = len(TRAILER) + 65
    inner = content[:-length]
    if content[len(inner):] != seal(inner)[len(inner):]:
        found = content[-length:].startswith(TRAILER)
        raise Damaged("is not what its digest was made of" if found else NOT_SEALED)
    return inner


def sealed_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """The two parts of a safetensors file with a digest of all else in its metadata: of one content always the same.

    safetensors alone writes metadata in an order that changes from process to process.
    """
    header, data = _parts(save(dict(tensors), dict(metadata)))
    header["__metadata__"][SEAL] = _digest(header, data)
    return _packed(header), data


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
    if found is not None and found != _digest(header, data):
        raise Damaged("is not a whole safetensors file of kgrl (it is not what its digest was made of)")
    return tensors, metadata, found is not None


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header and the tensors' bytes."""
    length, = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]


def _packed(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text


def _digest(header: Mapping[str, Any], data: memoryview) -> str:
    total = hashlib.sha256(_packed(header))
    total.update(data)
    return total.hexdigest()
