"""Readers who follow authors, on the side of genres that nobody follows."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.datasets import from_frames
from kgrl.graph import knowledge_graph

USERS, ITEMS, AUTHORS, GENRES = 300, 120, 20, 5
TRAIN, TEST = torch.arange(200), torch.arange(200, USERS)
NEW = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(3))[: ITEMS // 5]
OLD = torch.tensor(sorted({*range(ITEMS)} - {*NEW.tolist()}))


def planted_readers(order: Tensor | None = None) -> tuple[HeteroData, Data]:
    """Each user likes 6 books by her two authors, and 2 others; book i is the item ``order[i]``."""
    generator = torch.Generator().manual_seed(0)
    author = torch.arange(ITEMS) % AUTHORS
    genre = torch.randint(GENRES, (ITEMS,), generator=generator)
    rows = []
    for user in range(USERS):
        favourite = torch.randperm(AUTHORS, generator=generator)[:2]
        own = torch.isin(author, favourite).nonzero().flatten()
        own = own[torch.randperm(len(own), generator=generator)[:6]]
        others = torch.randperm(ITEMS, generator=generator)[:2]
        rows += [(user, item, 1.0) for item in set(torch.cat([own, others]).tolist())]
        rows += [(user, item, -1.0) for item in range(ITEMS) if user == 0 and item not in own and item not in others]
    order = torch.arange(ITEMS) if order is None else order
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])  # user 0 rates every item: ids are positions
    frame["item"] = order[torch.tensor(frame["item"].to_numpy())].numpy()
    items, authors, genres = order, ITEMS + author, ITEMS + AUTHORS + genre
    kg = knowledge_graph(
        torch.stack([items.repeat(2), torch.cat([authors, genres])]),
        edge_type=torch.arange(2).repeat_interleave(ITEMS), num_items=ITEMS, num_nodes=ITEMS + AUTHORS + GENRES,
        relation_names=["author", "genre"])
    return from_frames(frame, rating_scale=(-1.0, 1.0, 0.0)), kg


def likes_of(data: HeteroData) -> Tensor:
    """``[U, N]``, whether the user likes the item."""
    ratings = data["user", "rates", "item"]
    likes = torch.zeros(USERS, ITEMS, dtype=torch.bool)
    likes[ratings.edge_index[0], ratings.edge_index[1]] = ratings.rating > 0
    return likes
