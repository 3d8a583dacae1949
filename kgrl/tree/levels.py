"""Grows a tree level by level, and sorts without letting rounding decide."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch

from kgrl.tree.item_rows import ItemRows

ROUNDING = 1e-12  # relative to what a value was computed from; double precision itself is 2e-16


def order_with_ties(values: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """The order of each row of ``values [G, M]``, smallest first; neighbours that hardly differ go by index.

    Args:
        values: ``[G, M]``.
        tolerance: ``[G, M]``, by how much each may be wrong; neighbours may differ by the larger of theirs.
    """
    order = values.argsort(axis=1, kind="stable")
    ordered, wrong = np.take_along_axis(values, order, 1), np.take_along_axis(tolerance, order, 1)
    apart = np.diff(ordered, axis=1) > np.maximum(wrong[:, 1:], wrong[:, :-1])
    key = order.copy()
    key[:, 1:] += apart.cumsum(1) * values.shape[1]  # (which group of equals, index)
    return np.take_along_axis(order, key.argsort(axis=1), 1)


Split = Callable[[ItemRows, np.ndarray, np.ndarray, int, torch.Generator], np.ndarray]


def leaf_positions(rows: ItemRows, depth: int, children: int, split: Split, generator: torch.Generator) -> np.ndarray:
    """Every item's leaf: its path from the root as a number of ``depth`` digits in base ``children``.

    Args:
        rows: the items' vectors.
        depth: D.
        children: c, at least the D-th root of the number of items.
        split: (rows, items ``[n]`` node by node, sizes ``[G]`` of the nodes, c, generator) → ``[n]``, each item's
            cluster; it sees only nodes of more than c items.
        generator: handed on to ``split``.

    Returns:
        ``[N]``.
    """
    position = np.zeros(rows.num_items, dtype=np.int64)
    for _ in range(depth):
        order = position.argsort(kind="stable")  # node by node, in item order within each
        _, first, sizes = np.unique(position[order], return_index=True, return_counts=True)
        digits = np.arange(len(order)) - first.repeat(sizes)  # lines 4 to 9: of m ≤ c items, the j-th to cluster j
        large = sizes > children
        if large.any():
            among = large.repeat(sizes)
            digits[among] = split(rows, order[among], sizes[large], children, generator)
        position[order] = position[order] * children + digits
    return position


def smallest_root(number: int, depth: int) -> int:
    """The smallest c with c**depth ≥ number; the floating-point root is only where the search begins."""
    if depth >= number.bit_length():
        return min(number, 2)
    start = max(1, int(number ** (1 / depth)) - 1)
    return next(c for c in count(start) if c**depth >= number)
