"""A data set whose users and items fall into groups."""

from __future__ import annotations

import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames


def rated_groups(users: int, items: int, groups: int, above: float, noise: float) -> HeteroData:
    """Every user rates every item: ``above`` − 0.4 those of her group, −0.4 the others, and ``noise``."""
    generator = torch.Generator().manual_seed(0)
    rows = [(user, item, float((user % groups == item % groups) * above - 0.4
                               + noise * torch.randn((), generator=generator)))
            for user in range(users) for item in range(items)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    frame["rating"] = frame["rating"].clip(-1, 1)
    return from_frames(frame, rating_scale=(-1.0, 1.0, 0.0))
