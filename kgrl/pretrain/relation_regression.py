"""``fit_relations``: Bayesian linear regression on KG features, with a variance per relation; sparse throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from kgrl.pretrain.item_covariance import ItemCovariance

PROBES, ROUNDS = 8, 15
"""Random vectors that traces are estimated with, and updates of the variances."""
LOOSE, TIGHT = 1e-2, 1e-5
"""Relative residuals that solutions may have, while the variances change and at the end."""
FOLDS = 10
"""Parts that the items are divided into for cross-fitting."""
DRAWS = 64
"""Draws from the posterior that its variance is estimated with."""


@dataclass(frozen=True)
class RelationRegression:
    r"""What items' values follow from, and what is left.

    Args:
        covariance: :math:`\mathbf C` of the items that were learned from.
        values: ``[n, K]``, theirs.
        effects: **b**, ``[M, K]``, the posterior means of the columns' effects.
        variance: :math:`v_r`, ``[R]``, of the effects of a relation's columns, before anything is seen.
        rest: τ, variance of what the features do not explain.
    """

    covariance: ItemCovariance
    values: np.ndarray
    effects: np.ndarray
    variance: np.ndarray
    rest: float

    def predict(self, matrix: csr_matrix) -> np.ndarray:
        """``[n', K]``, the values expected of items with the features ``matrix [n', M]``."""
        return matrix @ self.effects

    def predict_unseen(self, seed: int = 0) -> np.ndarray:
        """``[n, K]``, the values expected of the items learned from, each by the nine tenths that it is not among."""
        made, fold = np.zeros_like(self.values), np.random.default_rng(seed).integers(FOLDS, size=len(self.values))
        for part in range(FOLDS):
            held, kept = fold == part, fold != part
            some = self.covariance.rows(kept)
            made[held] = self.covariance.matrix[held] @ some.effects(some.solve(self.values[kept], LOOSE))
        return made

    def spread(self, matrix: csr_matrix, seed: int = 0) -> np.ndarray:
        """``[n']``, the variance of one value around :meth:`predict`: of the effects, as far as not known, and τ."""
        return self.covariance.posterior_variance(matrix, DRAWS, seed) + self.rest


def fit_relations(
    matrix: csr_matrix, relation: np.ndarray, values: np.ndarray, error: np.ndarray, seed: int = 0
) -> RelationRegression:
    r"""Fits values of items to their features, by the relations that carry them.

    .. math::
        y_{ik} = \sum_{r} \sum_{e} x_{i,(r,e)}\, b_{(r,e)k} + u_{ik} + \varepsilon_{ik}, \quad
        b_{(r,e)k} \sim \mathcal N(0, v_r),\ u_{ik} \sim \mathcal N(0, \tau),\ \varepsilon_{ik} \sim \mathcal N(0, s_i)

    The K values of an item share the variances. :math:`v_r` and τ climb the marginal likelihood, by the
    minorise-maximise updates of Zhou et al. ("MM Algorithms for Variance Components Models", 2019): with
    :math:`\mathbf C = \sum_r v_r \mathbf X_r \mathbf X_r^\top + \operatorname{diag}(\tau + s_i)` and
    :math:`\boldsymbol\alpha = \mathbf C^{-1} \mathbf y`,

    .. math::
        v_r \leftarrow v_r \sqrt{\frac{\tfrac 1 K \lVert \mathbf X_r^\top \boldsymbol\alpha \rVert^2}
        {\operatorname{tr}(\mathbf C^{-1} \mathbf X_r \mathbf X_r^\top)}}

    and likewise for τ. **C** is never formed (:class:`kgrl.pretrain.item_covariance.ItemCovariance`), and the traces are
    estimated with random signs (Hutchinson), the same in every round. Work and memory follow the number of links.

    Args:
        matrix: CSR ``[n, M]``.
        relation: ``[M]``, each column's relation, from 0.
        values: ``[n, K]``, centred.
        error: s, ``[n]``, variance of the errors that the values are known to have.
        seed: of the signs.

    Returns:
        The fit; all effects are 0 where there are no columns or the values do not vary.
    """
    relations, scale = int(relation.max(initial=-1)) + 1, float(np.mean(values**2))
    variance, rest = np.zeros(relations), max(scale / 2, 1e-12)
    if matrix.shape[1] and scale > 1e-12:
        weight = np.bincount(relation, weights=np.asarray(matrix.power(2).sum(0)).ravel(), minlength=relations)
        variance = scale / 2 / relations * matrix.shape[0] / np.maximum(weight, 1e-12)
    covariance = ItemCovariance(matrix, variance[relation], rest + error)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (matrix.shape[0], PROBES))
    asked, count = np.concatenate([values, signs], 1), values.shape[1]
    heard, solved = covariance.transposed @ signs, np.zeros_like(asked)
    for _ in range(ROUNDS if variance.any() else 0):
        solved = covariance.solve(asked, LOOSE, solved)
        heard_of, probed = covariance.transposed @ solved[:, :count], covariance.transposed @ solved[:, count:]
        found = np.bincount(relation, weights=(heard_of**2).mean(1), minlength=relations)
        trace = np.bincount(relation, weights=(probed * heard).mean(1), minlength=relations)
        variance = variance * np.sqrt(found / np.maximum(trace, 1e-12))
        left, there = (solved[:, :count] ** 2).mean(1).sum(), (solved[:, count:] * signs).mean(1).sum()
        rest *= float(np.sqrt(left / max(there, 1e-12)))
        covariance = ItemCovariance(matrix, variance[relation], rest + error, covariance.transposed)
    effects = covariance.effects(covariance.solve(values, TIGHT, solved[:, :count]))
    return RelationRegression(covariance, values, effects, variance, rest)
