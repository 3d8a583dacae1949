"""``fit_relations``: Bayesian linear regression on KG features, with a variance per relation; sparse throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

MOST_STEPS = 1_000
"""Iterations of conjugate gradients at most."""
TOLERANCE = 1e-3
"""Relative residual of what a draw's values tell."""
AT_ONCE = 16
"""Draws that are made together: what they take of memory is 16 times the columns, however many are asked for."""
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


class ItemCovariance:
    r""":math:`\mathbf C = \mathbf X \operatorname{diag}(\mathbf v) \mathbf X^\top + \operatorname{diag}(\mathbf d)`.

    Never formed: it is multiplied with, and systems are solved by conjugate gradients, for all right-hand sides at
    once.

    Args:
        matrix: **X**, CSR ``[n, M]``.
        variance: **v**, ``[M]``, of each column's effect.
        diagonal: **d**, ``[n]``, above 0, of what each item has for itself.
        transposed: ``matrix.T`` as CSR, where it is at hand.
    """

    def __init__(
        self, matrix: csr_matrix, variance: np.ndarray, diagonal: np.ndarray, transposed: csr_matrix | None = None
    ) -> None:
        self.matrix, self.variance, self.diagonal = matrix, variance, diagonal
        self.transposed = matrix.T.tocsr() if transposed is None else transposed

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        return self.matrix @ self.effects(x) + self.diagonal[:, None] * x

    def effects(self, x: np.ndarray) -> np.ndarray:
        r"""``[M, K]``, :math:`\operatorname{diag}(\mathbf v) \mathbf X^\top \mathbf x`.

        Of a solution of :meth:`solve`, the posterior means of the effects.
        """
        return self.variance[:, None] * (self.transposed @ x)

    def values(self, x: np.ndarray) -> np.ndarray:
        r"""``[n, K]``, values of covariance **C**, where ``x [M + n, K]`` are independent and of variance 1.

        The columns' come first, then the items' own: :math:`\mathbf X \sqrt{\mathbf v}\, \mathbf x_{:M} +
        \sqrt{\mathbf d}\, \mathbf x_{M:}`.
        """
        columns = len(self.variance)
        shared = self.matrix @ (np.sqrt(self.variance)[:, None] * x[:columns])
        return shared + np.sqrt(self.diagonal)[:, None] * x[columns:]

    def rows(self, kept: np.ndarray) -> ItemCovariance:
        """That of some of the items, a mask ``[n]``."""
        return ItemCovariance(self.matrix[kept], self.variance, self.diagonal[kept])

    def solve(self, asked: np.ndarray, tolerance: float, start: np.ndarray | None = None) -> np.ndarray:
        """``C⁻¹ asked [n, K]``, preconditioned by C's diagonal.

        Args:
            asked: ``[n, K]``.
            tolerance: of each column's residual, as a part of its length.
            start: ``[n, K]``, where to begin; default: 0.
        """
        inverse = 1 / (self.matrix.power(2) @ self.variance + self.diagonal)[:, None]
        x = np.zeros_like(asked) if start is None else start.copy()
        residual = asked.copy() if start is None else asked - self @ x
        goal = tolerance**2 * (asked**2).sum(0)
        step = inverse * residual
        direction, before = step, (residual * step).sum(0)
        for _ in range(MOST_STEPS):
            if ((residual**2).sum(0) <= goal).all():
                break
            image = self @ direction
            length = before / np.maximum((direction * image).sum(0), 1e-300)
            x += length * direction
            residual -= length * image
            step = inverse * residual
            before, last = (residual * step).sum(0), before
            direction = step + before / np.maximum(last, 1e-300) * direction
        return x

    def posterior_variance(self, matrix: csr_matrix, draws: int, seed: int = 0) -> np.ndarray:
        r"""``[n']``, the variance of ``matrix @ effects`` once the items' values are known.

        Over draws from the posterior, each a draw from the prior less what the values it would make tell of it
        (Matheron's rule).

        Args:
            matrix: CSR ``[n', M]``.
            draws: how many; the estimate's relative error is :math:`\sqrt{2 / draws}`.
            seed: of the draws.
        """
        total = np.zeros(matrix.shape[0])
        if not len(total) or not self.variance.any():
            return total
        rng, columns = np.random.default_rng(seed), len(self.variance)
        for first in range(0, draws, AT_ONCE):
            x = rng.standard_normal((columns + len(self.diagonal), min(AT_ONCE, draws - first)))
            left = np.sqrt(self.variance)[:, None] * x[:columns] - self.effects(self.solve(self.values(x), TOLERANCE))
            total += ((matrix @ left) ** 2).sum(1)
        return total / draws


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
    **C** is never formed (:class:`kgrl.pretrain.relation_regression.ItemCovariance`): work and memory follow the number
    of links.

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
