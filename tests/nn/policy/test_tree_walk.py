"""Draws and their entropy against a categorical distribution; ``topk`` against the probabilities of all items."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from kgrl.nn import TreePolicy
from kgrl.nn.policy.tree_walk import draw, log_prob_and_entropy
from kgrl.tree import ClusterTree
from tests.nn.policy.slow_tree_policy import SCORED, SHAPES, make, some_gone, states


def some_logits(rows: int = 50, children: int = 7) -> tuple[Tensor, Tensor]:
    """Some are −∞, but never the digit's."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(rows, children, generator=generator, dtype=torch.double)
    digit = torch.randint(children, (rows,), generator=generator)
    away = torch.rand(rows, children, generator=generator) < 0.3
    away[torch.arange(rows), digit] = False
    return logits.masked_fill(away, -torch.inf), digit


def test_equals_the_categorical_distribution_and_its_gradient() -> None:
    logits, digit = some_logits()
    given = logits.clone().requires_grad_()
    weights = torch.randn(2, len(logits), generator=torch.Generator().manual_seed(1), dtype=torch.double)
    found = log_prob_and_entropy(given, digit)
    (mine,) = torch.autograd.grad((found[0] * weights[0] + found[1] * weights[1]).sum(), given)
    for row in range(len(logits)):
        left = logits[row].isfinite()
        alone = logits[row, left].requires_grad_()
        known = Categorical(logits=alone)
        log_prob, entropy = known.log_prob(left[: digit[row]].sum()), known.entropy()
        torch.testing.assert_close(torch.stack([part[row] for part in found]), torch.stack([log_prob, entropy]))
        (gradient,) = torch.autograd.grad(log_prob * weights[0, row] + entropy * weights[1, row], alone)
        torch.testing.assert_close(mine[row, left], gradient)
        assert not mine[row, ~left].any()


def test_gradcheck() -> None:
    logits, digit = some_logits(4, 3)
    logits = logits.clamp(min=-5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_prob_and_entropy(x, digit), logits)


def test_draws_tell_their_log_probability_and_never_hit_what_is_gone() -> None:
    logits, _ = some_logits()
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        digit, log_prob = draw(logits, generator)
        assert log_prob.isfinite().all()
        torch.testing.assert_close(log_prob, log_prob_and_entropy(logits, digit)[0])


def test_draws_in_half_precision_are_as_frequent_as_they_should_be() -> None:
    """Over many children, sums in bfloat16 would miss by half."""
    digit, log_prob = draw(torch.zeros(100_000, 400, dtype=torch.bfloat16), torch.Generator().manual_seed(0))
    assert digit.bincount(minlength=400).min() > 150  # of 250 expected
    torch.testing.assert_close(log_prob, torch.full((100_000,), -math.log(400)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("scored", [None, SCORED])
def test_a_wide_beam_finds_the_best(depth: int, children: int, num_items: int, scored: int | None) -> None:
    """All of them, in order, with −1 after the last that is left."""
    case, rows = make(depth, children, num_items, [5], scored, seed=2), 4
    state, (gone, sets) = states(rows), some_gone(rows, num_items)
    every = num_items + 2
    for missing, taken in ((None, [set()] * rows), (gone, sets)):
        probabilities = case.policy.probabilities(state, missing, case.scores)
        order = probabilities.argsort(1, descending=True).tolist()
        for k in {1, 2, every}:
            walk = case.policy.topk(state, k, missing, children ** (depth - 1), case.scores)
            assert walk.items.shape == walk.log_prob.shape == (rows, k)
            for row in range(rows):
                fits = min(k, num_items - len(taken[row]))
                found = walk.items[row, :fits].tolist()
                assert found == order[row][:fits]
                assert (walk.items[row, fits:] == -1).all()
                torch.testing.assert_close(walk.log_prob[row, :fits].exp(), probabilities[row, found])
                assert (walk.log_prob[row, fits:] == -torch.inf).all()


@pytest.mark.parametrize(("k", "beam"), [(1, 1), (1, 2), (1, None), (3, None), (5, 2)])
def test_a_narrow_beam_keeps_that_many_nodes(k: int, beam: int | None) -> None:
    case, rows = make(4, 3, 50, scale=0.2, seed=5), 30
    state, (gone, sets) = states(rows), some_gone(rows, 50, 30)
    walk = case.policy.topk(state, k, gone, beam)
    for row in range(rows):
        expected = case.slow.search(state[row], sets[row], k, max(k, 4 * k if beam is None else beam))
        assert walk.items[row].tolist() == [item for _, item in expected]
        torch.testing.assert_close(walk.log_prob[row], torch.tensor([value for value, _ in expected]).double())
    if (k, beam) == (1, 1):
        assert torch.equal(walk.items[:, 0], case.policy.greedy(state, gone).items)


def test_the_greedy_walk_may_miss_the_best_item() -> None:
    """0.6 · 0.5 against 0.4 · 1: the likeliest item is not below the likeliest child."""
    assert "not always the likeliest item" in str(TreePolicy.greedy.__doc__)
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0]]), 2)
    policy = TreePolicy(1, tree).double()
    with torch.no_grad():
        policy.weights[0].zero_()
        policy.biases[0].zero_()
        policy.biases[0][0] = torch.tensor([0.6, 0.4]).log()
    state = torch.zeros(1, 1, dtype=torch.double)
    torch.testing.assert_close(policy.probabilities(state), torch.tensor([[0.3, 0.3, 0.4]], dtype=torch.double))
    walk = policy.greedy(state)
    assert walk.items.item() in (0, 1)
    assert walk.log_prob.exp().item() == pytest.approx(0.3)
    assert policy.topk(state, 1, beam=1).items.item() in (0, 1)
    wide = policy.topk(state, 1, beam=2)
    assert (wide.items.item(), wide.log_prob.exp().item()) == (2, pytest.approx(0.4))
    # with item 0 gone, item 1 takes all of its node
    assert policy.greedy(state, torch.tensor([[0]])).items.item() == 1
