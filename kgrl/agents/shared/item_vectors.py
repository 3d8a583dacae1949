"""``ItemVectors``: an agent's vectors of the items, learned as they are or through a graph convolution."""

from __future__ import annotations

from torch import Tensor, nn

from kgrl.nn.conv.encoder import KGEncoder


class ItemVectors(nn.Module):
    """Every item's vector; with an encoder, i(G) of KGQR's equations 5 and 6.

    Args:
        embedding: ``[E, d]``, where the entities' embeddings start from; they are trained along. Without an encoder
            ``[N, d]`` is enough.
        num_items: N.
        encoder: graph convolution, planned for the items; ``None`` takes the items' embeddings as they are.
    """

    def __init__(self, embedding: Tensor, num_items: int, encoder: KGEncoder | None = None) -> None:
        super().__init__()
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.num_items, self.encoder = num_items, encoder

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
