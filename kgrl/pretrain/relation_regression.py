"""``fit_relations``: Bayesian linear regression on KG features, with a variance per relation; sparse throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from kgrl.pretrain.item_covariance import ItemCovariance

PROBES, ROUNDS = 8, 15
"""Sets of values drawn from the model to compare with, and updates of the variances."""
LOOSE, TIGHT = 1e-2, 1e-5
"""Relative residuals that solutions may have, while the variances change and at the end."""
FOLDS = 10
"""Parts that the items are divided into for cross-fitting."""
DRAWS = 64
"""Draws from the posterior that its variance is estimated with."""
NOTHING = 1e-12
"""Mean square of values up to which they count as all the same."""
LEAST = 1e-6
"""The part of the values' mean square that stays unexplained at least: without it there may be nothing to solve."""


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

    def unseen(self, matrix: csr_matrix | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`predict` and :meth:`spread` would say of the items learned from, had they not been among them.

        Each is told by the nine tenths of the items that it is not among, and by their mean; the variances remain those
        of all.

        Args:
            matrix: their features ``[n, M]``, as far as they may tell of them; ``None``: as they were learned from.
            seed: of the parts, and of the variance's draws.

        Returns:
            ``[n, K]`` and ``[n]``.
        """
        matrix = self.covariance.matrix if matrix is None else matrix
        made, spread = np.zeros_like(self.values), np.full(len(self.values), self.rest)
        fold = np.random.default_rng(seed).permutation(len(self.values)) % FOLDS
        for part in np.unique(fold):
            held, kept = fold == part, fold != part
            some, values, features = self.covariance.rows(kept), self.values[kept], matrix[held]
            mean = values.sum(0) / max(len(values), 1)
            made[held] = mean + features @ some.effects(some.solve(values - mean, LOOSE))
            spread[held] += some.posterior_variance(features, DRAWS, seed)
        return made, spread

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
    :math:`\mathbf C = \sum_r v_r \mathbf X_r \mathbf X_r^\top + \operatorname{diag}(\tau + s_i)`,

    .. math::
        v_r \leftarrow v_r \sqrt{\frac{\tfrac 1 K \lVert \mathbf X_r^\top \mathbf C^{-1} \mathbf y \rVert^2}
        {\operatorname{tr}(\mathbf X_r^\top \mathbf C^{-1} \mathbf X_r)}}

    and likewise for τ. The trace is what the numerator would be on average if the values were drawn from the model, and
    it is estimated so, with values that are: it cannot come out as 0 or below, which estimates with random signs can,
    and the few links of a rare relation then have a huge variance. The same random numbers serve in every round.
    **C** is never formed (:class:`kgrl.pretrain.item_covariance.ItemCovariance`): work and memory follow the number of
    links.

    Args:
        matrix: CSR ``[n, M]``.
        relation: ``[M]``, each column's relation, from 0.
        values: ``[n, K]``, centred.
        error: s, ``[n]``, variance of the errors that the values are known to have, above 0.
        seed: of the random numbers.

    Returns:
        The fit. A relation that none of the items has tells of nothing: its variance is 0. All effects are 0 where
        there are no columns or the values do not vary.
    """
    scale, count = float(np.mean(values**2)) if values.size else 0.0, values.shape[1]
    variance, rest = _first_guess(matrix, relation, scale)
    covariance = ItemCovariance(matrix, variance[relation], rest + error)
    probes, solved = _probes(sum(matrix.shape), seed), None
    for _ in range(ROUNDS if scale > NOTHING else 0):
        solved = covariance.solve(np.concatenate([values, covariance.values(probes)], 1), LOOSE, solved)
        heard = covariance.transposed @ solved
        found, drawn = (_of_relations(part, relation, len(variance)) for part in (heard[:, :count], heard[:, count:]))
        variance = variance * np.sqrt(np.divide(found, drawn, out=np.zeros(len(found)), where=drawn > 0))
        left, usual = ((part**2).mean(1).sum() for part in (solved[:, :count], solved[:, count:]))
        rest = max(rest * float(np.sqrt(left / usual)), LEAST * scale)
        covariance = ItemCovariance(matrix, variance[relation], rest + error, covariance.transposed)
    effects = covariance.effects(covariance.solve(values, TIGHT, None if solved is None else solved[:, :count]))
    return RelationRegression(covariance, values, effects, variance, rest)


def _first_guess(matrix: csr_matrix, relation: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Half of the values' mean square is what items have for themselves, the other half is of all relations alike."""
    if scale <= NOTHING:
        return np.zeros(int(relation.max(initial=-1)) + 1), NOTHING
    weight = np.bincount(relation, weights=np.asarray(matrix.power(2).sum(0)).ravel())
    share = scale / 2 / max(len(weight), 1) * matrix.shape[0]
    return np.divide(share, weight, out=np.zeros(len(weight)), where=weight > 0), scale / 2


def _probes(size: int, seed: int) -> np.ndarray:
    """``[size, PROBES]``, independent, of mean 0 and variance 1: random signs, whose squares do not vary."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], (size, PROBES))


def _of_relations(heard: np.ndarray, relation: np.ndarray, relations: int) -> np.ndarray:
    """``[R]``, the mean over ``heard``'s columns ``[M, K]`` of the squared length of a relation's part."""
    return np.bincount(relation, weights=(heard**2).mean(1), minlength=relations)
