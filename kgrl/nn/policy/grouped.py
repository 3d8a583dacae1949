"""``Grouping``: many small networks, each applied to its own rows, as batched products."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 8, 256
"""Rows of a block at least and at most: small blocks waste little padding, large ones read a network's weights less."""


class Grouping:
    r"""Lays R rows out in blocks of equal size, every block holding rows of one group.

    A group's weights are then read once a block, not once a row, and no loop runs over groups. The number of blocks
    follows from R and G alone, so that nothing waits for the device; spare blocks are padding.

    Args:
        group: ``[R]``, each row's group in [first, first + G).
        num_groups: G.
        first: the number of the first group.
    """

    def __init__(self, group: Tensor, num_groups: int, first: int = 0) -> None:
        rows, device, group = len(group), group.device, group - first if first else group
        size = SMALLEST
        while size < LARGEST and 2 * size * num_groups <= rows:
            size *= 2
        ordered, order = group.to(_narrow(num_groups)).sort(stable=True)
        groups = torch.arange(num_groups, device=device, dtype=ordered.dtype)
        stop = torch.searchsorted(ordered, groups, right=True)  # bincount would wait for the device
        start = F.pad(stop[:-1], (1, 0))
        blocks = (stop - start + size - 1) // size
        end = blocks.cumsum(0)
        slots = (rows // size + min(num_groups, rows)) * size
        self.shape = (slots // size, size)
        self.group = torch.searchsorted(end, torch.arange(self.shape[0], device=device), right=True).clamp_(
            max=num_groups - 1) + first
        ordered = ordered.long()
        at = torch.arange(rows, device=device) + ((end - blocks) * size - start)[ordered]
        self._slot = torch.empty_like(at).index_copy_(0, order, at)
        self._row = at.new_zeros(slots).index_copy_(0, at, order)  # padding repeats row 0; nobody reads its result

    def spread(self, x: Tensor) -> Tensor:
        """``[R, F]`` → ``[blocks, size, F]``."""
        return F.embedding(self._row, x).view(*self.shape, x.size(1))

    def collect(self, blocks: Tensor) -> Tensor:
        """``[blocks, size, F]`` → ``[R, F]``."""
        return F.embedding(self._slot, blocks.reshape(-1, blocks.size(-1)))

    def linear(self, blocks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Each block through its group's layer.

        Args:
            blocks: ``[blocks, size, in]``.
            weight: ``[G, in, out]``.
            bias: ``[G, out]``.
        """
        # embedding, as its gradient adds in a fixed order
        own = F.embedding(self.group, weight.flatten(1)).view(self.shape[0], *weight.shape[1:])
        return torch.baddbmm(F.embedding(self.group, bias).unsqueeze(1), blocks, own)


def grouped_parts(group: Tensor, size: int) -> Iterator[tuple[Tensor, Grouping]]:
    """(rows, their grouping), at most ``size`` rows at a time, those of neighbouring groups together.

    Args:
        group: ``[R]``, each row's group.
        size: at least 1.
    """
    ordered, order = group.sort()
    for some, rows in zip(ordered.split(size), order.split(size), strict=True):
        first, last = int(some[0]), int(some[-1])
        yield rows, Grouping(some, last - first + 1, first)


def layer_of(grouping: Grouping | None, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Rows, or a grouping's blocks, through their group's layer; without a grouping there is one group."""
    return torch.addmm(bias[0], x, weight[0]) if grouping is None else grouping.linear(x, weight, bias)


def linear(grouping: Grouping | None, x: Tensor, weight: Tensor) -> Tensor:
    """``[R, out]``, each row of ``x [R, in]`` times its group's ``weight [G, in, out]``."""
    if grouping is None:
        return x @ weight[0]
    nothing = weight.new_zeros(weight.size(0), weight.size(2))
    return grouping.collect(grouping.linear(grouping.spread(x), weight, nothing))


def _narrow(count: int) -> torch.dtype:
    """The narrowest type that holds 0 … count − 1: sorting goes byte by byte."""
    return torch.uint8 if count <= 2**8 else torch.int16 if count <= 2**15 else torch.int64
