"""Sorting with ties."""

from __future__ import annotations

import numpy as np

from kgrl.tree.levels import order_with_ties


def test_ties_by_hand() -> None:
    values = np.array([[3, 1 + 1e-13, 2, 1, 1 - 1e-13], [5, 4, 3, 2, 1]])
    assert order_with_ties(values, np.full((2, 5), 1e-12)).tolist() == [[1, 3, 4, 2, 0], [4, 3, 2, 1, 0]]
    assert order_with_ties(values, 0 * values).tolist() == [[4, 3, 1, 2, 0], [4, 3, 2, 1, 0]]
    tolerance = np.array([[0, 0, 1.5, 0, 0], [0, 0, 1, 0, 0]])  # the 2 of the first row, the 3 of the second
    assert order_with_ties(values, tolerance).tolist() == [[4, 3, 0, 1, 2], [4, 1, 2, 3, 0]]


def test_without_tolerance_it_is_a_stable_sort() -> None:
    values = np.random.default_rng(0).integers(5, size=(20, 50)).astype(float)
    np.testing.assert_array_equal(order_with_ties(values, 0 * values), values.argsort(axis=1, kind="stable"))
    assert order_with_ties(values[:, :1], values[:, :1]).tolist() == [[0]] * 20
