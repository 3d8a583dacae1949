"""``Outlook``: sessions as a Q-network sees them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from kgrl.agents.q_learning.dense_q import DenseQ
from kgrl.agents.q_learning.network import ItemView, QNetwork
from kgrl.agents.shared.picking import best_left, in_parts
from kgrl.candidates.fixed import FixedCandidates
from kgrl.nn.policy.dueling import DuelingHead


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
