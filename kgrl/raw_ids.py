"""Raw ids, the ones that a data set's files use: how they are kept, and where one is found among others.

A LongTensor holds ids that are whole numbers, a list any others. −1 and "" are no ids: they stand where one is missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kgrl.options import expected

RawIds: TypeAlias = Tensor | Sequence[Any]
"""``[n]``, one id a row: a LongTensor, or a list."""


def checked_ids(name: str, ids: RawIds, count: int) -> Tensor | list[str]:
    """``ids`` as a LongTensor if all are whole numbers, else as a list of text.

    Args:
        name: what they are called in an error.
        ids: ``[count]``; those that are not missing must be distinct.
        count: how many there must be.

    Raises:
        ValueError: another number of ids, or an id that comes twice.
    """
    rows = isinstance(ids, Tensor | Sequence | np.ndarray) and not isinstance(ids, str | bytes)
    if not rows or getattr(ids, "ndim", 1) != 1:
        raise TypeError(expected(name, "a list or a LongTensor of raw ids", type(ids).__name__))
    if len(ids) != count:
        raise ValueError(expected(name, f"one raw id for each of {count}", len(ids)))
    index = _index(ids)
    known = index[~_missing(index)]
    if known.has_duplicates:
        raise ValueError(expected(name, "distinct raw ids", f"{known[known.duplicated()][0]!r} more than once",
                                  'one that is missing is -1, or "" in a list'))
    if pd.api.types.is_integer_dtype(index.dtype):
        return torch.from_numpy(index.to_numpy(np.int64, copy=True))
    return [str(each) for each in index]


def places(ids: RawIds, among: RawIds) -> Tensor:
    """``[n]``, where each of ``ids [n]`` stands in ``among``; −1 where it does not, or is missing.

    Args:
        ids: may repeat.
        among: distinct, but for missing ones.
    """
    wanted, known = _index(ids), _index(among)
    there = np.flatnonzero(~_missing(known))
    found = np.append(there, -1)[known[there].get_indexer(wanted)]
    return torch.from_numpy(found.astype(np.int64, copy=False))


def joined(first: RawIds, second: RawIds) -> Tensor | list[Any]:
    """``first``, then ``second``."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.cat([first, second])
    return [*as_list(first), *as_list(second)]


def missing_ids(count: int, like: RawIds) -> Tensor | list[str]:
    """``[count]``, no id at all, as ids ``like`` these mark it: −1 or ""."""
    return torch.full((count,), -1) if isinstance(like, Tensor) else [""] * count


def same_ids(first: RawIds, second: RawIds) -> bool:
    """Whether these are the same ids in the same order."""
    return len(first) == len(second) and _index(first).equals(_index(second))


def as_tensor(ids: RawIds) -> Tensor:
    """``ids`` as one tensor, for a file: the LongTensor, or the bytes of a JSON list."""
    if isinstance(ids, Tensor):
        return ids
    return torch.frombuffer(bytearray(json.dumps(as_list(ids), ensure_ascii=False).encode()), dtype=torch.uint8)


def from_tensor(stored: Tensor) -> Tensor | list[Any]:
    """The ids of which :func:`as_tensor` made ``stored``."""
    return stored if stored.dtype == torch.long else json.loads(stored.numpy().tobytes())


def as_list(ids: RawIds) -> list[Any]:
    """``ids`` in Python's own types."""
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)


def _index(ids: RawIds) -> pd.Index:
    if isinstance(ids, Tensor):
        return pd.Index(ids.cpu().numpy())
    index = pd.Index(list(ids))
    return index if pd.api.types.is_integer_dtype(index.dtype) else index.astype(object)


def _missing(index: pd.Index) -> np.ndarray:
    return np.asarray(index == (-1 if pd.api.types.is_integer_dtype(index.dtype) else ""), dtype=bool)
