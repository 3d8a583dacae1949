"""``Drift``: feedback that moves with what the user was shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kgrl.options import between
from kgrl.sessions import Sessions
from kgrl.simulator.categories import Categories


class Drift(nn.Module):
    """How a user's feedback moves in the course of a session: a function of the session so far, without chance.

    A drift of one's own derives from this and gives :meth:`forward`.

    Attributes:
        raises: whether it may raise feedback; where it never does, :class:`kgrl.simulator.Bounds` can say more.
    """

    raises: bool = True

    def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor:
        """``[B, M]``, the feedback as it is now; what is outside [−1, 1] is moved to its end.

        Args:
            feedback: ``[B, M]``, of ``items``, as the feedback model has it.
            sessions: so far.
            items: ``[B, M]``, what may be shown next: M items, each by itself.
        """
        raise NotImplementedError


class Satiation(Drift):
    r"""Feedback falls with what was shown of its categories, and recovers (rebounding bandits, Leqi et al., 2021).

    .. math::
        s_{c,0} = 0, \qquad s_{c,t+1} = \rho\,(s_{c,t} + [c \in \mathcal C(i_t)]), \qquad
        r'_{ui} = \max\Bigl(-1,\ r_{ui} - \lambda\,\frac{1}{|\mathcal C(i)|} \sum_{c \in \mathcal C(i)} s_{c,t}\Bigr)

    Differs from the paper: its arms are single categories, all with rates of their own and noise; here an item may have
    several categories, of which the mean counts, one rate serves all, and there is no noise. Its ρ is called γ, which
    here is the discount. The defaults are ours: what is shown at every step loses at most λρ / (1 − ρ) = 0.5, and half
    of a loss is gone after one step of something else.

    Args:
        categories: of the items, see :class:`kgrl.simulator.Categories`.
        strength: λ ≥ 0.
        retention: ρ in [0, 1), what of the satiation is left a step later.

    Raises:
        TypeError: no categories.
        ValueError: categories that are none, or an option out of range.
    """

    raises = False

    def __init__(self, categories: Any = None, strength: float = 0.5, retention: float = 0.5) -> None:
        super().__init__()
        self.categories = Categories(categories)
        self.num_items = self.categories.num_items
        self.strength, self.retention = between("strength", strength, 0, 2), between("retention", retention, 0, 0.999)

    def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor:
        shown = sessions.items[:, sessions.begin : sessions.step]
        ages = torch.arange(shown.size(1), 0, -1, device=feedback.device)  # 1 for the last item shown
        levels, real = self.categories.counts(shown, self.retention ** ages.to(feedback.dtype), items)
        return feedback - self.strength * levels.sum(2) / real.sum(2).clamp(min=1)

    def extra_repr(self) -> str:
        return f"strength={self.strength}, retention={self.retention}"
