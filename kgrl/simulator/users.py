"""Users who leave, and whose feedback drifts: the rules by which they do, and how a simulator is given them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kgrl.options import LARGEST, at_least, between, expected, one_of, resolve
from kgrl.sessions import Sessions
from kgrl.simulator.categories import Categories
from kgrl.simulator.feedback import FeedbackModel

R = TypeVar("R", bound=nn.Module)


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


LEAVING: Mapping[str, type[Leaving]] = {"boredom": Boredom, "patience": Patience}
DRIFTS: Mapping[str, type[Drift]] = {"satiation": Satiation}
"""The rules that are known by name."""


def made_leaving(value: Any, categories: Any, feedback: FeedbackModel) -> Leaving | None:
    """The rule by which users leave, or ``None``.

    Raises:
        TypeError: it is none, or looks at categories and has none.
        ValueError: an unknown name, other items than the world's, or an answer that is no mask ``[B, M]``.
    """
    rule = _made("leaving", value, LEAVING, Leaving, categories, feedback)
    if rule is not None:
        sessions, items = _trial(feedback)
        found = rule(sessions, items, torch.zeros_like(items, dtype=torch.float))
        _check_answer("leaving", found, items, found.dtype == torch.bool if isinstance(found, Tensor) else False,
                      "a mask [B, M] of who leaves")
    return rule


def made_drift(value: Any, categories: Any, feedback: FeedbackModel) -> Drift | None:
    """The way in which feedback moves, or ``None``.

    Raises:
        TypeError: it is none, or looks at categories and has none.
        ValueError: an unknown name, other items than the world's, an answer that is no feedback ``[B, M]``, or a world
            that counts feedback in a way of its own.
    """
    rule = _made("drift", value, DRIFTS, Drift, categories, feedback)
    if rule is not None:
        if type(feedback).react is not FeedbackModel.react:
            raise ValueError(expected("feedback", "a model that leaves `react` to FeedbackModel where there is a drift",
                                      type(feedback).__name__, "how it counts feedback that has moved is not known"))
        sessions, items = _trial(feedback)
        found = rule(torch.zeros_like(items, dtype=torch.float), sessions, items)
        _check_answer("drift", found, items, isinstance(found, Tensor) and found.is_floating_point(),
                      "real numbers [B, M]")
    return rule


def _made(
    name: str, value: Any, choices: Mapping[str, type[R]], base: type[R], categories: Any, feedback: FeedbackModel
) -> R | None:
    if value is None:
        return None
    kind = choices[one_of(name, value.lower(), choices)] if isinstance(value, str) else value
    ours = isinstance(kind, type) and issubclass(kind, base)
    looks = ours and "categories" in inspect.signature(kind).parameters
    rule = resolve(name, kind, choices, base, **({"categories": categories} if looks else {}))
    known = getattr(rule, "num_items", feedback.num_items)
    if known != feedback.num_items:
        raise ValueError(expected(name, f"a rule with the categories of the world's {feedback.num_items} items",
                                  f"of {known} items"))
    return rule.to(feedback.relevant.device)


def _trial(feedback: FeedbackModel) -> tuple[Sessions, Tensor]:
    """Two sessions that have not begun, and three items for each."""
    device = feedback.relevant.device
    items = torch.arange(3, device=device).remainder(feedback.num_items).expand(2, -1)
    return Sessions.empty(torch.zeros(2, dtype=torch.long, device=device), 1), items


def _check_answer(name: str, found: Any, items: Tensor, fits: bool, what: str) -> None:
    if not fits or found.shape != items.shape:
        came = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(expected(name, f"a rule that says {what}, here {list(items.shape)}", came))
