"""What the ratings of the training users alone tell of items: vectors, factors, and one order for everybody."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.factorization import Factors, training_epochs
from kgrl.objects import a_rated_set
from kgrl.options import at_least, between, expected, ids, one_of
from kgrl.pretrain.vae import vae_vectors
from kgrl.rating_scale import normalise


class ItemFactors(NamedTuple):
    """The items' part of a biased matrix factorization: ``vector [N, d]`` and ``bias [N]``."""

    vector: Tensor
    bias: Tensor


def item_vectors(
    data: HeteroData, users: Tensor, kind: str = "mf", *, dim: int = 50, epochs: int = 30, weight_decay: float = 1e-4,
    seed: int = 0,
) -> Tensor:
    r"""Vectors of all items, made from the ratings of some users and of nobody else.

    Args:
        data: a data set; ratings are normalised to [−1, 1] by its ``rating_scale``.
        users: ``[U]``, whose ratings may be seen: the training users, never the test users.
        kind: ``"mf"``: item factors :math:`\mathbf q_i` of the biased matrix factorization
            :math:`\hat r_{ui} = \mathbf p_u^\top \mathbf q_i + b_u + b_i`, which the baselines of the KGQR paper
            (section 5.1) and the variant KGQR-KG use; ``"rating"``: the users' ratings of the item, 0 where there is
            none (TPGR section 4.2), sparse; ``"vae"``: the mean :math:`\boldsymbol\mu` that a variational auto-encoder
            of these ratings, 0 where there is none, gives an item (the same section of TPGR, which is silent on the
            rest; :class:`kgrl.pretrain.vae.RatingVAE` has the equations).
        dim: length of the factors or of μ; the KGQR paper uses 50 for every method.
        epochs: of the factorization or the auto-encoder.
        weight_decay: L2 of either.
        seed: of either.

    Returns:
        ``"mf"`` and ``"vae"``: ``[N, dim]``. ``"rating"``: sparse CSR ``[N, U]``, one column for each of ``users`` in
        their order. On the device of ``users``.

    Raises:
        ValueError: an unknown kind, no users, a user twice or unknown, or an option out of range.
    """
    make = KINDS[one_of("kind", kind, KINDS)]
    _check(dim, epochs, weight_decay)
    users = rating_users(data, users)
    column, item, value = ratings_of(data, users)
    size = data["item"].num_nodes, len(users)
    return make(column, item, value, size, dim=dim, epochs=epochs, weight_decay=weight_decay, seed=seed)


def item_factors(
    data: HeteroData, users: Tensor, *, dim: int = 50, epochs: int = 30, weight_decay: float = 1e-4, seed: int = 0
) -> ItemFactors:
    r"""Vectors :math:`\mathbf q_i` and biases :math:`b_i` of all items: :func:`item_vectors`' ``"mf"``, biases kept.

    Args:
        data, users, dim, epochs, weight_decay, seed: see :func:`item_vectors`.
    """
    users = rating_users(data, users)
    column, item, value = ratings_of(data, users)
    made = fitted_factors(column, item, value, (data["item"].num_nodes, len(users)), dim=dim, epochs=epochs,
                          weight_decay=weight_decay, seed=seed)
    return ItemFactors(made.item.detach(), made.item_bias.detach())


def _check(dim: int, epochs: int, weight_decay: float) -> None:
    at_least("dim", dim, 1)
    at_least("epochs", epochs, 1)
    between("weight_decay", weight_decay, 0, 1)


def rating_users(data: HeteroData, users: Any) -> Tensor:
    """``users`` as the ids of some of a data set's users, each once.

    Raises:
        TypeError: ``data`` is no data set, or ``users`` are no ids.
        ValueError: ``data`` has no ratings; no users, a user twice or unknown.
    """
    users = ids("users", users, a_rated_set("data", data)["user"].num_nodes)
    if len(users.unique()) < len(users):
        raise ValueError(expected("users", "each user once", users))
    return users


def ratings_of(data: HeteroData, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(position in ``users``, item, rating in [−1, 1]), each ``[R]``, of the ratings that ``users`` gave."""
    users, num_users = rating_users(data, users), data["user"].num_nodes
    position = torch.full((num_users,), -1, device=users.device)
    position[users] = torch.arange(len(users), device=users.device)
    ratings = data["user", "rates", "item"]
    user, item = ratings.edge_index.to(users.device)
    low, high, _ = data.rating_scale
    value = normalise(ratings.rating.to(users.device), low, high)
    seen = position[user] >= 0
    return position[user][seen], item[seen], value[seen]


def fitted_factors(
    column: Tensor, item: Tensor, value: Tensor, size: tuple[int, int], *, dim: int, epochs: int, weight_decay: float,
    seed: int,
) -> Factors:
    """The factorization of the ratings that :func:`ratings_of` found, of ``size`` (N, U)."""
    _check(dim, epochs, weight_decay)
    num_items, num_users = size
    factors = Factors(num_users, num_items, dim, seed=seed).to(value.device)
    for _ in islice(training_epochs(factors, column, item, value, weight_decay=weight_decay, seed=seed), epochs):
        pass
    return factors


def _factors(column: Tensor, item: Tensor, value: Tensor, size: tuple[int, int], **options: Any) -> Tensor:
    return fitted_factors(column, item, value, size, **options).item.detach()


def _rating_rows(column: Tensor, item: Tensor, value: Tensor, size: tuple[int, int], **_: object) -> Tensor:
    # a rating of exactly 0 stays an entry: "rated, in the middle of the scale" is not "not rated"
    rows = torch.sparse_coo_tensor(torch.stack([item, column]), value, size, device=value.device,
                                   check_invariants=False).coalesce()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return rows.to_sparse_csr()


def _codes(column: Tensor, item: Tensor, value: Tensor, size: tuple[int, int], dim: int, **options: Any) -> Tensor:
    return vae_vectors(_rating_rows(column, item, value, size), dim, **options)


KINDS: dict[str, Callable[..., Tensor]] = {"mf": _factors, "rating": _rating_rows, "vae": _codes}


KEYS = ("average", "count", "total")


def item_ranking(
    data: HeteroData, users: Tensor, by: str = "average", *, min_ratings: int = 0, shrinkage: float = 0.0
) -> Tensor:
    r"""All items, best first, by the ratings of some users and of nobody else.

    With :math:`R_i` the ratings of item i by these users, on [−1, 1], :math:`\bar r` the mean of all theirs, and
    :math:`\beta` the ``shrinkage``:

    .. math::
        \text{average}_i = \frac{\sum_{r \in R_i} r + \beta\,\bar r}{|R_i| + \beta}, \qquad
        \text{count}_i = |R_i|, \qquad \text{total}_i = \sum_{r \in R_i} r

    ``"average"`` with β = 0 is Popularity as TPGR has it ("the item with highest average rating", section 5.1), in
    which an item that one user gave five stars stands before all that a hundred users liked nearly as much.
    ``min_ratings`` and ``shrinkage`` (the Bayesian average) are cures beyond the paper, both off by default.
    ``"total"`` counts 0 where there is no rating, as :class:`kgrl.simulator.RatedFeedback` does: but for equal items it
    is that world's best fixed list. Most often *liked* is :func:`kgrl.datasets.popular_items`.

    Paper is silent: on equal values; here the item rated more often goes first, then the lower id. And on items without
    a rating, whose average is none: they come last.

    Args:
        data: a data set; ratings are normalised to [−1, 1] by its ``rating_scale``.
        users: ``[U]``, whose ratings count: the training users, never the test users.
        by: ``"average"``, ``"count"`` (most often rated) or ``"total"``.
        min_ratings: items with fewer ratings come after all the others.
        shrinkage: β ≥ 0, in ratings; for ``"average"`` alone.

    Returns:
        LongTensor ``[N]``, on the device of ``users``.

    Raises:
        ValueError: an unknown key, no users, a user twice or unknown, or an option out of range.
    """
    one_of("by", by, KEYS)
    min_ratings = at_least("min_ratings", min_ratings, 0)
    if (shrinkage := between("shrinkage", shrinkage, 0, float("inf"))) and by != "average":
        raise ValueError(expected("shrinkage", f"0 for by={by!r}", shrinkage, "it belongs to by='average'"))
    _, item, value = ratings_of(data, users)
    value = value.double()  # so that equal ratings have exactly their own average, however many they are
    count = torch.bincount(item, minlength=data["item"].num_nodes)
    total = torch.bincount(item, weights=value, minlength=len(count))
    average = (total + shrinkage * value.mean()) / (count.float() + shrinkage)
    key = {"average": average.nan_to_num(-torch.inf), "count": count, "total": total}[by]
    return lexsort([count, key, count >= min_ratings], descending=True)
