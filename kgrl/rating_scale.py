"""The one scale that feedback is on: raw ratings, checked and normalised to [−1, 1]."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

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


MOST = LARGEST / 2
"""The largest rating: single precision has to hold twice of it, and the width of every scale."""
LEAST = float(torch.finfo(torch.float).tiny)
"""The least width of a scale."""


def a_scale(name: str, scale: Any) -> tuple[float, float, float]:
    """``scale`` if it is (low, high, threshold) with low ≤ threshold < high, as wide as single precision can count.

    Raises:
        TypeError: it is no triple of numbers.
        ValueError: they are in another order, or single precision does not hold them or what is between them.
    """
    what = "(low, high, threshold) with low <= threshold < high"
    numbers = isinstance(scale, tuple | list) and not any(isinstance(part, bool) for part in scale)
    if not numbers or not all(isinstance(part, Real) for part in scale):
        raise TypeError(expected(name, what, scale))
    if len(scale) != 3 or not scale[0] <= scale[2] < scale[1]:
        raise ValueError(expected(name, what, scale))
    low, high, threshold = scale
    _check_width(name, low, high)
    return low, high, threshold


def _check_width(name: str, low: float, high: float) -> None:
    """Refuses a scale on which feedback would be NaN: infinitely wide in single precision, or of one number."""
    if max(abs(low), abs(high)) > MOST or np.float32(high) - np.float32(low) < LEAST:
        raise ValueError(expected(name, f"numbers up to {MOST:.1e} that differ in single precision", (low, high)))


def normalise(raw: Tensor | float, low: float, high: float) -> Tensor:
    """Maps the raw scale onto [−1, 1]: ``low`` → −1, ``high`` → +1 (KGQR section 5.1.2)."""
    if between("low", low, -LARGEST, LARGEST) >= between("high", high, -LARGEST, LARGEST):
        raise ValueError(expected("low", f"below `high`, {high}", low))
    _check_width("low, high", low, high)
    if not isinstance(raw, int | float | np.ndarray | np.number) or isinstance(raw, bool):
        a_tensor("raw", raw)
    # in this order the middle of the scale is exactly 0: a streak goes by the sign
    raw = torch.as_tensor(raw, dtype=torch.float, device=raw.device if isinstance(raw, Tensor) else "cpu")
    return (2 * raw - (low + high)) / (high - low)


def normalised_ratings(data: HeteroData) -> NormalisedRatings:
    """Reads ``data['user', 'rates', 'item']`` by ``data.rating_scale = (low, high, threshold)``.

    Raises:
        TypeError: a scale that is no triple of numbers.
        ValueError: no ratings, no scale or one of no width, or ratings outside it (NaN included) or complex.
    """
    if not a_rated_set("data", data)[RATES].edge_index.size(1):
        raise ValueError(expected("data", "a data set with at least one rating", "none"))
    low, high, threshold = a_scale("data.rating_scale", data.rating_scale)
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
