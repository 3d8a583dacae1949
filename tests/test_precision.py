"""Mixed precision is the networks' alone: worlds, bounds and metrics are the same in it and without."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kgrl.agents import LinearUCB
from kgrl.evaluate import evaluate
from kgrl.precision import full_precision
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit

USERS, ITEMS = torch.arange(20), 60
MIXED = {"device_type": "cpu", "dtype": torch.bfloat16}


def world() -> Simulator:
    """Feedback so near to the threshold that eight bits put many an item on its other side."""
    draws = torch.Generator().manual_seed(0)
    user, item = (torch.randn(size, 8, generator=draws) for size in (len(USERS), ITEMS))
    user[:, 7] = 1.0
    item[:, 7] = 1e-4 - (user[torch.arange(ITEMS) % len(USERS), :7] * item[:, :7]).sum(1)  # user i % 20 likes i barely
    return Simulator(PredictedFeedback.from_embeddings(user / 4, item / 4), eta=0.1, horizon=5)


class InTurn(nn.Module):
    """Shows every item in turn, and remembers what its products are computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[torch.dtype] = set()

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> torch.Tensor:
        self.kinds.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        return torch.full_like(sessions.users, sessions.step)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> None:
        self.kinds.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)


def test_a_world_is_the_same_in_mixed_precision() -> None:
    plain, mixed = world(), world()
    with torch.autocast(**MIXED):
        rounded = (mixed.feedback.rows(USERS) > 0).sum(1)
        counts, means = mixed.num_relevant(USERS), mixed.feedback.mean_feedback(USERS)
        scores, bounds = evaluate(InTurn(), mixed, USERS), mixed.bounds(USERS, USERS)
        fitted = world().feedback.checked()
    assert not torch.equal(rounded, plain.num_relevant(USERS)), "else this test could not fail"
    assert torch.equal(counts, plain.num_relevant(USERS))
    assert torch.equal(means, plain.feedback.mean_feedback(USERS))
    assert torch.equal(fitted.rows(USERS), plain.feedback.rows(USERS))
    expected, known = evaluate(InTurn(), plain, USERS), plain.bounds(USERS, USERS)
    for name in ("feedback", "rewards", "positive"):
        assert torch.equal(getattr(scores.sessions, name), getattr(expected.sessions, name))
    assert all(torch.equal(value, expected.per_user[name]) for name, value in scores.per_user.items())
    assert bounds.upper == known.upper
    assert all(torch.equal(line.items, known.lines[name].items) for name, line in bounds.lines.items())


def test_training_in_mixed_precision_measures_the_same_world() -> None:
    """The agent is in mixed precision, in rollouts, learning and evaluation; what it is measured by is not."""
    agent, there = InTurn(), world()
    row = fit(agent, there, USERS, eval_users=USERS, interactions=100, sessions=20, precision="bf16-mixed")[-1]
    assert agent.kinds == {torch.bfloat16}
    expected = evaluate(InTurn(), world(), USERS)
    assert row["recall"] == expected.recall
    assert row["f1"] == expected.f1
    assert row["reward"] == expected.reward
    assert torch.equal(there.num_relevant(USERS), world().num_relevant(USERS))  # which are kept


def test_a_regression_in_closed_form_is_not_rounded() -> None:
    agent = LinearUCB(torch.randn(ITEMS, 8, generator=torch.Generator().manual_seed(1)))
    plain = evaluate(agent, world(), USERS).sessions.items
    with torch.autocast(**MIXED):
        assert torch.equal(evaluate(agent, world(), USERS).sessions.items, plain)


@pytest.mark.parametrize("name", ["16-true", "bf16-true", "64-true", "16-mixed", "half", 32])
def test_only_precisions_that_change_no_world_are_taken(name: object) -> None:
    with pytest.raises(ValueError, match="`precision` must be a known name, got .*32-true"):
        fit(InTurn(), world(), USERS, interactions=100, precision=name)


def test_mixed_precision_is_as_it_was_after_an_error() -> None:
    @full_precision
    def fails() -> None:
        assert not torch.is_autocast_enabled("cpu")
        raise RuntimeError

    with torch.autocast(**MIXED):
        with pytest.raises(RuntimeError):
            fails()
        assert torch.is_autocast_enabled("cpu")
