"""``FeedbackModel``: what a simulator asks how a user receives an item."""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kgrl.objects import a_device
from kgrl.options import LARGEST, at_least, between, expected, ids
from kgrl.seeding import full_precision

CHUNK, CPU_CHUNK = 2**25, 2**20
"""Feedbacks held at once wherever every item of many users has to be looked at; on the CPU, what its cache holds."""


CHECKED = 4
"""Users whose feedback is looked at, in both ways of asking, before a model is used."""


class Reaction(NamedTuple):
    """How users received items: ``feedback [K]`` in [−1, 1], ``positive [K]`` (bool), ``streak [K]`` in {−1, 0, 1}."""

    feedback: Tensor
    positive: Tensor
    streak: Tensor


class FeedbackModel(nn.Module):
    """The instinctive feedback of every (user, item), before the streak term.

    A model of one's own derives from this and gives :meth:`forward` and :meth:`rows`; it does not change once a
    simulator uses it (the counts of relevant items are kept).

    Args:
        num_users: U.
        num_items: N.
        threshold: feedback above it is positive: a hit, and a step of a positive streak. Everything else is a step of a
            negative streak.
        device: where the model's tensors are, if that is not where new ones are made.

    Shapes:
        - ``forward(users [K], items [K])`` → feedback ``[K]`` in [−1, 1].
        - ``rows(users [B])`` → feedback ``[B, N]``.
    """

    relevant: Tensor

    def __init__(
        self, num_users: int, num_items: int, threshold: float = 0.0, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        self.num_users = at_least("num_users", num_users, 1)
        self.num_items = at_least("num_items", num_items, 1)
        self.threshold = between("threshold", threshold, -LARGEST, LARGEST)
        device = None if device is None else a_device("device", device)
        counts = torch.full((num_users,), -1, device=device)  # −1 = not counted yet
        self.register_buffer("relevant", counts, persistent=False)
        self.register_load_state_dict_post_hook(_forget_counts)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        raise NotImplementedError

    def rows(self, users: Tensor) -> Tensor:
        """``[B, N]``, the feedback of every item for ``users [B]``."""
        raise NotImplementedError

    def react(self, users: Tensor, items: Tensor) -> Reaction:
        """How ``users [K]`` receive ``items [K]``."""
        return self.counted(self(users, items))

    def counted(self, feedback: Tensor) -> Reaction:
        """What ``feedback [K]`` counts as."""
        positive = feedback > self.threshold
        return Reaction(feedback, positive, positive.to(torch.int8).mul_(2).sub_(1))

    @full_precision
    def num_relevant(self, users: Tensor) -> Tensor:
        """``[B]``, how many of all items ``users [B]`` would receive positively (#preferences of KGQR eq. 19)."""
        users = self.users_of(users)
        missing = users[self.relevant[users] < 0].unique()
        for part in self.chunks(missing):
            self.relevant[part] = self.count_relevant(part).to(self.relevant.dtype)
        return self.relevant[users]

    def users_of(self, users: Tensor) -> Tensor:
        """``users``, as a tensor, a list, an array or a mask, as ids on the model's device."""
        return ids("users", users, self.num_users).to(self.relevant.device)

    def count_relevant(self, users: Tensor, items: Tensor | None = None) -> Tensor:
        """:meth:`num_relevant` counted anew, for a chunk of users; among ``items [P]`` alone, where they are given."""
        rows = self.checked_rows(users)
        rows = rows if items is None else rows.index_select(1, items)
        return (rows > self.threshold).sum(1, dtype=torch.int32)  # thrice as fast as into int64

    @full_precision
    def mean_feedback(self, users: Tensor) -> Tensor:
        """``[N]``, each item's feedback averaged over ``users``."""
        users = self.users_of(users)
        return torch.stack([self.checked_rows(part).sum(0) for part in self.chunks(users)]).sum(0) / len(users)

    def checked_rows(self, users: Tensor) -> Tensor:
        """:meth:`rows`, if all of it is feedback: numbers of relevant items and bounds are made of nothing else.

        Raises:
            ValueError: it is of another shape, NaN or outside [−1, 1], as an unknown cell of a table may be.
        """
        return self._feedback("rows", self.rows(users), [len(users), self.num_items])

    @torch.no_grad()
    @full_precision
    def checked(self) -> FeedbackModel:
        """Itself, if what it says of its first users can be feedback.

        What it says of others is looked at when it is asked for.

        Raises:
            ValueError: a table ``[U, N]`` that it holds has a NaN; what it says is of another shape or outside [−1, 1],
                or ``rows`` and ``forward`` differ: hits and the
                number of relevant items would contradict each other; or its tensors are on several devices.
        """
        where = {str(part.device) for part in chain(self.parameters(), self.buffers())}
        if len(where) > 1:
            raise ValueError(expected("feedback", "on one device", sorted(where),
                                      "give its constructor `device`, or move the model with `.to(device)`"))
        self._check_tables()
        size = min(CHECKED, self.num_users, self.num_items)
        users = torch.arange(size, device=self.relevant.device)
        items = users + (self.num_items - size)
        pairs = self._feedback("forward", self(users, items), [size])
        same = self._feedback("rows", self.rows(users), [size, self.num_items])[users, items]
        if not torch.allclose(same, pairs, atol=1e-4):
            what = f"what `forward` says, {pairs.tolist()}, for users {users.tolist()} and items {items.tolist()}"
            raise ValueError(expected(f"{type(self).__name__}.rows", what, same.tolist()))
        return self

    def _check_tables(self) -> None:
        """Refuses a table of all feedback with unknown cells: what comes of NaN would stand first in any ranking."""
        for name, value in chain(self.named_parameters(), self.named_buffers(), vars(self).items()):
            if not isinstance(value, Tensor) or value.shape != (self.num_users, self.num_items):
                continue
            if bool(value.isnan().any()):
                user, item = value.isnan().nonzero()[0].tolist()
                raise ValueError(expected(f"{type(self).__name__}.{name}", "a number for every user and item",
                                          f"NaN for user {user}, item {item}",
                                          "what is not known needs a number, too, e.g. 0"))

    def _feedback(self, name: str, values: Tensor, shape: list[int]) -> Tensor:
        name = f"{type(self).__name__}.{name}"
        if list(values.shape) != shape:
            raise ValueError(expected(name, f"feedback of shape {shape} here", list(values.shape)))
        low, high = (float(value) for value in values.aminmax())
        if not (low >= -1 and high <= 1):  # NaN is not, either
            hint = "what is not known needs a number, too, e.g. 0" if math.isnan(low) else (
                "kgrl.simulator.normalise maps ratings there")
            raise ValueError(expected(name, "feedback in [-1, 1]", [low, high], hint))
        return values

    def chunks(self, users: Tensor) -> tuple[Tensor, ...]:
        """``users`` in parts whose ``rows`` are small enough to hold."""
        chunk = CPU_CHUNK if users.device.type == "cpu" else CHUNK
        return users.split(max(1, chunk // self.num_items)) if len(users) else ()


def _forget_counts(model: nn.Module, _: object) -> None:
    """Other weights make other counts."""
    model.get_buffer("relevant").fill_(-1)
