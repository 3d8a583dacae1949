"""The one scale that feedback is on: raw ratings, checked and normalised to [−1, 1]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import RATES, a_rated_set
from kgrl.options import LARGEST, a_tensor, between, expected


class NormalisedRatings(NamedTuple):
    """``users [R]``, ``items [R]``, ``values [R]`` in [−1, 1], and the data set's threshold on that scale."""

    users: Tensor
    items: Tensor
    values: Tensor
    threshold: float
    num_users: int
    num_items: int


def normalise(raw: Tensor | float, low: float, high: float) -> Tensor:
    """Maps the raw scale onto [−1, 1]: ``low`` → −1, ``high`` → +1 (KGQR section 5.1.2)."""
    if between("low", low, -LARGEST, LARGEST) >= between("high", high, -LARGEST, LARGEST):
        raise ValueError(expected("low", f"below `high`, {high}", low))
    if not isinstance(raw, int | float | np.ndarray | np.number) or isinstance(raw, bool):
        a_tensor("raw", raw)
    # in this order the middle of the scale is exactly 0: a streak goes by the sign
    raw = torch.as_tensor(raw, dtype=torch.float, device=raw.device if isinstance(raw, Tensor) else "cpu")
    return (2 * raw - (low + high)) / (high - low)


def normalised_ratings(data: HeteroData) -> NormalisedRatings:
    """Reads ``data['user', 'rates', 'item']`` by ``data.rating_scale = (low, high, threshold)``.

    Raises:
        ValueError: no ratings, no scale, or ratings outside the scale (NaN included).
    """
    if not a_rated_set("data", data)[RATES].edge_index.size(1):
        raise ValueError(expected("data", "a data set with at least one rating", "none"))
    low, high, threshold = data.rating_scale
    rating, (users, items) = data[RATES].rating, data[RATES].edge_index
    outside = ~((rating >= low) & (rating <= high))  # NaN is outside
    if outside.any():
        at = int(outside.nonzero()[0])
        raise ValueError(expected(
            f"rating[{at}]", f"in the scale [{low}, {high}]", float(rating[at]), f"user {users[at]}, item {items[at]}"
        ))
    return NormalisedRatings(
        users, items, normalise(rating, low, high), float(normalise(threshold, low, high)),
        data["user"].num_nodes, data["item"].num_nodes,
    )
