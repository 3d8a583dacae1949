"""``attribute_triples``: a KG for those who have none, of what a table says of the items, read column by column."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kgrl.datasets.table import Table
from kgrl.objects import of_class
from kgrl.options import at_least, between, expected, one_of
from kgrl.raw_ids import as_whole

PERIODS = ("month", "year", "decade")
Bins = int | Sequence[float] | None
SEVERAL = (list, tuple, set, frozenset, np.ndarray)


def attribute_triples(
    items: pd.DataFrame,
    item: str = "item",
    *,
    columns: Collection[str] | Mapping[str, str] | None = None,
    title: str | None = None,
    separator: str | Mapping[str, str] | None = None,
    bins: Bins | Mapping[str, Bins] = 5,
    dates: str = "year",
    kinds: Mapping[str, str] | None = None,
    min_items: int = 1,
) -> dict[str, pd.DataFrame]:
    """A KG of the items' attributes: a column is a relation, each of its values an entity that items share.

    ``from_frames(ratings, **attribute_triples(films, separator="|"))`` is a data set with that KG. What a column holds
    decides how it is read:

    - lists, or text with a ``separator``: several values per item;
    - numbers: ranges that hold about as many items each, named by their least and greatest number ("95 to 107"); where
      there are no more distinct numbers than ``bins``, each by itself;
    - dates: their year, month or decade;
    - anything else, as text: one value.

    Missing and empty values make no triple. An attribute that comes only after an item is out (its awards, its mean
    rating) gives away how it was received; for new items leave such columns out, or name them to
    :func:`kgrl.datasets.as_released`.

    Args:
        items: one row an item.
        item: the column of their ids, as the ratings have them.
        columns: the columns that become relations, or column → name of its relation (two columns may share one);
            ``None``: all but ``item`` and ``title``.
        title: the column of the items' titles; ``None``: "title", where there is one.
        separator: what stands between the values of a text, as "|"; one for all columns of text, or column → its own.
        bins: how many ranges; or the edges, each the greatest number of its range; or ``None``: each number is an
            entity, as for codes. One for all columns of numbers, or column → its own (others: 5).
        dates: ``"year"``, ``"month"`` or ``"decade"``.
        kinds: column → what its values are, where several columns have values of one kind: with ``{"writer": "person",
            "director": "person"}``, a writer who directs is one entity. ``None``: of each relation's values.
        min_items: leave out values of fewer items: what one item alone has tells nothing of another, at 2 hops.

    Returns:
        What :func:`kgrl.datasets.from_frames` takes: ``triples``, ``links``, ``items`` and ``entities`` (the names).
        Entities are called by kind and value, "genre: Horror", items "item: 7", and are named by the value alone.

    Raises:
        TypeError: something else than a frame.
        ValueError: a column that is not there, an id that is missing or comes twice, a value that is no attribute (the
            text names the row), an option out of range, or no triple at all.
    """
    table = Table.of(items, "items", [])
    frame, relations, title = table.frame, _relations(table.frame, item, columns, title), _title(table.frame, title)
    table.complain(frame[item].isna(), item, "an id")
    table.complain(frame[item].duplicated(), item, "listed once")
    ways = {"separator": _of_each("separator", separator, relations, None),
            "bins": _of_each("bins", bins, relations, 5),
            "kinds": _of_each("kinds", {} if kinds is None else of_class("kinds", kinds, Mapping), relations, None)}
    one_of("dates", dates, PERIODS)
    min_items = at_least("min_items", min_items, 1)
    parts = []
    for column, relation in relations.items():
        values = attribute_values(table, column, ways["separator"][column], ways["bins"][column], dates)
        kind = ways["kinds"][column] or relation
        if not isinstance(kind, str) or kind == "item":
            raise ValueError(expected("kinds", "names, and not 'item', as the items themselves are called", kind))
        parts.append(pd.DataFrame({"row": values.index, "relation": relation, "tail": kind + ": " + values,
                                   "name": values, "column": column}))
    found = pd.concat(parts, ignore_index=True).drop_duplicates(["row", "relation", "tail"])
    found = found[found.groupby("tail")["row"].transform("nunique") >= min_items]
    if not len(found):
        raise ValueError(expected("items", f"a frame with values that {min_items} or more items have", "none"))
    _warn_of_what_tells_nothing(found, relations, len(frame))
    entity = "item: " + as_whole(frame[item]).astype(str)
    linked = found["row"].unique()
    listed = {"item": frame[item], **({} if title is None else {"title": frame[title].astype(object).fillna("")})}
    return {
        "triples": pd.DataFrame({"head": entity[found["row"]].to_numpy(), "relation": found["relation"].to_numpy(),
                                 "tail": found["tail"].to_numpy()}),
        "links": pd.DataFrame({"item": frame[item][linked], "entity": entity[linked]}).reset_index(drop=True),
        "items": pd.DataFrame(listed),
        "entities": found[["tail", "name"]].drop_duplicates("tail").set_axis(["entity", "name"], axis=1)
        .reset_index(drop=True),
    }


def _title(frame: pd.DataFrame, title: str | None) -> str | None:
    if title is not None and not (isinstance(title, str) and title in frame):
        raise ValueError(expected("title", f"one of the columns {', '.join(map(str, frame))}", title))
    return title or ("title" if "title" in frame else None)


def _relations(
    frame: pd.DataFrame, item: str, columns: Collection[str] | Mapping[str, str] | None, title: str | None
) -> dict[str, str]:
    """Column → name of its relation."""
    there = ", ".join(map(str, frame))
    if not isinstance(item, str) or item not in frame:
        raise ValueError(f"`items` must have the column of ids that `item` names, {item!r}, got {there}")
    if columns is None:
        columns = [column for column in frame if column not in (item, title or "title")]
    if not isinstance(columns, list | tuple | set | dict | pd.Index):
        raise TypeError(expected("columns", "a list of columns, or column → relation", columns))
    named = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
    if not named:
        raise ValueError(expected("columns", f"at least one of the columns {there}", "none"))
    for column, relation in named.items():
        if not isinstance(column, str | int) or column not in frame or column == item:
            raise ValueError(expected("columns", f"among {there}, and not {item!r} itself", column))
        if columns is not named and not isinstance(relation, str | int):
            raise ValueError(expected(f"columns[{column!r}]", "the name of a relation", relation))
    return {column: str(relation) for column, relation in named.items()}


def _of_each(name: str, given: Any, columns: Collection[str], other: Any) -> dict[str, Any]:
    """Column → its own of what is given for all, or for some by name."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(columns, given)
    if unknown := [column for column in given if column not in columns]:
        raise ValueError(expected(name, f"for columns among {', '.join(map(str, columns))}", unknown[0]))
    return {column: given.get(column, other) for column in columns}


def _warn_of_what_tells_nothing(found: pd.DataFrame, relations: Mapping[str, str], num_items: int) -> None:
    """Names the columns by which no two items, or all of them, are alike."""
    sizes = found.groupby(["column", "tail"])["row"].nunique()
    none = [column for column in relations if column not in sizes.index.get_level_values(0)]
    alone = [column for column in relations if column not in none and sizes[column].max() == 1]
    alike = [column for column in relations if column not in none and num_items > 1
             and sizes[column].min() == num_items]
    for columns, what in ((none, "have no value"), (alone, "have no value that two items share"),
                          (alike, "have the same value for all items")):
        if columns:
            warnings.warn(f"`items`: {', '.join(map(str, columns))} {what}, and tell nothing of what items have in "
                          f"common; columns=… leaves them out", stacklevel=3)


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
        numbers = table.numbers(column)
        table.complain(np.isinf(numbers), column, "a finite number")
        return _ranges(pd.Series(numbers, table.frame.index)[values.index], bins)
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
