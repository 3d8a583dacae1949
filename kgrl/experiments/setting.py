"""``Setting``: what a cell of a table is measured in."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.datasets.book_crossing import BookCrossing
from kgrl.datasets.movielens_1m import MovieLens1M
from kgrl.datasets.movielens_10m import MovieLens10M
from kgrl.datasets.movielens_20m import MovieLens20M
from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.netflix import NetflixPrize
from kgrl.datasets.splits import popular_items, split_users
from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.files import digest
from kgrl.graph import knowledge_graph
from kgrl.nn.taste import TasteTerms
from kgrl.options import expected, one_of
from kgrl.pretrain.entities import pretrain_entities
from kgrl.pretrain.factor_tastes import factor_tastes
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.tastes import item_tastes
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.planted import PlantedFeedback
from kgrl.simulator.predicted import PredictedFeedback
from kgrl.simulator.rated import RatedFeedback
from kgrl.simulator.simulator import Simulator


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
WORLDS = ("kgqr", "taste", "heldout", "logged", "planted")
"""``PredictedFeedback``'s presets, its choice on held-out ratings, ``RatedFeedback``, and ``PlantedFeedback``."""
NEEDS = {"time": "time stamps", "kg": "a knowledge graph", "tastes": "planted tastes"}
"""What a table or a method may need of a data set, as the text calls it that says it is missing."""
DIM = 50
"""Length of item vectors, "fixed to 50 for all the models" (KGQR, section 5.1.5)."""
TASTE = 8
"""Length of the taste state."""
RELEVANT_ABOVE = 3.0
"""On the raw scale, in the logged world (TPGR, "Evaluation Metrics"); the data set's own threshold where 3 is not."""
CURVE_USERS = 256
"""Validation users that a learning curve is measured on, at most."""


def eta_folder(eta: float) -> str:
    """What cells of an η are kept in: ``eta-0.1``, with as many digits as tell it from every other."""
    return f"eta-{eta:g}" if float(f"{eta:g}") == eta else f"eta-{eta!r}"


class Unserved(ValueError):
    """A data set lacks what a table or a method needs."""


T = TypeVar("T")


class _Shared(Generic[T]):
    """A property that is made when it is first asked for, for a setting and all that differ from it in η alone."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, setting: Any, owner: type | None = None) -> T:
        made = setting._made
        if self.name not in made:
            made[self.name] = self.make(setting)
        found: T = made[self.name]
        return found


class Setting:
    """A data set, a world made of it, and who is trained on, chosen by and reported on.

    Everything is made when it is first asked for, and shared between settings that differ in η alone. The split and
    the world have seed 0 in every cell; a cell's seed is its agent's.

    Args:
        data: a data set.
        world: one of :data:`WORLDS`. In the logged one the agent opens each session, in the others the cold-start
            protocol of KGQR does, for every method alike.
        eta: weight of the streak term, the TPGR paper's α.
        dataset: what the data set is called in the tables.
        horizon: T.
        cache: folder for pre-trained embeddings; ``None``: they are made anew.
        device: where agents meet the world.

    Raises:
        ValueError: an unknown world.
        Unserved: the planted world of data without planted tastes.
    """

    def __init__(
        self, data: HeteroData, world: str, eta: float = 0.1, *, dataset: str, horizon: int = 32,
        cache: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.dataset, self.horizon, self.cache = data, dataset, horizon, cache
        self.world = one_of("world", world, WORLDS)
        self.eta, self.device = float(eta), torch.device(device)
        if world == "planted":
            self.require("tastes", "the planted world")
        self.train, self.valid, self.test = split_users(data, train=0.7, valid=0.1, seed=0)
        self._made: dict[str, Any] = {}

    @classmethod
    def load(
        cls, dataset: str, world: str, eta: float = 0.1, *, root: str | os.PathLike[str] = "data",
        source: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu",
    ) -> Setting:
        """The setting of a data set that is known by name.

        Args:
            dataset: one of :data:`DATASETS`.
            world, eta: see the class.
            root: folder that data sets are kept in.
            source: folder that already holds the raw files; ``None``: they are downloaded.
            device: see the class.

        Raises:
            ValueError: an unknown data set or world; a source for data that are made.
        """
        one_of("dataset", dataset, DATASETS)
        folder = Path(root) / dataset
        data = DATASETS[dataset](folder, source=source)[0]
        return cls(data, world, eta, dataset=dataset, cache=folder / "embeddings", device=device)

    def with_eta(self, eta: float) -> Setting:
        """The same but for η."""
        other = copy.copy(self)
        other.__dict__.pop("simulator", None)
        other.eta = float(eta)
        return other

    @property
    def name(self) -> str:
        """``data set/world/eta-η``: where its cells are kept."""
        return f"{self.dataset}/{self.world}/{eta_folder(self.eta)}"

    @_Shared
    def digest(self) -> str:
        """Of ratings, their times, KG, planted tastes, horizon and split: cells agreeing in it are of the same data."""
        data = self.data
        edges = [part for kind in sorted(data.edge_types) for part in (list(kind), data[kind].edge_index)]
        ratings = data["user", "rates", "item"]
        planted = [data["user"].taste, data["item"].attribute] if "taste" in data["user"] else []
        return digest(data["user"].num_nodes, data["item"].num_nodes, ratings.rating, list(data.rating_scale),
                      self.horizon, *edges, *([ratings.time] if self.has_time else []), *planted, self.train,
                      self.curve_users, self.test)

    @property
    def has_time(self) -> bool:
        """Whether ratings have time stamps."""
        return "time" in self.data["user", "rates", "item"]

    @property
    def has_kg(self) -> bool:
        """Whether there is a triple."""
        return any("user" not in kind for kind in self.data.edge_types)

    def require(self, what: str, of: str) -> None:
        """Refuses a table or method that the data set cannot serve.

        Args:
            what: one of :data:`NEEDS`.
            of: which table or method needs it.

        Raises:
            Unserved: the data set lacks it.
        """
        name = NEEDS[one_of("what", what, NEEDS)]
        there = {"time": self.has_time, "kg": self.has_kg, "tastes": "taste" in self.data["user"]}
        if not there[what]:
            raise Unserved(f"{of} needs {name}, and {self.dataset} has none; choose another data set")

    @_Shared
    def kg(self) -> Data:
        """Homogeneous, items first, inverse relations included."""
        self.require("kg", "the knowledge graph")
        return knowledge_graph(self.data)

    @_Shared
    def popular(self) -> Tensor:
        """``[N]``, most often liked by the training users first."""
        return popular_items(self.data, self.train)

    @_Shared
    def entities(self) -> Tensor:
        """``[E, 50]``, of TransE."""
        return pretrain_entities(self.kg, model="TransE", dim=DIM, seed=0, cache=self.cache, progress=False)

    @_Shared
    def vectors(self) -> Tensor:
        """``[N, 50]``, of matrix factorization of the training users' ratings: the baselines' items (section 5.1.5)."""
        return item_vectors(self.data, self.train, kind="mf", dim=DIM)

    @_Shared
    def tastes(self) -> TasteTerms:
        """Of the items, 8 long, from the training users' ratings: what a warm start begins with.

        An item not rated is one received with 0 in the logged world, and one of which nothing is known in the others.
        """
        made = item_tastes if self.world == "logged" else factor_tastes
        return made(self.data, self.train, TASTE)

    @_Shared
    def feedback(self) -> FeedbackModel:
        """The world's feedback model."""
        if self.world == "planted":
            return PlantedFeedback(self.data)
        if self.world == "logged":
            low, high, threshold = self.data.rating_scale
            return RatedFeedback(self.data, RELEVANT_ABOVE if low <= RELEVANT_ABOVE < high else threshold)
        preset = None if self.world == "heldout" else self.world
        return PredictedFeedback.fit(self.data, dim=20, seed=0, preset=preset)

    @cached_property
    def simulator(self) -> Simulator:
        """The world."""
        first = None if self.world == "logged" else self.popular
        return Simulator(self.feedback, eta=self.eta, horizon=self.horizon, first=first).to(self.device)

    @_Shared
    def curve_users(self) -> Tensor:
        """Validation users that learning curves are measured on, spread over all of them."""
        count = min(CURVE_USERS, len(self.valid))
        return self.valid[torch.linspace(0, len(self.valid) - 1, count).round().long()]
