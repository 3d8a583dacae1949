"""The data sets that tables know by name, and what one may lack."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from torch_geometric.data import HeteroData

from kgrl.datasets.book_crossing import BookCrossing
from kgrl.datasets.movielens import MovieLens1M, MovieLens10M, MovieLens20M
from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.netflix import NetflixPrize
from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.objects import RATES
from kgrl.options import expected, one_of


def _synthetic(root: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> SyntheticKGRec:
    if source is not None:
        raise ValueError(expected("source", "None for synthetic data, which are made, not read", source))
    return SyntheticKGRec(root, num_users=1_000, num_items=3_000, num_attributes=16, tastes_per_user=2,
                          num_distractors=16, ratings_per_user=8)  # as few ratings a user as Book-Crossing has


DATASETS: dict[str, Callable[..., Any]] = {
    "book-crossing": BookCrossing, "ml-100k": MovieLens100K, "ml-1m": MovieLens1M, "ml-10m": MovieLens10M,
    "ml-20m": MovieLens20M, "netflix": NetflixPrize, "synthetic": _synthetic,
}
"""Each is called with a folder of its own and ``source``, the folder of the raw files, or ``None``."""
NEEDS = {"time": "time stamps", "kg": "a knowledge graph", "tastes": "planted tastes"}
"""What a table or a method may need of a data set, as the text calls it that says it is missing."""


class Unserved(ValueError):
    """A data set lacks what a table or a method needs."""


def has(data: HeteroData, what: str) -> bool:
    """Whether a data set has ``what``, one of :data:`NEEDS`."""
    if one_of("what", what, NEEDS) == "kg":
        return any("user" not in kind for kind in data.edge_types)
    return "taste" in data["user"] if what == "tastes" else "time" in data[RATES]
