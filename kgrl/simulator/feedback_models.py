"""``RatedFeedback`` and ``PlantedFeedback``, which say what the data say; and every feedback model by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import a_data_set
from kgrl.options import LARGEST, between, expected, resolve
from kgrl.rating_scale import normalise, normalised_ratings
from kgrl.simulator.feedback import FeedbackModel, Reaction
from kgrl.simulator.predicted import PredictedFeedback

CELLS = 4_000_000
"""Of how many (user, item) pairs a world of ratings makes a table, at 5 bytes each."""


class RatedFeedback(FeedbackModel):
    """The world of TPGR (Chen et al., 2019, section 5.1): ratings normalised to [−1, 1], 0 where there is none.

    The streak goes by the feedback's sign, in three classes: zero is neither and ends both streaks. Relevant (a hit) is
    a raw rating above ``relevant_above``, whatever threshold the data set has: a middling rating may have positive
    feedback and still be no hit, as in the authors' evaluation.

    A rating is looked up by binary search among its user's items, all pairs of a batch at once: 8 bytes a rating. Where
    there are at most :data:`CELLS` pairs of a user and an item, all pairs are kept in a table as well, which is faster.

    Args:
        data: holds ``data['user', 'rates', 'item']`` with ``rating``, and ``data.rating_scale``.
        relevant_above: on the raw scale.

    Raises:
        ValueError: ``relevant_above`` outside the scale, a rating outside it, or an item rated twice by a user.
    """

    start: Tensor
    items: Tensor
    values: Tensor
    table: Tensor | None
    rated: Tensor | None

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
        self._prepare()

    def _prepare(self) -> None:
        """What look-ups go by: how often the most active user's ratings can be halved, or the table of all pairs."""
        self._halvings, table, rated = int(self.start.diff().max()).bit_length(), None, None
        if self.num_users * self.num_items <= CELLS:
            row, at = self._entries(torch.arange(self.num_users, device=self.start.device))
            table = self.values.new_zeros(self.num_users, self.num_items)
            rated = torch.zeros_like(table, dtype=torch.bool)
            table[row, self.items[at].long()] = self.values[at]
            rated[row, self.items[at].long()] = True
        self.register_buffer("table", table, persistent=False)  # [U, N]
        self.register_buffer("rated", rated, persistent=False)  # [U, N], as a rating can be 0, too

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._prepare()

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self._look_up(users, items)[0]

    def _look_up(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(feedback ``[K]``, whether there is a rating ``[K]``)."""
        if self.table is not None and self.rated is not None:
            there, at = (items >= 0) & (items < self.num_items), items.clamp(0, self.num_items - 1)
            return self.table[users, at] * there, self.rated[users, at] & there
        # faster than searchsorted over keys user·N + item: the search is shorter, and steps of all pairs go together
        at, end, wanted = self.start[users], self.start[users + 1], items.to(torch.int32)
        last = len(self.items) - 1
        for size in (1 << power for power in reversed(range(self._halvings))):
            probe = at + (size - 1)
            before = (probe < end) & (self.items[probe.clamp_(max=last)] < wanted)
            at = at + before * size
        place = at.clamp(max=last)
        rated = (at < end) & (self.items[place] == wanted)
        return self.values[place] * rated, rated

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
        users = self.users_of(users)
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


class PlantedFeedback(FeedbackModel):
    r"""A world whose right answer is known: a user likes the items with one of her favourite attributes, no others.

    .. math:: r_{ui} = 1 \text{ if item i's attribute is among user u's favourites, else } -1

    Neither paper has it. The logged ratings are a sample of this feedback, and the KG says which items share an
    attribute: here a method that reads the KG has something to find there, which it has not in worlds that are fitted
    to ratings alone.

    Args:
        data: as :class:`~kgrl.datasets.SyntheticKGRec` makes it, with ``data['user'].taste [U, k]`` and
            ``data['item'].attribute [N]``.

    Raises:
        ValueError: it has no such tastes.
    """

    likes: Tensor
    attribute: Tensor

    def __init__(self, data: HeteroData) -> None:
        for node, name in (("user", "taste"), ("item", "attribute")):
            if name not in a_data_set("data", data, node)[node]:
                raise ValueError(expected("data", f"of planted tastes, with data[{node!r}].{name}", list(data[node]),
                                          "SyntheticKGRec makes such data"))
        taste, attribute = data["user"].taste, data["item"].attribute
        super().__init__(len(taste), len(attribute), device=taste.device)
        shape = len(taste), int(max(taste.max(), attribute.max())) + 1
        likes = torch.full(shape, -1.0, device=taste.device, dtype=torch.float)
        self.register_buffer("likes", likes.scatter_(1, taste, 1.0))  # [U, A], of −1 and 1
        self.register_buffer("attribute", attribute)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.likes[users, self.attribute[items]]

    def rows(self, users: Tensor) -> Tensor:
        return self.likes[users].index_select(1, self.attribute)


FEEDBACK_MODELS: dict[str, Callable[..., FeedbackModel]] = {
    "predicted": PredictedFeedback.fit, "rated": RatedFeedback, "planted": PlantedFeedback,
}
"""``"predicted"``: KGQR's world, everybody's feedback on everything by matrix factorization; ``"rated"``: TPGR's, the
logged ratings; ``"planted"``: tastes that the KG explains."""


def made_feedback(feedback: str | type[FeedbackModel] | FeedbackModel, data: HeteroData | None) -> FeedbackModel:
    """The feedback model.

    Args:
        feedback: a name among :data:`FEEDBACK_MODELS`; a class, made by its ``fit(data)`` where it has one, else by
            calling it with ``data``; or an instance.
        data: what a name or a class is made of.

    Raises:
        TypeError: ``feedback`` is none of these, or ``data`` no data set.
        ValueError: an unknown name, ``data`` beside an instance, or a name or a class without.
    """
    if isinstance(feedback, FeedbackModel):
        if data is not None:
            raise ValueError(expected("data", "left out beside an instance of a feedback model", type(data).__name__))
        return feedback
    hint = "e.g. Simulator(PredictedFeedback.fit(data)), or Simulator('predicted', data=data)"
    if not (isinstance(feedback, str) or (isinstance(feedback, type) and issubclass(feedback, FeedbackModel))):
        raise TypeError(expected("feedback", "a FeedbackModel, the name or the class of one", feedback, hint))
    if data is None:
        raise ValueError(expected("data", "given beside the name or class of a feedback model", None, hint))
    known = a_data_set("data", data)
    if isinstance(feedback, str):
        return resolve("feedback", feedback, FEEDBACK_MODELS, FeedbackModel, data=known)
    make: Callable[..., FeedbackModel] = getattr(feedback, "fit", feedback)
    return make(known)
