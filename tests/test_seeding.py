"""The fence around the global random states; mixed precision is the networks' alone: worlds and bounds keep out."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from kgrl.agents import LinearUCB
from kgrl.evaluate import evaluate
from kgrl.seeding import a_seed, fenced, full_precision, generator_for
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit


def draw() -> tuple[float, float, float]:
    """One number of each global generator."""
    return random.random(), np.random.rand(), torch.rand(()).item()


@pytest.mark.parametrize("seed", [None, 0, 7, 2**40])
def test_global_states_are_as_before(seed: int | None) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    undisturbed = [draw() for _ in range(2)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with fenced(seed):
        draw()
    assert [first, draw()] == undisturbed


def test_global_states_are_as_before_an_exception() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="inside"), fenced(3):
        draw()
        raise RuntimeError("inside")
    assert draw() == expected


def test_same_seed_same_numbers() -> None:
    blocks = []
    for seed in (3, 3, 4):
        with fenced(seed):
            blocks.append(draw())
    assert blocks[0] == blocks[1]
    assert all(a != b for a, b in zip(blocks[0], blocks[2], strict=True))


def test_a_seeded_block_does_not_see_the_outside() -> None:
    blocks = []
    for outside in (1, 2):
        random.seed(outside), np.random.seed(outside), torch.manual_seed(outside)
        with fenced(3):
            blocks.append(draw())
    assert blocks[0] == blocks[1]


def test_without_a_seed_the_block_goes_on_from_the_present() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with fenced():
        inside = draw()
    assert inside == draw()


def test_fences_nest() -> None:
    with fenced(1):
        plain = [draw(), draw()]
    with fenced(1):
        first = draw()
        with fenced(2):
            draw()
        assert [first, draw()] == plain


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_is_fenced_too() -> None:
    torch.cuda.manual_seed(1)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(1)
    with fenced(3):
        torch.rand(4, device="cuda")
    assert torch.equal(torch.rand(4, device="cuda"), expected)


def test_generator_for_is_seeded_and_on_the_device(device: torch.device) -> None:
    before = torch.get_rng_state()
    one, two, other = (generator_for(device, seed) for seed in (5, 5, 6))
    draws = [torch.rand(8, device=device, generator=generator) for generator in (one, two, other)]
    assert one.device.type == device.type
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 2, -(2**63) + 1, np.int32(7), torch.tensor(7)])
def test_a_seed_is_what_a_generator_starts_from(seed: int) -> None:
    assert a_seed("seed", seed) == int(seed)
    torch.Generator().manual_seed(a_seed("seed", seed))


@pytest.mark.parametrize("seed", [True, 1.0, "1", None])
def test_what_is_no_whole_number_is_no_seed(seed: object) -> None:
    with pytest.raises(TypeError, match="`seed` must be a whole number"):
        a_seed("seed", seed)


def test_a_seed_beyond_64_bits() -> None:
    with pytest.raises(ValueError, match="`seed` must be a whole number of 64 bits, got"):
        a_seed("seed", 2**64)


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
