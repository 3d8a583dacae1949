"""The rows of the cold-start tables: who tells what of an item that nobody has rated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch_geometric.data import Data, HeteroData

from kgrl.agents.fixed_list import FixedList
from kgrl.agents.kg_profile import KGProfile
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.random import Random
from kgrl.datasets.splits import UNKNOWN, popular_items, release_years
from kgrl.experiments.cold_start import ColdStart
from kgrl.experiments.setting import TASTE
from kgrl.experiments.tf_idf import TfIdfProfile
from kgrl.graph import knowledge_graph, shuffled
from kgrl.objects import RATES
from kgrl.pretrain.kg_tastes import kg_tastes
from kgrl.pretrain.tastes import item_tastes
from kgrl.seeding import generator_for


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        make: the agent, from what it may see and a KG.
        graph: the KG that it is made with, in place of the data set's.
        control: whether the same with a shuffled KG is a line, too.
        needs_past: whether it has nothing to go by where there is no past.
    """

    make: Callable[[ColdStart, Data], Any]
    graph: Callable[[ColdStart], Data] = lambda split: split.kg
    control: bool = False
    needs_past: bool = False

    def agent(self, split: ColdStart, shuffling: int | None = None) -> Any:
        """The agent, or with ``shuffling``, a seed, its control."""
        kg = self.graph(split)
        return self.make(split, kg if shuffling is None else shuffled(kg, shuffling))


def kg_prior(split: ColdStart, kg: Data) -> LinearGaussian:
    """An item that a user did not rate is one that she received with 0."""
    return LinearGaussian(kg_tastes(kg, split.data, split.train, TASTE, unrated="zero"))


def kg_profile(split: ColdStart, kg: Data) -> KGProfile:
    """A like is 1, anything else 0."""
    return KGProfile.from_data(kg, split.data, split.train, old=split.old)


def popularity_that_knows(split: ColdStart, kg: Data) -> FixedList:
    """The training users' ratings of the new items are known."""
    return FixedList(popular_items(split.everything, split.train))


def warm_model(split: ColdStart, kg: Data) -> LinearGaussian:
    """Half of the training users' ratings of the new items are known."""
    return LinearGaussian(item_tastes(half_known(split), split.train, TASTE))


ROWS: dict[str, Row] = {
    "KG profile": Row(kg_profile, control=True),
    "KG prior": Row(kg_prior, control=True),
    "Tf-idf profile": Row(lambda split, kg: TfIdfProfile(kg), control=True, needs_past=True),
    "Random": Row(lambda split, kg: Random(num_items=split.logs.num_items)),
    "Popularity that knows": Row(popularity_that_knows),
    "Warm model that knows half": Row(warm_model),
}
"""All but the one that needs a list of labels, :func:`plain_row`."""


def plain_row(labels: Mapping[Any, Sequence[str]]) -> Row:
    """The KG prior with the items' own labels and decades for a KG; ``labels`` are by raw id, as in a film list."""
    return Row(kg_prior, lambda split: plain_graph(split.data, labels))


def plain_graph(data: HeteroData, labels: Mapping[Any, Sequence[str]]) -> Data:
    """A KG of two relations: an item has a label, and came out in a decade."""
    raw_id, years = data["item"].raw_id, release_years(data).tolist()
    ids = raw_id.tolist() if isinstance(raw_id, torch.Tensor) else raw_id
    triples = [(item, 0, label) for item, raw in enumerate(ids) for label in labels.get(raw, ())]
    triples += [(item, 1, f"{year // 10}0s") for item, year in enumerate(years) if year != UNKNOWN]
    head, relation, name = zip(*triples, strict=True)
    entity, names = pd.factorize(pd.Series(name))
    edges = torch.stack([torch.tensor(head), torch.from_numpy(entity) + len(ids)])
    return knowledge_graph(edges, edge_type=torch.tensor(relation), num_items=len(ids),
                           num_nodes=len(ids) + len(names), relation_names=["label", "decade"])


def half_known(split: ColdStart, seed: int = 0) -> HeteroData:
    """All ratings of old items, and of the new ones' a half, drawn at random."""
    made, rates = copy.copy(split.everything), split.everything[RATES]
    is_new = torch.zeros(split.logs.num_items, dtype=torch.bool).index_fill_(0, split.new, True)[rates.edge_index[1]]
    kept = ~is_new | (torch.rand(len(is_new), generator=generator_for("cpu", seed), dtype=torch.float) < 0.5)
    made[RATES].edge_index, made[RATES].rating = rates.edge_index[:, kept], rates.rating[kept]
    return made
