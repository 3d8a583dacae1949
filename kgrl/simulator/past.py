"""``Past``: what users received before a session, as logged ratings tell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.objects import RATES
from kgrl.options import a_tensor, at_least, expected, ids
from kgrl.rating_scale import normalised_ratings
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.pool import Pool


class Past(nn.Module):
    """The last items that each user rated, which her sessions begin with: real users have a past.

    It is the evaluated users' too, as a service knows what they rated before. So it holds old items alone.

    Args:
        items: ``[U, L]``, distinct item ids, oldest first, with −1 before the first where a user has fewer than L.
        feedback: ``[U, L]``, how each was received, in [−1, 1].

    Raises:
        ValueError: tensors that do not fit together, an item twice, or feedback outside [−1, 1].
    """

    items: Tensor
    feedback: Tensor

    def __init__(self, items: Tensor, feedback: Tensor) -> None:
        super().__init__()
        if a_tensor("items", items).dim() != 2 or items.dtype != torch.long or not items.size(1):
            came = f"{items.dtype} {list(items.shape)}"
            raise ValueError(expected("items", "a LongTensor [U, L] of item ids, -1 for none", came))
        if a_tensor("feedback", feedback).shape != items.shape or not bool((feedback.abs() <= 1).all()):
            what = f"numbers in [-1, 1], of the shape of `items`, {list(items.shape)}"
            raise ValueError(expected("feedback", what, list(feedback.shape)))
        ids = items.sort(1).values
        twice = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] >= 0)
        if twice.any():
            user, place = twice.nonzero()[0].tolist()
            raise ValueError(expected("items", "each item once a user", f"item {int(ids[user, place])} of user {user}"))
        self.register_buffer("items", items.clone())
        self.register_buffer("feedback", feedback.float().masked_fill(items < 0, 0))

    @classmethod
    def from_data(cls, data: HeteroData, items: Tensor, longest: int = 32, seed: int = 0) -> Past:
        """Each user's last ratings of ``items``, at most ``longest``.

        The last ones are those of the latest time. Where nothing was timed, and among ratings of one time, chance
        decides.

        Args:
            data: a data set.
            items: ``[K]``, of what items: the old ones.
            longest: L.
            seed: of what chance decides.

        Raises:
            ValueError: no items or unknown ones, no ratings, or several of one item by one user.
        """
        at_least("longest", longest, 1)
        ratings = normalised_ratings(data)
        items = ids("items", items, ratings.num_items)
        device = ratings.users.device
        wanted = torch.zeros(ratings.num_items, dtype=torch.bool, device=device).index_fill_(0, items.to(device), True)
        kept = wanted[ratings.items].nonzero().view(-1)
        chance = torch.rand(len(kept), generator=generator_for("cpu", seed), device="cpu", dtype=torch.float).to(device)
        keys = [chance, ratings.users[kept]] if "time" not in data[RATES] else [
            chance, data[RATES].time[kept], ratings.users[kept]]
        kept = kept[lexsort(keys)]  # by user, then time, then chance
        user = ratings.users[kept]
        ends = torch.bincount(user, minlength=ratings.num_users).cumsum(0)
        column = longest - (ends[user] - torch.arange(len(kept), device=device))  # the last one in the last column
        recent = column >= 0
        cells = (user[recent], column[recent])
        shape = ratings.num_users, longest
        found = torch.full(shape, -1, device=device).index_put_(cells, ratings.items[kept[recent]])
        received = torch.zeros(shape, device=device, dtype=torch.float).index_put_(cells, ratings.values[kept[recent]])
        return cls(found, received)

    def begin(self, users: Tensor, horizon: int, threshold: float) -> Sessions:
        """Sessions of ``users [B]`` that begin with their past.

        Args:
            users: ids.
            horizon: T, steps to come.
            threshold: feedback above it is positive.
        """
        sessions, longest = Sessions.empty(users, horizon, self.items.size(1)), self.items.size(1)
        items, feedback = self.items[users], self.feedback[users]
        sessions.items[:, :longest] = items
        sessions.feedback[:, :longest] = feedback
        sessions.rewards[:, :longest] = feedback
        sessions.positive[:, :longest] = (feedback > threshold) & (items >= 0)
        return sessions

    def extra_repr(self) -> str:
        return f"{len(self.items)} users, at most {self.items.size(1)} items each"


def checked_past(past: Past, feedback: FeedbackModel, pool: Pool | None) -> Past:
    """``past``, if sessions of this world can begin with it.

    Raises:
        TypeError: it is none.
        ValueError: it is of other users or items, or has some that sessions are shown.
    """
    if not isinstance(past, Past):
        raise TypeError(expected("past", "a Past", type(past).__name__, "Past.from_data(data, old) makes one"))
    if len(past.items) != feedback.num_users or int(past.items.max()) >= feedback.num_items:
        what = f"of {feedback.num_users} users, with items below {feedback.num_items}"
        raise ValueError(expected("past", what, f"{len(past.items)} users, items up to {int(past.items.max())}"))
    if pool is None:
        raise ValueError(expected("items", "given where there is a `past`", None, "give the items that are not in it"))
    inside = pool.inside.to(past.items.device)[past.items.clamp(min=0)] & (past.items >= 0)
    if inside.any():
        raise ValueError(expected("past", "of items that the simulator does not show", int(past.items[inside][0]),
                                  "Past.from_data(data, items=old) takes old items alone"))
    return past
