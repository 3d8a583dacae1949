"""MovieLens-100K's and MovieLens-1M's numbers of the same films: the table, and how it is made again."""

from __future__ import annotations

import os
import re
import unicodedata
from importlib.resources import files
from pathlib import Path

import pandas as pd

from kgrl.datasets.movielens import MovieLens1M, read_films
from kgrl.datasets.recbole import add_title, read_atomic

TABLE = files("kgrl.datasets") / "tables" / "ml_100k_to_ml_1m.csv"
YEAR = re.compile(r"^(?P<title>.*\S)\s*\((?P<year>\d{4})\)(\s*\(V\))?\s*$")  # (V): for video


def film_numbers() -> pd.DataFrame:
    """The pairs of numbers that the package carries: 1,670 of MovieLens-100K's 1,682, of 1,652 films.

    The table was made by title and year, 24 pairs by hand where the two lists spell a title differently, and checked
    against the genres of both lists. MovieLens-100K lists 18 films twice, under two numbers.

    Returns:
        Columns ``ml_100k`` (each number once) and ``ml_1m``.
    """
    with TABLE.open(encoding="utf-8") as handle:
        return pd.read_csv(handle)


def film_numbers_from(ml_100k: str | os.PathLike[str], ml_1m: str | os.PathLike[str]) -> pd.DataFrame:
    """Makes the table of :func:`film_numbers` again.

    ``film_numbers_from("ml-100k.item", "movies.dat").to_csv("ml_100k_to_ml_1m.csv", index=False)`` writes it.

    Args:
        ml_100k: RecBole's ``ml-100k.item``.
        ml_1m: GroupLens' ``movies.dat`` of MovieLens-1M.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line, named.
    """
    ours = read_atomic(Path(ml_100k).expanduser(), "item").frame
    add_title(ours)
    return match_films(ours, read_films(Path(ml_1m).expanduser(), MovieLens1M.encoding).frame)


def match_films(ml_100k: pd.DataFrame, ml_1m: pd.DataFrame, by_hand: pd.DataFrame | None = None) -> pd.DataFrame:
    """Finds the films of one list in the other by title and year.

    Titles are compared by their words, without case, accents and order ("Net, The" is "The Net"); where that finds
    nothing, without what stands in parentheses. Films of MovieLens-1M that cannot be told apart so are not matched.

    Args:
        ml_100k: columns ``item`` and ``title``, the year in parentheses at the title's end.
        ml_1m: likewise.
        by_hand: columns ``ml_100k`` and ``ml_1m``: what to take for films that no title finds, where both lists have
            the number; ``None``: :func:`film_numbers`.

    Returns:
        Columns ``ml_100k`` and ``ml_1m``, sorted by ``ml_100k``.
    """
    by_hand = film_numbers() if by_hand is None else by_hand
    found = pd.Series(pd.NA, index=ml_100k["item"], dtype="Int64")
    for parentheses in (True, False):
        number = pd.Series(ml_1m["item"].to_numpy(), index=_keys(ml_1m["title"], parentheses))
        number = number[number.index.notna() & ~number.index.duplicated(keep=False)]
        keys = _keys(ml_100k["title"], parentheses)
        found = found.fillna(pd.Series(number.reindex(keys).to_numpy(), index=found.index).astype("Int64"))
    known = by_hand[by_hand["ml_1m"].isin(ml_1m["item"])].set_index("ml_100k")["ml_1m"]
    found = found.fillna(known.reindex(found.index).astype("Int64")).dropna().astype("int64").sort_index()
    return pd.DataFrame({"ml_100k": found.index.to_numpy(), "ml_1m": found.to_numpy()})


def _keys(titles: pd.Series, parentheses: bool) -> pd.Index:
    """What two titles of one film have in common; missing where a title has no year."""
    return pd.Index([_key(title, parentheses) for title in titles], dtype="object")


def _key(title: str, parentheses: bool) -> str | None:
    parts = YEAR.match(title)
    if parts is None:
        return None
    name = parts["title"] if parentheses else re.sub(r"\(.*?\)", "", parts["title"])
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("&", " and ").replace("'", ""))
    return " ".join(sorted(words)) + f" ({parts['year']})" if words else None
