"""Sorting that does not let rounding decide."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # relative to what a value was computed from; double precision itself is 2e-16


def order_with_ties(values: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """The order of each row of ``values [G, M]``, smallest first; neighbours that hardly differ go by index.

    Args:
        values: ``[G, M]``.
        tolerance: ``[G, M]``, by how much each may be wrong; neighbours may differ by the larger of theirs.
    """
    order = values.argsort(axis=1, kind="stable")
    ordered, wrong = np.take_along_axis(values, order, 1), np.take_along_axis(tolerance, order, 1)
    apart = np.diff(ordered, axis=1) > np.maximum(wrong[:, 1:], wrong[:, :-1])
    key = order.copy()
    key[:, 1:] += apart.cumsum(1) * values.shape[1]  # (which group of equals, index)
    return np.take_along_axis(order, key.argsort(axis=1), 1)
