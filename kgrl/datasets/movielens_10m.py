"""MovieLens-10M, ratings alone by default: TPGR needs no KG."""

from __future__ import annotations

import os
from typing import Any

from kgrl.datasets.movielens import MovieLensArchive


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
