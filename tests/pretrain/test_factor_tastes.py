"""``factor_tastes`` against the users' predictions that it summarizes, and where tastes are planted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kgrl.agents import LinearGaussian
from kgrl.factorization import Factors
from kgrl.pretrain import factor_tastes, item_tastes
from kgrl.pretrain.items import fitted_factors, ratings_of
from kgrl.pretrain.tastes import _tastes
from kgrl.sessions import Sessions
from tests.pretrain.test_tastes import ITEMS, USERS, data_of, some_ratings

FACTORS = 3
FITTED = {"epochs": 40, "weight_decay": 1e-4, "seed": 2}


def factorized(matrix: Tensor, users: Tensor) -> Factors:
    column, item, value = ratings_of(data_of(matrix), users)
    return fitted_factors(column, item, value, (ITEMS, len(users)), dim=FACTORS, **FITTED)


def of_all_users(made: Factors) -> Tensor:
    """``[U, N]``, what the factorization predicts of every user."""
    made = made.requires_grad_(False)
    rows = [[made.user[u] @ made.item[i] + made.user_bias[u] + made.item_bias[i] for i in range(ITEMS)]
            for u in range(len(made.user))]
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.double)


def test_mean_and_covariance_are_those_of_the_predictions() -> None:
    matrix, users = some_ratings(), torch.tensor([0, *range(3, USERS)])
    found = factor_tastes(data_of(matrix), users, FACTORS + 1, factors=FACTORS, **FITTED)
    predicted = of_all_users(factorized(matrix, users))
    torch.testing.assert_close(found.expected.double(), predicted.mean(0), atol=1e-5, rtol=1e-4)
    covariance = torch.cov(predicted.T, correction=0)
    torch.testing.assert_close((found.loading @ found.loading.T).double(), covariance, atol=1e-5, rtol=1e-3)
    seen = matrix[users].double()
    error = (predicted - seen).square()
    overall = error[~seen.isnan()].mean()
    for item in range(ITEMS):
        own = error[~seen[:, item].isnan(), item]
        noise = (own.sum() + 5 * overall) / (len(own) + 5)
        assert float(found.noise[item]) == pytest.approx(float(noise), rel=1e-4)


@pytest.mark.parametrize("dim", [1, 2])
def test_keeps_what_varies_most_over_the_ratings_and_the_rest_is_noise(dim: int) -> None:
    matrix, users = some_ratings(), torch.arange(USERS)
    whole = factor_tastes(data_of(matrix), users, FACTORS + 1, factors=FACTORS, **FITTED)
    found = factor_tastes(data_of(matrix), users, dim, factors=FACTORS, **FITTED)
    variance = (whole.loading @ whole.loading.T).diagonal() + whole.noise
    torch.testing.assert_close((found.loading @ found.loading.T).diagonal() + found.noise, variance)
    # Eckart and Young: no covariance of that rank is nearer, items weighed by their ratings
    weight = (~matrix.isnan()).sum(0).double().sqrt().unsqueeze(1)
    covariance = weight * (whole.loading @ whole.loading.T).double() * weight.T
    kept = weight * (found.loading @ found.loading.T).double() * weight.T
    least = torch.linalg.eigvalsh(covariance).flip(0)[dim:].square().sum().sqrt()
    assert float((covariance - kept).norm()) == pytest.approx(float(least), rel=1e-3, abs=1e-6)


def test_more_tastes_than_factors_are_none() -> None:
    found = factor_tastes(data_of(some_ratings()), torch.arange(USERS), 9, factors=FACTORS)
    assert found.loading.shape == (ITEMS, 9)
    assert not found.loading[:, FACTORS + 1 :].any()


def test_only_the_given_users_ratings_are_looked_at() -> None:
    users, matrix = torch.arange(20), some_ratings()
    other = matrix.clone()
    other[20:] = some_ratings(5)[20:]
    one, two, third = (factor_tastes(data_of(each), who, 2, factors=FACTORS)
                       for each, who in ((matrix, users), (other, users), (other, torch.arange(10, 30))))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.expected, third.expected)


def test_predicts_what_is_missing_better_than_if_it_were_0() -> None:
    """Of ratings around 1/2, two thirds of which are missing, from ten of them."""
    generator = torch.Generator().manual_seed(0)
    truth = 0.5 + 0.3 * torch.randn(400, 2, generator=generator) @ torch.randn(2, ITEMS, generator=generator) / 2**0.5
    matrix = truth.clamp(-1, 1).masked_fill(torch.rand(400, ITEMS, generator=generator) < 2 / 3, torch.nan)
    matrix[0] = truth[0].clamp(-1, 1)  # so that ids are positions
    data, users = data_of(matrix), torch.arange(300)
    sessions = Sessions.from_history([list(range(8))] * 100, truth[300:, :8].clamp(-1, 1).tolist())
    errors = {}
    for make in (factor_tastes, item_tastes):
        agent = LinearGaussian(make(data, users, 2))
        errors[make] = float((agent._scores(sessions)[:, 8:] - truth[300:, 8:].clamp(-1, 1)).square().mean())
    fixed = float((truth[300:, 8:] - truth[:300, 8:].mean(0)).square().mean())
    assert errors[factor_tastes] < 0.7 * fixed < fixed < errors[item_tastes]


def test_held_out_noise_is_that_of_ratings_not_seen() -> None:
    """Ratings are of one taste and mostly of chance: the next ones' errors are about as large as is stated."""
    generator = torch.Generator().manual_seed(0)
    truth = 0.2 * torch.randn(600, 1, generator=generator) @ torch.randn(1, ITEMS, generator=generator)
    matrix = (truth + 0.3 * torch.randn(600, ITEMS, generator=generator)).clamp(-1, 1)
    data, users = data_of(matrix), torch.arange(300)
    one, two = (factor_tastes(data, users, 4, factors=6, epochs=20, noise=noise) for noise in ("fitted", "held-out"))
    assert torch.equal(one.expected, two.expected)
    assert torch.equal(one.loading, two.loading)
    fitted, held_out = (float(((matrix[300:] - terms.expected).square() / (terms.noise + terms.loading.square().sum(1))
                               ).mean()) for terms in (one, two))
    assert 0.75 < held_out < 1.25 < fitted


def test_held_out_noise_needs_ratings() -> None:
    matrix = torch.full((1, ITEMS), torch.nan)
    matrix[0, :9] = 0.5
    with pytest.raises(ValueError, match="`users` must be users with at least 10 ratings"):
        factor_tastes(data_of(matrix), torch.tensor([0]), noise="held-out")


def test_an_item_that_nobody_rated_is_the_mean_item() -> None:
    """The others are what they would be without it; the noise holds by how much items differ."""
    matrix, users = some_ratings(), torch.arange(20)
    matrix[:20, [4, 9]] = torch.nan  # rated by others alone
    found = factor_tastes(data_of(matrix), users, 2, factors=FACTORS, **FITTED)
    rated = torch.ones(ITEMS, dtype=torch.bool).index_fill(0, torch.tensor([4, 9]), False)
    column, item, value = ratings_of(data_of(matrix), users)
    made = fitted_factors(column, item, value, (ITEMS, 20), dim=FACTORS, **FITTED).requires_grad_(False)
    alone = _tastes(made, column, item, value, 2)
    for ours, theirs in zip(found, alone, strict=True):
        assert torch.equal(ours[rated], theirs[rated])
    for ours in (found.expected, found.loading):
        torch.testing.assert_close(ours[~rated], ours[rated].mean(0).expand_as(ours[~rated]))
    mean = found.noise[rated].mean()
    most = found.expected[rated].var(correction=0) + found.loading[rated].var(0, correction=0).sum()
    assert (mean < found.noise[~rated]).all()
    assert (found.noise[~rated] < mean + most).all()  # of the variance, a part is the estimates' own error


def test_users_without_ratings_are_refused() -> None:
    matrix = some_ratings()
    matrix[5] = torch.nan
    rows = torch.cat([matrix[:5], matrix[6:], matrix[5:6]])  # the last user has no rating, and so must be in by name
    data = data_of(rows)
    data["user"].num_nodes = USERS
    with pytest.raises(ValueError, match="`users` must be users with at least one rating among them"):
        factor_tastes(data, torch.tensor([USERS - 1]))


def test_the_same_twice_and_the_global_state_untouched() -> None:
    data, state = data_of(some_ratings()), torch.get_rng_state()
    one, two = (factor_tastes(data, torch.arange(USERS), 4, factors=FACTORS) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("options", "text"), [
    ({"dim": 0}, "`dim` must be at least 1, got 0"), ({"factors": 0}, "`factors` must be at least 1, got 0"),
    ({"epochs": 0}, "`epochs` must be at least 1"), ({"weight_decay": 2.0}, "`weight_decay` must be"),
    ({"users": torch.tensor([USERS])}, "`users` must be"),
])
def test_bad_input_is_named(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        factor_tastes(**{"data": data_of(some_ratings()), "users": torch.arange(USERS), **options})
