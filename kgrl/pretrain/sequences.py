"""``LikedSequences``: what each user liked, in the order of time, and as many parallel sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.options import at_least
from kgrl.pretrain.items import rating_users, ratings_of
from kgrl.seeding import generator_for


@dataclass(frozen=True)
class LikedSequences:
    """The positive items of some users and of nobody else, user after user, each user's oldest first.

    Args:
        items: ``[P]``, item ids.
        owner: ``[P]``, whose they are, as positions in the users asked for; never descending.
        num_items: N, of the data set.
        ordered: whether time orders a user's items. Where it is ``False`` the order is drawn at random, and what is
            learned from it is which items are liked together, not which follows which.
    """

    items: Tensor
    owner: Tensor
    num_items: int
    ordered: bool

    @classmethod
    def of(cls, data: HeteroData, users: Tensor, seed: int = 0) -> Self:
        """The items that ``users`` rated above the data set's threshold.

        Items of the same time are drawn in random order: there often are some (whoever rates a page of films sends them
        at once), and the order of their ids would be a pattern that no user made.

        Args:
            data: a data set; its ratings have a ``time`` where the order is known.
            users: ``[U]``, whose ratings may be seen: the training users, never the test users.
            seed: of the order of what time does not order.

        Raises:
            ValueError: no users, a user twice or unknown.
        """
        users = rating_users(data, users)
        owner, item, _ = ratings_of(data, users)
        rates = data["user", "rates", "item"]
        seen = torch.isin(rates.edge_index[0].to(users.device), users)
        liked = rates.rating.to(users.device)[seen] > data.rating_scale[2]
        owner, item = owner[liked], item[liked]
        keys = [torch.randperm(len(item), generator=generator_for("cpu", seed), device="cpu").to(users.device)]
        ordered = "time" in rates
        if ordered:
            keys.append(rates.time.to(users.device)[seen][liked])
        order = lexsort([*keys, owner])
        return cls(item[order], owner[order], data["item"].num_nodes, ordered)

    def likes(self) -> Tensor:
        """``[N]``, how many of the users liked each item."""
        return torch.bincount(self.items, minlength=self.num_items)

    def parallel(self, width: int, longest: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The sequences beside each other, as in the session-parallel mini-batches of Hidasi et al. (2016, Figure 2).

        The users stand one after the other in random order, and this line is cut into ``width`` lanes of equal length,
        so there is neither padding between sequences nor a lane that waits for another. Each sequence is cut into
        sessions of ``longest`` items, the first of them of random length.

        Args:
            width: lanes.
            longest: items a session at most.
            generator: of the order and the cuts, on the CPU.

        Returns:
            ``items [L, width]``, −1 behind the end of the line, and ``first [L, width]``, where a session begins.
        """
        at_least("width", width, 1)
        at_least("longest", longest, 1)
        device, count = self.items.device, torch.bincount(self.owner)
        line = torch.randperm(len(count), generator=generator, device="cpu").to(device)[self.owner].argsort(stable=True)
        place = torch.arange(len(line), device=device) - (count.cumsum(0) - count)[self.owner]
        phase = torch.randint(longest, (len(count),), generator=generator, device="cpu").to(device)[self.owner]
        first = ((place + phase) % longest == 0) | (place == 0)
        depth = -(-len(line) // width)
        items = torch.full((width * depth,), -1, device=device)
        begins = torch.ones(width * depth, dtype=torch.bool, device=device)
        items[: len(line)], begins[: len(line)] = self.items[line], first[line]
        items, begins = items.view(width, depth).t(), begins.view(width, depth).t().contiguous()
        begins[:1] = True  # where a lane cuts a session in two
        return items.contiguous(), begins
