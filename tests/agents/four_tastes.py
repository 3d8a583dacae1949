"""A world of logged ratings in which four tastes are planted, and small TPGRs that play there."""

from __future__ import annotations

import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.agents import TPGR
from kgrl.datasets import from_frames
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import Simulator

USERS, ITEMS, GROUPS = 40, 16, 4


def ratings() -> HeteroData:
    """Users of four tastes: 5 for the items of their own group, 1 for the next one's, nothing for the others."""
    rows = []
    for user in range(USERS):
        for item in range(ITEMS):
            group = item % GROUPS
            if group == user % GROUPS:
                rows.append((user, item, 5.0))
            elif group == (user + 1) % GROUPS:
                rows.append((user, item, 1.0))
    triples = pd.DataFrame([(f"e{item}", "kind", f"k{item % GROUPS}") for item in range(ITEMS)],
                           columns=["head", "relation", "tail"])
    links = pd.DataFrame([(item, f"e{item}") for item in range(ITEMS)], columns=["item", "entity"])
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), triples, links,
                       rating_scale=(1.0, 5.0, 3.0))


def make(data: HeteroData, **options) -> TPGR:
    given = {"horizon": 6, "eta": 0.1, "frozen": False, "item_channels": 4, "state_channels": 5, "taste_channels": 3}
    return TPGR.from_data(data, torch.arange(USERS), **(given | options))


def play(agent: TPGR, world: Simulator, explore: bool = True, seed: int = 0) -> Sessions:
    return rollout(agent, world, torch.arange(USERS), explore, torch.Generator().manual_seed(seed))
