"""Raw ids, the ones that a data set's files use: how they are kept, and where one is found among others.

A LongTensor holds ids that are whole numbers, :class:`kgrl.texts.Texts` or a list any others. −1 and "" are no ids:
they stand where one is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kgrl.options import dense_vectors, expected, one_of, real, single
from kgrl.texts import Texts, all_text, unwritable

FILLS = ("refuse", "mean", "zero")
"""What :func:`aligned` does about an id without a vector."""
SOME = 3
"""So many ids are named in an error."""

MISSING = 'one that is missing is -1, or "" in a list'
"""What an error says of an id that there is not."""

RawIds: TypeAlias = Tensor | Sequence[Any]
"""``[n]``, one id a row: a LongTensor, or texts as :class:`kgrl.texts.Texts` or a list."""


def are_numbers(ids: RawIds) -> TypeGuard[Tensor]:
    """Whether ``ids`` are a tensor of whole numbers, not texts."""
    return isinstance(ids, Tensor) and not isinstance(ids, Texts)


def checked_ids(name: str, ids: RawIds, count: int | None = None) -> Tensor:
    """``ids`` as a LongTensor if all are whole numbers, else as texts.

    Args:
        name: what they are called in an error.
        ids: ``[count]``; those that are not missing must be distinct.
        count: how many there must be; ``None``: any number.

    Raises:
        TypeError: it is nothing that holds ids, one a row.
        ValueError: another number of ids, an id that comes twice, is NaN or cannot be written.
    """
    rows = (isinstance(ids, Sequence) and not isinstance(ids, str | bytes)) or hasattr(ids, "__array__")
    if not rows or (isinstance(ids, Tensor) and (ids.dim() != 1 or ids.is_floating_point() or ids.is_complex())):
        raise TypeError(expected(name, "raw ids, a LongTensor [n] or a list",
                                 f"{ids.dtype} {list(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__,
                                 'a data set keeps its own in data["item"].raw_id, a KG in kg.item_id'))
    if count not in (None, len(ids)):
        raise ValueError(expected(name, f"one raw id for each of {count}", len(ids)))
    index = _index(ids)
    if index.hasnans:
        raise ValueError(expected(name, "raw ids", "none (NaN or None)", MISSING))
    known = index[~_missing(index)]
    if known.has_duplicates:
        twice = known[known.duplicated()][0]
        raise ValueError(expected(name, "distinct raw ids", f"{twice!r} more than once", MISSING))
    if pd.api.types.is_integer_dtype(index.dtype):
        return torch.from_numpy(index.to_numpy(np.int64, copy=True))
    words = index.tolist()
    if (bad := unwritable(words)) is not None:
        raise ValueError(expected(name, "ids that UTF-8 can write, without lone surrogates", bad, "files keep them"))
    return Texts(words if all_text(words) else map(str, words))


def as_whole(ids: pd.Series) -> pd.Series:
    """Ids that are floating-point numbers and whole as whole ones: 1.0 is what pandas makes of 1 beside a gap."""
    if isinstance(ids.dtype, pd.CategoricalDtype):
        categories = ids.cat.categories.to_series()
        whole = as_whole(categories)
        return ids if whole is categories else ids.cat.rename_categories(pd.Index(whole))
    if pd.api.types.is_float_dtype(ids.dtype):
        return ids.astype(np.int64) if (ids % 1 == 0).all() else ids
    if ids.dtype == object and pd.api.types.infer_dtype(ids, skipna=False) not in ("string", "integer"):
        return ids.map(lambda each: int(each) if isinstance(each, float) and each.is_integer() else each)
    return ids


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


def aligned(
    own: RawIds, vectors: Mapping[Any, Any] | Tensor, ids: RawIds | None = None, *, missing: str = "refuse"
) -> Tensor:
    """Vectors of your own, in the order that a data set's items or a KG's entities are numbered in.

    Of the entities of a KG, from a dictionary; of the items of a data set, from a matrix; of the items, where vectors
    are known of entities::

        KGQR(kg, embedding=aligned(kg.entity_id, {"m.0bth54": [0.1, -0.3], ...}, missing="mean"))
        DQNR(aligned(data["item"].raw_id, matrix, ids=isbn), ids=data["item"].raw_id)
        ClusterTree.build(aligned(data["item"].entity_id, matrix, ids=entities, missing="zero"))

    Args:
        own: ``[n]``, raw ids: ``data["item"].raw_id``, or ``data["item"].entity_id`` (the entity that each item is), or
            of a KG ``kg.item_id``, ``kg.entity_id``.
        vectors: by raw id, ``{id: vector}``; or a matrix ``[m, d]``. Those of other ids than ``own`` are left out.
        ids: ``[m]``, the raw ids of the matrix's rows. As in ``own``, whole numbers are not text: 1 is not "1".
        missing: of an id that has no vector, or a node that has no id: ``"refuse"`` names it in an error, ``"mean"``
            gives it the mean of the vectors that were found, ``"zero"`` zeros.

    Returns:
        ``[n, d]``, on the device of ``vectors``.

    Raises:
        TypeError: vectors or ids that are nothing of the kind.
        ValueError: vectors that are not finite, not real or not of one length, an id that comes twice, a missing one,
            or no vector for any of ``own``.
    """
    one_of("missing", missing, FILLS)
    if isinstance(vectors, Mapping):
        vectors, ids = _stacked(vectors), list(vectors)
    dense_vectors("vectors", vectors)
    vectors = vectors if vectors.is_floating_point() else vectors.float()
    among = checked_ids("ids", () if ids is None else ids, len(vectors))
    found = places(own, among).to(vectors.device)
    lacking = (found < 0).nonzero().view(-1).tolist()
    if lacking and (missing == "refuse" or len(lacking) == len(found)):
        names = ", ".join(repr(_at(own, place)) for place in lacking[:SOME])
        kind = "whole numbers" if are_numbers(among) else f"text such as {among[0]!r}"
        raise ValueError(expected("vectors", "one for each of `own`", f"none for {len(lacking)}: {names}, ...",
                                  f"theirs are of ids that are {kind}" if len(lacking) == len(found) else
                                  'missing="mean" or "zero" fills in what is missing'))
    made = vectors[found.clamp(min=0)]
    fill = made[found >= 0].mean(0) if missing == "mean" else made.new_zeros(())
    return torch.where((found >= 0).unsqueeze(1), made, fill)


def _stacked(vectors: Mapping[Any, Any]) -> Tensor:
    """``[m, d]``, the vectors of a dictionary."""
    rows = {raw: torch.as_tensor(row, device="cpu") for raw, row in vectors.items()}
    rows = {raw: real(f"vectors[{raw!r}]", row) if hasattr(vectors[raw], "dtype") else single(f"vectors[{raw!r}]", row)
            for raw, row in rows.items()}
    if not rows:
        raise ValueError(expected("vectors", "a vector for at least one raw id", {}))
    length = next(iter(rows.values())).shape[:1]
    for raw, row in rows.items():
        if row.shape != length:
            raise ValueError(expected(f"vectors[{raw!r}]", f"of the others' shape {list(length)}", list(row.shape)))
    return torch.stack(list(rows.values()))


def _at(ids: RawIds, place: int) -> Any:
    """One id, in Python's own types."""
    return as_list(ids[place : place + 1])[0]


def joined(first: RawIds, second: RawIds) -> Tensor:
    """``first``, then ``second``; texts, unless both are numbers."""
    return torch.cat([ids if isinstance(ids, Tensor) else Texts(ids) for ids in (first, second)])


def missing_ids(count: int, like: RawIds) -> Tensor:
    """``[count]``, no id at all, as ids ``like`` these mark it: −1 or ""."""
    return torch.full((count,), -1, device=like.device) if are_numbers(like) else Texts([""] * count)


def same_ids(first: RawIds, second: RawIds) -> bool:
    """Whether these are the same ids in the same order."""
    return len(first) == len(second) and _index(first).equals(_index(second))


def as_tensor(ids: RawIds) -> Tensor:
    """``ids`` as one tensor, for a file: the LongTensor, or the bytes of a JSON list."""
    if are_numbers(ids):
        return ids
    return torch.frombuffer(bytearray(json.dumps(as_list(ids), ensure_ascii=False).encode()), dtype=torch.uint8)


def from_tensor(stored: Tensor) -> Tensor:
    """The ids of which :func:`as_tensor` made ``stored``."""
    return stored if stored.dtype == torch.long else Texts(json.loads(stored.numpy().tobytes()))


def as_list(ids: RawIds) -> list[Any]:
    """``ids`` in Python's own types."""
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)


def _index(ids: RawIds) -> pd.Index:
    if are_numbers(ids):
        return pd.Index(ids.cpu().numpy())
    index = pd.Index(as_whole(pd.Series(list(ids), dtype=None if len(ids) else object)))
    return index if pd.api.types.is_integer_dtype(index.dtype) else index.astype(object)


def _missing(index: pd.Index) -> np.ndarray:
    return np.asarray(index == (-1 if pd.api.types.is_integer_dtype(index.dtype) else ""), dtype=bool)
