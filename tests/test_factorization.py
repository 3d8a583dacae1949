"""Matrix factorization against formulas written out in NumPy."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrl.factorization import Factors, training_epochs

USERS, ITEMS = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 3, 3, 1, 0])
VALUES = torch.tensor([1.0, -1.0, 0.5, 0.25, -0.75])


def parameters(factors: Factors) -> dict[str, np.ndarray]:
    return {name: p.detach().double().cpu().numpy().copy() for name, p in factors.named_parameters()}


def predictions(p: dict[str, np.ndarray]) -> np.ndarray:
    """r̂_ui = p_u·q_i + b_u + b_i, one pair at a time."""
    pairs = zip(USERS.tolist(), ITEMS.tolist(), strict=True)
    return np.array([p["user"][u] @ p["item"][i] + p["user_bias"][u] + p["item_bias"][i] for u, i in pairs])


def gradients(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the mean squared error over all five ratings, by hand: 2/R · Σ error · ∂r̂/∂θ."""
    slopes = {name: np.zeros_like(value) for name, value in p.items()}
    errors = 2 * (predictions(p) - VALUES.numpy()) / len(VALUES)
    for error, u, i in zip(errors, USERS.tolist(), ITEMS.tolist(), strict=True):
        slopes["user"][u] += error * p["item"][i]
        slopes["item"][i] += error * p["user"][u]
        slopes["user_bias"][u] += error
        slopes["item_bias"][i] += error
    return slopes


@pytest.mark.parametrize("biases", [True, False])
def test_epochs_are_adam_steps_computed_by_hand(biases: bool, device: torch.device) -> None:
    """Three epochs of one batch each; Adam as in Kingma & Ba (2015), Algorithm 1, L2 in the gradient."""
    lr, decay, beta1, beta2 = 0.05, 0.1, 0.9, 0.999
    factors = Factors(3, 4, dim=2, biases=biases, seed=0).to(device)
    p = parameters(factors)
    first = {name: np.zeros_like(value) for name, value in p.items()}
    second = {name: np.zeros_like(value) for name, value in p.items()}
    epochs = training_epochs(factors, USERS, ITEMS, VALUES, lr=lr, weight_decay=decay)
    for step, error in zip((1, 2, 3), epochs, strict=False):
        assert error == pytest.approx(np.mean((predictions(p) - VALUES.numpy()) ** 2), abs=1e-6)  # before the step
        slopes = gradients(p)
        for name in p if biases else ("user", "item"):
            slope = slopes[name] + decay * p[name]
            first[name] = beta1 * first[name] + (1 - beta1) * slope
            second[name] = beta2 * second[name] + (1 - beta2) * slope**2
            corrected = first[name] / (1 - beta1**step), second[name] / (1 - beta2**step)
            p[name] = p[name] - lr * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        for name, value in parameters(factors).items():
            np.testing.assert_allclose(value, p[name], atol=1e-5, err_msg=name)


def test_rows_and_pairs_agree_with_the_formula(device: torch.device) -> None:
    factors = Factors(3, 4, dim=2, seed=0).to(device)
    torch.nn.init.normal_(factors.user_bias)
    torch.nn.init.normal_(factors.item_bias)
    expected = torch.tensor(predictions(parameters(factors)), dtype=torch.float, device=device)
    users, items = USERS.to(device), ITEMS.to(device)
    torch.testing.assert_close(factors(users, items), expected)
    torch.testing.assert_close(factors.rows(users)[torch.arange(5, device=device), items], expected)


def test_start_is_as_documented() -> None:
    factors = Factors(400, 300, dim=20, seed=0)
    for embedding in (factors.user, factors.item):
        assert embedding.std().item() == pytest.approx(0.1, rel=0.03)
        assert embedding.mean().item() == pytest.approx(0, abs=0.005)
    assert not factors.user_bias.any()
    assert not factors.item_bias.any()


def test_seed_decides_the_start_and_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (Factors(3, 4, dim=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.user, two.user)
    assert torch.equal(one.item, two.item)
    assert not torch.equal(one.user, other.user)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_an_epoch_sees_every_rating_once(batch_size: int) -> None:
    """Without a step between batches, the epoch's error is that of all ratings, a short last batch included."""
    factors = Factors(3, 4, dim=2, seed=0)
    errors = islice(training_epochs(factors, USERS, ITEMS, VALUES, lr=0.0, batch_size=batch_size), 3)
    expected = np.mean((predictions(parameters(factors)) - VALUES.numpy()) ** 2)
    assert list(errors) == pytest.approx([expected] * 3, rel=1e-5)


def test_order_of_ratings_changes_with_the_epoch_and_the_seed() -> None:
    def trained(seed: int) -> Tensor:
        factors = Factors(3, 4, dim=2, seed=0)
        list(islice(training_epochs(factors, USERS, ITEMS, VALUES, lr=0.1, batch_size=1, seed=seed), 2))
        return factors.user.detach()

    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))


def test_same_seed_same_bits_with_several_threads() -> None:
    """Every item is rated hundreds of times: gradients that are added up in no fixed order would show."""
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randint(50, (2, 20_000), generator=generator)
    values = torch.randn(20_000, generator=generator)
    threads, state, results = torch.get_num_threads(), torch.get_rng_state(), []
    torch.set_num_threads(4)
    try:
        for _ in range(3):
            factors = Factors(50, 50, dim=16, seed=0)
            list(islice(training_epochs(factors, users, items, values, lr=0.05, batch_size=8192), 3))
            results.append(torch.cat([p.detach().flatten() for p in factors.parameters()]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_recovers_ratings_that_are_of_low_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(30, 2, generator=generator) @ torch.randn(2, 40, generator=generator) + 0.5
    users, items = (index.flatten() for index in torch.meshgrid(torch.arange(30), torch.arange(40), indexing="ij"))
    seen = torch.rand(len(users), generator=generator) < 0.8
    factors = Factors(30, 40, dim=2, seed=0)
    epochs = training_epochs(
        factors, users[seen], items[seen], truth.flatten()[seen], lr=0.05, weight_decay=0.0, batch_size=256
    )
    list(islice(epochs, 150))
    unseen = (factors(users, items) - truth.flatten())[~seen]
    assert unseen.square().mean() < 0.05 * truth.var()
