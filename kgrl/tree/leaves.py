"""How items come to their leaves: level by level as a tree is built; new ones beside the items most similar to them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from torch import Tensor

from kgrl.options import expected

ROUNDING = 1e-12  # relative to what a value was computed from; double precision itself is 2e-16
_CELLS = 2**24  # similarities that are laid out at once


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


def hang_new_items(rows: ItemRows, positions: np.ndarray, num_leaves: int, children: int) -> np.ndarray:
    """``positions [N]`` with a free leaf for every item that has none, −1.

    A new item wants a leaf at the node of the most similar item, by the cosine of their vectors. Where more items want
    a node than it has free leaves, the most similar ones get them, and the others look on among the items at nodes
    with free leaves. When no such node has any item to be similar to, the first free leaves are taken.

    Args:
        rows: the N items' vectors.
        positions: each item's leaf, −1 for none.
        num_leaves: of the tree.
        children: of a node.

    Raises:
        ValueError: there are fewer free leaves than new items.
    """
    positions, known = positions.copy(), np.flatnonzero(positions >= 0)
    new = np.flatnonzero(positions < 0)
    free = np.ones(num_leaves, bool)
    free[positions[known]] = False
    if free.sum() < len(new):
        raise ValueError(expected("the tree", f"one with a free leaf for each of {len(new)} new items",
                                  f"one with {int(free.sum())} of {num_leaves} leaves free",
                                  "leave room when it is built: ClusterTree(tree.paths, children=more) has free leaves "
                                  "at every node; or build one over all the items, and train anew"))
    while len(new):
        room = free.reshape(-1, children).sum(1)
        hosts = known[room[positions[known] // children] > 0]
        if not len(hosts):
            break
        nearest, similarity = _most_similar(rows, new, hosts)
        node = positions[nearest] // children
        rank = _rank(node, -similarity)
        placed = rank < room[node]
        leaves = np.flatnonzero(free)
        first = np.searchsorted(leaves, node[placed] * children)
        positions[new[placed]] = leaves[first + rank[placed]]
        free[positions[new[placed]]] = False
        new = new[~placed]
    positions[new] = np.flatnonzero(free)[: len(new)]
    return positions


def _rank(group: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Each row's place in its group, by ``key``, from 0."""
    order = np.lexsort((key, group))
    _, first, sizes = np.unique(group[order], return_index=True, return_counts=True)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - first.repeat(sizes)
    return rank


def _most_similar(rows: ItemRows, asked: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of the items ``asked``, the most similar one ``among`` others, and how similar it is."""
    theirs, best, similarity = _of_unit_length(rows.take(among)), [], []
    for part in np.array_split(asked, -(-len(asked) * len(among) // _CELLS)):
        cosine = _of_unit_length(rows.take(part)) @ theirs.T
        cosine = cosine.toarray() if issparse(cosine) else cosine
        best.append(cosine.argmax(1))
        similarity.append(cosine.max(1))
    return among[np.concatenate(best)], np.concatenate(similarity)


def _of_unit_length(vectors: np.ndarray | csr_matrix) -> np.ndarray | csr_matrix:
    squares = vectors.power(2) if isinstance(vectors, csr_matrix) else vectors**2
    length = np.sqrt(np.asarray(squares.sum(1))).reshape(-1, 1)
    length[length == 0] = 1
    return csr_matrix(vectors.multiply(1 / length)) if isinstance(vectors, csr_matrix) else vectors / length
