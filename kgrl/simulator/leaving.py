"""``Leaving``: users who leave before the last step, out of boredom or as their patience is used up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kgrl.options import LARGEST, at_least, between
from kgrl.sessions import Sessions
from kgrl.simulator.categories import Categories


class Leaving(nn.Module):
    """After which step a user leaves: a function of what she was shown and of how she received it, without chance.

    A rule of one's own derives from this and gives :meth:`forward`.
    """

    def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
        """``[B, M]``, whether each user would leave right after a step.

        Args:
            sessions: before the step.
            items: ``[B, M]``, what may be shown in it: M items, each by itself.
            feedback: ``[B, M]``, how they would be received.
        """
        raise NotImplementedError


class Boredom(Leaving):
    r"""A user leaves when she is shown more of the same (KuaiEnv: Gao et al., 2022; EasyRL4Rec: Yu et al., 2024).

    Of item i, shown in step t,

    .. math::
        \text{leave} \Leftrightarrow
        \exists\, c \in \mathcal C(i):\ \sum_{l = t - N}^{t - 1} [c \in \mathcal C(i_l)] > n

    The item itself is still received and rewarded. ``window`` 5 and ``most`` 1 are KuaiEnv's own defaults; its
    published runs take 1 and 0: never two items of one category in a row.

    Differs from the paper's code: in the first N steps of a session that looks at fewer items than there were
    (``sequence[t - N:t]`` counts from the end where t < N), here at all of them.

    Args:
        categories: of the items, see :class:`kgrl.simulator.Categories`.
        window: N, how many of the last items count.
        most: n, how many of them may share a category with the item.

    Raises:
        TypeError: no categories.
        ValueError: categories that are none, or an option out of range.
    """

    def __init__(self, categories: Any = None, window: int = 5, most: int = 1) -> None:
        super().__init__()
        self.categories = Categories(categories)
        self.num_items = self.categories.num_items
        self.window, self.most = at_least("window", window, 1), at_least("most", most, 0)

    def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
        shown = sessions.items[:, max(sessions.begin, sessions.step - self.window) : sessions.step]
        counts, _ = self.categories.counts(shown, feedback.new_ones(shown.size(1)), items)
        return (counts > self.most).any(2)

    def extra_repr(self) -> str:
        return f"window={self.window}, most={self.most}"


class Patience(Leaving):
    r"""A user leaves when her patience is used up: every step takes of it, the less the better it was received.

    The temper of KuaiSim (Zhao et al., 2023, user leave module):

    .. math:: h_0 = \text{budget}, \qquad h_{t+1} = h_t - \min(2, \max(0, 1 - r_t)), \qquad
        \text{leave} \Leftrightarrow h_{t+1} < \text{least}

    Differs from the paper: there a step takes 2 minus the mean weighted response of a list, kept in [0, 2]; here the
    feedback r in [−1, 1] of one item stands in place of that, moved to the same range. ``budget`` 10 and ``least`` 1
    are KuaiSim's.

    Args:
        budget: h_0.
        least: below which she leaves.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, budget: float = 10.0, least: float = 1.0) -> None:
        super().__init__()
        self.least = between("least", least, 0, LARGEST)
        self.budget = between("budget", budget, self.least, LARGEST)

    def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
        there = torch.arange(sessions.begin, sessions.step, device=feedback.device)
        before = sessions.feedback[:, sessions.begin : sessions.step]
        taken = there - sessions.begin < sessions.length.unsqueeze(1)
        spent = ((1 - before).clamp(0, 2) * taken).sum(1, keepdim=True)
        return self.budget - spent - (1 - feedback).clamp(0, 2) < self.least

    def extra_repr(self) -> str:
        return f"budget={self.budget}, least={self.least}"
