"""``DenseQ``: Q of sessions with every item of a pool."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kgrl.agents.q_learning.network import EXTRAS, ItemView, QNetwork, StreakHead
from kgrl.nn.policy.dueling import DuelingHead


class DenseQ:
    r"""What :meth:`kgrl.agents.q_learning.network.QNetwork.values` gives for all B·N pairs, without their B·N·h hidden units.

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
            mean = state[:, self.network.state.state_channels :][:, : self.taste.loading.size(1)]
            values += torch.addmm(self.taste.expected, mean, self.taste.loading.T)
        return values


def _rows(terms: Any, pool: Tensor | None) -> Any:
    """The pool's part of what a view has of the items."""
    if pool is None:
        return terms
    if isinstance(terms, Tensor):
        return terms[pool]
    return type(terms)(*(part[pool] for part in terms))
