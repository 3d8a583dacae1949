"""KGQR's network: entity embeddings, graph convolution, state and dueling head, from KG to Q-values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kgrl.nn.dueling import DuelingHead, ItemTerms
from kgrl.nn.encoder import KGEncoder
from kgrl.nn.state import GRUState
from kgrl.sessions import Sessions

EXTRAS = 3
"""Length of the optional extras of a state: c_p, c_n and the step."""


class StreakHead(DuelingHead):
    r"""A dueling head for states that end in c_p, c_n and the step.

    .. math:: Q(s, i) = V(i) + A(s, i) + w^\top (c_p, c_n, t)

    The linear term takes up what the streak adds to every item's reward alike (equation 16), exactly and at once, so
    that V and A are left with telling the items apart.
    """

    def __init__(self, state_channels: int, item_channels: int, hidden: int) -> None:
        super().__init__(state_channels, item_channels, hidden)
        self.streak = nn.Linear(EXTRAS, 1, bias=False)

    def forward(self, state: Tensor, items: Tensor | ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        values = super().forward(state, items, index, batch)
        return values + F.embedding(batch, self.streak(state[:, -EXTRAS:])).squeeze(1)


class ItemView(NamedTuple):
    """All that a parameter version says of the items, whatever the session.

    Attributes:
        vectors: ``[N, d]``, i(G).
        inputs: ``[N, 3h]``, the GRU's products of them.
        head: the dueling head's part of them.
    """

    vectors: Tensor
    inputs: Tensor
    head: ItemTerms


class QNetwork(nn.Module):
    r"""From the knowledge graph to :math:`Q(s_t(G), i_t(G))` (KGQR, Zhou et al., 2020, equations 5 to 8 and 11).

    Args:
        embedding: ``[E, d]``, where the entity embeddings start from; they are trained along. Without an encoder
            ``[N, d]`` is enough.
        num_items: N.
        encoder: graph convolution, planned for the items; ``None`` takes the items' embeddings as they are.
        item_channels: length of i(G).
        state_channels: length h of the GRU's hidden state.
        hidden_channels: width of the dueling head.
        streak_state: whether c_p, c_n and the step are given to the head beside the GRU's state. The paper's state has
            neither, although the reward depends on them.
    """

    def __init__(
        self, embedding: Tensor, num_items: int, encoder: KGEncoder | None, item_channels: int,
        state_channels: int = 64, hidden_channels: int = 64, streak_state: bool = False,
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.streak_state = streak_state
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.encoder = encoder
        self.state = GRUState(item_channels, state_channels)
        head = StreakHead if streak_state else DuelingHead
        self.head = head(state_channels + EXTRAS * streak_state, item_channels, hidden_channels)

    def vectors(self) -> Tensor:
        """``[N, d]``, every item's i(G) (equations 5 and 6)."""
        return self.embedding[: self.num_items] if self.encoder is None else self.encoder(self.embedding)

    @torch.no_grad()
    def view(self) -> ItemView:
        """What a rollout needs of the items, computed once for all of its steps."""
        vectors = self.vectors()
        return ItemView(vectors, self.state.project(vectors), self.head.project(vectors))

    def extend(self, hidden: Tensor, sessions: Sessions) -> Tensor:
        """The GRU's state ``[B, h]`` with the extras, where they are switched on: the state that the head sees."""
        if not self.streak_state:
            return hidden
        up, down = sessions.streak_counts()
        extras = torch.stack([up, down, sessions.length], 1) / sessions.horizon**0.5  # a step moves it by little
        return torch.cat([hidden, extras], 1)

    def states(self, vectors: Tensor, sessions: Sessions) -> Tensor:
        """``[B, h]`` (and extras), s_t(G) of sessions from their liked items (equations 7 and 8)."""
        return self.extend(self.state(vectors, sessions.liked), sessions)
