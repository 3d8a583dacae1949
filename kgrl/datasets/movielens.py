"""MovieLens-1M, -10M and -20M: GroupLens' archives, and Satori KGs in KGCN's form."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.base import KGRecDataset
from kgrl.datasets.delimited import UNDECODABLE, WHOLE_NUMBER, Kind, existing, read_delimited
from kgrl.datasets.download import download, unzip
from kgrl.datasets.kgcn import read_raw
from kgrl.datasets.names import name_by_labels
from kgrl.datasets.ratings import Scale
from kgrl.datasets.table import Table
from kgrl.files import sha256
from kgrl.options import flag

RATING: dict[str, Kind] = {"user": "int", "item": "int", "rating": "float", "time": "int"}
FILM: dict[str, Kind] = {"item": "int", "title": "text", "genres": "text"}
KG_FILES = ("item_index2entity_id.txt", "kg.txt")


class MovieLensArchive(KGRecDataset):
    """A MovieLens release that GroupLens publishes as a zip archive; a subclass says which.

    Args:
        root: folder of the data set.
        source: a folder that holds the release's ratings and films and, with ``kg``, ``item_index2entity_id.txt`` and
            ``kg.txt``; else they are downloaded.
        linked_only: with ``kg``, drop films without an entity, and their ratings.
        kg: whether to read the KG.
        min_ratings: drop users with fewer of the ratings that remain.
        bad_links: ``"error"``, or ``"drop"`` for leaving out links of films that the release does not hold.
        **kwargs: ``transform``, ``pre_transform``, ``force_reload``.
    """

    license = "GroupLens: research use, no redistribution without permission; KG: as published with KGCN and MKR"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015"
    item_noun = "film"
    sha256: str | None = None
    kg_url = ""
    folder = ""
    ratings_file, films_file = "ratings.dat", "movies.dat"
    encoding = "utf-8"
    scale: Scale = (0.5, 5.0, 3.5)

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, kg: bool = True, min_ratings: int = 1, bad_links: str = "error", **kwargs: Any,
    ) -> None:
        options = {"linked_only": linked_only, "kg": flag("kg", kg), "min_ratings": min_ratings, "bad_links": bad_links}
        super().__init__(root, source, options, **kwargs)

    @property
    def raw_file_names(self) -> list[str]:
        return [self.ratings_file, self.films_file, *(KG_FILES if self.options["kg"] else ())]

    def fetch(self, folder: Path) -> None:
        if not all((folder / name).is_file() for name in (self.ratings_file, self.films_file)):
            archive = download(self.url, folder / self.url.rpartition("/")[2], self.sha256)
            unzip(archive, [f"{self.folder}/{self.ratings_file}", f"{self.folder}/{self.films_file}"], folder)
        for name in self.raw_file_names[2:]:
            download(f"{self.kg_url}/{name}", folder / name)

    def read(self, folder: Path) -> HeteroData:
        options = {key: value for key, value in self.options.items() if key != "kg"}
        ratings = self.read_ratings(folder / self.ratings_file)
        films = self.read_films(folder / self.films_file)
        names = [self.ratings_file, self.films_file]
        if self.options["kg"]:
            raw = read_raw(folder, ratings, self.ratings_file)
        else:
            raw = Raw(ratings, files={self.ratings_file: sha256(folder / self.ratings_file)})
        files = {**raw.files, **{name: sha256(folder / name) for name in names[1:]}}
        data = assemble(replace(raw, items=films, files=files), Rules(self.scale, **options), type(self).__name__)
        name_by_labels(data, films.frame, "genres", "|")
        return data

    def read_ratings(self, path: Path) -> Table:
        """Lines ``user::film::rating::time``."""
        return read_delimited(path, RATING, "::")

    def read_films(self, path: Path) -> Table:
        """Lines ``film::title::genres``."""
        return read_films(path, self.encoding)


def read_films(path: Path, encoding: str) -> Table:
    """Lines ``film::title::genres``; a few thousand, and titles hold ":", so they are split in Python.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line of another form, or an empty file.
    """
    with open(existing(path), encoding=encoding, errors=UNDECODABLE) as handle:
        lines = [(number, line.rstrip("\r\n").split("::")) for number, line in enumerate(handle, 1)]
    lines = [(number, fields) for number, fields in lines if fields != [""]]
    for number, fields in lines:
        if len(fields) != len(FILM) or not re.fullmatch(WHOLE_NUMBER, fields[0]):
            raise ValueError(f"{path}, line {number}: expected film::title::genres, got {'::'.join(fields)!r}")
    frame = pd.DataFrame([(int(film), *text) for _, (film, *text) in lines], columns=list(FILM))
    return Table(frame, path.name, lambda row: f"{path}, line {lines[row][0]}")


class MovieLens1M(MovieLensArchive):
    """MovieLens-1M (Harper and Konstan, 2015): 1,000,209 ratings, 1 to 5, by 6,040 users of 3,706 films (3,883 listed).

    The KG is Satori's as MKR (Wang et al., 2019) links it; above 3.5 is positive. Arguments as
    :class:`kgrl.datasets.movielens.MovieLensArchive`, raw files ``ratings.dat`` and ``movies.dat``.
    """

    url = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
    kg_url = "https://raw.githubusercontent.com/hwwang55/MKR/master/data/movie"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015; Wang et al., MKR, WWW 2019"
    sha256 = "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
    folder = "ml-1m"
    encoding = "latin-1"
    scale = (1.0, 5.0, 3.5)


class MovieLens10M(MovieLensArchive):
    """MovieLens-10M (Harper and Konstan, 2015): 10,000,054 ratings, 0.5 to 5, by 69,878 users of 10,677 films.

    No KG was published for it. A film keeps its id from release to release, so ``kg=True`` takes KGCN's of
    MovieLens-20M; its links of films that this release does not hold are then left out. Above 3.5 is positive. Other
    arguments as :class:`kgrl.datasets.movielens.MovieLensArchive`, raw files ``ratings.dat`` and ``movies.dat``.
    """

    url = "https://files.grouplens.org/datasets/movielens/ml-10m.zip"
    kg_url = "https://raw.githubusercontent.com/hwwang55/KGCN/master/data/movie"
    folder = "ml-10M100K"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, kg: bool = False, bad_links: str = "drop", **kwargs: Any,
    ) -> None:
        super().__init__(root, source, linked_only, kg=kg, bad_links=bad_links, **kwargs)


class MovieLens20M(MovieLensArchive):
    """MovieLens-20M (Harper and Konstan, 2015): 20,000,263 ratings, 0.5 to 5, by 138,493 users of 26,744 films.

    The KG is Satori's as KGCN (Wang et al., 2019) links it; above 3.5 is positive. KGQR keeps linked films, and users
    with at least 200 interactions: the default here, counted on the ratings that remain after linking. The paper is
    silent on which comes first. Other arguments as :class:`kgrl.datasets.movielens.MovieLensArchive`, raw files
    ``ratings.csv`` and ``movies.csv``.
    """

    url = "https://files.grouplens.org/datasets/movielens/ml-20m.zip"
    kg_url = "https://raw.githubusercontent.com/hwwang55/KGCN/master/data/movie"
    citation = "Harper and Konstan, The MovieLens Datasets, TiiS 2015; Wang et al., KGCN, WWW 2019"
    sha256 = "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"
    folder = "ml-20m"
    ratings_file, films_file = "ratings.csv", "movies.csv"

    def __init__(
        self, root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None, linked_only: bool = True,
        *, min_ratings: int = 200, **kwargs: Any,
    ) -> None:
        super().__init__(root, source, linked_only, min_ratings=min_ratings, **kwargs)

    def read_ratings(self, path: Path) -> Table:
        """Lines ``user,film,rating,time`` under a header."""
        return read_delimited(path, RATING, ",", header=True)

    def read_films(self, path: Path) -> Table:
        """Lines ``film,title,genres`` under a header, titles perhaps quoted."""
        return read_delimited(path, FILM, ",", header=True, quoted=True)
