"""How a world is fitted: the held-out choice, drawn by hand, and what it reports."""

from __future__ import annotations

import itertools

import pytest
import torch

from kgrl.factorization import Factors, training_epochs
from kgrl.simulator import PredictedFeedback
from tests.simulator.test_predicted import planted


def test_own_data_beats_a_constant_and_the_presets() -> None:
    data = planted()
    own = PredictedFeedback.fit(data, dim=8)
    fitting = own.fitting
    assert fitting is not None
    assert fitting.heldout_rmse < 0.6 * fitting.constant_rmse
    assert fitting.weight_decay in (1e-5, 1e-4, 1e-3)
    # each alternative is at least as bad: the choice is the smallest of the grid
    errors = [PredictedFeedback.fit(data, dim=8, weight_decays=(decay,)).fitting for decay in (1e-5, 1e-4, 1e-3)]
    assert fitting == min(errors, key=lambda each: each.heldout_rmse)


def test_stops_where_the_held_out_error_is_smallest() -> None:
    """The curve drawn by hand over 60 epochs, far into the overfitting."""
    data = planted(noise=1.0)
    fitting = PredictedFeedback.fit(data, dim=8, seed=2, weight_decays=(1e-5,)).fitting
    ratings = data["user", "rates", "item"]
    values, (users, items) = (ratings.rating - 3) / 2, ratings.edge_index
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(2))
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    factors, curve = Factors(60, 50, 8, seed=2), []
    epochs = training_epochs(factors, users[kept], items[kept], values[kept], weight_decay=1e-5, seed=2)
    for _ in itertools.islice(epochs, 60):
        with torch.no_grad():
            predicted = factors(users[held], items[held]).clamp(-1, 1)
            curve.append(float((predicted - values[held]).square().mean().sqrt()))
    assert fitting.heldout_rmse == pytest.approx(curve[fitting.epochs - 1])
    assert fitting.heldout_rmse <= min(curve[: fitting.epochs + 5]) + 1e-4
    assert fitting.heldout_rmse < curve[-1] - 1e-3


def test_reported_error_is_that_of_a_fit_without_the_held_out() -> None:
    """Done again by hand: the ratings cut off, the preset fitted to the rest alone."""
    data = planted()
    world = PredictedFeedback.fit(data, preset="kgqr", seed=5, holdout=0.2)
    ratings = data["user", "rates", "item"]
    count = ratings.edge_index.size(1)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(5))
    held, kept = order[: int(0.2 * count)], order[int(0.2 * count) :]
    rest = data.clone()
    rest["user", "rates", "item"].edge_index = ratings.edge_index[:, kept]
    rest["user", "rates", "item"].rating = ratings.rating[kept]
    blind = PredictedFeedback.fit(rest, preset="kgqr", seed=5, holdout=0)
    truth = (ratings.rating - 3) / 2
    error = (blind(*ratings.edge_index[:, held]) - truth[held]).square().mean().sqrt()
    assert world.fitting.heldout_rmse == pytest.approx(float(error), rel=1e-5)
    constant = (truth[kept].mean() - truth[held]).square().mean().sqrt()
    assert world.fitting.constant_rmse == pytest.approx(float(constant), rel=1e-5)
    unreported = PredictedFeedback.fit(data, preset="kgqr", seed=5, holdout=0)
    assert unreported.fitting.heldout_rmse is None
    everyone = torch.arange(60)
    assert torch.equal(unreported.rows(everyone), world.rows(everyone))  # reporting changes nothing
