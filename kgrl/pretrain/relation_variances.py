"""``relation_variances``: how much each relation of the KG tells of what varies together, by the method of moments."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from kgrl.pretrain.item_features import ItemFeatures


def relation_variances(features: ItemFeatures, values: csr_matrix, mean: np.ndarray) -> np.ndarray:
    r"""``[K]``, the variance :math:`v_r \ge 0` of what each of the K relations adds to the items' values.

    The covariance of items i and j is taken for a sum over relations of the cosines of what they are linked to,

    .. math::
        \operatorname{cov}(y_{ui}, y_{uj}) = \sum_r v_r\, k_r(i, j), \qquad
        k_r(i, j) = \sum_e x_{i,(r,e)}\, x_{j,(r,e)}, \qquad i \ne j

    and the :math:`v_r` are the non-negative least-squares fit over all pairs of different items (the regression of
    Haseman and Elston, 1972, with one kernel per relation). In closed form and O(entries): no pair of items is formed.

    Args:
        features: of N items.
        values: CSR ``[U, N]``, one row per draw, such as a user; what is not there is 0.
        mean: ``[N]``, of the draws.
    """
    from scipy.optimize import nnls

    x, relation, size = features.matrix, features.relation, len(features.names)
    if not size:
        return np.zeros(0)
    group = csr_matrix((np.ones(len(relation)), (np.arange(len(relation)), relation)), shape=(len(relation), size))
    own = (x.power(2) @ group).tocsr()  # k_r(i, i)
    between = group.T @ (x.T @ x).power(2) @ group - own.T @ own
    squares = np.asarray((values @ x).power(2).sum(0)).ravel() / values.shape[0] - (x.T @ mean) ** 2
    variance = np.asarray(values.power(2).mean(0)).ravel() - mean**2
    target = group.T @ squares - own.T @ variance
    # the least squares of |between · v − target| in the metric of the pairs: by the root of ``between``
    eigenvalue, vector = np.linalg.eigh(between.toarray())
    kept = eigenvalue > 1e-9 * max(eigenvalue.max(), 1e-300)
    if not kept.any():
        return np.zeros(size)
    root = np.sqrt(eigenvalue[kept])
    return nnls(root[:, None] * vector[:, kept].T, (vector[:, kept].T @ target) / root)[0]
