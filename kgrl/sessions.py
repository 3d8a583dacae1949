"""``Sessions``: the batch that simulator, agents, replay and metrics share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from kgrl.histories import padded_history, plain, raw_ids_of_items
from kgrl.objects import of_class, shaped
from kgrl.options import LARGEST, a_tensor, at_least, between, expected, ids
from kgrl.raw_ids import RawIds

UNDEFINED = -2
"""Stands for an item where an agent's values are not finite: it has nothing to say, and a simulator refuses it."""


@dataclass
class Sessions:
    """A batch of B sessions of at most T steps, filled from the left as they go on.

    Sessions may begin with a past: what their users received before, in ``begin`` columns of its own, L of them. It is
    no part of the session: rewards, streaks, lengths and metrics are of the T columns after it.

    Agents follow a batch as it is filled, and leave in ``carry`` what they made of it so far. Who changes what it holds
    already does so in a copy (:meth:`rows`, :meth:`before`), which carries nothing.

    Args:
        users: ``[B]``, user ids; −1 where the user is not one of the data set's.
        items: ``[B, L + T]``, what was recommended; −1 = not yet, or nothing was left; in a past, which ends at column
            L, −1 stands before the first item.
        feedback: ``[B, L + T]``, the instinctive feedback in [−1, 1].
        rewards: ``[B, L + T]``, feedback + η·(c_p − c_n) (KGQR eq. 16); in a past, the feedback.
        positive: ``[B, L + T]``, whether the feedback was above the relevance threshold.
        streak: ``[B, L + T]`` in {−1, 0, 1}, what the step counts as in a streak; 0 ends both; 0 in a past.
        log_prob: ``[B, L + T]``, of the recommended item where the agent knows it, else NaN.
        length: ``[B]``, steps taken; below ``step`` − ``begin`` where a session ended early.
        left: ``[B]``, whether the user has gone, after the last step taken; False where nothing was left to recommend.
        step: columns filled in the longest session.
        begin: L, columns of the past; 0: there is none.
        carry: what agents keep of these very sessions from one step to the next, by agent.
    """

    users: Tensor
    items: Tensor
    feedback: Tensor
    rewards: Tensor
    positive: Tensor
    streak: Tensor
    log_prob: Tensor
    length: Tensor
    left: Tensor
    step: int = 0
    begin: int = 0
    carry: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"carry": {}}

    @classmethod
    def empty(cls, users: Tensor, horizon: int, begin: int = 0) -> Sessions:
        """Sessions of ``users [B]`` that have not begun, with room for a past of ``begin`` items."""
        shaped("users", users, None, whole=True)
        begin, horizon = at_least("begin", begin, 0), at_least("horizon", horizon, 0)
        shape, device = (len(users), begin + horizon), users.device
        zeros = torch.zeros(shape, device=device, dtype=torch.float)
        return cls(
            users=users, items=torch.full(shape, -1, device=device), feedback=zeros, rewards=zeros.clone(),
            positive=torch.zeros(shape, dtype=torch.bool, device=device),
            streak=torch.zeros(shape, dtype=torch.int8, device=device),
            log_prob=torch.full(shape, torch.nan, device=device, dtype=torch.float),
            length=torch.zeros_like(users), left=torch.zeros_like(users, dtype=torch.bool), step=begin, begin=begin,
        )

    @classmethod
    def from_history(
        cls, items: Sequence[Sequence[Any]], feedback: Sequence[Sequence[float]], threshold: float = 0.0,
        ids: RawIds | None = None,
    ) -> Sessions:
        """Sessions of real users, outside any simulator: what was shown, and how it was received.

        Items are the data set's own numbers 0 … N − 1, or with ``ids`` the raw ids of its files. :func:`raw_items`
        gives the raw ids of what an agent recommends then.

        Args:
            items: one list of item numbers per user, oldest first; lists may differ in length and may be empty.
            feedback: in [−1, 1], one number an item; of raw ratings, ``low, high, _ = data.rating_scale`` and
                :func:`kgrl.simulator.normalise` make it: ``normalise(rating, low, high)``.
            threshold: feedback above it is positive.
            ids: ``[N]``, the raw id of each item (``data["item"].raw_id``); ``items`` are then raw ids.

        Returns:
            Sessions with ``users`` −1 and rewards equal to the feedback (η is the simulator's).

        Raises:
            ValueError: not one list a user, lists that do not match, items that are no whole numbers from 0 or (with
                ``ids``) an unknown raw id, feedback outside [−1, 1], or an item shown twice.
        """
        threshold = between("threshold", threshold, -LARGEST, LARGEST)
        shown, received, length = padded_history(items, feedback, ids)
        taken = shown >= 0
        sessions = cls.empty(torch.full_like(length, -1), shown.size(1))
        sessions.items, sessions.feedback, sessions.rewards = shown, received, received.clone()
        sessions.length, sessions.step, sessions.positive = length, shown.size(1), taken & (received > threshold)
        sessions.streak = torch.where(sessions.positive, 1, -1).mul(taken).to(torch.int8)
        return sessions

    def __len__(self) -> int:
        return len(self.users)

    @property
    def horizon(self) -> int:
        """T."""
        return self.items.size(1) - self.begin

    @property
    def device(self) -> torch.device:
        return self.items.device

    @property
    def shown(self) -> Tensor:
        """``[B, step]``, the items so far, the past's too, padded with −1: what may not be recommended again."""
        return self.items[:, : self.step]

    def unshown(self, num_items: int) -> Tensor:
        """``[B, N]``, whether each item may still be recommended: it has not been shown in the session, nor before it.

        ``scores.masked_fill(~sessions.unshown(num_items), -torch.inf).argmax(1)`` is the best item that is left.

        Args:
            num_items: N.

        Raises:
            ValueError: an item of N or above was shown (on the CPU; elsewhere, looking would stall the device).
        """
        at_least("num_items", num_items, 1)
        if self.device.type == "cpu" and self.shown.numel() and (most := int(self.shown.max())) >= num_items:
            raise ValueError(expected("num_items", f"above {most}, which was shown", num_items))
        left = torch.ones(len(self), num_items + 1, dtype=torch.bool, device=self.device)  # the first stands for −1
        return left.scatter_(1, self.shown + 1, False)[:, 1:]

    @property
    def liked(self) -> Tensor:
        """``[B, step]``, the items so far that were received positively, in order, −1 elsewhere: KGQR's o_t."""
        return self.shown.masked_fill(~self.positive[:, : self.step], -1)

    def streak_counts(self) -> tuple[Tensor, Tensor]:
        """(c_p ``[B]``, c_n ``[B]``): consecutive positive and negative counts before each session's next step."""
        if not self.horizon:
            return torch.zeros_like(self.length), torch.zeros_like(self.length)
        steps = torch.arange(1, self.horizon + 1, dtype=torch.int32, device=self.device)  # 64 bits: ten times slower
        end, streak = self.length.unsqueeze(1), self.streak[:, self.begin :]
        last = streak.gather(1, (end - 1).clamp(min=0))
        other = (streak != last) & (steps <= end.int())
        run = self.length - (other * steps).amax(1)
        last = last.squeeze(1)
        return run * (last == 1), run * (last == -1)

    def metrics(self, num_relevant: Tensor) -> dict[str, Tensor]:
        """Reward, precision, recall and F1 of each session, ``[B]`` each (KGQR equations 17 to 19).

        Means are over T steps also where a session ended early: a step after a user left is one without reward. Differs
        from the paper: equation 17 prints a factor γ^t, but the rewards of its Table 3 are only possible without one.
        Paper is silent: a user with nothing relevant has recall and F1 0, and stays in the mean.

        Args:
            num_relevant: ``[B]``, how many of all items each user would receive positively.
        """
        if a_tensor("num_relevant", num_relevant).shape != self.users.shape or num_relevant.is_complex():
            raise ValueError(expected("num_relevant", f"one count a session, [{len(self)}]",
                                      f"{num_relevant.dtype} {list(num_relevant.shape)}"))
        hits = self.positive[:, self.begin :].sum(1).float()
        # F1 = 2·P·R / (P + R) = 2·hits / (T + relevant), which needs no care where P + R = 0
        some = num_relevant > 0
        return {
            "reward": self.rewards[:, self.begin :].sum(1) / self.horizon,
            "precision": hits / self.horizon,
            "recall": hits / num_relevant.clamp(min=1) * some,
            "f1": 2 * hits / (self.horizon + num_relevant) * some,
        }

    def before(self, step: int | Tensor) -> Sessions:
        """The same sessions as they were before column ``step``, a number for all of them or ``[B]``, one for each."""
        step = shaped("step", step, len(self), whole=True) if isinstance(step, Tensor) else at_least("step", step, 0)
        steps = torch.as_tensor(step, device=self.device)
        taken = torch.arange(self.items.size(1), device=self.device) < steps.unsqueeze(-1)
        return Sessions(
            users=self.users, items=self.items.masked_fill(~taken, -1), feedback=self.feedback * taken,
            rewards=self.rewards * taken, positive=self.positive & taken, streak=self.streak * taken,
            log_prob=self.log_prob.masked_fill(~taken, torch.nan),
            length=self.length.clamp(max=(steps - self.begin).clamp(min=0)),
            left=self.left & (self.begin + self.length <= steps),  # she leaves with the last step taken
            step=min(step, self.step) if isinstance(step, int) else self.step, begin=self.begin,
        )

    def rows(self, index: Tensor | slice) -> Sessions:
        """The sessions ``index``: ids or a mask, copied; or a slice, which shares their memory."""
        index = index if isinstance(index, slice) else ids("index", index)
        return self._with({name: value[index] for name, value in self.tensors().items()})

    def to(self, device: torch.device | str) -> Sessions:
        return self._with({name: value.to(device) for name, value in self.tensors().items()})

    def _with(self, tensors: dict[str, Tensor]) -> Sessions:
        """Other tensors, at the same step."""
        return Sessions(**tensors, step=self.step, begin=self.begin)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name, for saving and for moving."""
        names = (each.name for each in fields(self) if each.name not in ("step", "begin", "carry"))
        return {name: getattr(self, name) for name in names}

    @staticmethod
    def cat(parts: Sequence[Sessions]) -> Sessions:
        """One batch out of several of the same horizon and, where they have one, of pasts of the same length."""
        if not isinstance(parts, list | tuple):
            raise TypeError(expected("parts", "a list of Sessions", type(parts).__name__))
        for part in parts:
            of_class("parts", part, Sessions)
        if not parts:
            raise ValueError(expected("parts", "at least one batch of sessions", len(parts)))
        begin, *others = [part.begin for part in parts]
        if any(other != begin for other in others):
            raise ValueError(expected("parts", f"sessions that all begin at column {begin}", others))
        tensors = [part.tensors() for part in parts]
        joined = {name: torch.cat([each[name] for each in tensors]) for name in tensors[0]}
        return Sessions(**joined, step=max(part.step for part in parts), begin=begin)


def raw_items(items: Tensor, ids: RawIds) -> list[list[Any]]:
    """The raw ids of recommended items: ``raw_items(agent.recommend(past), data["item"].raw_id)``.

    Args:
        items: ``[B, k]``, item numbers; −1, where fewer were found, is left out.
        ids: ``[N]``, the raw id of each item.

    Returns:
        B lists of at most k raw ids, best first.

    Raises:
        ValueError: an item number beyond the ids.
    """
    shaped("items", items, None, None, whole=True)
    raw_ids_of_items(ids)
    if items.numel() and int(items.max()) >= len(ids):
        raise ValueError(expected("ids", "a raw id for each item", f"{len(ids)} of them, and item {int(items.max())}"))
    return [[plain(ids[item]) for item in row if item >= 0] for row in items.tolist()]
