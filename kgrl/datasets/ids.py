"""Raw ids of any type ↔ numbers from 0."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kgrl.datasets.table import Table

INT64 = np.iinfo(np.int64).max


class Ids:
    """Distinct raw ids in a fixed order: the number of an id is its place.

    Args:
        index: the raw ids, each once.
    """

    def __init__(self, index: pd.Index) -> None:
        self.index = index

    @classmethod
    def sorted(cls, *columns: pd.Series) -> Ids:
        """Every id of ``columns``, sorted where the ids can be, so that the order of a file's lines does not matter."""
        return cls(_union(columns))

    @classmethod
    def listed(cls, column: pd.Series) -> Ids:
        """The ids of ``column`` in its order, each once."""
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        return cls(pd.Index(_signed(column)))

    def then(self, *columns: pd.Series) -> Ids:
        """These ids, then the sorted others of ``columns``."""
        others = _union(columns)
        return Ids(self.index.append(others[~others.isin(self.index)]))

    def __len__(self) -> int:
        return len(self.index)

    def numbers(self, column: pd.Series) -> np.ndarray:
        """The numbers of a column's ids; −1 where an id is unknown."""
        if isinstance(column.dtype, pd.CategoricalDtype):
            return self.index.get_indexer(column.cat.categories)[column.cat.codes]
        return self.index.get_indexer(pd.Index(_signed(column)))

    def raw(self, numbers: np.ndarray | None = None) -> Tensor | list:
        """The raw ids of ``numbers`` (``None``: all): a LongTensor of whole numbers, else a list."""
        chosen = self.index if numbers is None else self.index[numbers]
        if pd.api.types.is_integer_dtype(chosen.dtype):
            return torch.from_numpy(chosen.to_numpy(np.int64, copy=True))
        return chosen.tolist()


def _union(columns: Iterable[pd.Series]) -> pd.Index:
    parts = [pd.Index(_distinct(column)) for column in columns]
    union = parts[0] if len(parts) == 1 else parts[0].append(parts[1:]).unique()
    try:
        return union.sort_values()
    except TypeError:  # ids of mixed types have no order: as they first appear
        return union


def _distinct(column: pd.Series) -> pd.Index:
    if isinstance(column.dtype, pd.CategoricalDtype):  # categories no row has any more do not count
        return column.cat.categories[np.flatnonzero(np.bincount(column.cat.codes))]
    return pd.Index(_signed(column).unique())


def _signed(ids: pd.Series) -> pd.Series:
    """Unsigned numbers as int64, which hold them: beside signed ones they would become floating-point numbers."""
    return ids.astype(np.int64) if pd.api.types.is_unsigned_integer_dtype(ids.dtype) else ids


def same_type(columns: Sequence[pd.Series]) -> list[pd.Series]:
    """Ids of one kind, from several files: whole numbers if all of them are, else text.

    Args:
        columns: as :func:`kgrl.datasets.delimited.read_delimited` reads ids: whole numbers or categories of text.
    """
    whole = [pd.api.types.is_integer_dtype(column.dtype) for column in columns]
    if all(whole):
        return list(columns)
    return [column.astype("category").cat.rename_categories(str) if number else column
            for column, number in zip(columns, whole, strict=True)]


def of_one_type(*places: tuple[Table, str]) -> None:
    """Refuses ids of one space that are no ids of ours, or of two types: "1" and 1 would be two users.

    Args:
        *places: the tables and columns that share the ids.

    Raises:
        ValueError: an id that is equal as text but not as type to another, a floating-point number so large that ids
            have become one, a whole number beyond int64, or what is neither text nor number; the text names the row.
    """
    kinds = {_checked_kind(table, column) for table, column in places}
    if kinds <= {"integer"} or kinds <= {"string", "empty"}:
        return
    seen: dict[str, tuple[bool, str]] = {}
    for table, column in places:
        for raw in _distinct(table.frame[column]):
            is_text, text = isinstance(raw, str), _as_text(raw)
            of_text, place = seen.setdefault(text, (is_text, f"{table.name}, {column}"))
            if of_text != is_text:
                same = table.frame[column].map(lambda each, raw=raw: type(each) is type(raw) and each == raw)
                table.complain(same, column, f"of one type with {text if is_text else repr(text)} ({place}), as they "
                               f"would be two; make all of them text (.astype(str)) or all of them numbers")


def _checked_kind(table: Table, column: str) -> str:
    """"integer", "string", or what else the ids of a column are."""
    ids = table.frame[column]
    if isinstance(ids.dtype, pd.CategoricalDtype):
        numbers = pd.api.types.is_numeric_dtype(ids.cat.categories.dtype)
        ids = ids.astype(ids.cat.categories.dtype) if numbers else ids.cat.categories.to_series()
    if pd.api.types.is_integer_dtype(ids.dtype):
        if pd.api.types.is_unsigned_integer_dtype(ids.dtype):
            table.complain(ids > INT64, column, f"an id of at most {INT64} (int64), or text: .astype(str)")
        return "integer"
    if pd.api.types.is_float_dtype(ids.dtype):
        exact = 2 ** (np.finfo(np.dtype(str(ids.dtype).lower())).nmant + 1)
        table.complain(~(ids.abs() < exact), column, f"a whole number or text, or below {exact}: beyond, "
                       "floating-point numbers make two ids one")
        return "floating"
    kind = pd.api.types.infer_dtype(ids, skipna=True)
    if kind not in ("string", "integer", "empty"):
        odd = table.frame[column].map(lambda each: isinstance(each, bool | np.bool_) or not _is_id(each))
        table.complain(odd, column, "an id: text or a number")
    return kind


def _is_id(value: object) -> bool:
    return isinstance(value, Hashable) and not isinstance(value, bytes | complex | np.complexfloating)


def _as_text(raw: object) -> str:
    """What a file would say: 1.0 is what pandas makes of 1 where another id is missing."""
    return str(int(raw)) if isinstance(raw, float) and raw.is_integer() else str(raw)
