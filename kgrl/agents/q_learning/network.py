"""KGQR's network: entity embeddings, graph convolution, state and dueling head, from KG to Q-values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.policy.dueling import DuelingHead, ItemTerms
from kgrl.nn.state.gru import GRUState
from kgrl.nn.state.taste import TasteState, TasteTerms
from kgrl.sessions import Sessions

EXTRAS = 3
"""Length of the optional extras of a state: c_p, c_n and the step."""
RIDGE = 1e-4
"""Keeps the least squares of the extras solvable where one of them never moved."""


class StreakHead(DuelingHead):
    r"""A dueling head for states that end in c_p, c_n and the step.

    .. math:: Q(s, i) = V(i) + A(s, i) + w^\top (c_p, c_n, t)

    The linear term takes up what the streak adds to every item's reward alike (equation 16), exactly and at once, so
    that V and A are left with telling the items apart.
    """

    def __init__(self, state_channels: int, item_channels: int, hidden: int) -> None:
        super().__init__(state_channels, item_channels, hidden)
        self.streak = nn.Linear(EXTRAS, 1, bias=False)

    def silence(self) -> None:
        """Sets the last layers, and what the streak adds, to 0."""
        super().silence()
        nn.init.zeros_(self.streak.weight)

    @torch.no_grad()
    def fit_common(self, state: Tensor, values: Tensor) -> None:
        """Fits what Q has of every item alike, by (slightly ridged) least squares: a constant and the streak's term.

        Args:
            state: ``[R, s]``.
            values: ``[R]``, what Q should be.
        """
        extras = state[:, -EXTRAS:].double()
        ones = torch.ones_like(extras[:, :1])
        inputs = torch.cat([extras, ones], 1)
        ridge = RIDGE * len(inputs) * torch.eye(EXTRAS + 1, dtype=inputs.dtype, device=inputs.device)
        found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ values.double())
        self.streak.weight.copy_(found[:EXTRAS].unsqueeze(0))
        self.last_layers[0].bias.copy_(found[EXTRAS:])

    def forward(self, state: Tensor, items: Tensor | ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        values = super().forward(state, items, index, batch)
        return values + F.embedding(batch, self.streak(state[:, -EXTRAS:])).squeeze(1)


class ItemView(NamedTuple):
    """All that a parameter version says of the items, whatever the session; N items.

    Attributes:
        vectors: ``[N, d]``, i(G).
        inputs: ``[N, 3h]``, the GRU's products of them; ``None`` in a view for a gradient step.
        head: the dueling head's part of them, or the vectors.
        taste: the taste state's part of them, or the vectors.
    """

    vectors: Tensor
    inputs: Tensor | None
    head: Tensor | ItemTerms
    taste: Tensor | TasteTerms


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
        taste_channels: length k of the taste state, see :class:`kgrl.nn.TasteState`; 0 for none, as in the paper. Where
            there is one, the head sees it beside the GRU's state, and the expected feedback is a part of Q:

            .. math:: Q(s, i) = \hat f(i) + V(i) + A(s, i)

            The paper's state is made of the liked items alone. What was disliked, and how much each item was liked,
            is most of what a session tells about a user.
        start: what the taste state starts from; the dueling head then starts from 0, so that the first decisions are
            those of the highest feedback expected.

    Attributes:
        horizon: T of the sessions that it is trained on, by whose root c_p, c_n and the step are divided.
    """

    horizon: int = 32

    def __init__(
        self, embedding: Tensor, num_items: int, encoder: KGEncoder | None, item_channels: int,
        state_channels: int = 64, hidden_channels: int = 64, streak_state: bool = False,
        taste_channels: int = 0, start: TasteTerms | None = None,
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.streak_state = streak_state
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.encoder = encoder
        self.state = GRUState(item_channels, state_channels)
        self.taste = TasteState(item_channels, taste_channels, hidden_channels, start) if taste_channels else None
        head = StreakHead if streak_state else DuelingHead
        self.head = head(state_channels + taste_channels + EXTRAS * streak_state, item_channels, hidden_channels)
        if self.warm:
            self.head.silence()

    @property
    def warm(self) -> bool:
        """Whether its taste state started from something."""
        return self.taste is not None and self.taste.starts

    def vectors(self) -> Tensor:
        """``[N, d]``, every item's i(G) (equations 5 and 6)."""
        return self.embedding[: self.num_items] if self.encoder is None else self.encoder(self.embedding)

    def view(self, project: bool = True) -> ItemView:
        """What all sessions share.

        Args:
            project: whether every layer's part of every item is computed at once, for the many steps of a rollout, or
                left to the layer, for the few items of a gradient step.
        """
        vectors = self.vectors()
        if not project:
            return ItemView(vectors, None, vectors, vectors)
        taste = vectors if self.taste is None else self.taste.project(vectors)
        return ItemView(vectors, self.state.project(vectors), self.head.project(vectors), taste)

    def states(self, items: ItemView, sessions: Sessions) -> Tensor:
        """s_t(G) of sessions, ``[B, h]`` and what is switched on beside the GRU's state (equations 7 and 8)."""
        return self.extend(self.state(items.vectors, sessions.liked), items, sessions)

    def extend(self, hidden: Tensor, items: ItemView, sessions: Sessions) -> Tensor:
        """The GRU's state ``[B, h]`` followed by taste, streaks and step, where switched on: what the head sees."""
        parts = [hidden]
        if self.taste is not None:
            parts.append(self.taste(items.taste, sessions.shown, sessions.feedback[:, : sessions.step]))
        if self.streak_state:
            up, down = sessions.streak_counts()
            # by √T, so that a step moves it by little: training's T, a real user's past is as long as it is
            parts.append(torch.stack([up, down, sessions.length], 1) / self.horizon**0.5)
        return torch.cat(parts, 1)

    def values(
        self, state: Tensor, items: ItemView, index: Tensor, batch: Tensor, head: DuelingHead | None = None
    ) -> Tensor:
        """``[K]``, Q of K (session, item) pairs.

        Args:
            state: ``[B, s]``, from :meth:`states`.
            items: N of them.
            index: ``[K]``, each pair's item.
            batch: ``[K]``, each pair's session.
            head: another dueling head than its own, for a view that is not projected.
        """
        values = (head or self.head)(state, items.head, index, batch)
        return values if self.taste is None else values + self.feedback(state, items, index, batch)

    def feedback(self, state: Tensor, items: ItemView, index: Tensor, batch: Tensor) -> Tensor:
        """``[K]``, the feedback that the taste state expects; arguments as in :meth:`values`."""
        assert self.taste is not None
        taste = state[:, self.state.state_channels :][:, : self.taste.taste_channels]
        return self.taste.predict(taste, items.taste, index, batch)
