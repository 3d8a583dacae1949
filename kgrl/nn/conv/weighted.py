"""Weighted sums over neighbourhoods: the fused path of aggregators that weigh each edge."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex

from kgrl.nn.conv.neighbours import Rows, in_neighbours
from kgrl.options import expected

CHUNK = 8_192
"""Edges whose rows are multiplied at once: few enough to stay in the processor's cache."""


class OrderedEdges(NamedTuple):
    """M edges in two orders: by target, and by source for the gradient.

    Args:
        ptr: ``[T + 1]``, where the edges of each target begin.
        source: ``[M]``, by target.
        target: ``[M]``, by target.
        ptr_t: ``[S + 1]``, where the edges of each source begin.
        target_t: ``[M]``, by source.
        order: ``[M]``, the position by target of each edge by source.
    """

    ptr: Tensor
    source: Tensor
    target: Tensor
    ptr_t: Tensor
    target_t: Tensor
    order: Tensor

    @classmethod
    def of(cls, edge_index: EdgeIndex, num_sources: int, num_targets: int) -> OrderedEdges:
        """Of edges sorted by column; the ``EdgeIndex`` keeps both orders from one call to the next."""
        ptr, source = in_neighbours(edge_index, num_targets)
        (ptr_t, target_t), order = edge_index.get_csr()
        ptr_t = Rows(ptr_t.to(source.dtype), target_t).padded(num_sources).ptr
        return cls(ptr, source, edge_index.as_tensor()[1], ptr_t, target_t, order)


class _WeightedSum(torch.autograd.Function):
    """``A @ x``, or ``Aᵀ @ x``, for a matrix ``A [T, S]`` whose entries are the edges' weights.

    Like the unweighted sum it writes no message and adds in a fixed order, backward too.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, edges: OrderedEdges, transposed: bool) -> Tensor:
        return _bag(x, weight, edges, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.edges, ctx.transposed = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, (x, weight) = grads[0].contiguous(), ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _WeightedSum.apply(grad, weight, ctx.edges, not ctx.transposed)
        if ctx.needs_input_grad[1]:
            at_targets, at_sources = (x, grad) if ctx.transposed else (grad, x)
            of_weight = _EdgeDot.apply(at_targets, at_sources, ctx.edges)
        return of_x, of_weight, None, None


class _EdgeDot(torch.autograd.Function):
    """``[M]``, for each edge the dot product of its target's row and its source's: the gradient of its weight."""

    @staticmethod
    def forward(at_targets: Tensor, at_sources: Tensor, edges: OrderedEdges) -> Tensor:
        parts = [torch.linalg.vecdot(at_targets.index_select(0, target), at_sources.index_select(0, source), dim=1)
                 for target, source in zip(edges.target.split(CHUNK), edges.source.split(CHUNK), strict=True)]
        return torch.cat(parts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        at_targets, at_sources, ctx.edges = inputs
        ctx.save_for_backward(at_targets, at_sources)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        at_targets, at_sources = ctx.saved_tensors
        return (_WeightedSum.apply(at_sources, grads[0], ctx.edges, False),
                _WeightedSum.apply(at_targets, grads[0], ctx.edges, True), None)


def _bag(x: Tensor, weight: Tensor, edges: OrderedEdges, transposed: bool) -> Tensor:
    if transposed:
        weight, columns, ptr = weight.index_select(0, edges.order), edges.target_t, edges.ptr_t
    else:
        columns, ptr = edges.source, edges.ptr
    return F.embedding_bag(columns, x, ptr, mode="sum", include_last_offset=True, per_sample_weights=weight)


def weighted_sum(
    x: Tensor, weight: Tensor, edge_index: EdgeIndex, num_targets: int, mean: bool = False
) -> Tensor:
    """For every target the weighted sum of its neighbours' rows; zero where it has none.

    Args:
        x: ``[num_sources, channels]``.
        weight: ``[M]``, of each edge; or ``[M, K]``, for K sums side by side.
        edge_index: source → target, sorted by column.
        num_targets: rows of the result.
        mean: divide by the number of edges, whatever they weigh.

    Returns:
        ``[num_targets, channels]`` or ``[num_targets, K · channels]``, differentiable in ``x`` and ``weight`` any
        number of times.
    """
    edges, x = OrderedEdges.of(edge_index, x.size(0), num_targets), x.contiguous()
    columns = _by_edge(weight).to(x.dtype).unbind(1)
    out = torch.cat([_WeightedSum.apply(x, column.contiguous(), edges, False) for column in columns], dim=1)
    return out / edges.ptr.diff().clamp_(min=1).unsqueeze(1).to(out.dtype) if mean else out


def weighted_messages(sent_j: Tensor, weight: Tensor) -> Tensor:
    """The messages ``[M, channels]`` or ``[M, K · channels]`` that :func:`weighted_sum` adds without writing them."""
    return (sent_j.unsqueeze(1) * _by_edge(weight).to(sent_j.dtype).unsqueeze(2)).flatten(1)


def attended(messages: Tensor, alpha: Tensor) -> Tensor:
    """Messages times an attention's weights.

    Args:
        messages: ``[M, …]``; of H heads ``[M, H, …]``, or side by side, ``[M, H · channels]``.
        alpha: ``[M]``, or ``[M, H]``.

    Raises:
        ValueError: the heads do not fit the messages.
    """
    if alpha.dim() == 1:
        return messages * alpha.view(-1, *[1] * (messages.dim() - 1))
    heads = alpha.size(1)
    if messages.dim() > 2 and messages.size(1) == heads:
        return messages * alpha.view(-1, heads, *[1] * (messages.dim() - 2))
    if messages.dim() != 2 or messages.size(1) % heads:
        raise ValueError(expected("messages", f"[edges, {heads}, …], or a multiple of {heads} channels wide: `score` "
                                  "has as many heads", list(messages.shape)))
    return (messages.unflatten(1, (heads, -1)) * alpha.unsqueeze(-1)).flatten(1)


def _by_edge(weight: Tensor) -> Tensor:
    """``[M, K]``, also where K is 1."""
    return weight.unsqueeze(1) if weight.dim() == 1 else weight
