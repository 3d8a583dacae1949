"""What ``KGQR`` is made of: its network and its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.q_learning.network import QNetwork
from kgrl.agents.state.named import made_state
from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import dense_vectors, expected

VARIANTS = ("KGQR", "KGQR-CS", "KGQR-GCN-CS", "KGQR-KG")
"""Table 5: the whole method; without candidate selection; and without convolution; and without any KG."""
CONVOLVES = ("KGQR", "KGQR-CS")
"""The variants with a graph convolution: their embeddings are those of all entities."""


def kgqr_network(
    kg: Data, embedding: Tensor | None, options: Mapping[str, Any], aggregator: Any, state: Any,
    start: TasteTerms | None,
) -> QNetwork:
    """The online network; embeddings as given, everything else uniformly at random."""
    convolves = options["variant"] in CONVOLVES
    need = int(kg.num_nodes) if convolves else int(kg.num_items)
    dim = options["dim"]
    if embedding is None:
        if options["variant"] == "KGQR-KG":
            hint = "kgrl.pretrain.item_vectors(data, users, kind='mf') makes them"
            raise ValueError(expected("embedding", "the items' vectors from ratings for variant KGQR-KG", None, hint))
        embedding = torch.empty(need, dim).uniform_(-1, 1).mul_(dim**-0.5)
    whole = embedding.shape[:1] == (kg.num_nodes,)  # all entities' vectors will do where items alone have one
    dense_vectors("embedding", embedding, len(embedding) if whole else need,
                  "entity of the KG" if convolves else "item")
    channels = embedding.size(1)
    encoder = None
    if convolves:
        encoder = KGEncoder.from_kg(kg, channels=[channels] + [dim] * options["hops"], hops=options["hops"],
                                    aggregator=aggregator, aggregator_kwargs=options["aggregator_kwargs"])
    items = int(kg.num_items), dim if convolves else channels
    recurrent = made_state("state", state, *items, options["state_channels"])
    return QNetwork(
        embedding[:need], items[0], encoder, items[1], options["state_channels"], options["hidden_channels"],
        options["streak_state"], options["taste_channels"], start, options["horizon"], recurrent,
    )


def kgqr_candidates(kg: Data, popular: Tensor | None, options: Mapping[str, Any]) -> KHopCandidates | FixedCandidates:
    """The k-hop candidates; every item where the variant has no candidate selection."""
    if options["variant"] == "KGQR":
        return KHopCandidates(kg, hops=options["hops"], size=options["num_candidates"], popular=popular,
                              backfill=options["backfill"], max_degree=options["max_degree"])
    return FixedCandidates(int(kg.num_items))
