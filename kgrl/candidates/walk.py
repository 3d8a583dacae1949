"""Walking k hops from many nodes at once, and the table of every item's k-hop items."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from kgrl.graph import distinct_pairs

WORK = 2**22  # walked edges, table entries or mask cells handled at once: bounds the memory of every step below
_BITMAP_CELLS = 32  # marking keys in a bitmap and reading it off beats sorting them up to about so many cells a key
_DENSE_CELLS = 32  # a bool row instead of a list of items, up to so many cells an entry


def ragged_rows(ptr: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The positions of the CSR rows ``rows``, one after the other, and of each the index into ``rows``."""
    starts = ptr[rows]
    counts = ptr[rows + 1] - starts
    owner = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)
    shift = starts - (counts.cumsum(0) - counts)
    return torch.arange(len(owner), device=rows.device) + shift[owner], owner


def distinct(keys: Tensor, span: int) -> Tensor:
    """The distinct ``keys``, sorted; all lie in [0, ``span``)."""
    if span > _BITMAP_CELLS * len(keys):
        return keys.unique()
    marked = torch.zeros(span, dtype=torch.bool, device=keys.device)
    marked[keys] = True
    return marked.nonzero().view(-1)


def chunk_sizes(cost: Tensor, most: int) -> list[int]:
    """Splits ``len(cost)`` things into runs that cost about ``WORK`` and hold at most ``most`` things each."""
    # a run ends wherever either count passes a boundary; one thing may cost more than WORK alone
    run = cost.cumsum(0).sub(cost).div(WORK, rounding_mode="floor")
    run = run + torch.arange(len(cost), device=cost.device).div(max(most, 1), rounding_mode="floor")
    return run.unique_consecutive(return_counts=True)[1].tolist()


class KHopWalk(nn.Module):
    r"""Equation 9, :math:`E^l = \{t \mid (h, r, t) \in G, h \in E^{l-1}\}`, walked for many sessions at once.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        hops: k.
        max_degree: nodes with more neighbours are reached but not walked through; a start is always left.
    """

    rowptr: Tensor
    tails: Tensor
    passable: Tensor
    cost: Tensor

    def __init__(self, kg: Data, hops: int, max_degree: int | None = None) -> None:
        super().__init__()
        self.hops, self.num_items, self.num_nodes = hops, int(kg.num_items), int(kg.num_nodes or 0)
        (rowptr, tails), _ = distinct_pairs(kg).get_csr()
        degree = rowptr.diff()
        passable = torch.ones_like(degree, dtype=torch.bool) if max_degree is None else degree <= max_degree
        self.register_buffer("rowptr", rowptr, persistent=False)
        self.register_buffer("tails", tails, persistent=False)
        self.register_buffer("passable", passable, persistent=False)
        self.register_buffer("cost", self._walked_edges(), persistent=False)

    def _walked_edges(self) -> Tensor:
        """``[N]``: an upper bound of the edges walked from an item, for planning; float64, as it grows with k."""
        walks = torch.ones(self.num_nodes, dtype=torch.float64, device=self.tails.device)
        total = torch.zeros_like(walks)
        for hop in range(self.hops):
            onward = walks if hop == 0 else walks * self.passable
            # a hop walks each edge at most once, however many walks lead to it
            walks = cumsum(onward[self.tails])[self.rowptr].diff().clamp(max=float(len(self.tails)))
            total += walks
        return total[: self.num_items]

    def forward(self, batch: Tensor, items: Tensor, rows: int) -> Tensor:
        """The items within 1 … k hops, as keys ``batch · N + item``; a key may come several times.

        Args:
            batch: ``[S]``, the session of each start, in [0, ``rows``).
            items: ``[S]``, the starts.
            rows: how many sessions there are.
        """
        nodes, reached = items, []
        for hop in range(self.hops):
            positions, owner = ragged_rows(self.rowptr, nodes)
            batch, nodes = batch[owner], self.tails[positions]
            is_item = nodes < self.num_items
            reached.append(batch[is_item] * self.num_items + nodes[is_item])
            if hop + 1 < self.hops:
                onward = self.passable[nodes]
                frontier = distinct(batch[onward] * self.num_nodes + nodes[onward], rows * self.num_nodes)
                batch, nodes = frontier // self.num_nodes, frontier % self.num_nodes
        return torch.cat(reached)


class KHopTable(nn.Module):
    """Every item's k-hop items, walked once: the items of several seeds are the union of theirs.

    Attributes:
        rowptr, items: the sets as CSR, or
        mask: ``[N + 1, N + 1]``, as rows of a bool matrix where the sets are large; the last row and column are empty
            (padding).
    """

    rowptr: Tensor | None
    items: Tensor | None
    mask: Tensor | None
    cost: Tensor

    def __init__(self, num_items: int, rowptr: Tensor | None, items: Tensor | None, mask: Tensor | None) -> None:
        super().__init__()
        self.num_items = num_items
        self.register_buffer("rowptr", rowptr, persistent=False)
        self.register_buffer("items", items, persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("cost", None if rowptr is None else rowptr.diff(), persistent=False)

    @classmethod
    def build(cls, walk: KHopWalk, limit: int) -> KHopTable | None:
        """The table, or ``None`` where it would have more than ``limit`` entries (of 4 bytes)."""
        size, device = walk.num_items, walk.tails.device
        dense = (size + 1) ** 2 <= 4 * limit
        mask = torch.zeros(size + 1, size + 1, dtype=torch.bool, device=device) if dense else None
        counts, parts, total, start = [], [], 0, 0
        for rows in chunk_sizes(walk.cost, size):
            own = torch.arange(start, start + rows, device=device)
            keys = walk(own - start, own, rows)
            if mask is not None:
                mask[start + keys // size, keys % size] = True
            else:
                keys = distinct(keys, rows * size)
                counts.append(torch.bincount(keys // size, minlength=rows))
                parts.append((keys % size).int())
                total += len(keys)
                if total > limit:
                    return None
            start += rows
        if mask is not None:
            row, item = mask.nonzero().unbind(1)
            if len(row) * _DENSE_CELLS >= mask.numel():
                return cls(size, None, None, mask)
            counts, parts = [torch.bincount(row, minlength=size)[:size]], [item.int()]
        rowptr = cumsum(torch.cat(counts)) if counts else torch.zeros(1, dtype=torch.long, device=device)
        return cls(size, rowptr, torch.cat(parts) if parts else rowptr[:0].int(), None)

    def forward(self, batch: Tensor, items: Tensor, rows: int) -> Tensor:
        """As :meth:`KHopWalk.forward`, looked up."""
        assert self.rowptr is not None
        assert self.items is not None
        positions, owner = ragged_rows(self.rowptr, items)
        return (batch * self.num_items)[owner] + self.items[positions]
