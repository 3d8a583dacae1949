"""``Pool``: the items that a simulator's sessions are shown, where these are not all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.options import expected, ids
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
