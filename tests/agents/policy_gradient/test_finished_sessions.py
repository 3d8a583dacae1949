"""Returns against sums written out."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.policy_gradient.finished_sessions import returns, taken_steps
from kgrl.sessions import Sessions

USERS, HORIZON = 7, 6


@pytest.fixture
def sessions() -> Sessions:
    made = Sessions.empty(torch.arange(USERS), HORIZON)
    made.rewards = torch.randn(USERS, HORIZON, generator=torch.Generator().manual_seed(0))
    made.length[:], made.step = HORIZON, HORIZON
    return made


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_returns_are_discounted_from_the_step_on(sessions, gamma):
    found = returns(sessions, gamma)
    for row in range(USERS):
        for step in range(HORIZON):
            expected = sum(gamma ** (j - step) * float(sessions.rewards[row, j]) for j in range(step, HORIZON))
            assert float(found[row, step]) == pytest.approx(expected, abs=1e-5)


def test_the_baseline_is_the_mean_of_the_step_and_the_spread_is_one(sessions):
    plain, based = returns(sessions, 0.3), returns(sessions, 0.3, baseline=True)
    torch.testing.assert_close(based, plain - plain.mean(0))
    torch.testing.assert_close(returns(sessions, 0.3, True, True), based / based.std(correction=0))
    torch.testing.assert_close(returns(sessions, 0.3, False, True), (plain - plain.mean()) / plain.std(correction=0))


def test_returns_that_are_all_alike_weigh_nothing(sessions):
    """Rounding is not made into advantages: a few units in the last place, which depend on the machine, stay small."""
    sessions.rewards[:] = 0.7
    few_units = 5 * torch.finfo(torch.float).eps
    assert returns(sessions, 0.3, baseline=True, standardise=True).abs().max() < few_units / 1e-5


def test_sessions_that_ended_weigh_nothing(sessions):
    sessions.length[0] = 2
    assert taken_steps(sessions).sum(1).tolist() == [2] + [HORIZON] * (USERS - 1)
    found = returns(sessions, 0.5, baseline=True)
    assert not found[0, 2:].any()
    rest = sessions.rewards[1:, 5]
    torch.testing.assert_close(found[1:, 5], rest - rest.mean())  # the baseline is of those still there
    assert float(found[0, 1] - found[1, 1]) == pytest.approx(float(sessions.rewards[0, 1])
                                                             - float(returns(sessions, 0.5)[1, 1]), abs=1e-5)


def test_a_past_has_no_returns(sessions):
    longer = Sessions.empty(sessions.users, HORIZON, begin=2)
    longer.rewards = torch.cat([torch.ones(USERS, 2), sessions.rewards], 1)
    longer.length, longer.step = sessions.length.clone(), 2 + HORIZON
    sessions.length[0] = longer.length[0] = 3  # one ends early
    for options in ((0.5,), (0.5, True), (0.5, True, True)):
        found = returns(longer, *options)
        assert not found[:, :2].any()
        torch.testing.assert_close(found[:, 2:], returns(sessions, *options))
    assert torch.equal(taken_steps(longer)[:, 2:], taken_steps(sessions))
