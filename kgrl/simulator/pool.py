"""What a simulator shows, where that is not all items, and what it refuses to show or to say."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor, nn

from kgrl.options import expected, ids
from kgrl.sessions import UNDEFINED, Sessions
from kgrl.simulator.feedback import FeedbackModel


class Pool(nn.Module):
    """Some of the items of a world, e.g. those that are new.

    Args:
        items: ``[P]``, distinct item ids.
        feedback: the world's feedback model, for the number of items and of users.

    Raises:
        ValueError: ids that are none, unknown or repeated.
    """

    items: Tensor
    inside: Tensor
    relevant: Tensor

    def __init__(self, items: Tensor, feedback: FeedbackModel) -> None:
        super().__init__()
        items = ids("items", items, feedback.num_items)
        distinct, times = items.unique(return_counts=True)
        if len(distinct) < len(items):
            raise ValueError(expected("items", "each item once", f"item {int(distinct[times > 1][0])} more than once",
                                      "of old and new items that overlap, take `unique()`"))
        self.register_buffer("items", items.clone())
        inside = torch.zeros(feedback.num_items, dtype=torch.bool, device=items.device).index_fill_(0, items, True)
        self.register_buffer("inside", inside, persistent=False)
        counts = torch.full((feedback.num_users,), -1, device=items.device)  # −1 = not counted yet
        self.register_buffer("relevant", counts, persistent=False)

    def __len__(self) -> int:
        return len(self.items)

    def outside(self, items: Tensor) -> Tensor:
        """Whether each of ``items``, of any shape, is an item but none of these; not so of −1."""
        return (items >= 0) & ~self.inside[items.clamp(0, len(self.inside) - 1)]

    def ranked(self, name: str, ranking: Tensor) -> Tensor:
        """Those of a ranking that are among these, in its order.

        Raises:
            ValueError: none is.
        """
        kept = ranking[self.inside.to(ranking.device)[ranking]]
        if not len(kept):
            raise ValueError(expected(name, "a ranking with some of the simulator's `items`", "none of them",
                                      "rank all items, or leave it out"))
        return kept

    def mixed(self, generator: torch.Generator) -> Tensor:
        """``[P]``, the items in random order, so that a stable sort breaks ties at random."""
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        return self.items[order.to(self.items.device)]

    def num_relevant(self, feedback: FeedbackModel, users: Tensor) -> Tensor:
        """``[B]``, how many of these items ``users [B]`` would receive positively; counted once a user."""
        missing = users[self.relevant[users] < 0].unique()
        for part in feedback.chunks(missing):
            self.relevant[part] = feedback.count_relevant(part, self.items).to(self.relevant.dtype)
        return self.relevant[users]

    def extra_repr(self) -> str:
        return f"{len(self)} of {len(self.inside)} items"


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
