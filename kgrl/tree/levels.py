"""What both ways to build a tree share: the vectors it is built on, growth level by level, sorting despite rounding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from kgrl.options import expected

ROUNDING = 1e-12  # relative to what a value was computed from; double precision itself is 2e-16


class ItemRows:
    """Item vectors as NumPy and SciPy see them.

    All are divided by their largest absolute value: no clustering depends on it, and no square overflows.

    Args:
        vectors: ``[N, F]``, dense or sparse CSR, floating-point, on any device. A sparse one stays sparse.

    Raises:
        TypeError: no tensor.
        ValueError: not 2-D, no row, no column, neither dense nor CSR, no floating-point numbers, NaN or infinite.
    """

    def __init__(self, vectors: Tensor) -> None:
        if not isinstance(vectors, Tensor):
            raise TypeError(expected("vectors", "a tensor [N, F]", type(vectors).__name__))
        if vectors.dim() != 2 or 0 in vectors.shape:
            raise ValueError(expected("vectors", "[N, F] with at least one row and one column", tuple(vectors.shape)))
        if vectors.layout not in (torch.strided, torch.sparse_csr):
            raise ValueError(expected("vectors", "dense or sparse CSR", vectors.layout, "see Tensor.to_sparse_csr"))
        if not vectors.is_floating_point():
            raise ValueError(expected("vectors", "a floating-point tensor", vectors.dtype))
        vectors = vectors.detach().cpu()
        self.is_sparse = vectors.layout == torch.sparse_csr
        values = vectors.values() if self.is_sparse else vectors
        low, high = (float(end) for end in values.aminmax()) if values.numel() else (0.0, 0.0)
        if not np.isfinite([low, high]).all():
            raise ValueError(expected("vectors", "finite", *_first_wrong(vectors)))
        self.scale = max(-low, high) or 1.0
        self._vectors = _as_csr(vectors) if self.is_sparse else vectors
        self.num_items, self.num_columns = vectors.shape

    def take(self, items: np.ndarray) -> np.ndarray | csr_matrix:
        """The vectors of ``items [n]``: ``[n, F]``, dense or CSR as they came."""
        if isinstance(self._vectors, Tensor):
            return self._vectors[torch.from_numpy(items)].to(torch.double).div_(self.scale).numpy()
        taken = self._vectors[items]
        taken.data = taken.data.astype(np.double)
        taken.data /= self.scale
        return taken


def _as_csr(vectors: Tensor) -> csr_matrix:
    values = vectors.values()
    values = values if values.dtype in (torch.float, torch.double) else values.float()
    parts = values.numpy(), vectors.col_indices().numpy(), vectors.crow_indices().numpy()
    matrix = csr_matrix(parts, shape=tuple(vectors.shape))
    try:
        matrix.check_format(full_check=True)  # PyTorch does not look at the indices, and SciPy writes where they point
    except ValueError as error:
        raise ValueError(expected("vectors", "a valid sparse CSR tensor", str(error))) from error
    return matrix


def _first_wrong(vectors: Tensor) -> tuple[float, str]:
    """The first NaN or infinite value and where it is."""
    if vectors.layout == torch.sparse_csr:
        at = int((~vectors.values().isfinite()).nonzero()[0])
        return float(vectors.values()[at]), f"see row {int((vectors.crow_indices() <= at).sum()) - 1}"
    row, column = (~vectors.isfinite()).nonzero()[0].tolist()
    return float(vectors[row, column]), f"see row {row}"


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
