"""What TPGR's state is made of, by its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.shared.warm_start import checked_start
from kgrl.agents.state.counts import UserStatus
from kgrl.agents.state.joined import JoinedState
from kgrl.agents.state.recurrent import LikedItems, RewardedItems
from kgrl.agents.state.taste import KnownTaste
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, dense_vectors, expected
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.tastes import item_tastes

TASTE_CHANNELS = 12
"""Length of TPGR's taste state where nothing else is said."""


def checked_tastes(
    tastes: TasteTerms | None, taste_channels: int | None, num_items: int, preset: str
) -> tuple[TasteTerms | None, int]:
    """What the taste state starts from, where it is given, and its length.

    Raises:
        ValueError: tastes of another length than was asked for, of other items, that are none, or where there is no
            taste state.
    """
    if tastes is None:
        usual = 0 if preset == "paper" else TASTE_CHANNELS
        return None, usual if taste_channels is None else at_least("taste_channels", taste_channels, 0)
    if taste_channels is not None and at_least("taste_channels", taste_channels, 0) == 0:
        raise ValueError(expected("tastes", "left out, as taste_channels=0 is no taste state", "some"))
    return checked_start(tastes, taste_channels or 0, num_items)


def made_vectors(
    data: HeteroData, kg: Data | None, users: Tensor, embedding: Tensor | None, options: Mapping[str, Any]
) -> ItemVectors:
    """Embeddings as given or by matrix factorization; of a KG's entities, uniformly at random."""
    dim, num_items = options["item_channels"], int(data["item"].num_nodes)
    need = num_items if kg is None else int(kg.num_nodes)
    if embedding is not None:
        dense_vectors("embedding", embedding, need, "item" if kg is None else "entity of the KG")
    if kg is None:
        if embedding is None:
            embedding = item_vectors(data, users, kind="mf", dim=dim, seed=options["seed"])
        return ItemVectors(embedding, num_items)
    if embedding is None:
        embedding = torch.empty(kg.num_nodes, dim).uniform_(-1, 1).mul_(dim**-0.5)
    encoder = KGEncoder.from_kg(kg, channels=[embedding.size(1), dim, dim], hops=2, aggregator="mean")
    return ItemVectors(embedding, num_items, encoder)


def made_state(
    data: HeteroData, users: Tensor, vectors: ItemVectors, tastes: TasteTerms | None, options: Mapping[str, Any]
) -> JoinedState:
    """Recurrent state, user status and taste; tastes as given or by matrix factorization."""
    width, highest = options["state_channels"], 1 + options["eta"] * (options["horizon"] - 1)
    recurrent = (RewardedItems(vectors.channels, width, options["bins"], highest) if options["state"] == "sru"
                 else LikedItems(vectors.channels, width))
    count = options["taste_channels"]
    if tastes is None and count:
        tastes = item_tastes(data, users, dim=count)
    return JoinedState(recurrent=recurrent, status=UserStatus(options["horizon"]),
                       taste=None if tastes is None else KnownTaste(tastes))
