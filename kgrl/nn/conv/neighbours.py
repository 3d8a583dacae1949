"""Sums over neighbourhoods, forward and backward, as one read of each source row: the engine of the fused layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor
from torch_geometric.utils.sparse import index2ptr

from kgrl.options import expected


class Rows(NamedTuple):
    """A 0/1 matrix in compressed rows: row r has its ones in ``columns[ptr[r]:ptr[r + 1]]``; one twice there is a 2."""

    ptr: Tensor
    columns: Tensor

    def padded(self, num_rows: int) -> Rows:
        """The same with ``num_rows`` rows, the new ones empty."""
        missing = num_rows + 1 - self.ptr.numel()
        if missing < 0:
            raise ValueError(expected("x", f"a row for each of the graph's {self.ptr.numel() - 1} nodes", num_rows))
        return Rows(F.pad(self.ptr, (0, missing), value=self.columns.numel()), self.columns) if missing else self

    def transposed(self, num_columns: int) -> Rows:
        """The transposed matrix."""
        row = torch.arange(self.ptr.numel() - 1, device=self.ptr.device).repeat_interleave(self.ptr.diff())
        column, order = self.columns.sort(stable=True)
        return Rows(index2ptr(column, num_columns), row[order])


class _NeighbourSum(torch.autograd.Function):
    """``A @ x`` for a 0/1 matrix ``A``; its gradient is the same sum over the transposed matrix.

    An embedding bag reads each row once, writes no message, and adds in a fixed order: the gradient is bit for bit the
    same in every run, which the scatter of a plain gather's backward is not.
    """

    @staticmethod
    def forward(x: Tensor, ptr: Tensor, columns: Tensor, ptr_t: Tensor, columns_t: Tensor) -> Tensor:
        return _bag(x, Rows(ptr, columns))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        ptr, columns, ptr_t, columns_t = ctx.saved_tensors
        return _NeighbourSum.apply(grads[0].contiguous(), ptr_t, columns_t, ptr, columns), None, None, None, None


def _bag(x: Tensor, rows: Rows) -> Tensor:
    return F.embedding_bag(rows.columns, x, rows.ptr, mode="sum", include_last_offset=True)


def neighbour_sum(x: Tensor, adj_t: Adj, num_targets: int, mean: bool = False) -> Tensor:
    """For every target the sum, or the mean, of its neighbours' rows; zero where it has none.

    Args:
        x: ``[num_sources, channels]``.
        adj_t: who hears whom: an ``EdgeIndex`` sorted by column (source → target), or a transposed adjacency matrix
            ``[num_targets, num_sources]``, ``torch.sparse`` or ``SparseTensor``, whose values are not looked at.
        num_targets: rows of the result.
        mean: divide by the number of neighbours.

    Returns:
        ``[num_targets, channels]``, differentiable in ``x`` any number of times.
    """
    rows = in_neighbours(adj_t, num_targets)
    if torch.is_grad_enabled() and x.requires_grad:
        out = _NeighbourSum.apply(x, *rows, *_columns(adj_t, rows, x.size(0)))
    else:
        out = _bag(x, rows)
    return out / rows.ptr.diff().clamp_(min=1).unsqueeze(1).to(out.dtype) if mean else out


def _columns(adj_t: Adj, rows: Rows, num_sources: int) -> Rows:
    """The transposed matrix, for the gradient; an ``EdgeIndex`` keeps it from one call to the next."""
    if isinstance(adj_t, EdgeIndex):
        (ptr, columns), _ = adj_t.get_csr()
        return Rows(ptr.to(columns.dtype), columns).padded(num_sources)
    return rows.transposed(num_sources)


def plain_edges(edge_index: Adj) -> Tensor:
    """``[2, M]``, the edges that types and attributes go along with.

    Raises:
        ValueError: it is a sparse matrix, whose entries have an order of their own.
    """
    if isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index):
        what = "a tensor or EdgeIndex [2, M] for an aggregator that uses edge types, attributes or weights"
        hint = "a sparse matrix cannot take these along"
        raise ValueError(expected("edge_index", what, type(edge_index).__name__, hint))
    return edge_pairs(edge_index)


def edge_pairs(edge_index: Adj) -> Tensor:
    """``[2, M]``: (source, target) of an edge tensor, (row, column) of a matrix, whose values are not looked at."""
    if isinstance(edge_index, SparseTensor):
        return torch.stack(edge_index.coo()[:2])
    if is_torch_sparse_tensor(edge_index):
        return edge_index.to_sparse_coo()._indices()
    return edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index


def in_neighbours(edge_index: Adj, num_targets: int) -> Rows:
    """The neighbours that each target hears, in the order of the edges.

    Args:
        edge_index: ``[2, M]``, source → target, or a transposed adjacency matrix ``[num_targets, num_sources]``.
        num_targets: rows of the result.
    """
    if isinstance(edge_index, SparseTensor):
        ptr, columns, _ = edge_index.csr()
    elif is_torch_sparse_tensor(edge_index):
        csr = edge_index if edge_index.layout == torch.sparse_csr else edge_index.to_sparse_csr()
        ptr, columns = csr.crow_indices(), csr.col_indices()
    elif isinstance(edge_index, EdgeIndex) and edge_index.is_sorted_by_col:
        (ptr, columns), _ = edge_index.get_csc()
    else:
        edges = plain_edges(edge_index)
        target, order = edges[1].sort(stable=True)
        ptr, columns = index2ptr(target, num_targets), edges[0][order]
    return Rows(ptr.to(columns.dtype), columns).padded(num_targets)
