"""``item_tastes``: how users' ratings of the items vary together, by probabilistic PCA."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.nn.state.taste import TasteTerms
from kgrl.options import at_least
from kgrl.pretrain.feature_terms import LEAST_NOISE
from kgrl.pretrain.items import rating_users, ratings_of


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
