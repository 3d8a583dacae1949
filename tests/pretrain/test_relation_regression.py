"""``fit_relations`` against dense formulas, and against a general maximiser of the exact marginal likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from kgrl.pretrain import relation_regression
from kgrl.pretrain.relation_regression import ItemCovariance, RelationRegression, fit_relations

SIZES = [4, 6, 3]
"""Columns of each relation."""
RELATION = np.repeat(np.arange(3), SIZES)
TRUE = np.array([0.8, 0.2, 0.0])
"""Variances of their effects."""
REST = 0.05


def features(items: int, seed: int = 0) -> csr_matrix:
    """Of every relation, one column an item."""
    rng = np.random.default_rng(seed)
    return csr_matrix(np.concatenate([np.eye(size)[rng.integers(size, size=items)] for size in SIZES], 1))


def planted(items: int = 40, count: int = 3, seed: int = 0) -> tuple[csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
    """The arguments: values that are as the model says."""
    rng, matrix = np.random.default_rng(seed), features(items, seed)
    error = rng.uniform(0.01, 0.2, items)
    effects = np.sqrt(TRUE[RELATION])[:, None] * rng.standard_normal((len(RELATION), count))
    own = np.sqrt(REST + error)[:, None] * rng.standard_normal((items, count))
    return matrix, RELATION, matrix @ effects + own, error


def formed(matrix: csr_matrix, variance: np.ndarray, rest: float, error: np.ndarray) -> np.ndarray:
    x = matrix.toarray()
    return x @ np.diag(variance[RELATION]) @ x.T + np.diag(rest + error)


def likelihood(variance: np.ndarray, rest: float, matrix, values: np.ndarray, error: np.ndarray) -> float:
    """log p(values), but for a constant."""
    c = formed(matrix, variance, rest, error)
    return float(-0.5 * values.shape[1] * np.linalg.slogdet(c)[1] - 0.5 * (values * np.linalg.solve(c, values)).sum())


@pytest.fixture
def exactly(monkeypatch):
    """Traces without error: as many draws as there are numbers to draw from, each from one of them alone."""
    monkeypatch.setattr(relation_regression, "_probes", lambda size, seed: np.sqrt(size) * np.eye(size))
    monkeypatch.setattr(relation_regression, "LOOSE", 1e-11)
    return monkeypatch


def test_effects_are_the_posterior_means() -> None:
    matrix, relation, values, error = planted()
    fit = fit_relations(matrix, relation, values, error)
    c = formed(matrix, fit.variance, fit.rest, error)
    wanted = np.diag(fit.variance[RELATION]) @ matrix.toarray().T @ np.linalg.solve(c, values)
    np.testing.assert_allclose(fit.effects, wanted, atol=1e-4)
    others = features(9, seed=4)
    np.testing.assert_allclose(fit.predict(others), others.toarray() @ wanted, atol=1e-4)


def test_one_round_by_hand(exactly) -> None:
    matrix, relation, values, error = planted()
    fits = []
    for rounds in (0, 1):
        exactly.setattr(relation_regression, "ROUNDS", rounds)
        fits.append(fit_relations(matrix, relation, values, error))
    scale, x = (values**2).mean(), matrix.toarray()
    np.testing.assert_allclose([fits[0].rest, *fits[0].variance], [scale / 2, *[scale / 6] * 3])  # a column an item
    inverse = np.linalg.inv(formed(matrix, fits[0].variance, fits[0].rest, error))
    ratio = [((part.T @ inverse @ values) ** 2).sum() / 3 / np.trace(part.T @ inverse @ part)
             for part in (np.eye(40), *(x[:, relation == r] for r in range(3)))]
    wanted = [scale / 2, *[scale / 6] * 3] * np.sqrt(ratio)
    np.testing.assert_allclose([fits[1].rest, *fits[1].variance], wanted)


def test_the_likelihood_never_falls(exactly) -> None:
    matrix, relation, values, error = planted()
    found = []
    for rounds in range(12):
        exactly.setattr(relation_regression, "ROUNDS", rounds)
        fit = fit_relations(matrix, relation, values, error)
        found.append(likelihood(fit.variance, fit.rest, matrix, values, error))
    assert (np.diff(found) > 0).all()
    assert found[-1] > found[0] + 1


def test_climbs_to_where_a_general_maximiser_ends(exactly) -> None:
    matrix, relation, values, error = planted()
    exactly.setattr(relation_regression, "ROUNDS", 400)
    fit = fit_relations(matrix, relation, values, error)
    best = minimize(lambda x: -likelihood(np.exp(x[:3]), np.exp(x[3]), matrix, values, error), np.full(4, -1.0),
                    bounds=[(-12, 5)] * 4)
    np.testing.assert_allclose([*fit.variance, fit.rest], np.exp(best.x), rtol=0.01, atol=1e-3)
    assert likelihood(fit.variance, fit.rest, matrix, values, error) == pytest.approx(-best.fun, abs=1e-3)


def test_estimated_traces_do_as_well_as_exact_ones(monkeypatch) -> None:
    given = planted(300, 6)
    usual = [fit_relations(*given, seed=seed) for seed in range(3)]
    monkeypatch.setattr(relation_regression, "_probes", lambda size, seed: np.sqrt(size) * np.eye(size))
    exact = fit_relations(*given)
    for fit in usual:
        assert fit.rest == pytest.approx(exact.rest, rel=0.1)
        np.testing.assert_allclose(fit.variance[:2], exact.variance[:2], rtol=0.4)
        assert fit.variance[2] < 0.02 < 0.1 < fit.variance[1] < fit.variance[0]  # the third tells of nothing
    assert exact.rest == pytest.approx(REST, rel=0.25)


def test_two_links_of_a_relation_have_no_huge_variance() -> None:
    """A hundred relations of two items each, whose values are noise: no estimate of a trace may come near 0."""
    rng, items = np.random.default_rng(0), 40
    matrix = csr_matrix(np.stack([np.isin(np.arange(items), rng.choice(items, 2, replace=False)) for _ in range(100)],
                                 1).astype(float))
    values = rng.standard_normal((items, 1))
    fit = fit_relations(matrix, np.arange(100), values, np.full(items, 0.5))
    assert fit.variance.max() < 5
    assert np.abs(fit.effects).max() < 3


def test_spread_is_the_posterior_variance_and_the_rest(monkeypatch) -> None:
    matrix, relation, values, error = planted()
    fit = fit_relations(matrix, relation, values, error)
    monkeypatch.setattr(relation_regression, "DRAWS", 20_000)
    others = features(9, seed=4)
    x, z, prior = matrix.toarray(), others.toarray(), np.diag(fit.variance[RELATION])
    posterior = prior - prior @ x.T @ np.linalg.solve(formed(matrix, fit.variance, fit.rest, error), x @ prior)
    np.testing.assert_allclose(fit.spread(others), np.diag(z @ posterior @ z.T) + fit.rest, rtol=0.05)


def test_unseen_items_are_told_by_the_others(monkeypatch) -> None:
    """Part by part, everything but the variances made anew, densely."""
    monkeypatch.setattr(relation_regression, "LOOSE", 1e-10)
    matrix, relation, values, error = planted(43)
    fit = fit_relations(matrix, relation, values, error)
    monkeypatch.setattr(relation_regression, "DRAWS", 4_000)
    made, spread = fit.unseen(seed=5)
    x, v = matrix.toarray(), np.diag(fit.variance[RELATION])
    c, fold = formed(matrix, fit.variance, fit.rest, error), np.random.default_rng(5).permutation(43) % 10
    for item in range(43):
        others = fold != fold[item]
        mean, inverse = values[others].mean(0), np.linalg.inv(c[np.ix_(others, others)])
        told = x[item] @ v @ x[others].T @ inverse
        np.testing.assert_allclose(made[item], mean + told @ (values[others] - mean), atol=1e-8)
        left = x[item] @ v @ x[item] - told @ x[others] @ v @ x[item] + fit.rest
        assert spread[item] == pytest.approx(left, rel=0.15)
    assert np.bincount(fold).max() == 5  # parts of like size


def test_an_items_own_value_does_not_tell_of_it() -> None:
    matrix, relation, values, error = planted()
    fit = fit_relations(matrix, relation, values, error)
    other = values.copy()
    other[7] += 100
    again = RelationRegression(fit.covariance, other, fit.effects, fit.variance, fit.rest)
    np.testing.assert_array_equal(again.unseen(seed=1)[0][7], fit.unseen(seed=1)[0][7])
    assert not np.allclose(again.unseen(seed=1)[0], fit.unseen(seed=1)[0])


def test_a_relation_that_no_item_has_tells_nothing() -> None:
    matrix, relation, values, error = planted()
    wider = csr_matrix(np.concatenate([matrix.toarray(), np.zeros((40, 2))], 1))
    fit = fit_relations(wider, np.concatenate([relation, [3, 3]]), values, error)
    assert fit.variance[3] == 0
    assert not fit.effects[-2:].any()
    assert fit.variance[0] > 0.1
    asked = csr_matrix(([1.0], ([0], [14])), shape=(1, 15))
    assert not fit.predict(asked).any()
    np.testing.assert_allclose(fit.spread(asked), fit.rest)


def test_without_columns_the_rest_is_what_varies(exactly) -> None:
    """By the likelihood of independent values, of which some are known better than others."""
    _, _, values, error = planted(200)
    exactly.setattr(relation_regression, "ROUNDS", 200)
    fit = fit_relations(csr_matrix((200, 0)), np.empty(0, int), values, error)
    assert fit.variance.shape == (0,)
    best = minimize(lambda x: (np.log(np.exp(x) + error) * 3 + (values**2).sum(1) / (np.exp(x) + error)).sum(), [0.0])
    assert fit.rest == pytest.approx(np.exp(best.x[0]), rel=1e-3)
    asked = csr_matrix((5, 0))
    assert not fit.predict(asked).any()
    np.testing.assert_array_equal(fit.spread(asked), np.full(5, fit.rest))
    made, spread = fit.unseen()
    assert np.abs(made - values.mean(0)).max() < 0.15  # the others' mean
    np.testing.assert_array_equal(spread, np.full(200, fit.rest))


def test_values_that_the_features_explain_wholly() -> None:
    """Nothing is left and every value is known: what would be divided by 0 has a floor."""
    matrix = features(60)
    effects = np.random.default_rng(0).standard_normal((len(RELATION), 2))
    values = matrix @ effects
    fit = fit_relations(matrix, RELATION, values, np.full(60, 1e-9))
    assert 0 < fit.rest < 0.05 * (values**2).mean()
    np.testing.assert_allclose(fit.predict(matrix), values, atol=0.1)


@pytest.mark.parametrize(("items", "count", "size"), [(40, 3, 0.0), (40, 0, 1.0), (1, 2, 1.0), (2, 1, 1.0)])
def test_little_to_learn_from(items: int, count: int, size: float) -> None:
    """No value varies, there are none, or of one or two items alone."""
    matrix = features(items)
    fit = fit_relations(matrix, RELATION, np.full((items, count), size), np.full(items, 0.1))
    for part in (fit.effects, fit.variance, fit.rest, fit.spread(features(5)), *fit.unseen()):
        assert np.isfinite(part).all()
    assert fit.effects.shape == (len(RELATION), count)
    if not size:
        assert not fit.effects.any()
        assert not fit.variance.any()


def test_the_same_twice_and_the_global_states_untouched() -> None:
    state, global_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two, other = (fit_relations(*planted(), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.effects, two.effects)
    np.testing.assert_array_equal(one.unseen(seed=2)[1], two.unseen(seed=2)[1])
    assert not np.array_equal(one.effects, other.effects)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)


def test_the_covariance_is_of_the_last_variances() -> None:
    matrix, relation, values, error = planted()
    fit = fit_relations(matrix, relation, values, error)
    assert isinstance(fit.covariance, ItemCovariance)
    np.testing.assert_allclose(fit.covariance @ np.eye(40), formed(matrix, fit.variance, fit.rest, error))
