"""What TPGR's state is made of, by its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.warm_start import checked_start
from kgrl.agents.state.history import KGHistory, SRUHistory
from kgrl.agents.state.session_state import SessionState
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, expected, representable
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


def build_state(
    data: HeteroData, kg: Data | None, users: Tensor, embedding: Tensor | None, tastes: TasteTerms | None,
    options: Mapping[str, Any],
) -> SessionState:
    """Embeddings and tastes as given or by matrix factorization, everything else uniformly at random."""
    dim, channels = options["item_channels"], options["state_channels"]
    need = int(data["item"].num_nodes if kg is None else kg.num_nodes)
    if embedding is not None and (embedding.dim() != 2 or len(embedding) != need or not representable(embedding)):
        raise ValueError(expected("embedding", f"finite vectors [{need}, d], one an {'entity' if kg else 'item'}",
                                  list(embedding.shape)))
    if kg is not None:
        if embedding is None:
            embedding = torch.empty(kg.num_nodes, dim).uniform_(-1, 1).mul_(dim**-0.5)
        encoder = KGEncoder.from_kg(kg, channels=[embedding.size(1), dim, dim], hops=2, aggregator="mean")
        history: nn.Module = KGHistory(embedding, encoder, dim, channels)
    else:
        if embedding is None:
            embedding = item_vectors(data, users, kind="mf", dim=dim, seed=options["seed"])
        dim = embedding.size(1)
        history = SRUHistory(embedding, channels, options["bins"], 1 + options["eta"] * (options["horizon"] - 1))
    count = options["taste_channels"]
    if tastes is None and count:
        tastes = item_tastes(data, users, dim=count)
    return SessionState(history, options["horizon"], tastes)
