"""``item_tastes`` and ``factor_tastes``: how users' ratings of the items vary together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.factorization import Factors
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least, expected, one_of
from kgrl.pretrain.feature_terms import LEAST_NOISE, Features, through_features
from kgrl.pretrain.items import fitted_factors, rating_users, ratings_of
from kgrl.seeding import generator_for


def item_tastes(data: HeteroData, users: Tensor, dim: int = 8, seed: int = 0) -> TasteTerms:
    r"""A linear-Gaussian model of ratings, fitted in closed form to those of some users and of nobody else.

    .. math:: r_{ui} = \mu_i + \mathbf w_i^\top \mathbf p_u + \varepsilon_{ui}, \qquad
        \mathbf W = \mathbf V (\boldsymbol\Lambda - \sigma^2 \mathbf I)^{1/2}

    with the leading eigenvalues :math:`\boldsymbol\Lambda` and eigenvectors **V** of the items' covariance over users,
    and σ² from the other eigenvalues (Tipping and Bishop, 1999, equations 7 and 8). Differs from them: an item's noise
    is what is left of its own variance, as in factor analysis; and where there are fewer users than items, σ² is the
    mean over min(U, N) − k eigenvalues rather than N − k, as the rest are 0 for want of users.

    An item that a user did not rate counts as 0, the feedback that :class:`kgrl.simulator.RatedFeedback` gives for it.
    Neither the covariance nor the centred ratings are formed: a sparse product with them is all that is needed.

    Args:
        data: a data set; ratings are normalised to [−1, 1] by its ``rating_scale``.
        users: ``[U]``, whose ratings may be seen: the training users, never the test users.
        dim: length k of a taste; where there are k or fewer users or items, the loadings that are left are 0.
        seed: of the vector that the iteration starts from.

    Raises:
        ValueError: no users, a user twice or unknown, or ``dim`` below 1.
    """
    dim, seed = at_least("dim", dim, 1), at_least("seed", seed, 0)
    users = rating_users(data, users)
    column, item, value = (part.cpu().numpy() for part in ratings_of(data, users))
    shape = len(users), data["item"].num_nodes
    ratings = csr_matrix((value.astype(np.double), (column, item)), shape=shape)
    mean = np.asarray(ratings.mean(0)).ravel()
    squares = np.asarray(ratings.power(2).mean(0)).ravel()
    variance = (squares - mean**2).clip(0)
    rank = min(dim, *(size - 1 for size in shape))
    loading = np.zeros((shape[1], dim))
    if rank > 0 and variance.sum() > 1e-12 * squares.sum():  # else nobody differs from anybody
        values, vectors = _leading(ratings, mean, rank, seed)
        rest = max(variance.sum() - values.sum(), 0) / (min(shape) - rank)
        loading[:, :rank] = vectors * np.sqrt((values - rest).clip(0))
    noise = (variance - (loading**2).sum(1)).clip(LEAST_NOISE)
    return TasteTerms(*(torch.from_numpy(part).float().to(users.device) for part in (mean, loading, noise)))


def _leading(ratings: csr_matrix, mean: np.ndarray, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of the items' covariance, in descending order, and their vectors ``[N, rank]``."""
    users, items = ratings.shape
    transposed = ratings.T.tocsr()
    centred = LinearOperator(
        (users, items), dtype=np.double,
        matvec=lambda x: ratings @ x - mean @ x,
        rmatvec=lambda y: transposed @ y - np.multiply.outer(mean, y.sum(0)),
    )
    start = np.random.default_rng(seed).standard_normal(min(users, items))
    _, singular, vectors = svds(centred, k=rank, v0=start)
    order = singular.argsort()[::-1]
    vectors = vectors[order].T
    sign = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(rank)])  # which of the two signs is left to chance
    return singular[order] ** 2 / users, vectors * np.where(sign == 0, 1, sign)


NOISE = ("fitted", "held-out")
"""What an item's noise is measured on."""
HELD_OUT = 10
"""One rating of so many is held out to measure it."""
TINY = 1e-12
"""Mean squared error of fitted ratings at least."""
FEW = 5
"""An item's noise is drawn towards the mean noise by as much as so many ratings weigh."""


def factor_tastes(
    data: HeteroData, users: Tensor, dim: int = 8, *, factors: int = 50, epochs: int = 30, weight_decay: float = 1e-4,
    noise: str = "fitted", seed: int = 0,
) -> TasteTerms:
    r"""A linear-Gaussian model of ratings, read off a matrix factorization of those of some users and of nobody else.

    In :math:`\hat r_{ui} = \mathbf p_u^\top \mathbf q_i + b_u + b_i` the users' vectors :math:`(\mathbf p_u, b_u)` are
    taken for draws from a normal distribution with their mean **m** and covariance **C**. With :math:`\mathbf x_i =
    (\mathbf q_i, 1)`, a user of whom nothing is known is then expected to rate as

    .. math:: r_{ui} = \mu_i + \mathbf w_i^\top \mathbf p + \varepsilon_{ui}, \qquad
        \mu_i = b_i + \mathbf x_i^\top \mathbf m, \qquad \mathbf w_i = \mathbf V_k^\top \mathbf C^{1/2} \mathbf x_i

    where :math:`\mathbf V_k` are the k directions in which predictions of the items vary most between users, an item
    weighing as much as it has ratings. An item's noise is the mean squared error of the ratings fitted to, drawn
    towards that of all ratings, and what the other directions would tell.

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
        noise: of which feedback. ``"fitted"``: of the factorization's own predictions, as in the worlds of
            :class:`kgrl.simulator.PredictedFeedback`. ``"held-out"``: of what people rate next, whose squared errors
            are several times as large (in MovieLens-100K about five times). They are measured on a tenth of the ratings
            by a factorization of the others; the errors of all items are taken to be larger by that ratio.
        epochs, weight_decay, seed: see :func:`kgrl.pretrain.item_vectors`.

    Raises:
        ValueError: no users, a user twice or unknown, no ratings, or an option out of range; fewer than ten ratings to
            measure noise on.
    """
    at_least("dim", dim, 1)
    at_least("factors", factors, 1)
    one_of("noise", noise, NOISE)
    users = rating_users(data, users)
    column, item, value = ratings_of(data, users)
    if not len(value):
        raise ValueError(expected("users", "users with at least one rating among them", users))
    size = data["item"].num_nodes, len(users)
    fit = partial(fitted_factors, size=size, dim=factors, epochs=epochs, weight_decay=weight_decay, seed=seed)
    made = fit(column, item, value)
    ratio = 1.0 if noise == "fitted" else _surprise(fit, column, item, value, seed)
    with torch.no_grad():
        terms = _tastes(made, column, item, value, dim, ratio)
    ratings = torch.bincount(item, minlength=size[0])
    nothing = Features(csr_matrix((size[0], 0)), np.empty(0, int), np.empty(0, bool))
    return through_features(nothing, terms, ratings)  # rated ones stay as they are


def _surprise(fit: Callable[..., Factors], column: Tensor, item: Tensor, value: Tensor, seed: int) -> float:
    """How many times as large squared errors of ratings are that a factorization has not seen as of those it has."""
    if len(value) < HELD_OUT:
        raise ValueError(expected("users", f"users with at least {HELD_OUT} ratings among them", len(value),
                                  "choose noise='fitted'"))
    part = torch.randperm(len(value), generator=generator_for("cpu", seed), device="cpu").to(value.device) % HELD_OUT
    held, kept = part == 0, part > 0
    made = fit(column[kept], item[kept], value[kept])
    with torch.no_grad():
        error = (made(column, item) - value).double().square()
    return float(error[held].mean() / error[kept].mean().clamp(min=TINY))


class _Users(NamedTuple):
    """``mean [f]`` and ``root [f, f]``, **C** = root · rootᵀ, of the users' vectors."""

    mean: Tensor
    root: Tensor


def _tastes(made: Factors, column: Tensor, item: Tensor, value: Tensor, dim: int, ratio: float = 1.0) -> TasteTerms:
    """``ratio``: by how much squared errors are larger than those fitted to."""
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
    noise = ratio * (total + FEW * error.mean()) / (ratings + FEW) + others.square().sum(1)
    mean = made.item_bias.double() + vectors @ users.mean
    return TasteTerms(mean.float(), loading.float(), noise.clamp(min=LEAST_NOISE).float())


def _spread(vectors: Tensor) -> _Users:
    """Of ``[U, f]``; a root by eigenvectors, as the covariance of few users has no Cholesky factor."""
    mean = vectors.mean(0)
    values, directions = torch.linalg.eigh((vectors - mean).T @ (vectors - mean) / len(vectors))
    return _Users(mean, directions * values.clamp(min=0).sqrt())
