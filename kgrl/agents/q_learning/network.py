"""KGQR's network: entity embeddings, graph convolution, state and dueling head, from KG to Q-values."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kgrl.agents.q_learning.streak_head import StreakHead
from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.state.counts import Streak
from kgrl.agents.state.joined import JoinedState
from kgrl.agents.state.recurrent import LikedItems
from kgrl.agents.state.session_state import carry_of
from kgrl.agents.state.session_taste import LearnedTaste
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.policy.dueling import DuelingHead, ItemTerms
from kgrl.nn.state.taste import TasteTerms
from kgrl.nn.state.taste_state import TasteState
from kgrl.sessions import Sessions


class ItemView(NamedTuple):
    """All that a parameter version says of the items, whatever the session; N items.

    Attributes:
        vectors: ``[N, d]``, i(G).
        state: the session state's part of them, or the vectors.
        head: the dueling head's part of them, or the vectors.
        taste: the taste state's part of them, or the vectors.
    """

    vectors: Tensor
    state: Any
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
        horizon: T of the sessions that it is trained on, by whose root c_p, c_n and the step are divided.
        recurrent: the state in place of the GRU over the liked items, see
            :class:`kgrl.agents.state.session_state.SessionState`; ``None``: that one, as in the paper.
    """

    def __init__(
        self, embedding: Tensor, num_items: int, encoder: KGEncoder | None, item_channels: int,
        state_channels: int = 64, hidden_channels: int = 64, streak_state: bool = False,
        taste_channels: int = 0, start: TasteTerms | None = None, horizon: int = 32,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.items = ItemVectors(embedding, num_items, encoder)
        if recurrent is None:
            recurrent = LikedItems(item_channels, state_channels)
        taste = TasteState(item_channels, taste_channels, hidden_channels, start) if taste_channels else None
        self.state = JoinedState(
            recurrent=recurrent, taste=None if taste is None else LearnedTaste(taste),
            streak=Streak(horizon) if streak_state else None)
        head = StreakHead if streak_state else DuelingHead
        self.head = head(self.state.channels, item_channels, hidden_channels)
        if self.warm:
            self.head.silence()

    @property
    def taste(self) -> TasteState | None:
        """The model of feedback, where there is one."""
        part = self.state._modules.get("taste")
        return part.model if isinstance(part, LearnedTaste) else None

    @property
    def warm(self) -> bool:
        """Whether its taste state started from something."""
        return self.taste is not None and self.taste.starts

    def view(self, project: bool = True) -> ItemView:
        """What all sessions share.

        Args:
            project: whether every layer's part of every item is computed at once, for the many steps of a rollout, or
                left to the layer, for the few items of a gradient step.
        """
        vectors = self.items()
        if not project:
            return ItemView(vectors, vectors, vectors, vectors)
        state = self.state.items(vectors)
        taste = vectors if self.taste is None else state[self.state.place("taste")]
        return ItemView(vectors, state, self.head.project(vectors), taste)

    @torch.no_grad()
    def settle(self, before: Sessions, items: Tensor, rewards: Tensor) -> None:
        """Gives a silent head what all items' rewards have in common: of one step's reward, all of Q where γ is 0.

        Learned by gradient, that would take it a while, in which it disturbs the order that the items start in.

        Args:
            before: R sessions, as they were when an item was shown.
            items, rewards: ``[R]`` each, that item, and how it was rewarded.
        """
        view, rows = self.view(project=False), torch.arange(len(items), device=items.device)
        state = self.states(view, before)
        self.head.fit_common(state, rewards - self.feedback(state, view, items, rows))

    def states(self, items: ItemView, sessions: Sessions) -> Tensor:
        """s_t(G) of sessions, ``[B, s]``: the GRU's (equations 7 and 8), and what is switched on beside it."""
        return self.state.read(carry_of(self.state, items.state, sessions))

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
        return self.taste.predict(state[:, self.state.columns("taste")], items.taste, index, batch)
