"""``item_ranking``: the items in one order for everybody, from the ratings of the training users alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.options import at_least, between, expected, one_of
from kgrl.pretrain.items import ratings_of

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
    average = (total + shrinkage * value.mean()) / (count + shrinkage)
    key = {"average": average.nan_to_num(-torch.inf), "count": count, "total": total}[by]
    return lexsort([count, key, count >= min_ratings], descending=True)
