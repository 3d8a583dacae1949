"""``ItemVectors``: an agent's vectors of the items, learned as they are or through a graph convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.graph import checked_graph
from kgrl.nn.conv.aggregator import Aggregator
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.conv.kg_conv import KGConv
from kgrl.options import dense_vectors, expected, single


class ItemVectors(nn.Module):
    """Every item's vector; with an encoder, i(G) of KGQR's equations 5 and 6.

    Args:
        embedding: ``[E, d]``, where the entities' embeddings start from; they are trained along. Without an encoder
            ``[N, d]`` is enough.
        num_items: N.
        encoder: graph convolution, planned for the items; ``None`` takes the items' embeddings as they are.

    Raises:
        ValueError: an aggregator of the encoder drops weights: agents draw from generators of their own, dropout does
            not.
    """

    def __init__(self, embedding: Tensor, num_items: int, encoder: KGEncoder | None = None) -> None:
        super().__init__()
        for part in () if encoder is None else encoder.modules():
            if isinstance(part, Aggregator) and part.dropout:
                raise ValueError(expected("dropout", "0 in an agent, which acts and learns by its own generators",
                                          part.dropout, "PyTorch's dropout draws from the global one"))
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.num_items, self.encoder = num_items, encoder

    @classmethod
    def made(
        cls, embedding: Tensor | None, num_items: int, channels: int, kg: Data | None, **layers: Any
    ) -> ItemVectors:
        """With a convolution of two layers and ``channels`` numbers over ``kg``, where there is one.

        Args:
            embedding: ``[N, d]``, or with ``kg`` ``[E, d]``; ``None``: uniform random, of length ``channels``.
            num_items: N.
            channels: length of a vector, where ``embedding`` does not say.
            kg: of N items and E entities.
            **layers: of :class:`kgrl.nn.KGEncoder`: ``aggregator`` and ``aggregator_kwargs``.

        Raises:
            ValueError: embeddings of another shape, or a KG of another number of items.
        """
        if kg is not None and int(checked_graph(kg).num_items) != num_items:
            raise ValueError(expected("kg", f"one of {num_items} items, as the tree has", int(kg.num_items)))
        need = num_items if kg is None else int(kg.num_nodes or 0)
        if embedding is None:
            embedding = torch.empty(need, channels, device="cpu").uniform_(-1, 1).mul_(channels**-0.5)
        embedding = single("embedding", dense_vectors("embedding", embedding, need,
                                                      "item" if kg is None else "entity of the KG"))
        if kg is None:
            return cls(embedding, num_items)
        widths = [embedding.size(1), channels, channels]
        encoder = KGEncoder.from_kg(kg, channels=widths, hops=2, **layers)
        return cls(embedding, num_items, tried_layers(encoder, layers.get("aggregator", "mean")))

    @property
    def channels(self) -> int:
        """D."""
        return self.embedding.size(1) if self.encoder is None else self.encoder.channels[-1]

    def forward(self) -> Tensor:
        """``[N, d]``."""
        if self.encoder is None:
            return self.embedding if len(self.embedding) == self.num_items else self.embedding[: self.num_items]
        vectors: Tensor = self.encoder(self.embedding)
        return vectors


@torch.no_grad()
def tried_layers(encoder: KGEncoder, aggregator: Any) -> KGEncoder:
    """``encoder``, where an aggregator of one's own was tried on one edge: what it lacks is named before any training.

    Raises:
        ValueError: the aggregator returns vectors of another shape.
    """
    if isinstance(aggregator, str):
        return encoder
    attributes = encoder.graph_edge_attr
    here = next((part.device for part in encoder.parameters()), torch.device("cpu"))  # the graph may not be there yet
    edge = torch.tensor([[1], [0]], device=here)
    for conv in encoder.convs:
        assert isinstance(conv, KGConv)
        kind = torch.zeros(1, dtype=torch.long, device=here) if "edge_type" in conv.aggregator.asks else None
        own = None
        if isinstance(attributes, Tensor):
            own = attributes.new_zeros(1, *attributes.shape[1:], device=here)
        conv(torch.zeros(2, conv.in_channels, device=here), edge, kind, edge_attr=own)  # type: ignore[arg-type]
    return encoder
