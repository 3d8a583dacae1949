"""Raw ids of any type ↔ numbers from 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor


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
        return self.index.get_indexer(pd.Index(column))

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
    return pd.Index(column.unique())


def same_type(columns: Sequence[pd.Series]) -> list[pd.Series]:
    """Ids of one kind, from several files: whole numbers if all of them are, else text.

    Args:
        columns: as :func:`kgrl.datasets.table.read_delimited` reads ids: whole numbers or categories of text.
    """
    whole = [pd.api.types.is_integer_dtype(column.dtype) for column in columns]
    if all(whole):
        return list(columns)
    return [column.astype("category").cat.rename_categories(str) if number else column
            for column, number in zip(columns, whole, strict=True)]
