"""What TPGR's state is made of, by its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from kgrl.agents.history import KGHistory, SRUHistory
from kgrl.agents.session_state import SessionState
from kgrl.nn.encoder import KGEncoder
from kgrl.nn.taste import TasteTerms
from kgrl.options import expected
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.tastes import item_tastes


def build_state(
    data: HeteroData, kg: Data | None, users: Tensor, embedding: Tensor | None, options: Mapping[str, Any]
) -> SessionState:
    """Embeddings as given or by matrix factorization, everything else uniformly at random."""
    dim, channels = options["item_channels"], options["state_channels"]
    need = int(data["item"].num_nodes if kg is None else kg.num_nodes)
    if embedding is not None and (embedding.dim() != 2 or len(embedding) != need or not embedding.isfinite().all()):
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
    taste = TasteTerms(*item_tastes(data, users, dim=count)) if count else None
    return SessionState(history, options["horizon"], taste)
