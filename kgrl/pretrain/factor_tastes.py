"""``factor_tastes``: how users' ratings of the items vary together, by matrix factorization."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.factorization import Factors
from kgrl.nn.taste import TasteTerms
from kgrl.options import at_least, expected
from kgrl.pretrain.feature_terms import through_features
from kgrl.pretrain.items import fitted_factors, ratings_of
from kgrl.pretrain.tastes import LEAST_NOISE

FEW = 5
"""An item's noise is drawn towards the mean noise by as much as so many ratings weigh."""


def factor_tastes(
    data: HeteroData, users: Tensor, dim: int = 8, *, factors: int = 50, epochs: int = 30, weight_decay: float = 1e-4,
    seed: int = 0,
) -> TasteTerms:
    r"""A linear-Gaussian model of ratings, read off a matrix factorization of those of some users and of nobody else.

    In :math:`\hat r_{ui} = \mathbf p_u^\top \mathbf q_i + b_u + b_i` the users' vectors :math:`(\mathbf p_u, b_u)` are
    taken for draws from a normal distribution with their mean **m** and covariance **C**. With :math:`\mathbf x_i =
    (\mathbf q_i, 1)`, a user of whom nothing is known is then expected to rate as

    .. math:: r_{ui} = \mu_i + \mathbf w_i^\top \mathbf p + \varepsilon_{ui}, \qquad
        \mu_i = b_i + \mathbf x_i^\top \mathbf m, \qquad \mathbf w_i = \mathbf V_k^\top \mathbf C^{1/2} \mathbf x_i

    where :math:`\mathbf V_k` are the k directions in which predictions of the items vary most between users, an item
    weighing as much as it has ratings. An item's noise is the mean squared error of the ratings fitted to (of unseen
    ones it is larger), drawn towards that of all ratings, and what the other directions would tell.

    An item that none of the users rated is the mean item: it has the mean μ and loadings of the rated ones, their mean
    noise, and the variance of the terms among items on top (:func:`kgrl.pretrain.feature_terms.through_features`;
    with a KG, :func:`kgrl.pretrain.kg_tastes` can tell more of it).

    An item that a user did not rate is one of which nothing is known, as it is to
    :class:`kgrl.simulator.PredictedFeedback`. Where it is received with 0 (:class:`kgrl.simulator.RatedFeedback`),
    :func:`kgrl.pretrain.item_tastes` is the model to take.

    Args:
        data: a data set; ratings are normalised to [−1, 1] by its ``rating_scale``.
        users: ``[U]``, whose ratings may be seen: the training users, never the test users.
        dim: length k of a taste; loadings past ``factors`` + 1 are 0.
        factors: length of the factorization's vectors.
        epochs, weight_decay, seed: see :func:`kgrl.pretrain.item_vectors`.

    Raises:
        ValueError: no users, a user twice or unknown, no ratings, or an option out of range.
    """
    at_least("dim", dim, 1)
    at_least("factors", factors, 1)
    column, item, value = ratings_of(data, users)
    if not len(value):
        raise ValueError(expected("users", "users with at least one rating among them", users))
    size = data["item"].num_nodes, len(users)
    made = fitted_factors(column, item, value, size, dim=factors, epochs=epochs, weight_decay=weight_decay, seed=seed)
    with torch.no_grad():
        terms = _tastes(made, column, item, value, dim)
    ratings = torch.bincount(item, minlength=size[0])
    return through_features(csr_matrix((size[0], 0)), np.empty(0, int), terms, ratings)  # rated ones stay as they are


class _Users(NamedTuple):
    """``mean [f]`` and ``root [f, f]``, **C** = root · rootᵀ, of the users' vectors."""

    mean: Tensor
    root: Tensor


def _tastes(made: Factors, column: Tensor, item: Tensor, value: Tensor, dim: int) -> TasteTerms:
    users = _spread(torch.cat([made.user, made.user_bias.unsqueeze(1)], 1).double())
    vectors = torch.cat([made.item, torch.ones_like(made.item_bias).unsqueeze(1)], 1).double()
    ratings = torch.bincount(item, minlength=len(vectors)).double()
    whole = vectors @ users.root
    varying = whole.T @ (whole * ratings.unsqueeze(1))
    whole = whole @ torch.linalg.eigh(varying).eigenvectors.flip(1)  # most first
    loading, others = whole[:, :dim], whole[:, dim:]
    if loading.size(1) < dim:
        loading = torch.cat([loading, loading.new_zeros(len(loading), dim - loading.size(1))], 1)
    error = (made(column, item) - value).double().square()
    total = torch.zeros_like(ratings).index_add_(0, item, error)
    noise = (total + FEW * error.mean()) / (ratings + FEW) + others.square().sum(1)
    mean = made.item_bias.double() + vectors @ users.mean
    return TasteTerms(mean.float(), loading.float(), noise.clamp(min=LEAST_NOISE).float())


def _spread(vectors: Tensor) -> _Users:
    """Of ``[U, f]``; a root by eigenvectors, as the covariance of few users has no Cholesky factor."""
    mean = vectors.mean(0)
    values, directions = torch.linalg.eigh((vectors - mean).T @ (vectors - mean) / len(vectors))
    return _Users(mean, directions * values.clamp(min=0).sqrt())
