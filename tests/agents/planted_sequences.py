"""Users who like items in a planted order, for what learns from sequences."""

from __future__ import annotations

import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames

USERS, ITEMS, LIKED = 120, 20, 8


def planted(
    chain_users: int = USERS, *, timed: bool = True, shuffled: bool = False, disliked: float = 1.0, seed: int = 0
) -> HeteroData:
    """Who likes item i likes item i + 1 next (the last item is followed by the first), and dislikes one between them.

    Args:
        chain_users: users from this one on like the items in the opposite order.
        timed: whether the ratings have time stamps.
        shuffled: whether these say nothing.
        disliked: the rating of what is disliked, on the scale from 1 to 5 with threshold 3.5.
        seed: of all draws.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for user in range(USERS):
        start = int(torch.randint(ITEMS, (), generator=generator))
        liked = [(start + step) % ITEMS for step in range(LIKED)]
        others = [item for item in range(ITEMS) if item not in liked]
        drawn = torch.randperm(len(others), generator=generator)[:LIKED].tolist()
        for step, item in enumerate(liked if user < chain_users else liked[::-1]):
            rows += [(user, item, 5.0, 10 * step), (user, others[drawn[step]], disliked, 10 * step + 5)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    order = torch.randperm(len(frame), generator=generator).numpy()
    if shuffled:
        frame["time"] = frame["time"].to_numpy()[order]
    frame = frame.iloc[order[::-1]]
    return from_frames(frame if timed else frame.drop(columns="time"), rating_scale=(1.0, 5.0, 3.5))
