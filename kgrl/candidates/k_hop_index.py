"""Every item's k-hop items, walked once: what several seeds reach is the union of what each reaches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from kgrl.candidates.expansion import KHopIndex, KHopWalk, chunk_sizes, distinct, ragged_rows

_MASK_CELLS = 32  # a row of bools instead of a list of items, up to so many cells an entry


class KHopLists(KHopIndex):
    """The table as CSR: item i reaches ``items[rowptr[i]:rowptr[i + 1]]``. For sets that are small beside N."""

    rowptr: Tensor
    items: Tensor

    def __init__(self, num_items: int, rowptr: Tensor, items: Tensor) -> None:
        # sorting costs three times as much a key once they leave the cache; a GPU wants as many as memory allows
        super().__init__(num_items, rowptr.diff(), budget=2**17 if items.device.type == "cpu" else 2**24)
        self.register_buffer("rowptr", rowptr, persistent=False)
        self.register_buffer("items", items, persistent=False)

    def forward(self, batch: Tensor, items: Tensor, rows: int) -> Tensor:
        positions, owner = ragged_rows(self.rowptr, items)
        return (batch * self.stride).index_select(0, owner) + self.items.index_select(0, positions)


class KHopMasks(KHopIndex):
    """The table as a bool matrix ``[N + 1, N + 1]``, last row and column empty. For sets that are large beside N."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        num_items = len(mask) - 1
        super().__init__(num_items, torch.zeros(num_items, device=mask.device), budget=2**21)
        self.register_buffer("mask", mask, persistent=False)

    def chunks(self, seeds: Tensor, extra: int) -> list[int]:
        cells = torch.full((len(seeds),), float(self.stride), dtype=torch.float64, device=seeds.device)
        return chunk_sizes(cells, self.budget, len(seeds))

    def union(self, seeds: Tensor, extra: Tensor, gone: Tensor) -> Tensor:
        wanted = self.mask.new_zeros(len(seeds), self.stride)
        for seed in seeds.where(seeds >= 0, self.num_items).unbind(1):  # over the steps of the sessions
            wanted |= self.mask.index_select(0, seed)
        wanted.scatter_(1, extra, True)
        wanted.scatter_(1, gone.where(gone >= 0, self.num_items), False)
        return wanted.view(-1).nonzero().view(-1)


def tabulate(walk: KHopWalk, limit: int) -> KHopLists | KHopMasks | None:
    """The table, or ``None`` where it would have more than ``limit`` entries of 4 bytes, or ``limit`` is 0.

    A matrix that fits is filled first, and turned into lists where these are much smaller.
    """
    if limit == 0:
        return None
    if walk.stride**2 > 4 * limit:
        return _lists(walk, limit)
    mask = torch.zeros(walk.stride, walk.stride, dtype=torch.bool, device=walk.tails.device)
    for start, _, keys in _walk_all(walk):
        mask.view(-1)[keys + start * walk.stride] = True
    keys = mask.view(-1).nonzero().view(-1)
    if len(keys) * _MASK_CELLS >= mask.numel():
        return KHopMasks(mask)
    counts = torch.bincount(keys // walk.stride, minlength=walk.num_items)
    return KHopLists(walk.num_items, cumsum(counts), (keys % walk.stride).int())


def _lists(walk: KHopWalk, limit: int) -> KHopLists | None:
    none = walk.tails[:0]
    counts, items, total = [none], [none.int()], 0
    for _, rows, keys in _walk_all(walk):
        keys = distinct(keys, rows * walk.stride)
        counts.append(torch.bincount(keys // walk.stride, minlength=rows))
        items.append((keys % walk.stride).int())
        total += len(keys)
        if total > limit:
            return None
    return KHopLists(walk.num_items, cumsum(torch.cat(counts)), torch.cat(items))


def _walk_all(walk: KHopWalk) -> Iterator[tuple[int, int, Tensor]]:
    """Walks from every item, some at a time: the first of them, how many, and their keys."""
    start = 0
    for rows in chunk_sizes(walk.cost[:-1], walk.budget, walk.num_items):
        own = torch.arange(rows, device=walk.tails.device)
        yield start, rows, walk(own, own + start, rows)
        start += rows
