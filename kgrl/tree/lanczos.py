"""Leading eigenvectors of many symmetric operators at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
