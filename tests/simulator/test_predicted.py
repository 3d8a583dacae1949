"""Predicted feedback: the presets on real data, and hand-made worlds."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.factorization import Factors
from kgrl.simulator import PredictedFeedback, Simulator


def planted(noise: float = 0.3, users: int = 60, items: int = 50) -> HeteroData:
    """Ratings from 1 to 5 with a personal part, three quarters of them seen."""
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(n, 2, generator=generator) for n in (users, items))
    rating = 3 + p @ q.T + noise * torch.randn(users, items, generator=generator)
    seen = torch.rand(users, items, generator=generator) < 0.75
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = users, items
    data["user", "rates", "item"].edge_index = seen.nonzero().T.contiguous()
    data["user", "rates", "item"].rating = rating.clamp(1, 5)[seen]
    data.rating_scale = (1.0, 5.0, 3.5)
    return data


@pytest.fixture(scope="module")
def book_crossing(shared: Path) -> HeteroData:
    path = shared / "book-crossing" / "ratings_final.npy"
    if not path.is_file():
        pytest.skip("the Book-Crossing ratings are not here")
    rows = torch.from_numpy(np.load(path).astype(np.int64))
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 17860, 14967
    data["user", "rates", "item"].edge_index = rows[:, :2].T.contiguous()
    data["user", "rates", "item"].rating = rows[:, 2].float()
    data.rating_scale = (0.0, 1.0, 0.5)
    return data


def test_the_papers_world(book_crossing: HeteroData) -> None:
    """3,900 to 4,200 positives a user, and its bounds at η = 0.1 within what another order of adding up may change."""
    feedback = PredictedFeedback.fit(book_crossing, preset="kgqr", holdout=0)
    assert feedback.threshold == 0
    some = torch.randperm(17860, generator=torch.Generator().manual_seed(0))[:3000]
    assert 3900 <= feedback.num_relevant(some[:1500]).double().mean() <= 4200
    bounds = Simulator(feedback, eta=0.1, horizon=32).bounds(some[:800], some[800:])
    assert bounds.metrics("all-knowing")["reward"] == pytest.approx(2.507, abs=0.02)
    assert bounds.metrics("best fixed list")["reward"] == pytest.approx(2.430, abs=0.04)
    assert bounds.metrics("random")["reward"] == pytest.approx(-0.43, abs=0.04)
    assert bounds.metrics("all-knowing")["reward"] <= bounds.upper + 1e-6
    assert bounds.taste_share < 0.1


def test_threshold_maps_onto_the_scale() -> None:
    assert PredictedFeedback.fit(planted(), preset="taste", holdout=0).threshold == pytest.approx(0.25)


def test_taste_preset_has_no_biases() -> None:
    data = planted()
    taste, kgqr = (PredictedFeedback.fit(data, preset=name, holdout=0) for name in ("taste", "kgqr"))
    assert not taste.factors.item_bias.any()
    assert not taste.factors.user_bias.any()
    assert kgqr.factors.item_bias.any()
    assert kgqr.factors.user_bias.any()
    assert taste.factors.user.shape == (60, 20)


def with_ratings(rating: torch.Tensor) -> HeteroData:
    """``[U, N]``, everybody rated everything, on the scale 0 to 1."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = rating.shape
    data["user", "rates", "item"].edge_index = torch.cartesian_prod(*map(torch.arange, rating.shape)).T.contiguous()
    data["user", "rates", "item"].rating = rating.flatten().float()
    data.rating_scale = (0.0, 1.0, 0.5)
    return data


@pytest.mark.parametrize(("rating", "what"), [
    (torch.ones(30, 40), "users like nearly every item"),
    (torch.zeros(30, 40), "users like no item at all"),
    ((torch.arange(40) % 2).expand(30, 40), "taste share of this world is 0"),
])
def test_a_world_with_nothing_to_learn_is_named(rating: torch.Tensor, what: str) -> None:
    with pytest.warns(UserWarning, match=what):
        PredictedFeedback.fit(with_ratings(rating), preset="kgqr", holdout=0)


@pytest.mark.filterwarnings("error")
def test_a_world_of_tastes_is_not() -> None:
    PredictedFeedback.fit(planted(), preset="kgqr", holdout=0)


def test_same_seed_same_world_and_no_trace() -> None:
    data = planted()
    before = torch.random.get_rng_state()
    one, two, other = (PredictedFeedback.fit(data, seed=seed) for seed in (3, 3, 4))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert one.fitting == two.fitting
    assert not torch.equal(one.factors.user, other.factors.user)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.is_grad_enabled()
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_hand_made_world_is_clamped(device: torch.device) -> None:
    user, item = torch.tensor([[1.0, 0.0], [2.0, -1.0]]), torch.tensor([[0.5, 1.0], [3.0, 0.0], [-4.0, 9.0]])
    world = PredictedFeedback.from_embeddings(
        user, item, user_bias=torch.tensor([0.1, 0.0]), item_bias=torch.tensor([0.0, 0.0, 0.2]), threshold=0.5
    ).to(device)
    expected = torch.tensor([[0.6, 1.0, -1.0], [0.0, 1.0, -1.0]])
    users = torch.tensor([0, 1], device=device)
    torch.testing.assert_close(world.rows(users).cpu(), expected)
    pairs = torch.cartesian_prod(torch.arange(2), torch.arange(3)).T.to(device)
    torch.testing.assert_close(world(*pairs).cpu(), expected.flatten())
    assert world.num_relevant(users).tolist() == [2, 1]


def test_given_factors_are_the_world() -> None:
    factors = Factors(4, 6, 3, seed=1)
    world = PredictedFeedback(factors, threshold=-0.1)
    users = torch.arange(4)
    torch.testing.assert_close(world.rows(users), factors.rows(users))
    assert world.num_relevant(users).tolist() == (factors.rows(users) > -0.1).sum(1).tolist()


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"preset": "kgrq"}, ValueError, "did you mean 'kgqr'"),
    ({"holdout": 0}, ValueError, "`holdout`.*preset: kgqr, taste"),
    ({"holdout": 0.9}, ValueError, "`holdout`"),
    ({"weight_decays": ()}, ValueError, "`weight_decays` must be"),
    ({"dim": 0}, ValueError, "`dim`"),
])
def test_fit_refuses(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PredictedFeedback.fit(planted(), **options)


@pytest.mark.parametrize(("count", "holdout", "least"), [(5, 0.1, 10), (9, 0.1, 10), (1, 0.5, 2), (3, 0.3, 4)])
def test_too_few_ratings_are_said_to_be_too_few(count: int, holdout: float, least: int) -> None:
    data = planted()
    rates = data["user", "rates", "item"]
    every = rates.edge_index, rates.rating
    rates.edge_index, rates.rating = every[0][:, :count], every[1][:count]
    what = f"`data` must be a data set of at least {least} ratings, .* got {count}; .*preset: kgqr, taste"
    with pytest.raises(ValueError, match=what):
        PredictedFeedback.fit(data, holdout=holdout)
    rates.edge_index, rates.rating = every[0][:, :least], every[1][:least]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in so small a world there may be nothing to learn
        assert PredictedFeedback.fit(data, holdout=holdout).fitting.heldout_rmse is not None


def test_embeddings_must_match() -> None:
    with pytest.raises(ValueError, match=r"`item`.*\[4, 3\]"):
        PredictedFeedback.from_embeddings(torch.ones(2, 2), torch.ones(4, 3))
    with pytest.raises(ValueError, match="`threshold`"):
        PredictedFeedback.from_embeddings(torch.ones(2, 2), torch.ones(4, 2), threshold=3.5)
