"""``like_rates``: how many users like an item, told from the KG where nobody has rated it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsmr

from kgrl.pretrain.item_features import ItemFeatures
from kgrl.pretrain.relation_variances import relation_variances


def like_rates(features: ItemFeatures, likes: np.ndarray, num_users: int, rated: np.ndarray) -> np.ndarray:
    r"""``[N]``, the share of users who like each item.

    Of a rated item it is what was counted, :math:`n_i / U`. Of a new one it is predicted through the KG: a Gaussian
    process whose kernel is the sum of the relations' cosines, each with its own variance, is fitted to
    :math:`g_i = \log(1 + n_i)` of the rated items, and :math:`\mu_j = (e^{\hat g_j} - 1) / U`, not below 0. Variances
    are those of :func:`kgrl.pretrain.relation_variances.relation_variances`; the mean is found by sparse least squares.

    Args:
        features: of the N items.
        likes: ``[N]``, n, how many of the users like each.
        num_users: U.
        rated: ``[N]``, mask of the items that users have had the chance to rate; the others are new.
    """
    log = np.log1p(likes[rated])
    centre, x = log.mean(), features.matrix[rated]
    surprise = log - centre
    seen = ItemFeatures(x, features.relation, features.names, features.entity)
    variance = relation_variances(seen, csr_matrix(surprise[None]), np.zeros(len(log)))
    scaled = x @ diags(np.sqrt(variance[features.relation]))
    explained = float(scaled.power(2).sum()) / len(log)
    noise = max(float((surprise**2).mean()) - explained, 0.1 * float((surprise**2).mean()), 1e-6)
    weight = lsmr(scaled, surprise, damp=np.sqrt(noise), atol=1e-8, btol=1e-8)[0]
    predicted = centre + features.matrix @ (np.sqrt(variance[features.relation]) * weight)
    return np.where(rated, likes, np.expm1(predicted).clip(0)) / num_users
