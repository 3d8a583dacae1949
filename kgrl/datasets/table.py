"""A table of raw rows that can say where each row came from, and which of its columns is meant by what."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from kgrl.objects import of_class
from kgrl.options import expected

Names = Mapping[str, str | None]
"""Our name of a column → the table's own; ``None``: there is none, whatever looks like it."""

LAST_WORDS = {
    "user": {"user", "users", "uid", "customer", "reviewer", "visitor", "member"},
    "item": {"item", "items", "iid", "movie", "film", "book", "product", "song", "track", "artist", "asin", "isbn"},
    "rating": {"rating", "ratings", "star", "stars", "score", "label", "feedback", "grade", "overall", "plays",
               "playcount", "count", "counts", "clicks", "like", "liked", "preference", "points", "weight"},
    "time": {"time", "timestamp", "date", "datetime", "ts", "at"},
    "title": {"title", "name"},
    "head": {"head", "subject", "source"},
    "relation": {"relation", "predicate", "property"},
    "tail": {"tail", "object", "target"},
    "entity": {"entity"},
}
"""The last word of names that such a column goes by elsewhere ("userId", "review_score", "unixReviewTime")."""


def looks_like(name: object) -> str | None:
    """What a column of this name is likely to hold, by our names; ``None`` where the name does not tell."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", str(name))
    words = [word.lower() for word in words]
    if len(words) > 1 and words[-1] in ("id", "ids"):
        words = words[:-1]
    return next((ours for ours, last in LAST_WORDS.items() if words and words[-1] in last), None)


def meant(missing: Iterable[str], unread: Collection[str]) -> dict[str, str]:
    """Our names that are ``missing`` → the first of the ``unread`` columns that looks like it."""
    likely = {column: looks_like(column) for column in unread}
    found = {ours: next((column for column in unread if likely[column] == ours), None) for ours in missing}
    return {ours: column for ours, column in found.items() if column is not None}


def own_names(columns: Names | None, ours: Collection[str], theirs: Collection[str]) -> Names:
    """``columns`` if each names one of ours and a column that is there.

    Args:
        columns: as the user gave them.
        ours: all that can be named.
        theirs: every column of every table.

    Raises:
        ValueError: a name that is not ours, or a column that no table has.
    """
    for name, column in ({} if columns is None else of_class("columns", columns, Mapping)).items():
        if name not in ours:
            raise ValueError(expected("columns", f"names among {', '.join(ours)} for columns of one's own", name))
        if column is not None and not (isinstance(column, str | int) and column in theirs):
            raise ValueError(expected(f"columns[{name!r}]", f"one of the columns {', '.join(map(str, theirs))}",
                                      column))
    return columns or {}


def each_its_own(table: str, names: Names) -> None:
    """Refuses one column for two names: it would be read as one of them, and the other be missing without a word.

    Args:
        table: its name.
        names: our names of a table's columns → its own.

    Raises:
        ValueError: two of the names have one column.
    """
    taken: dict[str, str] = {}
    for ours, theirs in names.items():
        if theirs is not None and (first := taken.setdefault(theirs, ours)) != ours:
            hint = f"say None for one of the two, or make a second column of {theirs!r}"
            raise ValueError(f"{table}: " + expected("columns", "a column of its own for each name",
                                                     f"{theirs!r} for both {first!r} and {ours!r}", hint))


def say_what_is_not_read(table: str, read: Collection[str], optional: Iterable[str], unread: Collection[str]) -> None:
    """Names a column that looks meant for something that the table lacks.

    Without its ratings a table says that everybody liked everything, so this is an error; the rest is a warning.

    Args:
        table: its name.
        read: our names of the columns that are there.
        optional: our names of those that may be there.
        unread: the other columns.

    Raises:
        ValueError: there is no ``rating``, but a column that looks like one.
    """
    for ours, column in meant([name for name in optional if name not in read], unread).items():
        text = (f"{table} has no column for {ours!r}, but {column!r}, which is not read; "
                f"pass columns={{{ours!r}: {column!r}}} to read it, or columns={{{ours!r}: None}} if it is none")
        if ours == "rating":
            raise ValueError(text)
        warnings.warn(text, stacklevel=4)


@dataclass(frozen=True)
class Table:
    """A frame and the place of each of its rows, for errors.

    Args:
        frame: the rows; the index holds their original numbers and survives filtering.
        name: the file or the argument that the rows came from.
        locate: row number → place, as "ratings.dat, line 7"; only called once something is wrong.
    """

    frame: pd.DataFrame
    name: str
    locate: Callable[[int], str]

    @classmethod
    def of(
        cls, frame: pd.DataFrame, name: str, columns: Sequence[str], optional: Sequence[str] = (),
        own: Names | None = None,
    ) -> Table:
        """A user's own frame.

        Args:
            frame: see there.
            name: the argument's.
            columns: that it must have.
            optional: that it may have.
            own: the frame's own names of some of them.

        Raises:
            TypeError: it is no frame.
            ValueError: a column that is missing, comes twice, or is to be two.
        """
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(expected(name, "a pandas DataFrame", type(frame).__name__))
        known = [*columns, *optional]
        own = {ours: theirs for ours, theirs in (own or {}).items()
               if ours in known and (theirs is None or theirs in frame)}
        each_its_own(f"`{name}`", {**{ours: ours for ours in known if ours in frame}, **own})
        replaced = [ours for ours in own if ours in frame and ours not in own.values()]
        frame = frame.drop(columns=replaced).rename(columns={theirs: ours for ours, theirs in own.items() if theirs})
        if len(twice := frame.columns[frame.columns.duplicated()]):
            raise ValueError(expected(name, "a frame of distinct columns", f"{twice[0]!r} twice"))
        unread = [column for column in frame.columns if column not in known]
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            hints = meant(missing, unread)
            raise ValueError(f"`{name}` must have the columns {', '.join(columns)}, "
                             f"got {', '.join(map(str, frame.columns))}; missing: {', '.join(missing)}"
                             + (f"; pass columns={hints}" if hints else ""))
        say_what_is_not_read(f"`{name}`", {*frame.columns, *own}, optional, unread)
        return cls(frame.reset_index(drop=True), name, lambda row: f"`{name}`, row {row}")

    def numbers(self, column: str) -> np.ndarray:
        """A column as floating-point numbers, NaN where it is none.

        Raises:
            ValueError: it has complex numbers: their imaginary parts would be lost.
        """
        values = pd.to_numeric(self.frame[column], errors="coerce")
        if pd.api.types.is_complex_dtype(values.dtype):
            self.complain([np.iscomplexobj(each) for each in self.frame[column]], column, "a real number")
        return values.to_numpy(np.float64, na_value=np.nan)

    def place(self, row: int = 0) -> str:
        """Where the ``row``-th of these rows was written."""
        return self.locate(int(self.frame.index[row])) if len(self.frame) else f"{self.name}, which has no row at all"

    def complain(self, bad: Sequence[bool] | np.ndarray | pd.Series, column: str, what: str) -> None:
        """Raises a ``ValueError`` about the first row where ``bad`` is true, if there is one."""
        rows = np.flatnonzero(np.asarray(bad))
        if len(rows):
            first, more = rows[0], f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
            value = self.frame[column].iloc[first]
            value = value.item() if isinstance(value, np.generic) else value
            raise ValueError(f"{self.place(first)}: {column} must be {what}, got {value!r}{more}")


def stacked(tables: Sequence[Table]) -> Table:
    """The rows of several tables of the same columns, one after the other."""
    if len(tables) == 1:
        return tables[0]
    starts = np.cumsum([0, *(len(table.frame) for table in tables)])

    def locate(row: int) -> str:
        place = int(np.searchsorted(starts, row, side="right")) - 1
        return tables[place].locate(row - int(starts[place]))

    columns = {}
    for column in tables[0].frame:
        parts = [table.frame[column] for table in tables]
        if any(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            parts = [part.astype("category").cat.rename_categories(str) for part in parts]
            columns[column] = pd.Series(union_categoricals(parts))
        else:
            columns[column] = pd.concat(parts, ignore_index=True)
    return Table(pd.DataFrame(columns), f"{tables[0].name} to {tables[-1].name}", locate)
