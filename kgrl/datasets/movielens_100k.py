"""MovieLens-100K with its Freebase KG."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.download import download_wheel, unzip
from kgrl.datasets.film_numbers import TABLE, film_numbers
from kgrl.datasets.names import name_by_labels
from kgrl.datasets.recbole import read_recbole
from kgrl.datasets.table import Table
from kgrl.files import sha256
from kgrl.options import expected, one_of

LINKS = ("translated", "as-shipped")


class MovieLens100K(KGRecDataset):
    """MovieLens-100K (Harper and Konstan, 2015) linked to Freebase by KB4Rec (Zhao et al., 2019), as RecBole ships it.

    100,000 ratings by 943 users of 1,682 films; 91,631 triples, 34,628 entities, 24 relations. Ratings 1 to 5, above
    3.5 is positive; ``data['item'].title`` has the year, ``data['entity'].name`` the genres that the film list has.

    RecBole's ``ml-100k.link`` numbers the films as MovieLens-1M does, so read as it is it links nearly every film to
    another one's entity (https://github.com/RUCAIBox/RecSysDatasets/issues/130). The numbers are translated through
    :func:`~kgrl.datasets.film_numbers.film_numbers`. Then 1,539 numbers are linked, which hold 96.2 % of the ratings;
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
