"""``DDPGR``: an actor that learns a ranking vector."""

from __future__ import annotations

from torch import Tensor

from kgrl.agents.q_learning.ddpg import DDPG
from kgrl.agents.q_learning.network import Outlook
from kgrl.agents.shared.picking import best_left, in_parts


class DDPGR(DDPG):
    r"""DDPG with a ranking vector (LIRD; Zhao et al., 2018), a baseline of both papers.

    "The actor learns a ranking vector", and the item "with the highest ranking score is recommended", its product with
    the item's vector (KGQR, Zhou et al., 2020, section 5.1.4):

    .. math:: \pi(s) = \arg\max_{i \in I \setminus \{i_1 \dots i_t\}} \mu(s)^\top \mathbf v_i

    Differs from LIRD: one item a step, not a list. The critic is asked about μ(s) as if that were an item's vector, as
    there. A vector and its double rank alike, which the critic does not know: paper is silent.

    O(N·d) a decision. Exploration, learning and arguments are those of :class:`kgrl.agents.q_learning.ddpg.DDPG`.
    """

    def _answers(self, seen: Outlook, actions: Tensor, gone: Tensor, count: int) -> Tensor:
        vectors = self.vectors
        return in_parts(
            lambda action, shown: best_left(action @ vectors.T, shown, count), self.pool.size, actions, gone)
