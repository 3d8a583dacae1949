"""A small world with old and new items, and a small agent of every kind that plays there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch_geometric.data import HeteroData

from kgrl.agents import (
    DDPGKNN,
    DDPGR,
    DQNR,
    KGQR,
    TPGR,
    FixedList,
    GreedySVD,
    GRU4Rec,
    HLinearUCB,
    KGProfile,
    LinearGaussian,
    LinearUCB,
    Random,
)
from kgrl.candidates import KHopCandidates
from kgrl.datasets import from_frames
from kgrl.graph import knowledge_graph
from kgrl.simulator import Past, RatedFeedback, Simulator

USERS, ITEMS, HORIZON, LONGEST = 24, 20, 5, 4
TRAIN = torch.arange(USERS, device="cpu")
NEW = torch.tensor([17, 2, 6, 11, 5, 14])
OLD = torch.tensor([item for item in range(ITEMS) if item not in NEW.tolist()])


@cache
def data() -> HeteroData:
    """Users of four tastes rate most items of one kind with 5, of the next with 1; one user rates new items alone."""
    rows = [(user, item, 5.0 if item % 4 == user % 4 else 1.0, 7 * item % 13 + user % 3)
            for user in range(USERS) for item in range(ITEMS)
            if (item - user) % 4 < 2 and (item * 5 + user) % 7 and (user != 3 or item in NEW.tolist())]
    triples = pd.DataFrame([(item, f"has_{name}", 100 + item % 4 + 10 * number) for number, name in enumerate("ab")
                            for item in range(ITEMS)], columns=["head", "relation", "tail"])
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating", "time"]), triples,
                       rating_scale=(1.0, 5.0, 3.0), items=pd.DataFrame({"item": range(ITEMS)}))


def world(*, past: bool = False, horizon: int = HORIZON) -> Simulator:
    """The logged ratings; sessions are shown new items, with or without a past of old ones."""
    before = Past.from_data(data(), OLD, longest=LONGEST) if past else None
    return Simulator(RatedFeedback(data()), eta=0.1, horizon=horizon, items=NEW, past=before)


def _vectors() -> torch.Tensor:
    return torch.randn(ITEMS, 3, generator=torch.Generator("cpu").manual_seed(0), device="cpu", dtype=torch.float)


def _off_policy(build: Callable[..., nn.Module], *given: Any, **options: Any) -> nn.Module:
    small = {"preset": "paper", "average": 0.1, "gamma": 0.5,
             "state_channels": 5, "hidden_channels": 6, "gradient_steps": 2, "batch_size": 16, "horizon": HORIZON,
             "epsilon": 0.2}
    return build(*given, **(small | options))


def _kgqr(**options: Any) -> nn.Module:
    given = {"dim": 4, "popular": torch.arange(ITEMS, device="cpu").flip(0), "num_candidates": 8}
    return _off_policy(KGQR, knowledge_graph(data()), **(given | options))


def _tpgr(**options: Any) -> nn.Module:
    given = {"horizon": HORIZON, "eta": 0.1, "item_channels": 4, "state_channels": 5, "taste_channels": 3}
    return TPGR.from_data(data(), TRAIN, **(given | options))


class MeanItem(nn.Module):
    """A session state with nothing but what its protocol asks for: the weighted mean vector of the items shown."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.weight = channels, nn.Parameter(torch.full((channels,), 0.5, device="cpu"))

    def items(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors * self.weight

    def initial(self, num_sessions: int, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return items.new_zeros(num_sessions, self.channels), items.new_zeros(num_sessions)

    def step(self, carry: tuple[torch.Tensor, torch.Tensor], items: torch.Tensor, step: Any) -> Any:
        return carry[0] + items[step.items], carry[1] + 1

    def read(self, carry: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return carry[0] / carry[1].clamp(min=1).unsqueeze(1)


AGENTS: dict[str, Callable[[], nn.Module]] = {
    "GreedySVD": lambda: GreedySVD.from_ratings(data(), TRAIN, dim=3, epochs=3),
    "LinearGaussian": lambda: LinearGaussian.from_ratings(data(), TRAIN, dim=3),
    "KGProfile": lambda: KGProfile.from_data(knowledge_graph(data()), data(), TRAIN),
    "LinearUCB": lambda: LinearUCB(_vectors()),
    "HLinearUCB": lambda: HLinearUCB(_vectors(), hidden_channels=2),
    "GRU4Rec": lambda: GRU4Rec.from_ratings(data(), TRAIN, pretrained=False, dim=4, epochs=1),
    "FixedList": lambda: FixedList.from_ratings(data(), TRAIN),
    "Random": lambda: Random(num_items=ITEMS),
    "Random of candidates": lambda: Random(KHopCandidates(knowledge_graph(data()), size=4, backfill=("random", 3))),
    "DQNR": lambda: _off_policy(DQNR, _vectors()),
    "DQNR with tastes and streaks": lambda: _off_policy(DQNR, _vectors(), taste_channels=2, streak_state=True),
    "DDPGR": lambda: _off_policy(DDPGR, _vectors()),
    "DDPGKNN of some": lambda: _off_policy(DDPGKNN, _vectors(), k=2),
    "DDPGKNN of a share": lambda: _off_policy(DDPGKNN, _vectors(), k=0.3),
    "DDPGKNN of all": lambda: _off_policy(DDPGKNN, _vectors(), k=1.0),
    "KGQR, random": lambda: _kgqr(backfill=("random", 3)),
    "KGQR, popular": lambda: _kgqr(backfill=("popular", 3)),
    "KGQR, fill": lambda: _kgqr(backfill=("fill", 5)),
    "KGQR without candidates": lambda: _kgqr(variant="KGQR-CS", taste_channels=2),
    "KGQR, what was rewarded": lambda: _kgqr(state="sru", backfill=("popular", 3), streak_state=True),
    "KGQR, a state of one's own": lambda: _kgqr(state=MeanItem(4), variant="KGQR-CS", taste_channels=2, target="all"),
    "TPGR": _tpgr,
    "TPGR, what was liked": lambda: _tpgr(state="gru", minibatches=2),
    "TPGR, a state of one's own": lambda: _tpgr(state=MeanItem(4)),
    "TPGR, paper": lambda: _tpgr(preset="paper"),
    "TPGR over the KG": lambda: _tpgr(state="kg"),
    "TPGR, deep and frozen": lambda: _tpgr(hidden=[4], frozen=True, clip=0.2, epochs=2),
}
COUNTS_STEPS = {name for name in AGENTS if name.startswith("TPGR") or "streaks" in name}
"""Agents that look at streaks, which a past has none of."""
