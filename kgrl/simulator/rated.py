"""``RatedFeedback``: the logged ratings themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.options import LARGEST, between, expected
from kgrl.rating_scale import normalise, normalised_ratings
from kgrl.simulator.feedback import FeedbackModel, Reaction


class RatedFeedback(FeedbackModel):
    """The world of TPGR (Chen et al., 2019, section 5.1): ratings normalised to [−1, 1], 0 where there is none.

    The streak goes by the feedback's sign, in three classes: zero is neither and ends both streaks. Relevant (a hit) is
    a raw rating above ``relevant_above``, whatever threshold the data set has: a middling rating may have positive
    feedback and still be no hit, as in the authors' evaluation.

    A rating is looked up by binary search among its user's items, all pairs of a batch at once: 8 bytes a rating, no
    U × N table.

    Args:
        data: holds ``data['user', 'rates', 'item']`` with ``rating``, and ``data.rating_scale``.
        relevant_above: on the raw scale.

    Raises:
        ValueError: ``relevant_above`` outside the scale, a rating outside it, or an item rated twice by a user.
    """

    start: Tensor
    items: Tensor
    values: Tensor

    def __init__(self, data: HeteroData, relevant_above: float = 3.0) -> None:
        ratings = normalised_ratings(data)
        low, high, _ = data.rating_scale
        if not low <= between("relevant_above", relevant_above, -LARGEST, LARGEST) < high:
            raise ValueError(expected("relevant_above", f"a rating in [{low}, {high})", relevant_above,
                                      "it is on the data's raw scale"))
        # through the same arithmetic as the ratings, so that a rating equal to it is not above it
        super().__init__(ratings.num_users, ratings.num_items, float(normalise(relevant_above, low, high)),
                         ratings.users.device)
        keys, order = (ratings.users * self.num_items + ratings.items).sort()
        twice = keys[1:] == keys[:-1]
        if twice.any():
            user, item = divmod(int(keys[1:][twice][0]), self.num_items)
            raise ValueError(expected("data", "one rating a (user, item)", f"several of user {user} for item {item}"))
        users = torch.arange(self.num_users + 1, device=keys.device)
        start = torch.searchsorted(keys, users * self.num_items)
        self.register_buffer("start", start)  # [U + 1], where each user's ratings begin
        self.register_buffer("items", keys.remainder_(self.num_items).to(torch.int32))  # [R], ascending for each user
        self.register_buffer("values", ratings.values[order])
        self._count_halvings()

    def _count_halvings(self) -> None:
        """How often the ratings of the most active user can be halved."""
        self._halvings = int(self.start.diff().max()).bit_length()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count_halvings()

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self._look_up(users, items)[0]

    def _look_up(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(feedback ``[K]``, whether there is a rating ``[K]``)."""
        # faster than searchsorted over keys user·N + item: the search is shorter, and steps of all pairs go together
        at, end, wanted = self.start[users], self.start[users + 1], items.to(torch.int32)
        last = len(self.items) - 1
        for size in (1 << power for power in reversed(range(self._halvings))):
            probe = at + (size - 1)
            before = (probe < end) & (self.items[probe.clamp_(max=last)] < wanted)
            at = at + before * size
        found = at.clamp(max=last)
        rated = (at < end) & (self.items[found] == wanted)
        return self.values[found] * rated, rated

    def react(self, users: Tensor, items: Tensor) -> Reaction:
        feedback, rated = self._look_up(users, items)
        return Reaction(feedback, rated & (feedback > self.threshold), feedback.sign().to(torch.int8))

    def rows(self, users: Tensor) -> Tensor:
        row, at = self._entries(users)
        out = self.values.new_zeros(len(users), self.num_items)
        out[row, self.items[at].long()] = self.values[at]
        return out

    def count_relevant(self, users: Tensor, items: Tensor | None = None) -> Tensor:
        row, at = self._entries(users)
        hit = self.values[at] > self.threshold
        if items is not None:
            wanted = torch.zeros(self.num_items, dtype=torch.bool, device=at.device).index_fill_(0, items, True)
            hit &= wanted[self.items[at].long()]
        return torch.bincount(row[hit], minlength=len(users))

    def mean_feedback(self, users: Tensor) -> Tensor:
        _, at = self._entries(users)  # from the ratings alone: the rest is 0
        items, values = self.items[at].long(), self.values[at]
        return torch.bincount(items, weights=values, minlength=self.num_items).to(values.dtype) / len(users)

    def _entries(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """The ratings of ``users [B]``: (row in ``users`` ``[K]``, position in ``items`` ``[K]``)."""
        start = self.start[users]
        count = self.start[users + 1] - start
        row = torch.repeat_interleave(torch.arange(len(users), device=users.device), count)
        before = count.cumsum(0) - count
        return row, torch.arange(len(row), device=users.device) + (start - before)[row]
