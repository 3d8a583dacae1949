"""Which items lie within k hops of what a batch of sessions liked: walked through the KG, or looked up in a table."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from kgrl.graph import checked_graph, distinct_pairs

_BITMAP_CELLS = 32  # marking keys in a bitmap and reading it off beats sorting them up to about so many cells a key
_MASK_CELLS = 32  # a row of bools instead of a list of items, up to so many cells an entry


def ragged_rows(ptr: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The positions of the CSR rows ``rows``, one after the other, and of each the index into ``rows``."""
    starts = ptr[rows]
    counts = ptr[rows + 1] - starts
    owner = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)
    shift = starts - (counts.cumsum(0) - counts)
    return torch.arange(len(owner), device=rows.device) + shift.index_select(0, owner), owner


def distinct(keys: Tensor, span: int) -> Tensor:
    """The distinct ``keys``, sorted; all lie in [0, ``span``)."""
    if span > _BITMAP_CELLS * len(keys):
        return keys.unique()
    marked = torch.zeros(span, dtype=torch.bool, device=keys.device)
    marked[keys] = True
    return marked.nonzero().view(-1)


def chunk_sizes(cost: Tensor, budget: int, most: int) -> list[int]:
    """Splits ``len(cost)`` things into runs that cost about ``budget`` and hold at most ``most`` things each."""
    # a run ends wherever either count passes a boundary; one thing may cost more than the budget alone
    run = (cost.cumsum(0) - cost).div(budget, rounding_mode="floor")
    run = run + torch.arange(len(cost), device=cost.device).div(max(most, 1), rounding_mode="floor")
    return run.unique_consecutive(return_counts=True)[1].tolist()


class KHopIndex(nn.Module):
    """What a batch of sessions can reach, as sorted keys ``row · stride + item``.

    Args:
        num_items: N.
        cost: ``[N]``, how much work each seed makes.
        budget: how much work is done at once: enough to keep the device busy, little enough to stay in its cache.
    """

    cost: Tensor

    def __init__(self, num_items: int, cost: Tensor, budget: int) -> None:
        super().__init__()
        self.num_items, self.budget = num_items, budget
        self.stride = num_items + 1  # the last column is for padding
        self.register_buffer("cost", torch.cat([cost.double(), cost.new_zeros(1).double()]), persistent=False)

    def forward(self, batch: Tensor, items: Tensor, rows: int) -> Tensor:
        """The items within 1 … k hops of each start, as keys in any order; a key may come several times.

        Args:
            batch: ``[S]``, the session of each start, in [0, ``rows``).
            items: ``[S]``, the starts.
            rows: how many sessions there are.
        """
        raise NotImplementedError

    def chunks(self, seeds: Tensor, extra: int) -> list[int]:
        """How many of the sessions ``seeds [B, L]``, each with ``extra`` items on top, to take at a time."""
        cost = self.cost[seeds].sum(dim=1) + (seeds.size(1) + extra + 1)  # padding, −1, is the last entry: free
        # keys of a chunk are sorted in 32 bits, one of which tells wanted and unwanted apart
        return chunk_sizes(cost, self.budget, 2**30 // self.stride)

    def union(self, seeds: Tensor, extra: Tensor, gone: Tensor) -> Tensor:
        """(k-hop items of ``seeds`` ∪ ``extra``) minus ``gone``, all ``[rows, …]``, as sorted distinct keys."""
        rows = len(seeds)
        first = torch.arange(rows, device=seeds.device)[:, None] * self.stride
        row, column = (seeds >= 0).nonzero().unbind(1)
        wanted = torch.cat([self(row, seeds[row, column], rows), (first + extra).view(-1)])
        unwanted = (first + gone)[gone >= 0]
        # One sort does union and difference: unwanted keys are made even and come just before their odd twins
        keys = torch.cat([unwanted * 2, wanted * 2 + 1]).int().sort().values
        before = torch.cat([keys.new_full((1,), -2), keys[:-1]])
        return keys[(keys & 1 == 1) & (before < keys - 1)].long() >> 1


class KHopWalk(KHopIndex):
    r"""Equation 9, :math:`E^l = \{t \mid (h, r, t) \in G, h \in E^{l-1}\}`, walked for many sessions at once.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        hops: k.
        max_degree: nodes with more neighbours are reached but not walked through; a start is always left.

    Raises:
        ValueError: another graph than that.
    """

    rowptr: Tensor
    tails: Tensor
    passable: Tensor

    def __init__(self, kg: Data, hops: int, max_degree: int | None = None) -> None:
        (rowptr, tails), _ = distinct_pairs(checked_graph(kg)).get_csr()
        degree = rowptr.diff()
        passable = torch.ones_like(degree, dtype=torch.bool) if max_degree is None else degree <= max_degree
        cost = _walked_edges(rowptr, tails, passable, hops)[: kg.num_items]
        super().__init__(int(kg.num_items), cost, budget=2**22)
        self.hops, self.num_nodes = hops, int(kg.num_nodes or 0)
        self.register_buffer("rowptr", rowptr, persistent=False)
        self.register_buffer("tails", tails, persistent=False)
        self.register_buffer("passable", passable, persistent=False)

    def forward(self, batch: Tensor, items: Tensor, rows: int) -> Tensor:
        nodes, reached = items, []
        for hop in range(self.hops):
            positions, owner = ragged_rows(self.rowptr, nodes)
            batch, nodes = batch.index_select(0, owner), self.tails.index_select(0, positions)
            is_item = nodes < self.num_items
            reached.append(batch[is_item] * self.stride + nodes[is_item])
            if hop + 1 < self.hops:
                onward = self.passable.index_select(0, nodes)
                frontier = distinct(batch[onward] * self.num_nodes + nodes[onward], rows * self.num_nodes)
                batch, nodes = frontier // self.num_nodes, frontier % self.num_nodes
        return torch.cat(reached)


def _walked_edges(rowptr: Tensor, tails: Tensor, passable: Tensor, hops: int) -> Tensor:
    """An upper bound of how many edges are walked from each node, for planning; in float64, as it grows with k."""
    walks = torch.ones(len(passable), dtype=torch.float64, device=tails.device)
    total = torch.zeros_like(walks)
    for hop in range(hops):
        onward = walks if hop == 0 else walks * passable
        # a hop walks each edge at most once, however many walks lead to it
        walks = cumsum(onward[tails])[rowptr].diff().clamp(max=float(len(tails)))
        total += walks
    return total


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
        super().__init__(num_items, torch.zeros(num_items, device=mask.device, dtype=torch.float), budget=2**21)
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
