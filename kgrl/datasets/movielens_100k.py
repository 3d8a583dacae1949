"""MovieLens-100K with its Freebase KG, and the table of MovieLens-1M's numbers of the same films."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.download import download_wheel, unzip
from kgrl.datasets.movielens import MovieLens1M, read_films
from kgrl.datasets.names import name_by_labels
from kgrl.datasets.recbole import add_title, read_atomic, read_recbole
from kgrl.datasets.table import Table
from kgrl.files import sha256
from kgrl.options import expected, one_of

LINKS = ("translated", "as-shipped")
TABLE = files("kgrl.datasets") / "tables" / "ml_100k_to_ml_1m.csv"
YEAR = re.compile(r"^(?P<title>.*\S)\s*\((?P<year>\d{4})\)(\s*\(V\))?\s*$")  # (V): for video


class MovieLens100K(KGRecDataset):
    """MovieLens-100K (Harper and Konstan, 2015) linked to Freebase by KB4Rec (Zhao et al., 2019), as RecBole ships it.

    100,000 ratings by 943 users of 1,682 films; 91,631 triples, 34,628 entities, 24 relations. Ratings 1 to 5, above
    3.5 is positive; ``data['item'].title`` has the year, ``data['entity'].name`` the genres that the film list has.

    RecBole's ``ml-100k.link`` numbers the films as MovieLens-1M does, so read as it is it links nearly every film to
    another one's entity (https://github.com/RUCAIBox/RecSysDatasets/issues/130). The numbers are translated through
    :func:`~kgrl.datasets.movielens_100k.film_numbers`. Then 1,539 numbers are linked, which hold 96.2 % of the ratings;
    17 of them are a film's second number, so 1,522 films. Of a film that is listed twice the number with more ratings
    stands and takes the other's ratings; where a user rated both, the latest rating is kept.

    Args:
        root: folder of the data set.
        source: a folder that holds ``ml-100k.inter``, ``.kg``, ``.link``, ``.item`` and ``.user``; else pip fetches the
            RecBole wheel that holds them (2 MB; nothing of it is installed).
        linked_only: drop films without an entity, and their ratings.
        links: ``"translated"``, or ``"as-shipped"``, a control: the wrong links that all results with this file had.
        min_ratings: drop users with fewer of the ratings that remain.
        bad_links: ``"error"``, or ``"drop"`` for leaving out links that cannot stand.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    license = "GroupLens: research use, no redistribution without permission; Freebase: CC BY"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015; Zhao et al., KB4Rec, Data Intelligence 2019"
    item_noun = "film"
    wheel = "recbole-1.2.1-py3-none-any.whl"
    sha256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, links: str = "translated", min_ratings: int = 1, bad_links: str = "error", **kwargs: Any,
    ) -> None:
        if one_of("links", links, LINKS) == "as-shipped":
            warnings.warn("links='as-shipped' links MovieLens-100K's films to the wrong entities: the shipped file has "
                          "MovieLens-1M's film numbers. Use it as a control only; links='translated' is right",
                          stacklevel=2)
        options = {"linked_only": linked_only, "links": links, "min_ratings": min_ratings, "bad_links": bad_links}
        super().__init__(root, source, options, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return [f"ml-100k.{kind}" for kind in ("inter", "kg", "link", "item", "user")]

    def fetch(self, folder: Path) -> None:
        wheel = download_wheel("recbole==1.2.1", self.wheel, self.sha256, folder)
        unzip(wheel, [f"recbole/dataset_example/ml-100k/{name}" for name in self.raw_file_names], folder)

    def read(self, folder: Path) -> HeteroData:
        raw, name, _ = read_recbole(folder, "ml-100k")
        if self.options["links"] == "translated":
            raw = translated(raw, film_numbers())
        rules = Rules((1, 5, 3.5), **{key: value for key, value in self.options.items() if key != "links"})
        data = assemble(raw, rules, name)
        data.provenance["options"] |= self.options
        assert raw.items is not None, "raw_file_names holds every file"
        name_by_labels(data, raw.items.frame, "class", " ")
        return data


def translated(raw: Raw, numbers: pd.DataFrame) -> Raw:
    """The tables with every film under one number of MovieLens-100K, and links by that number.

    Args:
        raw: as :func:`~kgrl.datasets.recbole.read_recbole` reads them; the links have MovieLens-1M's numbers.
        numbers: columns ``ml_100k`` and ``ml_1m``.

    Raises:
        ValueError: the files' film numbers are no whole numbers.
    """
    ratings, items, links = _numbered(raw.ratings), _numbered(raw.items), _numbered(raw.links)
    films = pd.concat([items.frame["item"], ratings.frame["item"]]).unique()
    numbers = numbers[numbers["ml_100k"].isin(films)]
    count = numbers["ml_100k"].map(ratings.frame["item"].value_counts()).fillna(0)
    numbers = numbers.assign(count=count).sort_values(["count", "ml_100k"], ascending=[False, True])
    stands = numbers.drop_duplicates("ml_1m").set_index("ml_1m")["ml_100k"]
    second = numbers[numbers["ml_1m"].duplicated()]
    first = pd.Series(stands.reindex(second["ml_1m"]).to_numpy(), index=second["ml_100k"])

    known = links.frame["item"].isin(stands.index)
    links_of_known = Table(links.frame[known], links.name, links.locate)
    listed_once = ~items.frame["item"].isin(first.index)
    return replace(
        raw,
        ratings=_with_items(ratings, ratings.frame["item"].replace(first)),
        items=Table(items.frame[listed_once], items.name, items.locate),
        links=_with_items(links_of_known, links_of_known.frame["item"].map(stands)),
        files={**raw.files, TABLE.name: sha256(str(TABLE))},
        counts={"items": len(films), "films_listed_twice": len(first), "links_of_other_films": int((~known).sum())},
    )


def _numbered(table: Table | None) -> Table:
    """``table``, if it numbers the films."""
    assert table is not None, "raw_file_names holds every file"
    if not pd.api.types.is_integer_dtype(table.frame["item"].dtype):
        raise ValueError(expected(f"{table.name}, item_id", "MovieLens-100K's film numbers, whole numbers throughout",
                                  table.frame["item"].iloc[0], "links='as-shipped' takes ids of any form"))
    return table


def _with_items(table: Table, item: pd.Series) -> Table:
    return Table(table.frame.assign(item=item), table.name, table.locate)


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
