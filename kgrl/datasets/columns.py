"""Which column of a table is meant by what: names of one's own, and a word about those that look meant."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping

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
