"""Reductions over ragged candidates: values ``[K]`` with the session ``batch [K]`` each belongs to."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.utils import cumsum, degree, scatter

from kgrl.sessions import UNDEFINED


def ragged_argmax(values: Tensor, batch: Tensor, size: int) -> Tensor:
    """``[size]``, the position in ``values`` of each session's highest one; −1 where a session has none.

    ``UNDEFINED`` where its highest is no finite number, −∞ included: what may not be shown is not among them. Of equal
    values the first wins, so that the answer does not depend on the device.
    """
    highest = scatter(values, batch, dim_size=size, reduce="max")
    at = (values == highest[batch]).nonzero().squeeze(1)
    first = torch.full((size,), len(values), device=values.device)
    first.scatter_reduce_(0, batch[at], at, reduce="amin")
    return first.masked_fill_(first == len(values), -1).masked_fill_(~(highest.abs() < torch.inf), UNDEFINED)


def ragged_topk(values: Tensor, batch: Tensor, size: int, k: int) -> Tensor:
    """``[size, k]``, the positions of each session's k highest values, best first, padded with −1."""
    order = values.argsort(descending=True, stable=True)
    order = order[batch[order].argsort(stable=True)]
    sorted_batch = batch[order]
    starts = cumsum(degree(batch, size, dtype=torch.long))[:-1]
    rank = torch.arange(len(values), device=values.device) - starts[sorted_batch]
    kept = rank < k
    top = torch.full((size, k), -1, device=values.device)
    top[sorted_batch[kept], rank[kept]] = order[kept]
    return top
