"""``ColdStart``: who finds the new items that a user liked, in logged ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.datasets.released import as_released
from kgrl.datasets.splits import renumbered, split_items, split_users
from kgrl.experiments.logs import Logs
from kgrl.experiments.ranking import METRICS
from kgrl.experiments.setting import NEW
from kgrl.graph import forward_triples, knowledge_graph
from kgrl.options import at_least, between, expected
from kgrl.sessions import Sessions

CHUNK = 128
"""Users who are recommended to at once."""


class View(NamedTuple):
    """What is asked.

    Args:
        new: whether the candidates are the new items alone, or all items that are not in the user's past.
        past: whether the agent is told that past.
    """

    new: bool
    past: bool

    def __str__(self) -> str:
        return f"{'new' if self.new else 'all'} items, {'with' if self.past else 'without'} past"


@dataclass(frozen=True)
class ColdStart:
    """Old and new items, training users, and the logged ratings of the users that are reported on.

    Items are numbered at random, so that neither a number nor a tie tells anything. An agent is made of ``data``,
    ``kg`` and ``train``: none of these knows a rating of a new item, or of a user who is reported on. ``everything``
    does, and is for the lines that say what such knowledge would be worth.

    A reported user's past is her ratings of old items, of which a part may be held back, to be found as the new ones.

    Args:
        everything: the data set with all ratings.
        data: the data set as the new items came out (:func:`kgrl.datasets.as_released`).
        kg: of ``data``.
        old, new: ids.
        train: ``[U]``, users whose ratings may be seen.
        users: ``[B]``, reported on; each liked a new item, and an item of her past that the KG links to something.
        logs: theirs.
    """

    everything: HeteroData
    data: HeteroData
    kg: Data
    old: Tensor
    new: Tensor
    train: Tensor
    users: Tensor
    logs: Logs

    @classmethod
    def of(
        cls, data: HeteroData, split: int = 0, *, known_at: str = "release", hidden: float = 0.0,
        number: int | None = None,
    ) -> ColdStart:
        """The protocol on a data set.

        Args:
            data: with a KG and logged ratings; it stays as it is.
            split: seed of the items' numbers, of which are new (a fifth) and of which ratings are held back.
            known_at: whether relations that come after release are known, see :func:`kgrl.datasets.as_released`.
            hidden: the part of the ratings of old items that is held back.
            number: of users reported on, the first who can be; all others are trained on. ``None``: the test users of
                :func:`kgrl.datasets.split_users` who can be; 70 % are trained on.

        Raises:
            ValueError: options out of range, or nobody to report on or to train on.
        """
        between("hidden", hidden, 0, 0.99)
        everything = renumbered(data, split)
        old, new = split_items(everything, NEW, split)
        released = as_released(everything, new, known_at)
        kg, logs = knowledge_graph(released), Logs.of(everything, new, hidden, split)
        can = _can_be_reported_on(logs, kg, new)
        train, _, test = split_users(data)
        users = test[can[test]]
        if number is not None:
            users = can.nonzero().view(-1)[: at_least("number", number, 1)]
            train = (~torch.zeros_like(can).index_fill_(0, users, True)).nonzero().view(-1)
        if not len(users) or not len(train):
            raise ValueError(expected("data", "users who liked a new item and an old one that the KG links, and others "
                                      "to train on", f"{len(users)} and {len(train)}"))
        return cls(everything, released, kg, old, new, train, users, logs.of_users(users))

    def recommended(self, agent: Any, view: View, k: int) -> Tensor:
        """``[B, k]``, what the agent recommends to each user, −1 where it has no more.

        Args:
            agent: has ``restrict`` and ``recommend``.
            view: what it may choose from, and what it is told.
            k: how many.
        """
        agent.restrict(self.new if view.new else None)
        untold = not view.new and not view.past  # her past is no candidate, though the agent does not know it
        length, items = self.logs.past_length(), torch.empty(len(self.users), k, dtype=torch.long)
        for rows in length.argsort(stable=True).split(CHUNK):  # of like length, or most of a chunk would be padding
            past = self.logs.sessions(rows)
            told = past if view.past else Sessions.empty(past.users, 0)
            found = agent.recommend(told, k + past.begin if untold else k)
            items[rows] = _without(found, past.items, k) if untold else found
        agent.restrict(None)
        return items

    def scores(self, agent: Any, view: View, k: int) -> dict[str, Tensor]:
        """Name of a metric → ``[B]``; see :meth:`recommended`."""
        wanted = self.logs.liked_later()
        if view.new:
            wanted[:, self.old] = False
        items = self.recommended(agent, view, k)
        hits = wanted.gather(1, items.clamp(min=0)) & (items >= 0)
        return {name: metric(hits, wanted.sum(1)) for name, metric in METRICS.items()}


def _can_be_reported_on(logs: Logs, kg: Data, new: Tensor) -> Tensor:
    """``[U]``, whether a user liked a new item, and an item of her past that a triple touches."""
    linked = torch.zeros(kg.num_nodes, dtype=torch.bool)
    linked[forward_triples(kg)[:, [0, 2]].flatten()] = True
    is_new = torch.zeros(logs.num_items, dtype=torch.bool).index_fill_(0, new, True)
    return logs.have(logs.positive & is_new[logs.item]) & logs.have(
        logs.positive & logs.past & linked[logs.item])


def _without(items: Tensor, gone: Tensor, k: int) -> Tensor:
    """``[B, k]``, the first k of ``items [B, K]`` that are not in ``gone [B, L]``."""
    out = (items.unsqueeze(2) == gone.unsqueeze(1)).any(2) | (items < 0)
    first = out.to(torch.uint8).sort(dim=1, stable=True).indices[:, :k]
    return items.gather(1, first).masked_fill(out.gather(1, first), -1)
