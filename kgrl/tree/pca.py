"""Algorithm 4: balanced clusters along the first principal component, for all nodes of a level at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse import csc_matrix

from kgrl.tree.leaves import ROUNDING, ItemRows, order_with_ties

Operator = Callable[[np.ndarray], np.ndarray]  # [G, M] → [G, M], each of G matrices times one vector

BASIS = 64  # vectors kept before a restart
CYCLES = 6
TOLERANCE = 1e-9  # of ‖Ku − θu‖ / θ
CHECK_EVERY = 8
NOISE = 1e-13  # what is smaller than this beside the rest of its operator's work is rounding


def leading_vectors(operator: Operator, start: np.ndarray, most: int, floor: np.ndarray) -> np.ndarray:
    """Leading eigenvectors of G positive semi-definite operators, by restarted Lanczos with full reorthogonalisation.

    Ends when all have converged, or after ``BASIS * CYCLES`` products with the best vectors so far.

    Args:
        operator: the products.
        start: ``[G, M]``, where the iteration starts; not orthogonal to the answer.
        most: a bound on the number of different eigenvalues, 0 included.
        floor: ``[G]``, eigenvalues up to this are 0 but for rounding: any vector will do.

    Returns:
        ``[G, M]``, of length 1; 0 where the operator or the start is.
    """
    u = _unit(start)[0]
    for _ in range(CYCLES):
        u, done = _cycle(operator, u, max(1, min(BASIS, most, start.shape[1])), floor)
        if done:
            break
    return u


def _cycle(operator: Operator, start: np.ndarray, size: int, floor: np.ndarray) -> tuple[np.ndarray, bool]:
    """At most ``size`` steps from ``start``: the best vector so far, and whether all converged."""
    num, length = start.shape
    basis = np.zeros((num, size + 1, length))
    tridiagonal = np.zeros((num, size + 1, size + 1))
    basis[:, 0] = start
    for step in range(1, size + 1):
        known = basis[:, :step]
        new = operator(basis[:, step - 1])
        before = np.linalg.norm(new, axis=1)
        tridiagonal[:, step - 1, step - 1] = np.einsum("gm,gm->g", basis[:, step - 1], new)
        for _ in range(2):  # once is not enough for orthogonality to the last bits
            along = np.matmul(known, new[:, :, None])
            new = new - np.matmul(along.swapaxes(1, 2), known)[:, 0]
        new, rest = _unit(new, NOISE * np.maximum(before, np.abs(tridiagonal[:, 0, 0])))
        basis[:, step] = new
        tridiagonal[:, step, step - 1] = tridiagonal[:, step - 1, step] = rest
        if step == size or step % CHECK_EVERY == 0:
            values, vectors = np.linalg.eigh(tridiagonal[:, :step, :step])
            value, along = values[:, -1].clip(0), vectors[:, :, -1]
            wrong = rest * np.abs(along[:, -1])
            done = bool(((wrong <= TOLERANCE * value) | (value + wrong <= floor)).all())
            if done or step == size:
                break
    u = np.matmul(along[:, None], known)[:, 0]
    return _unit(u)[0], done


def _unit(vectors: np.ndarray, noise: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1 and the lengths they had; both 0 where that was no more than ``noise``."""
    length = np.linalg.norm(vectors, axis=1)
    length = np.where(length > noise, length, 0)
    return np.where(length > 0, 1, 0)[:, None] * vectors / np.where(length > 0, length, 1)[:, None], length


CELLS = 1 << 26  # of doubles that one portion of nodes may take (512 MiB); a single node may take more


def pca_digits(
    rows: ItemRows, items: np.ndarray, sizes: np.ndarray, children: int, generator: torch.Generator
) -> np.ndarray:
    """Splits every node along its first principal component (TPGR, Algorithm 4).

    Args:
        rows: all vectors.
        items: ``[n]``, the items below G nodes, node by node, in item order within each.
        sizes: ``[G]``, how many each node has, all more than ``children``.
        children: c.
        generator: of the start of the iteration.

    Returns:
        ``[n]``, each item's cluster in [0, c).
    """
    # sizes on a level differ by at most one, so this table has at most one empty place a node
    filled = np.arange(sizes.max()) < sizes[:, None]
    start = np.zeros(filled.shape)
    start[filled] = torch.randn(len(items), generator=generator, dtype=torch.double, device="cpu").numpy()
    steps, scores, lengths = rows.num_columns + 1, [], []
    for part, (gram, length) in _portions(rows, items, filled):
        some = filled[part]

        def covariance(u: np.ndarray, gram: Operator = gram, some: np.ndarray = some) -> np.ndarray:
            return _centred(gram(_centred(u, some)), some)

        floor = (ROUNDING * length.max(1)) ** 2  # the scores' sum of squares: if no larger, all are tied
        # once more through the matrix: equal vectors get equal scores, however far the iteration came
        product = covariance(leading_vectors(covariance, _centred(start[part], some), steps, floor))
        variance = np.linalg.norm(product, axis=1, keepdims=True)
        scores.append(product / np.sqrt(np.where(variance > 0, variance, 1)))
        lengths.append(length)
    length = np.concatenate(lengths)
    # a score is as wrong as its vector is long, and the mean that was taken off as the longest
    tolerance = ROUNDING * (length + 1e-3 * length.max(1, keepdims=True))
    rank = _ranks(np.concatenate(scores), filled, tolerance)
    return _portion_of_rank(rank, sizes[:, None], children)[filled]


def _centred(u: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Less the node's mean: (X − 1μᵀ)(X − 1μᵀ)ᵀu is the centred X(Xᵀ(centred u)), and X itself stays as it is."""
    return np.where(filled, u - (u.sum(1) / filled.sum(1))[:, None], 0)


def _portions(
    rows: ItemRows, items: np.ndarray, filled: np.ndarray
) -> Iterator[tuple[slice, tuple[Operator, np.ndarray]]]:
    """Portions of the nodes, with each the product u ↦ XXᵀu and how long the vectors are."""
    if rows.is_sparse:
        yield slice(None), _sparse_gram(rows, items, filled)
        return
    ends = filled.sum(1).cumsum()
    step = max(1, CELLS // (filled.shape[1] * rows.num_columns))
    for first in range(0, len(filled), step):
        part = slice(first, first + step)
        below = items[ends[first - 1] if first else 0 : ends[part][-1]]
        yield part, _dense_gram(rows, below, filled[part])


def _dense_gram(rows: ItemRows, items: np.ndarray, filled: np.ndarray) -> tuple[Operator, np.ndarray]:
    x = np.zeros((*filled.shape, rows.num_columns))
    x[filled] = rows.take(items)
    length = np.sqrt(np.einsum("gmf,gmf->gm", x, x))
    return lambda u: np.matmul(x, np.matmul(u[:, None], x).swapaxes(1, 2))[..., 0], length


def _sparse_gram(rows: ItemRows, items: np.ndarray, filled: np.ndarray) -> tuple[Operator, np.ndarray]:
    """One matrix with a block a node: its columns are the (column, node) pairs that occur, so all nodes go at once."""
    by_column = csc_matrix(rows.take(items))
    place = np.flatnonzero(filled).astype(np.int32 if filled.size < 2**31 else np.int64)
    node = (place // filled.shape[1])[by_column.indices]
    begins = np.empty(len(node), dtype=bool)
    begins[:1] = True
    np.not_equal(node[1:], node[:-1], out=begins[1:])
    begins[by_column.indptr[:-1][np.diff(by_column.indptr) > 0]] = True
    del node
    indptr = np.append(np.flatnonzero(begins), len(begins))
    x = csc_matrix((by_column.data, place[by_column.indices], indptr), shape=(filled.size, len(indptr) - 1))
    squares = np.bincount(x.indices, weights=x.data**2, minlength=filled.size)
    transposed = x.T
    return lambda u: (x @ (transposed @ u.ravel())).reshape(u.shape), np.sqrt(squares).reshape(filled.shape)


def _ranks(scores: np.ndarray, filled: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Each item's place in its node by score; ties in item order, and the largest absolute score positive."""
    size = np.abs(scores).max(1, keepdims=True)
    peak = (np.abs(scores) >= size - tolerance) & filled  # several, where they tie: the first decides
    scores = scores * np.where(np.take_along_axis(scores, peak.argmax(1)[:, None], 1) < 0, -1, 1)
    scores = np.where(filled, scores, size + 1)
    order = order_with_ties(scores, tolerance)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], 1)
    return rank


def _portion_of_rank(rank: np.ndarray, size: np.ndarray, children: int) -> np.ndarray:
    """Lines 12 to 21: the first ``threshold`` clusters get ⌈m/c⌉ items each, the others one less."""
    longer = -(-size // children)
    threshold = (size - 1) % children + 1
    rest = rank - threshold * longer
    return np.where(rest < 0, rank // longer, threshold + rest // (longer - 1))
