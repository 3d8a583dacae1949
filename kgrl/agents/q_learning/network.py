"""KGQR's network, from KG to Q-values: embeddings, convolution, state and head; and Q of sessions with any items."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.shared.picking import best_left, in_parts
from kgrl.agents.state.joined import JoinedState, LearnedTaste, Streak
from kgrl.agents.state.recurrent import LikedItems
from kgrl.agents.state.session_state import carry_of
from kgrl.candidates.fixed import FixedCandidates
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.policy.dueling import EXTRAS, DuelingHead, ItemTerms, StreakHead
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


class Outlook(NamedTuple):
    """B sessions as a network sees them: all that their Q-values are made of.

    Attributes:
        network: whose ``state`` and ``view`` they are.
        head: the network's own dueling head, or the target's.
        view: of the items.
        state: ``[B, s]``.
    """

    network: QNetwork
    head: DuelingHead
    view: ItemView
    state: Tensor

    def values(self, index: Tensor, batch: Tensor) -> Tensor:
        """``[K]``, Q of the items ``index [K]`` for the sessions ``batch [K]``."""
        return self.network.values(self.state, self.view, index, batch, head=self.head)

    def highest(self, pool: FixedCandidates, gone: Tensor, count: int) -> Tensor:
        """``[B, count]``, the places in ``pool`` of the highest Q-values, best first; −1 where fewer are left.

        Args:
            pool: the candidates.
            gone: ``[B, L]``, places that do not count; −1, anywhere, is skipped.
            count: how many.
        """
        values = DenseQ(self.network, self.head, self.view, pool.candidates)
        return in_parts(lambda state, shown: best_left(values(state), shown, count), pool.size, self.state, gone)


class DenseQ:
    r"""All B·N pairs' values without their B·N·h hidden units.

    What :meth:`QNetwork.values <kgrl.agents.q_learning.network.QNetwork.values>` gives.

    A number's ReLU is half of it plus half of its magnitude. So the advantage of state and item, of which
    :math:`\mathbf a` and :math:`\mathbf b` are the parts of its first layer, is a term of the state, a term of the
    item, and two L1 distances, over the hidden units that weigh :math:`w_h \ge 0` and over the others:

    .. math::
        \sum_h w_h \max(a_h + b_h, 0) = \tfrac12 \mathbf w^\top \mathbf a + \tfrac12 \mathbf w^\top \mathbf b
        + \tfrac12 \sum_{h:\, w_h \ge 0} \bigl|w_h a_h - (-w_h b_h)\bigr|
        - \tfrac12 \sum_{h:\, w_h < 0} \bigl|w_h a_h - (-w_h b_h)\bigr|

    :func:`torch.cdist` has these in one pass that keeps nothing but the sums.
    Without gradients.

    Args:
        network: whose state and taste.
        head: its dueling head, or another one for a view that is not projected.
        items: from ``network.view()``.
        pool: ``[P]``, of which items; ``None``: all of them.
    """

    @torch.no_grad()
    def __init__(self, network: QNetwork, head: DuelingHead, items: ItemView, pool: Tensor | None = None) -> None:
        self.network, self.head = network, head
        terms, self.taste = _rows(items.head, pool), None
        if isinstance(terms, Tensor):
            terms = head.project(terms)
        if network.taste is not None:
            tastes = _rows(items.taste, pool)
            self.taste = network.taste.project(tastes, pool) if isinstance(tastes, Tensor) else tastes
        self.weight = head.advantage.weight[0]
        self.above = self.weight >= 0
        # sums of products rather than @, which mixed precision would round otherwise than the distances
        weighted = terms.advantage * self.weight
        self.own = terms.value + weighted.sum(1) / 2
        self.parts = -weighted[:, self.above], -weighted[:, ~self.above]

    @torch.no_grad()
    def __call__(self, state: Tensor) -> Tensor:
        """``[B, P]``, for the states ``[B, s]``."""
        asked = self.head.from_state(state) * self.weight
        values = torch.cdist(asked[:, self.above], self.parts[0], p=1)
        values -= torch.cdist(asked[:, ~self.above], self.parts[1], p=1)
        values = values.add_(asked.sum(1, keepdim=True)).div_(2).add_(self.own)
        if isinstance(self.head, StreakHead):
            values += self.head.streak(state[:, -EXTRAS:])
        if self.taste is not None:
            mean = state[:, self.network.state.columns("taste")]
            values += torch.addmm(self.taste.expected, mean, self.taste.loading.T)
        return values


def _rows(terms: Any, pool: Tensor | None) -> Any:
    """The pool's part of what a view has of the items."""
    if pool is None:
        return terms
    if isinstance(terms, Tensor):
        return terms[pool]
    return type(terms)(*(part[pool] for part in terms))
