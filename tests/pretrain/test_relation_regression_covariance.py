"""``ItemCovariance`` against the matrix itself, formed and inverted by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, random_array

from kgrl.pretrain import relation_regression
from kgrl.pretrain.relation_regression import ItemCovariance

ITEMS, COLUMNS = 14, 9


def features(items: int = ITEMS, seed: int = 0) -> csr_matrix:
    """With an item that has no entries, and a column that no item has."""
    dense = random_array((items, COLUMNS), density=0.4, rng=seed).toarray()
    dense[3], dense[:, 5] = 0, 0
    return csr_matrix(dense)


def covariance(seed: int = 0) -> ItemCovariance:
    rng = np.random.default_rng(seed)
    variance = rng.exponential(size=COLUMNS)
    variance[2] = 0
    return ItemCovariance(features(), variance, rng.uniform(0.01, 0.5, ITEMS))


def formed(made: ItemCovariance) -> np.ndarray:
    x = made.matrix.toarray()
    return x @ np.diag(made.variance) @ x.T + np.diag(made.diagonal)


def left_over(made: ItemCovariance, matrix: csr_matrix) -> np.ndarray:
    """The covariance of the effects given the values, by the textbook's formula, seen through ``matrix``."""
    x, prior = made.matrix.toarray(), np.diag(made.variance)
    posterior = prior - prior @ x.T @ np.linalg.solve(formed(made), x @ prior)
    return np.diag(matrix.toarray() @ posterior @ matrix.toarray().T)


def test_products_are_those_of_the_matrix() -> None:
    made, x = covariance(), np.random.default_rng(1).standard_normal((ITEMS, 3))
    np.testing.assert_allclose(made @ x, formed(made) @ x)
    np.testing.assert_allclose(made.effects(x), np.diag(made.variance) @ made.matrix.toarray().T @ x)
    kept = np.arange(ITEMS) % 3 > 0
    np.testing.assert_allclose(formed(made.rows(kept)), formed(made)[np.ix_(kept, kept)])
    np.testing.assert_allclose(made.rows(kept) @ x[kept], formed(made)[np.ix_(kept, kept)] @ x[kept])


def test_values_from_independent_numbers_vary_together_as_it_says() -> None:
    made = covariance()
    root = made.values(np.eye(COLUMNS + ITEMS))
    np.testing.assert_allclose(root @ root.T, formed(made), atol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("start", [None, 0, 1])
def test_solutions_are_as_near_as_asked(tolerance: float, start: int | None) -> None:
    made, asked = covariance(), np.random.default_rng(1).standard_normal((ITEMS, 3))
    asked[:, 1] = 0
    begin = None if start is None else np.random.default_rng(2).standard_normal(asked.shape) * start
    before = None if begin is None else begin.copy()
    found = made.solve(asked, tolerance, begin)
    residual = np.linalg.norm(asked - formed(made) @ found, axis=0)
    assert (residual <= 1.001 * tolerance * np.linalg.norm(asked, axis=0) + 1e-12).all()
    if tolerance < 1e-9:
        np.testing.assert_allclose(found, np.linalg.solve(formed(made), asked), atol=1e-8)
    if before is not None:
        np.testing.assert_array_equal(begin, before)  # what was given stays as it is


def test_a_solution_that_is_given_is_not_changed() -> None:
    made, asked = covariance(), np.random.default_rng(1).standard_normal((ITEMS, 2))
    exact = np.linalg.solve(formed(made), asked)
    np.testing.assert_array_equal(made.solve(asked, 1e-6, exact), exact)


def test_a_badly_scaled_matrix_is_solved_all_the_same() -> None:
    """Items known nearly exactly beside items hardly known: the diagonal spans ten powers of ten."""
    made = ItemCovariance(features(), np.geomspace(1e-3, 10, COLUMNS), np.geomspace(1e-8, 100, ITEMS))
    asked = np.random.default_rng(1).standard_normal((ITEMS, 2))
    residual = asked - formed(made) @ made.solve(asked, 1e-5)
    assert (np.linalg.norm(residual, axis=0) <= 1e-4 * np.linalg.norm(asked, axis=0)).all()


def test_what_is_left_to_know_is_as_exact_as_it_says(monkeypatch) -> None:
    monkeypatch.setattr(relation_regression, "TOLERANCE", 1e-8)
    made, matrix = covariance(), features(20, seed=5)
    wanted = left_over(made, matrix)
    some = wanted > 0
    many = made.posterior_variance(matrix, 20_000)
    np.testing.assert_allclose(many, wanted, rtol=5 * (2 / 20_000) ** 0.5, atol=1e-12)
    errors = np.stack([made.posterior_variance(matrix, 64, seed)[some] / wanted[some] - 1 for seed in range(200)])
    np.testing.assert_allclose(errors.std(0), (2 / 64) ** 0.5, rtol=0.25)
    few = np.stack([made.posterior_variance(matrix, 21, seed)[some] for seed in range(200)]).mean(0)
    np.testing.assert_allclose(few, wanted[some], rtol=0.1)  # 21 = 16 + 5: the last, smaller part counts as it should


def test_the_usual_tolerance_adds_nothing_that_matters(monkeypatch) -> None:
    made, matrix = covariance(), features(20, seed=5)
    usual = made.posterior_variance(matrix, 64)
    monkeypatch.setattr(relation_regression, "TOLERANCE", 1e-10)
    np.testing.assert_allclose(usual, made.posterior_variance(matrix, 64), rtol=0.02, atol=1e-12)


def test_where_nothing_is_known_all_is_left_and_where_nothing_varies_none() -> None:
    made, matrix = covariance(), features(20, seed=5)
    unheard = made.rows(np.zeros(ITEMS, bool)).posterior_variance(matrix, 20_000)
    np.testing.assert_allclose(unheard, matrix.toarray() ** 2 @ made.variance, rtol=0.06, atol=1e-12)
    still = ItemCovariance(features(), np.zeros(COLUMNS), np.ones(ITEMS))
    assert not still.posterior_variance(matrix, 8).any()
    assert made.posterior_variance(matrix[:0], 8).shape == (0,)


def test_the_same_twice_and_the_global_states_untouched() -> None:
    state, global_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two, other = (covariance().posterior_variance(features(), 20, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)
