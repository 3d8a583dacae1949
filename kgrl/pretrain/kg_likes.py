"""``kg_likes``: who likes what, by what the KG links it to; for new items as for old ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, hstack
from scipy.sparse.linalg import lsmr
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.nn.state.sparse_taste import SparseTasteTerms, sparse_rows
from kgrl.objects import a_rated_set
from kgrl.options import expected, ids
from kgrl.pretrain.feature_terms import ItemFeatures, item_features
from kgrl.pretrain.items import rating_users, ratings_of
from kgrl.rating_scale import normalise


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


def like_rates(features: ItemFeatures, likes: np.ndarray, num_users: int, rated: np.ndarray) -> np.ndarray:
    r"""``[N]``, the share of users who like each item.

    Of a rated item it is what was counted, :math:`n_i / U`. Of a new one it is predicted through the KG: a Gaussian
    process whose kernel is the sum of the relations' cosines, each with its own variance, is fitted to
    :math:`g_i = \log(1 + n_i)` of the rated items, and :math:`\mu_j = (e^{\hat g_j} - 1) / U`, not below 0. Variances
    are those of :func:`kgrl.pretrain.kg_likes.relation_variances`; the mean is found by sparse least squares.

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


LEAST_UNEXPLAINED = 0.1
"""The part of a like's variance that the KG leaves open, at least."""


def kg_likes(
    kg: Data, data: HeteroData, users: Tensor, *, old: Tensor | None = None, least: int = 2
) -> SparseTasteTerms:
    r"""A Gaussian model of likes (1; 0 where there is none) in terms of the KG, fitted in closed form.

    .. math::
        y_{uj} = (1 + a_u)\,\mu_j + \sum_r \sqrt{v_r} \sum_e x_{j,(r,e)}\, p_{u,(r,e)} + \varepsilon_{uj}, \qquad
        a_u \sim \mathcal N(0, v_a),\ p_{u,(r,e)} \sim \mathcal N(0, 1)

    A user has a taste for every (relation, entity), with the features x of :func:`kgrl.pretrain.item_features`; and
    she is more or less active (a), so that a user of many likes is expected to like more of what is liked by many. The
    rates μ are counted, and those of new items predicted through the KG
    (:func:`kgrl.pretrain.kg_likes.like_rates`); the variances are those that fit the covariances of the users' likes
    best (:func:`kgrl.pretrain.kg_likes.relation_variances`). There is no setting to choose.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        data: the data set; a rating above the threshold of its ``rating_scale`` is a like.
        users: ``[U]``, whose ratings may be seen: the training users, never the test users.
        old: ids of the items that these users could rate; ratings of others, the new ones, are not looked at.
            ``None``: every item that one of them rated.
        least: number of items that an entity is linked to at least, see :func:`kgrl.pretrain.item_features`.

    Returns:
        loadings sparse CSR ``[N, M + 1]``, activity last, on the device of ``users``.

    Raises:
        ValueError: no such KG, another number of items than in ``data``, no users, a user twice or unknown, item ids
            out of range, or no like.
    """
    num_items = a_rated_set("data", data)["item"].num_nodes
    features = item_features(kg, least)
    if features.matrix.shape[0] != num_items:
        raise ValueError(expected("kg.num_items", f"{num_items}, as in `data`", features.matrix.shape[0]))
    users = rating_users(data, users)
    likes, rated = _likes(data, users, None if old is None else ids("old", old, num_items))
    count = np.asarray(likes.sum(0)).ravel()
    if not count[rated].any():
        raise ValueError(expected("data", "of some ratings above the threshold by `users` of `old` items", "none",
                                  "data.rating_scale is (low, high, threshold)"))
    rate = like_rates(features, count, len(users), rated)
    loading, noise = _loading(_with_activity(features, rate), likes[:, rated], rate, rated)
    noises = torch.full((num_items,), noise, device="cpu", dtype=torch.float)
    parts = torch.from_numpy(rate).float(), _tensor(loading), noises
    return SparseTasteTerms(*(part.to(users.device) for part in parts)).checked("the model of likes")


def _likes(data: HeteroData, users: Tensor, old: Tensor | None) -> tuple[csr_matrix, np.ndarray]:
    """The likes ``[U, N]`` of the users and the mask ``[N]`` of the items that they could rate."""
    row, item, value = (part.cpu() for part in ratings_of(data, users))
    low, high, threshold = data.rating_scale
    rated = torch.zeros(data["item"].num_nodes, dtype=torch.bool, device="cpu")
    rated[item if old is None else old.cpu()] = True
    liked = value > normalise(threshold, low, high)
    pairs = torch.stack([row[liked], item[liked]]).unique(dim=1).numpy()
    likes = csr_matrix((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(users), len(rated)))
    return likes, rated.numpy()


def _with_activity(features: ItemFeatures, rate: np.ndarray) -> ItemFeatures:
    """One more column, a relation of its own: the rates, whose mean square is made 1."""
    column = csr_matrix((rate / np.sqrt((rate**2).mean()))[:, None])
    return replace(
        features, matrix=hstack([features.matrix, column]).tocsr(), names=[*features.names, "activity"],
        relation=np.append(features.relation, len(features.names)), entity=np.append(features.entity, -1))


def _tensor(matrix: csr_matrix) -> Tensor:
    """It in the layout torch.sparse_csr."""
    start, column = (torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices))
    return sparse_rows(start, column, torch.from_numpy(matrix.data).float(), matrix.shape[1])


def _loading(
    features: ItemFeatures, likes: csr_matrix, rate: np.ndarray, rated: np.ndarray
) -> tuple[csr_matrix, float]:
    """The features times the roots of their variances, and the noise that is left of the mean variance of a like."""
    variance = relation_variances(replace(features, matrix=features.matrix[rated]), likes, rate[rated])
    loading = (features.matrix @ diags(np.sqrt(variance[features.relation]))).tocsr()
    loading.eliminate_zeros()
    total = (rate[rated] * (1 - rate[rated])).mean()
    explained = loading[rated].power(2).sum() / rated.sum()
    return loading, max(total - explained, LEAST_UNEXPLAINED * total, 1e-12)
