"""What a column of a table of items holds: lists, text, numbers in ranges, or dates; every value as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from kgrl.datasets.table import Table
from kgrl.options import at_least, between, expected

Bins = int | Sequence[float] | None
SEVERAL = (list, tuple, set, frozenset, np.ndarray)


def attribute_values(table: Table, column: str, separator: str | None, bins: Bins, dates: str) -> pd.Series:
    """Every value of a column as text, under the number of its row.

    Args:
        table: the items.
        column: which column; see :func:`kgrl.datasets.attribute_triples` for how it is read.
        separator, bins, dates: see there.

    Raises:
        TypeError: ``bins`` of another kind.
        ValueError: a value that is no attribute, or an option out of range; the text names the row or the option.
    """
    values = table.frame[column].dropna()
    if separator is not None and not (isinstance(separator, str) and separator):
        raise ValueError(expected("separator", "a text that stands between values, as '|'", separator))
    _edges(bins)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        year = values.dt.year
        return {"year": year.astype(str), "month": values.dt.strftime("%Y-%m"),
                "decade": (year // 10 * 10).astype(str) + "s"}[dates]
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        numbers = pd.Series(values.to_numpy(np.float64), values.index)
        table.complain(np.isinf(pd.to_numeric(table.frame[column]).to_numpy(np.float64, na_value=np.nan)), column,
                       "a finite number")
        return _ranges(numbers, bins)
    values = values.astype(object)
    several = values.map(lambda each: isinstance(each, SEVERAL))
    odd = values.map(lambda each: isinstance(each, Mapping | bytes))
    table.complain(odd.reindex(table.frame.index, fill_value=False), column, "text, a number, a date or a list of such")
    if separator is not None:
        values = values.where(several, values.astype(str).str.split(separator, regex=False))
    values = values.map(lambda each: sorted(each, key=str) if isinstance(each, set | frozenset) else each)
    texts = values.explode().dropna().astype(str).str.strip()
    return texts[texts != ""]


def _edges(bins: Bins) -> np.ndarray | int | None:
    """``bins``, checked."""
    if bins is None or (isinstance(bins, int | np.integer) and not isinstance(bins, bool)):
        return bins if bins is None else at_least("bins", bins, 2)
    if not isinstance(bins, list | tuple | np.ndarray) or not len(bins):
        raise TypeError(expected("bins", "a number, a list of edges, None, or column → one of these", bins))
    edges = np.array([between("bins", edge, -np.inf, np.inf) for edge in np.asarray(bins).tolist()])
    if (np.diff(edges) <= 0).any():
        raise ValueError(expected("bins", "edges that rise", bins))
    return edges


def _ranges(numbers: pd.Series, bins: Bins) -> pd.Series:
    """The range that each number is in, in words."""
    def text(number: float) -> str:
        return f"{number:.12g}"

    edges = _edges(bins)
    if isinstance(edges, np.ndarray):
        words = [f"up to {text(edges[0])}",
                 *(f"{text(low)} to {text(high)}" for low, high in pairwise(edges)),
                 f"above {text(edges[-1])}"]
        return pd.Series(np.array(words, dtype=object)[np.searchsorted(edges, numbers)], numbers.index)
    if edges is None or numbers.nunique() <= edges:
        return numbers.map(text)
    inner = np.unique(np.quantile(numbers, np.linspace(0, 1, edges + 1)[1:-1]))
    place = pd.Series(np.searchsorted(inner, numbers), numbers.index)  # up to and with the edge
    low, high = (numbers.groupby(place).agg(each).map(text) for each in ("min", "max"))
    words = low.where(low == high, low + " to " + high)
    return place.map(words)
