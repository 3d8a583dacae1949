"""``Logs``: logged ratings, those of a user's past and those that are to be found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets.ratings import BINARY
from kgrl.rating_scale import normalised_ratings
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions


@dataclass(frozen=True)
class Logs:
    """R ratings by U users of N items; those of one user stand together.

    Args:
        num_users, num_items: U and N.
        user, item, feedback, positive: ``[R]``, who rated what, how in [−1, 1], and whether above the threshold.
        past: ``[R]``, whether it is of her past; the others are to be found.
    """

    num_users: int
    num_items: int
    user: Tensor
    item: Tensor
    feedback: Tensor
    positive: Tensor
    past: Tensor

    @classmethod
    def of(cls, data: HeteroData, new: Tensor, hidden: float = 0.0, seed: int = 0) -> Logs:
        """The logged ratings of a data set; where they are 0 or 1, the zeros were drawn, not logged, and are left out.

        Args:
            data: with ratings.
            new: ``[K]``, items that are in nobody's past.
            hidden: the part of the ratings of old items, drawn at random, that is held back from the past.
            seed: of the draw.
        """
        ratings = normalised_ratings(data)
        positive = ratings.values > ratings.threshold
        order = ratings.users.argsort(stable=True)
        if tuple(data.rating_scale[:2]) == BINARY[:2]:
            order = order[positive[order]]
        item = ratings.items[order]
        is_new = torch.zeros(ratings.num_items, dtype=torch.bool).index_fill_(0, new, True)
        held = torch.rand(len(order), generator=generator_for("cpu", seed), dtype=torch.float) < hidden
        return cls(ratings.num_users, ratings.num_items, ratings.users[order], item, ratings.values[order],
                   positive[order], ~is_new[item] & ~held)

    def of_users(self, users: Tensor) -> Logs:
        """Those of ``users [B]`` alone, who are numbered by their place in it."""
        place = torch.full((self.num_users,), -1).index_copy_(0, users, torch.arange(len(users)))
        row = place[self.user]
        kept = (row >= 0).nonzero().view(-1)
        kept = kept[row[kept].argsort(stable=True)]
        return Logs(len(users), self.num_items, row[kept], self.item[kept], self.feedback[kept], self.positive[kept],
                    self.past[kept])

    def have(self, ratings: Tensor) -> Tensor:
        """``[U]``, whether a user has one of ``ratings [R]``, a mask."""
        return torch.bincount(self.user[ratings], minlength=self.num_users) > 0

    def past_length(self) -> Tensor:
        """``[U]``, how many ratings are of each user's past."""
        return torch.bincount(self.user[self.past], minlength=self.num_users)

    def liked_later(self) -> Tensor:
        """``[U, N]``, whether a user liked an item that is not in her past."""
        found = torch.zeros(self.num_users, self.num_items, dtype=torch.bool)
        kept = self.positive & ~self.past
        found[self.user[kept], self.item[kept]] = True
        return found

    def sessions(self, rows: Tensor) -> Sessions:
        """The past of the users ``rows [B]``, as sessions that begin with it and have no step of their own."""
        count = self.past_length()
        longest = int(count[rows].max())
        made = Sessions.empty(torch.full((len(rows),), -1), 0, begin=longest)
        column = torch.arange(longest) - (longest - count[rows]).unsqueeze(1)  # the last one in the last column
        there = column >= 0
        start = count.cumsum(0) - count
        at = self.past.nonzero().view(-1)[(start[rows].unsqueeze(1) + column)[there]]
        for values, own in ((made.items, self.item), (made.feedback, self.feedback), (made.rewards, self.feedback),
                            (made.positive, self.positive)):
            values[there] = own[at]
        return made
