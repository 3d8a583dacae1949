"""``ItemCovariance``: how items' values vary together by what they share, as products with sparse features."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

MOST_STEPS = 1_000
"""Iterations of conjugate gradients at most."""
TOLERANCE = 1e-3
"""Relative residual of what a draw's values tell."""
AT_ONCE = 16
"""Draws that are made together: what they take of memory is 16 times the columns, however many are asked for."""


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
