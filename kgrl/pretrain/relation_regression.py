"""``fit_relations``: Bayesian linear regression on KG features, with a variance per relation; sparse throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

PROBES, ROUNDS = 16, 25
"""Random vectors that traces are estimated with, and updates of the variances."""
LOOSE, TIGHT, MOST_STEPS = 1e-3, 1e-6, 500
"""Relative residuals that a solution may have, while the variances change and at the end; iterations at most."""


@dataclass(frozen=True)
class RelationRegression:
    r"""What items' values follow from, and what is left.

    Args:
        effects: **b**, ``[M, K]``, the posterior means of the columns' effects.
        variance: :math:`v_r`, ``[R]``, of the effects of a relation's columns, before anything is seen.
        rest: τ, variance of what the features do not explain.
    """

    effects: np.ndarray
    variance: np.ndarray
    rest: float
    _spread: Callable[[csr_matrix, int], np.ndarray]

    def predict(self, matrix: csr_matrix) -> np.ndarray:
        """``[n, K]``, the values expected of items with the features ``matrix [n, M]``."""
        return matrix @ self.effects

    def spread(self, matrix: csr_matrix, seed: int = 0) -> np.ndarray:
        """``[n]``, the variance of one value around :meth:`predict`: of the effects, as far as not known, and τ."""
        return self._spread(matrix, seed) + self.rest


def fit_relations(
    matrix: csr_matrix, relation: np.ndarray, values: np.ndarray, error: np.ndarray, seed: int = 0
) -> RelationRegression:
    r"""Fits values of items to their features, by the relations that carry them.

    .. math::
        y_{ik} = \sum_{r} \sum_{e} x_{i,(r,e)}\, b_{(r,e)k} + u_{ik} + \varepsilon_{ik}, \quad
        b_{(r,e)k} \sim \mathcal N(0, v_r),\ u_{ik} \sim \mathcal N(0, \tau),\ \varepsilon_{ik} \sim \mathcal N(0, s_i)

    The K values of an item share the variances. :math:`v_r` and τ maximise the marginal likelihood, by the
    minorise-maximise updates of Zhou et al. ("MM Algorithms for Variance Components Models", 2019, equation 7): with
    :math:`\mathbf C = \sum_r v_r \mathbf X_r \mathbf X_r^\top + \operatorname{diag}(\tau + s_i)` and
    :math:`\boldsymbol\alpha = \mathbf C^{-1} \mathbf y`,

    .. math::
        v_r \leftarrow v_r \sqrt{\frac{\tfrac 1 K \lVert \mathbf X_r^\top \boldsymbol\alpha \rVert^2}
        {\operatorname{tr}(\mathbf C^{-1} \mathbf X_r \mathbf X_r^\top)}}

    and likewise for τ. **C** is never formed: it is only multiplied with, by conjugate gradients for all right-hand
    sides at once, and the traces are estimated with random signs (Hutchinson), the same in every round. Work and
    memory follow the number of links.

    Args:
        matrix: CSR ``[n, M]``.
        relation: ``[M]``, each column's relation, from 0.
        values: ``[n, K]``, centred.
        error: s, ``[n]``, variance of the errors that the values are known to have.
        seed: of the signs.

    Returns:
        The fit; all effects 0 where there are no columns or the values do not vary.
    """
    relations = int(relation.max(initial=-1)) + 1
    scale = float(np.mean(values**2))
    if not matrix.shape[1] or scale < 1e-12:
        return RelationRegression(np.zeros((matrix.shape[1], values.shape[1])), np.zeros(relations), scale,
                                  lambda of, seed: np.zeros(of.shape[0]))
    rng, size = np.random.default_rng(seed), np.bincount(relation, minlength=relations)
    transposed = matrix.T.tocsr()
    signs = rng.choice([-1.0, 1.0], (matrix.shape[0], PROBES))
    heard = transposed @ signs
    variance = scale / 2 / relations * matrix.shape[0] / _by_relation(relation, size, matrix.power(2).sum(0).A1)
    rest, solved = scale / 2, np.zeros((matrix.shape[0], values.shape[1] + PROBES))
    asked = np.concatenate([values, signs], 1)
    for _ in range(ROUNDS):
        solved = _solve(matrix, transposed, variance[relation], rest + error, asked, solved, LOOSE)
        alpha, probed = solved[:, : values.shape[1]], solved[:, values.shape[1] :]
        found = _by_relation(relation, size, ((transposed @ alpha) ** 2).mean(1))
        trace = _by_relation(relation, size, ((transposed @ probed) * heard).mean(1))
        variance = variance * np.sqrt(np.maximum(found, 0) / np.maximum(trace, 1e-12))
        rest *= float(np.sqrt((alpha**2).mean(1).sum() / max(float((probed * signs).mean(1).sum()), 1e-12)))
    alpha = _solve(matrix, transposed, variance[relation], rest + error, values, solved[:, : values.shape[1]], TIGHT)
    effects = variance[relation, None] * (transposed @ alpha)

    def spread(of: csr_matrix, seed: int) -> np.ndarray:
        return _posterior_variance(matrix, transposed, variance[relation], rest + error, of, seed)

    return RelationRegression(effects, variance, rest, spread)


def _by_relation(relation: np.ndarray, size: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums over each relation's columns; tiny rather than 0 for a relation without any."""
    return np.where(size > 0, np.bincount(relation, weights=columns, minlength=len(size)), 1e-12)


def _solve(
    matrix: csr_matrix, transposed: csr_matrix, variance: np.ndarray, diagonal: np.ndarray, asked: np.ndarray,
    start: np.ndarray, tolerance: float,
) -> np.ndarray:
    """``C⁻¹ asked`` by conjugate gradients, all columns at once, preconditioned by C's diagonal."""

    def times(x: np.ndarray) -> np.ndarray:
        return matrix @ (variance[:, None] * (transposed @ x)) + diagonal[:, None] * x

    inverse = 1 / (matrix.power(2) @ variance + diagonal)[:, None]
    x, residual = start.copy(), asked - times(start)
    goal = tolerance**2 * np.maximum((asked**2).sum(0), 1e-300)
    direction = step = inverse * residual
    before = (residual * step).sum(0)
    for _ in range(MOST_STEPS):
        if ((residual**2).sum(0) <= goal).all():
            break
        image = times(direction)
        length = before / np.maximum((direction * image).sum(0), 1e-300)
        x = x + length * direction
        residual = residual - length * image
        step = inverse * residual
        after = (residual * step).sum(0)
        direction = step + after / np.maximum(before, 1e-300) * direction
        before = after
    return x


def _posterior_variance(
    matrix: csr_matrix, transposed: csr_matrix, variance: np.ndarray, diagonal: np.ndarray, of: csr_matrix, seed: int,
    draws: int = 64,
) -> np.ndarray:
    """``[n]``, the variance of ``of @ effects`` given what was seen, over draws from the posterior (Matheron's rule)."""
    rng = np.random.default_rng(seed)
    effects = np.sqrt(variance)[:, None] * rng.standard_normal((len(variance), draws))
    noise = np.sqrt(diagonal)[:, None] * rng.standard_normal((len(diagonal), draws))
    asked = matrix @ effects + noise
    learned = _solve(matrix, transposed, variance, diagonal, asked, np.zeros_like(asked), LOOSE)
    return ((of @ (effects - variance[:, None] * (transposed @ learned))) ** 2).mean(1)
