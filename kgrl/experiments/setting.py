"""``Setting``: what a cell of a table is measured in."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.datasets.released import as_released
from kgrl.datasets.splits import popular_items, renumbered, split_items, split_users
from kgrl.experiments.data_sets import DATASETS, NEEDS, Unserved, has
from kgrl.experiments.shared import Shared
from kgrl.experiments.variant import Variant
from kgrl.files import digest
from kgrl.graph import knowledge_graph, shuffled, without_edges
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import one_of
from kgrl.pretrain.entities import pretrain_entities
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.kg_tastes import kg_tastes
from kgrl.pretrain.tastes import factor_tastes, item_tastes
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.feedback_models import PlantedFeedback, RatedFeedback
from kgrl.simulator.past import Past
from kgrl.simulator.predicted import PredictedFeedback
from kgrl.simulator.simulator import Simulator

WORLDS = ("kgqr", "taste", "heldout", "logged", "planted")
"""``PredictedFeedback``'s presets, its choice on held-out ratings, ``RatedFeedback``, and ``PlantedFeedback``."""
DIM = 50
"""Length of item vectors, "fixed to 50 for all the models" (KGQR, section 5.1.5)."""
TASTE = 8
"""Length of the taste state."""
RELEVANT_ABOVE = 3.0
"""On the raw scale, in the logged world (TPGR, "Evaluation Metrics"); the data set's own threshold where 3 is not."""
NEW = 0.2
"""Share of the items that are new, where some are."""
CONTROLS: dict[str, Callable[[Data], Data]] = {"real": lambda kg: kg, "shuffled": shuffled, "none": without_edges}
"""What a claim about the KG is held against: the same with its tails exchanged, and without an edge."""
CURVE_USERS = 256
"""Validation users that a learning curve is measured on, at most."""


def eta_folder(eta: float) -> str:
    """What cells of an η are kept in: ``eta-0.1``, with as many digits as tell it from every other."""
    return f"eta-{eta:g}" if float(f"{eta:g}") == eta else f"eta-{eta!r}"


class Setting:
    """A data set, a world made of it, and who is trained on, chosen by and reported on.

    Everything is made when it is first asked for, and shared between settings that differ in η alone. The split and
    the world have seed 0 unless the world's variant says otherwise; a cell's seed is its agent's.

    With new items, all that an agent is made from is as it was before these came out (``data``), the sessions it learns
    from show it old items alone (``simulator``), and those it is scored in new ones alone (``test_simulator``), which
    it opens itself. Items are numbered at random then. The world is fitted to all ratings (``everything``).

    Args:
        data: a data set.
        world: one of :data:`WORLDS`, perhaps followed by a :class:`kgrl.experiments.variant.Variant`. In the logged one
            the agent opens each session, in the others the cold-start protocol of KGQR does, for every method alike.
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
        base, self.variant = Variant.read(world)
        self.world = one_of("world", base, WORLDS)
        self.data = self.everything = data
        self.old = self.new = None
        if self.variant.items is not None:
            self.everything = renumbered(data, self.variant.items)
            self.old, self.new = split_items(self.everything, NEW, self.variant.items, self.variant.by)
            self.data = as_released(self.everything, self.new, self.variant.known_at, evenly=self.variant.evenly)
        self.dataset, self.horizon, self.cache = dataset, horizon, cache
        self.eta, self.device = float(eta), torch.device(device)
        if base == "planted":
            self.require("tastes", "the planted world")
        self.train, self.valid, self.test = split_users(data, train=0.7, valid=0.1, seed=self.variant.users)
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
        for made in ("simulator", "test_simulator"):
            other.__dict__.pop(made, None)
        other.eta = float(eta)
        return other

    @property
    def name(self) -> str:
        """``data set/world/eta-η``: where its cells are kept."""
        return f"{self.dataset}/{self.world}{self.variant}/{eta_folder(self.eta)}"

    @Shared
    def digest(self) -> str:
        """Of ratings, their times, KG, planted tastes, horizon and split: cells agreeing in it are of the same data."""
        data = self.data
        edges = [part for kind in sorted(data.edge_types) for part in (list(kind), data[kind].edge_index)]
        ratings = data["user", "rates", "item"]
        planted = [data["user"].taste, data["item"].attribute] if "taste" in data["user"] else []
        everything = self.everything["user", "rates", "item"]
        held = [] if self.new is None else [self.new, everything.edge_index, everything.rating]
        return digest(data["user"].num_nodes, data["item"].num_nodes, ratings.rating, list(data.rating_scale),
                      self.horizon, *edges, *([ratings.time] if self.has_time else []), *planted, *held,
                      self.train, self.curve_users, self.test)

    @property
    def has_time(self) -> bool:
        """Whether ratings have time stamps."""
        return has(self.data, "time")

    @property
    def has_kg(self) -> bool:
        """Whether there is a triple."""
        return has(self.data, "kg")

    def require(self, what: str, of: str) -> None:
        """Refuses a table or method that the data set cannot serve.

        Args:
            what: one of :data:`kgrl.experiments.data_sets.NEEDS`.
            of: which table or method needs it.

        Raises:
            Unserved: the data set lacks it.
        """
        if not has(self.data, what):
            raise Unserved(f"{of} needs {NEEDS[what]}, and {self.dataset} has none; choose another data set")

    @Shared
    def kg(self) -> Data:
        """Homogeneous, items first, inverse relations included."""
        self.require("kg", "the knowledge graph")
        return knowledge_graph(self.data)

    @Shared
    def popular(self) -> Tensor:
        """``[N]``, most often liked by the training users first."""
        return popular_items(self.data, self.train)

    def kg_of(self, control: str) -> Data:
        """The KG, or what it is held against: one of :data:`CONTROLS`."""
        return CONTROLS[one_of("control", control, CONTROLS)](self.kg)

    @Shared
    def entities(self) -> Tensor:
        """``[E, 50]``, of TransE."""
        return self.entities_of("real")

    def entities_of(self, control: str) -> Tensor:
        """``[E, 50]``, of TransE on :meth:`kg_of` ``control``."""
        return pretrain_entities(self.kg_of(control), model="TransE", dim=DIM, seed=0, cache=self.cache, progress=False)

    @Shared
    def vectors(self) -> Tensor:
        """``[N, 50]``, of matrix factorization of the training users' ratings: the baselines' items (section 5.1.5)."""
        return item_vectors(self.data, self.train, kind="mf", dim=DIM)

    @Shared
    def tastes(self) -> TasteTerms:
        """Of the items, 8 long, from the training users' ratings: what a warm start begins with.

        An item not rated is one received with 0 in the logged world, and one of which nothing is known in the others.
        """
        made = item_tastes if self.world == "logged" else factor_tastes
        return made(self.data, self.train, TASTE)

    def prior(self, control: str = "real", own: bool = True, completeness: bool = False) -> TasteTerms:
        """Of the items, new ones included, through :meth:`kg_of` ``control``; see :func:`kgrl.pretrain.kg_tastes`."""
        unrated = "zero" if self.world == "logged" else "unknown"
        return kg_tastes(self.kg_of(control), self.data, self.train, TASTE, unrated=unrated, own=own,
                         completeness=completeness)

    @Shared
    def feedback(self) -> FeedbackModel:
        """The world's feedback model."""
        if self.world == "planted":
            return PlantedFeedback(self.everything)
        if self.world == "logged":
            low, high, threshold = self.data.rating_scale
            return RatedFeedback(self.everything, RELEVANT_ABOVE if low <= RELEVANT_ABOVE < high else threshold)
        preset = None if self.world == "heldout" else self.world
        return PredictedFeedback.fit(self.everything, dim=20, seed=0, preset=preset)

    @cached_property
    def simulator(self) -> Simulator:
        """The world that agents learn in."""
        first = None if self.world == "logged" else self.popular
        return Simulator(self.feedback, eta=self.eta, horizon=self.horizon, first=first, items=self.old).to(self.device)

    @cached_property
    def test_simulator(self) -> Simulator:
        """The world that agents are scored in: the same, but for new items, where there are some."""
        if self.new is None or self.old is None:
            return self.simulator
        past = Past.from_data(self.everything, self.old, self.variant.past) if self.variant.past else None
        return Simulator(self.feedback, eta=self.eta, horizon=self.horizon, items=self.new, past=past).to(self.device)

    @Shared
    def curve_users(self) -> Tensor:
        """Validation users that learning curves are measured on, spread over all of them."""
        count = min(CURVE_USERS, len(self.valid))
        return self.valid[torch.linspace(0, len(self.valid) - 1, count).round().long()]
