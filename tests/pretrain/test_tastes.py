"""``item_tastes`` against the dense eigendecomposition of the covariance, and against planted tastes."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames
from kgrl.pretrain import item_tastes

USERS, ITEMS = 30, 12


def data_of(matrix: Tensor) -> HeteroData:
    """Ratings in [−1, 1], NaN where there is none."""
    rows = [(user, item, float(matrix[user, item])) for user in range(len(matrix)) for item in range(matrix.size(1))
            if not matrix[user, item].isnan()]
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(-1.0, 1.0, 0.0))


def some_ratings(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.rand(USERS, ITEMS, generator=generator) * 2 - 1
    hidden = torch.rand(USERS, ITEMS, generator=generator) < 0.3
    hidden[0] = hidden[:, 0] = False  # so that ids are positions
    return matrix.masked_fill(hidden, torch.nan)


@pytest.mark.parametrize("dim", [1, 3, 11])
def test_equals_the_dense_formula(dim: int) -> None:
    matrix = some_ratings()
    users = torch.tensor([0, *range(3, USERS)])
    found = item_tastes(data_of(matrix), users, dim)
    seen = matrix[users].nan_to_num().double()
    torch.testing.assert_close(found.expected, seen.mean(0).float())
    values, vectors = torch.linalg.eigh(torch.cov(seen.T, correction=0))
    values, vectors = values.flip(0), vectors.flip(1)
    rest = values[dim:].mean()
    loading = vectors[:, :dim] * (values[:dim] - rest).sqrt()
    product = loading @ loading.T  # the signs of the columns are free
    torch.testing.assert_close(found.loading @ found.loading.T, product.float(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.noise, (seen.var(0, correction=0) - product.diagonal()).clamp(min=1e-3).float())


def test_finds_planted_tastes() -> None:
    """With loadings spread over 80 items, the noise of each is told from what they share."""
    generator = torch.Generator().manual_seed(1)
    loading = 0.1 * torch.randn(80, 2, generator=generator)
    ratings = torch.randn(4000, 2, generator=generator) @ loading.T + 0.1 * torch.randn(4000, 80, generator=generator)
    found = item_tastes(data_of(ratings.clamp(-1, 1)), torch.arange(4000), 2)
    torch.testing.assert_close(found.loading @ found.loading.T, loading @ loading.T, atol=2e-3, rtol=0.1)
    torch.testing.assert_close(found.noise, torch.full((80,), 0.01), atol=0.003, rtol=0)


def test_only_the_given_users_ratings_are_looked_at() -> None:
    users, matrix = torch.arange(20), some_ratings()
    other = matrix.clone()
    other[20:] = some_ratings(5)[20:]
    for one, two in zip(item_tastes(data_of(matrix), users, 2), item_tastes(data_of(other), users, 2), strict=True):
        assert torch.equal(one, two)


def test_few_users_have_few_tastes() -> None:
    data = data_of(some_ratings())
    found = item_tastes(data, torch.tensor([0, 4, 7]), 5)
    assert found.loading.shape == (ITEMS, 5)
    assert not found.loading[:, 2:].any()
    assert found.loading[:, :2].any()
    alone = item_tastes(data, torch.tensor([0]), 5)
    assert not alone.loading.any()
    torch.testing.assert_close(alone.noise, torch.full((ITEMS,), 1e-3))


@pytest.mark.parametrize("users", [4, 9])
def test_fewer_users_than_items(users: int) -> None:
    """σ² is the mean of the eigenvalues there can be."""
    matrix = some_ratings()
    found = item_tastes(data_of(matrix), torch.arange(users), 2)
    values, vectors = torch.linalg.eigh(torch.cov(matrix[:users].nan_to_num().double().T, correction=0))
    rest = values.flip(0)[2:].sum() / (users - 2)
    loading = vectors.flip(1)[:, :2] * (values.flip(0)[:2] - rest).clamp(min=0).sqrt()
    torch.testing.assert_close(found.loading @ found.loading.T, (loading @ loading.T).float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rating", [0.0, 0.5])
def test_users_who_all_rate_alike_have_no_tastes(rating: float) -> None:
    found = item_tastes(data_of(torch.full((USERS, ITEMS), rating)), torch.arange(USERS), 3)
    assert not found.loading.any()
    torch.testing.assert_close(found.expected, torch.full((ITEMS,), rating))


def test_the_same_twice_and_the_global_state_untouched() -> None:
    data, state = data_of(some_ratings()), torch.get_rng_state()
    one, two = (item_tastes(data, torch.arange(USERS), 4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input_is_named() -> None:
    data = data_of(some_ratings())
    with pytest.raises(ValueError, match="`dim` must be at least 1, got 0"):
        item_tastes(data, torch.arange(USERS), 0)
    with pytest.raises(ValueError, match="`users` must be"):
        item_tastes(data, torch.tensor([USERS]), 2)
