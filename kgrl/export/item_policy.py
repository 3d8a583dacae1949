"""``ItemPolicy``: recommends the items of the highest value, all of which it looks at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.export.open_items import OpenItems


class ItemPolicy(nn.Module):
    """From histories to the k best items, for agents that value every item.

    Args:
        values: histories ``[B, L]`` and their feedback to values ``[B, P]``.
        num_items: N.
        k: how many.
        rule: which items are candidates; ``None``: whatever was not shown.
        pool: ``[P]``, which items are valued, in the order in which of equal values the first wins; ``None``: all N.
        threshold: feedback above it is positive.
        sort: whether to sort all values to have it so; ONNX, which has no such sort, promises it of its top k.

    Shapes:
        - **inputs:** items :math:`(B, L)`, −1 anywhere for none, and feedback :math:`(B, L)`
        - **outputs:** items :math:`(B, k)`, best first, −1 where there are fewer, and their values, −∞ there
    """

    def __init__(
        self, values: nn.Module, num_items: int, k: int, rule: OpenItems | None = None, pool: Tensor | None = None,
        threshold: float = 0.0, sort: bool = True,
    ) -> None:
        super().__init__()
        self.values, self.rule, self.num_items = values, rule, num_items
        self.k, self.threshold, self.sort = k, threshold, sort
        self.register_buffer("pool", pool)
        self.size = num_items if pool is None else len(pool)

    def forward(self, items: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
        gone = self._marked(items, items >= 0)
        left = ~gone
        if self.rule is not None:
            left = self.rule(self._marked(items, (items >= 0) & (feedback > self.threshold)).float(), gone)
        pool = self._buffers["pool"]
        if pool is not None:
            left = left.index_select(1, pool)
        values = self.values(items, feedback).masked_fill(~left, -torch.inf)
        count = min(self.k, self.size)
        if self.sort:
            best, place = (x[:, :count] for x in values.sort(dim=1, descending=True, stable=True))
        else:
            best, place = values.topk(count, dim=1)
        found = place if pool is None else F.embedding(place, pool.unsqueeze(1)).squeeze(2)
        found = found.masked_fill(best == -torch.inf, -1)
        more = (0, self.k - count)
        return F.pad(found, more, value=-1), F.pad(best, more, value=-torch.inf)

    def _marked(self, items: Tensor, counts: Tensor) -> Tensor:
        """``[B, N]``, which items occur where it ``counts [B, L]``."""
        marks = torch.zeros(items.size(0), self.num_items + 1, dtype=torch.bool)  # the last one stands for none
        return marks.scatter(1, torch.where(counts, items, self.num_items), torch.ones_like(counts))[:, :-1]


class Chained(nn.Module):
    """Values of states: ``values(state(items, feedback))``."""

    def __init__(self, state: nn.Module, values: nn.Module) -> None:
        super().__init__()
        self.state, self.values = state, values

    def forward(self, items: Tensor, feedback: Tensor) -> Tensor:
        found: Tensor = self.values(self.state(items, feedback))
        return found
