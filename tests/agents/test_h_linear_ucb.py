"""``HLinearUCB`` against the alternating regressions written as loops over sessions, steps and items."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.h_linear_ucb import HLinearUCB
from kgrl.agents.linear_ucb import LinearUCB
from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from tests.agents.rated_groups import rated_groups

USERS, ITEMS, KNOWN, HIDDEN = 90, 24, 2, 3
GIVEN = {"hidden_channels": HIDDEN, "alpha": 0.4, "hidden_alpha": 0.7, "regularisation": 0.3,
         "hidden_regularisation": 0.6}


@pytest.fixture(scope="module")
def data() -> HeteroData:
    """Three groups of items, and users who each like the items of one; a fourth kind of difference is noise."""
    return rated_groups(USERS, ITEMS, groups=3, above=1.2, noise=0.1)


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    """Features that do not tell the groups apart."""
    return 0.3 * torch.randn(ITEMS, KNOWN, generator=torch.Generator().manual_seed(1))


def world_of(data: HeteroData, horizon: int = 6) -> Simulator:
    return Simulator(RatedFeedback(data, 0.0), horizon=horizon)


class Slow:
    """The turns, one session, step and item at a time, in double precision and with the whole history at hand."""

    def __init__(self, agent: HLinearUCB) -> None:
        self.x, self.v, self.options = agent.vectors.double(), agent.start.double().clone(), agent.options
        self.met: list[list[tuple[Tensor, float]]] = [[] for _ in range(ITEMS)]

    def user(self, items: list[int], feedback: list[float]) -> tuple[Tensor, Tensor]:
        matrix = self.options["regularisation"] * torch.eye(KNOWN + HIDDEN, dtype=torch.double)
        b = torch.zeros(KNOWN + HIDDEN, dtype=torch.double)
        for item, value in zip(items, feedback, strict=True):
            both = torch.cat([self.x[item], self.v[item]])
            matrix += torch.outer(both, both)
            b += value * both
        return torch.linalg.solve(matrix, b), matrix

    def item(self, item: int) -> tuple[Tensor, Tensor]:
        matrix = self.options["hidden_regularisation"] * torch.eye(HIDDEN, dtype=torch.double)
        b = torch.zeros(HIDDEN, dtype=torch.double)
        for theta, value in self.met[item]:
            matrix += torch.outer(theta[KNOWN:], theta[KNOWN:])
            b += theta[KNOWN:] * (value - self.x[item] @ theta[:KNOWN])
        return torch.linalg.solve(matrix, b), matrix

    def learn(self, sessions: Sessions) -> float:
        errors = []
        for items, feedback, length in histories(sessions):
            theta, _ = self.user(items[:length], feedback[:length])
            for item, value in zip(items[:length], feedback[:length], strict=True):
                errors.append(float(value - torch.cat([self.x[item], self.v[item]]) @ theta) ** 2)
                self.met[item].append((theta, value))
        for item in range(ITEMS):
            if self.met[item]:
                self.v[item] = self.item(item)[0]
        return sum(errors) / len(errors)

    def scores(self, items: list[int], feedback: list[float]) -> Tensor:
        theta, matrix = self.user(items, feedback)
        found = torch.full((ITEMS,), -torch.inf)
        for item in set(range(ITEMS)) - set(items):
            both, hidden = torch.cat([self.x[item], self.v[item]]), theta[KNOWN:]
            found[item] = (
                both @ theta
                + self.options["alpha"] * (both @ torch.linalg.inv(matrix) @ both).sqrt()
                + self.options["hidden_alpha"] * (hidden @ torch.linalg.inv(self.item(item)[1]) @ hidden).sqrt()
            )
        return found


def histories(sessions: Sessions):
    return zip(sessions.items.tolist(), sessions.feedback.tolist(), sessions.length.tolist(), strict=True)


def test_hidden_features_and_bounds_are_those_of_the_slow_turns(data, vectors) -> None:
    agent, world = HLinearUCB(vectors, **GIVEN), world_of(data)
    slow = Slow(agent)
    for turn in range(4):
        sessions = world.reset(torch.arange(8 * turn, 8 * turn + 8))
        for step in range(6):
            wanted = torch.stack([slow.scores(items[:step], feedback[:step])
                                  for items, feedback, _ in histories(sessions)])
            torch.testing.assert_close(agent._scores(sessions), wanted, atol=1e-4, rtol=1e-4)
            world.step(sessions, agent.act(sessions, explore=True))
        report = agent.learn(sessions)
        assert report == {"loss": pytest.approx(slow.learn(sessions), rel=1e-4), "gradient_steps": 0}
        torch.testing.assert_close(agent.hidden, slow.v.float(), atol=1e-4, rtol=1e-4)
    assert agent.moments.flatten(1).any(1).sum() < ITEMS  # some were never shown: they keep what they began with


def test_sessions_that_ended_early_count_as_far_as_they_went(data, vectors) -> None:
    agent = HLinearUCB(vectors, **GIVEN)
    slow = Slow(agent)
    sessions = Sessions.from_history([[3, 5, 1], [5], []], [[0.5, -1.0, 0.2], [0.9], []])
    assert agent.learn(sessions)["loss"] == pytest.approx(slow.learn(sessions), rel=1e-4)
    torch.testing.assert_close(agent.hidden, slow.v.float(), atol=1e-5, rtol=1e-4)
    assert agent.learn(Sessions.from_history([[]], [[]]))["loss"] == 0


def test_feedback_that_says_nothing_leaves_the_hidden_features(vectors) -> None:
    agent = HLinearUCB(vectors, **GIVEN)
    agent.learn(Sessions.from_history([[0, 1]], [[0.0, 0.0]]))
    assert torch.equal(agent.hidden, agent.start)


def test_learns_what_the_known_features_lack(data, vectors) -> None:
    """The best fixed list and the regression on the known features alone cannot tell the groups apart."""
    world, train, test = world_of(data), torch.arange(60), torch.arange(60, 90)
    bounds = world.bounds(test, train)
    agent = HLinearUCB(vectors, hidden_channels=4, alpha=0.5, hidden_alpha=0.1, regularisation=0.1)
    curve = fit(agent, world, train, eval_users=test, interactions=6 * 60 * 4, evaluate_every=6 * 60, sessions=20)
    assert curve[-1]["reward"] > bounds.metrics("best fixed list")["reward"] + 0.2
    known_alone = evaluate(LinearUCB(vectors, alpha=0.5, regularisation=0.1), world, test).reward
    assert curve[-1]["reward"] > known_alone + 0.2
    assert curve[-1]["reward"] <= bounds.upper
    assert curve[-1]["gradient_steps"] == 0


def test_uncertainty_of_an_item_shrinks_with_the_users_who_were_shown_it(vectors) -> None:
    agent = HLinearUCB(torch.zeros_like(vectors), hidden_channels=HIDDEN, alpha=0.0, hidden_alpha=1.0)
    user = Sessions.from_history([[0, 1, 2]], [[0.8, -0.5, 0.3]])
    before = agent._solution().inverse
    agent.learn(user)
    theta = torch.ones(HIDDEN)
    after = agent._solution().inverse
    widths = [((theta @ inverse) * theta).sum(1).sqrt() for inverse in (before, after)]
    assert (widths[1][:3] < widths[0][:3]).all()
    assert torch.equal(widths[1][3:], widths[0][3:])


def test_nothing_twice_and_an_end(data, vectors) -> None:
    world, agent = world_of(data, ITEMS + 3), HLinearUCB(vectors)
    for _ in range(2):
        sessions = rollout(agent, world, torch.arange(5), explore=True)
        assert all(sorted(row[:ITEMS]) == list(range(ITEMS)) for row in sessions.items.tolist())
        assert sessions.length.tolist() == [ITEMS] * 5
        agent.learn(sessions)


def test_an_interrupted_run_ends_the_same(data, vectors, tmp_path) -> None:
    def run(interactions: int, folder: str) -> tuple[HLinearUCB, list[dict[str, float]]]:
        agent = HLinearUCB(vectors, **GIVEN)
        curve = fit(agent, world_of(data), torch.arange(60), eval_users=torch.arange(60, 90), sessions=10,
                    interactions=interactions, evaluate_every=120, checkpoint=tmp_path / folder)
        return agent, [{name: value for name, value in row.items() if "seconds" not in name} for row in curve]

    whole, wanted = run(480, "whole")
    run(240, "parts")
    again, found = run(480, "parts")
    assert found == wanted
    assert whole.moments.any()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert torch.equal(whole.hidden, again.hidden)


def test_saved_and_loaded(data, vectors, tmp_path) -> None:
    agent, world, users = HLinearUCB(vectors, **GIVEN, seed=3), world_of(data), torch.arange(30)
    agent.learn(rollout(agent, world, users, explore=True))
    agent.save(tmp_path / "agent.safetensors")
    again = HLinearUCB.load(tmp_path / "agent.safetensors")
    assert again.options == agent.options
    assert torch.equal(again.hidden, agent.hidden)
    assert torch.equal(rollout(again, world, users).items, rollout(agent, world, users).items)
    with pytest.raises(ValueError, match="must hold a LinearUCB agent, got 'HLinearUCB agent'"):
        LinearUCB.load(tmp_path / "agent.safetensors")


def test_recommend_and_greedy_evaluation(data, vectors) -> None:
    world = world_of(data)
    agent = HLinearUCB(vectors, **(GIVEN | {"greedy_evaluation": True}))
    agent.learn(rollout(agent, world, torch.arange(30), explore=True))
    past = Sessions.from_history([[0, 3], []], [[0.8, 0.7], []])
    found = agent.recommend(past, k=ITEMS + 1)
    both = torch.cat([agent.vectors, agent.hidden], 1).double()
    theta = torch.linalg.solve(0.3 * torch.eye(KNOWN + HIDDEN) + both[[0, 3]].T @ both[[0, 3]],
                               both[[0, 3]].T @ torch.tensor([0.8, 0.7]).double())
    order = [item for item in (both @ theta).argsort(descending=True).tolist() if item not in (0, 3)]
    assert found[0].tolist() == [*order, -1, -1, -1]
    with pytest.raises(ValueError, match="item ids below 24, got 24"):
        agent.recommend(Sessions.from_history([[24]], [[1.0]]))


def test_seed_decides_where_hidden_features_start_and_nothing_global_moves(vectors) -> None:
    state = torch.get_rng_state()
    first, same, other = (HLinearUCB(vectors, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.hidden, same.hidden)
    assert not torch.equal(first.hidden, other.hidden)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("given", "message"), [
    ({"vectors": torch.zeros(3)}, "`vectors` must be dense"),
    ({"hidden_channels": 0}, "`hidden_channels` must be at least 1, got 0"),
    ({"hidden_alpha": -1.0}, "`hidden_alpha` must be a finite number"),
    ({"regularisation": 0.0}, "`regularisation` must be a finite number"),
    ({"hidden_regularisation": 0.0}, "`hidden_regularisation` must be a finite number"),
])  # fmt: skip
def test_bad_input_is_named(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        HLinearUCB(**({"vectors": torch.eye(3)} | given))
