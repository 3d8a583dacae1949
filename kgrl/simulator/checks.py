"""What a simulator refuses: items that may not be shown, and feedback that cannot be."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from kgrl.options import expected
from kgrl.sessions import UNDEFINED, Sessions
from kgrl.simulator.pool import Pool


def check_feedback(feedback: Tensor, users: Tensor, items: Tensor) -> None:
    """Refuses what a feedback model may not say."""
    fine = feedback.abs() <= 1  # not so of a NaN
    if not fine.all():
        first = tuple(int(index) for index in (~fine).nonzero()[0])
        if int(items[first]) < 0:  # a NaN that the simulator has put there
            _refuse_undefined(f"user {int(users[first])}")
        raise ValueError(expected("feedback", "numbers in [-1, 1]", float(feedback[first]),
                                  f"user {int(users[first])}, item {int(items[first])}; scale the feedback model"))


def check_items(items: Tensor, sessions: Sessions, step: int, num_items: int, pool: Pool | None) -> None:
    """Refuses ``items [B]`` shown in column ``step``, if one is unknown, not of the pool, or was shown before."""
    before = sessions.items[:, :step]
    if _bad(items, before, num_items, pool).any():
        _explain(items, sessions, step, num_items, pool)


def check_sessions(sessions: Sessions, num_items: int, pool: Pool | None) -> None:
    """The same of every step of finished sessions, with one look at the device."""
    steps = list(enumerate(sessions.items.unbind(1)))[sessions.begin :]
    bad = torch.stack([_bad(items, sessions.items[:, :step], num_items, pool).any() for step, items in steps])
    if bad.any():
        step, items = steps[int(bad.nonzero()[0])]
        _explain(items, sessions, step, num_items, pool)
    feedback, items = sessions.feedback[:, sessions.begin :], sessions.items[:, sessions.begin :]
    check_feedback(feedback, sessions.users.unsqueeze(1).expand_as(items), items)


def _unknown(items: Tensor, num_items: int) -> Tensor:
    return (items < -1) | (items >= num_items)


def _bad(items: Tensor, before: Tensor, num_items: int, pool: Pool | None) -> Tensor:
    """``[B]``, whether the item may not be shown after those ``before [B, t]``."""
    bad = _unknown(items, num_items) | ((before == items[:, None]).any(1) & (items >= 0))
    return bad if pool is None else bad | pool.outside(items)


def _explain(items: Tensor, sessions: Sessions, step: int, num_items: int, pool: Pool | None) -> NoReturn:
    """The error of the first session whose item of this step is bad."""
    row = int(_bad(items, sessions.items[:, :step], num_items, pool).nonzero()[0])
    item, where = int(items[row]), f"session {row} (user {int(sessions.users[row])}), step {step - sessions.begin}"
    if item == UNDEFINED:
        _refuse_undefined(where)
    if _unknown(items, num_items)[row]:
        what = f"an item id below {num_items}, or -1 where nothing is left"
        raise ValueError(expected("items", what, item, where))
    if pool is not None and pool.outside(items)[row]:
        what = f"one of the {len(pool)} `items` that the simulator shows"
        raise ValueError(expected("items", what, item, f"{where}; agent.restrict(items) keeps an agent to them"))
    raise ValueError(expected("items", "an item not yet shown in its session", item, where))


def _refuse_undefined(where: str) -> NoReturn:
    raise ValueError(expected("the agent's values", "finite", "NaN or infinity", f"{where}; the agent has diverged, or "
                              "what it was given is too large for single precision"))
