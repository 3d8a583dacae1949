"""``NodeNetworks``, as a tree policy has them: scores taken in beforehand, and weights that know their tree."""

from __future__ import annotations

import pytest
import torch

from kgrl.nn import ItemScores, TreePolicy
from tests.nn.policy.slow_tree_policy import HIDDEN, SCORED, STATE, choices, make, some_gone, states


@pytest.mark.parametrize("hidden", HIDDEN)
def test_prepared_scores_are_the_same(hidden: list[int]) -> None:
    case, state = make(3, 3, 11, hidden, SCORED), states(20)
    gone, _ = some_gone(20, 11, 6)
    levels, items = case.policy.prepare(case.scores), torch.arange(20) % 11
    for missing in (None, gone):
        for one, other in zip(choices(case.policy, state, missing, levels),
                              choices(case.policy, state, missing, case.scores), strict=True):
            assert torch.equal(one.items, other.items)
            assert torch.equal(one.log_prob, other.log_prob)
        assert torch.equal(case.policy.probabilities(state, missing, levels),
                           case.policy.probabilities(state, missing, case.scores))
        assert torch.equal(case.policy.log_prob(state, items, missing, levels),
                           case.policy.log_prob(state, items, missing, case.scores))
        with torch.no_grad():  # here the last layer takes the scores in
            merged = case.policy.probabilities(state, missing, case.policy.prepare(case.scores))
        torch.testing.assert_close(merged, case.policy.probabilities(state, missing, levels))


def test_scores_alone_are_a_softmax_over_items_where_the_tree_is_flat() -> None:
    policy = make(1, 6, 6).policy
    for parameter in policy.parameters():
        torch.nn.init.zeros_(parameter)
    state, weight, bias = states(3), torch.randn(6, 2).double(), torch.randn(6).double()
    expected = (state[:, -2:] @ weight.T + bias).softmax(1)
    torch.testing.assert_close(policy.probabilities(state, scores=ItemScores(weight, bias)), expected)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_constant_in_the_scores_and_a_single_item_left_lose_no_precision(offset: float) -> None:
    """In single precision, beside double: a variance is a small difference of large numbers, and one item has none."""
    case = make(2, 5, 25, scored=SCORED)
    wide = ItemScores(case.scores.weight, case.scores.bias, 30.0, 1.5)
    state, every = states(20), torch.arange(25)
    gone = torch.stack([every[torch.randperm(25, generator=torch.Generator().manual_seed(row))[:21]]
                        for row in range(20)])  # of four items left, some are alone below their node
    expected = case.policy.probabilities(state, gone, wide)
    narrow = TreePolicy(STATE, case.tree)
    narrow.load_state_dict(case.policy.state_dict())
    scores = ItemScores(wide.weight.float(), wide.bias.float() + offset, 30.0, 1.5)
    found = narrow.probabilities(state.float(), gone, scores)
    torch.testing.assert_close(found.double(), expected, atol=2e-3, rtol=0)


def test_weights_of_another_tree_are_refused() -> None:
    trained, same, other, fewer = (
        make(2, 4, items, seed=seed).policy for items, seed in ((9, 0), (9, 0), (9, 1), (7, 0)))
    same.load_state_dict(trained.state_dict())
    state = states(3)
    assert torch.equal(same.probabilities(state), trained.probabilities(state))
    for policy in (other, fewer):
        items = policy.greedy(state).items
        with pytest.raises(RuntimeError, match=r"weights of another tree \(over 9 items, this one over (9|7)\)"):
            policy.load_state_dict(trained.state_dict())
        assert policy.index.leaves.max() + 1 == policy.num_items
        assert items.max() < policy.num_items


def test_items_gone_that_are_none_or_of_other_states_are_refused() -> None:
    policy, state = make(2, 4, 9).policy, states(3)
    for shape in ((1, 1), (2, 1), (3,)):
        with pytest.raises(ValueError, match=r"`gone` must be a LongTensor \[3, …\], got"):
            policy.sample(state, torch.full(shape, 3))
    for item in (9, -2):
        with pytest.raises(ValueError, match=r"`gone` must be item ids below 9, or -1 for none, got"):
            policy.log_prob(state, torch.tensor([0, 1, 2]), torch.full((3, 1), item))
