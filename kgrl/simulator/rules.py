"""How a simulator is given its rules of users: by name, class or instance."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from kgrl.options import expected, one_of, resolve
from kgrl.sessions import Sessions
from kgrl.simulator.drift import Drift, Satiation
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.leaving import Boredom, Leaving, Patience

LEAVING: Mapping[str, type[Leaving]] = {"boredom": Boredom, "patience": Patience}
DRIFTS: Mapping[str, type[Drift]] = {"satiation": Satiation}
"""The rules that are known by name."""
R = TypeVar("R", bound=nn.Module)


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
