"""MovieLens-20M with the Satori KG that KGCN published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kgrl.datasets.movielens import FILM, RATING, MovieLensArchive
from kgrl.datasets.table import Table, read_delimited


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
