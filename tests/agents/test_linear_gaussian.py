"""``LinearGaussian`` against conditioning the joint normal distribution of all feedbacks, user by user."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.agents import GreedySVD, LinearGaussian
from kgrl.evaluate import evaluate
from kgrl.nn import TasteTerms
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from tests.agents.rated_groups import rated_groups

USERS, ITEMS = 60, 14


@pytest.fixture(scope="module")
def data() -> HeteroData:
    """Each user likes the items of one half more than those of the other."""
    return rated_groups(USERS, ITEMS, groups=2, above=0.8, noise=0.3)


def test_recommends_the_highest_conditional_mean(data) -> None:
    agent = LinearGaussian.from_ratings(data, torch.arange(40), dim=3)
    world = Simulator(RatedFeedback(data, 0.0), horizon=8)
    sessions = rollout(agent, world, torch.arange(40, 60))
    mean, loading = agent.expected.double(), agent.loading.double()
    covariance = loading @ loading.T + torch.diag(agent.noise.double())
    for row in range(20):
        for step in range(8):
            seen = sessions.items[row, :step]
            surprise = sessions.feedback[row, :step].double() - mean[seen]
            now = mean + covariance[:, seen] @ torch.linalg.solve(covariance[seen][:, seen], surprise)
            now[seen] = -torch.inf
            assert now[sessions.items[row, step]] >= now.max() - 1e-5


def test_beats_the_best_fixed_list_where_tastes_differ(data) -> None:
    world, test = Simulator(RatedFeedback(data, 0.0), horizon=6), torch.arange(40, 60)
    bounds = world.bounds(test, torch.arange(40))
    found = evaluate(LinearGaussian.from_ratings(data, torch.arange(40), dim=2), world, test).reward
    assert found > bounds.metrics("best fixed list")["reward"] + 0.1
    assert found <= bounds.upper


def test_nothing_twice_and_an_end(data) -> None:
    world = Simulator(RatedFeedback(data, 0.0), horizon=ITEMS + 3)
    sessions = rollout(LinearGaussian.from_ratings(data, torch.arange(40)), world, torch.arange(5))
    assert all(sorted(row[:ITEMS]) == list(range(ITEMS)) for row in sessions.items.tolist())
    assert sessions.length.tolist() == [ITEMS] * 5
    assert LinearGaussian.from_ratings(data, torch.arange(40)).learn(sessions) == {"gradient_steps": 0}


def test_recommend_for_real_users(data) -> None:
    agent = LinearGaussian.from_ratings(data, torch.arange(40), dim=2)
    found = agent.recommend(Sessions.from_history([[0, 2], []], [[1.0, 0.9], []]), k=ITEMS + 1)
    assert set(found[0, :4].tolist()) <= {4, 6, 8, 10, 12}
    assert found[0, -3:].tolist() == [-1] * 3
    assert found[1, -1] == -1
    assert found[1, 0] == agent.expected.argmax()
    with pytest.raises(ValueError, match="item ids below 14, got 14"):
        agent.recommend(Sessions.from_history([[14]], [[1.0]]))


def test_a_saved_agent_decides_alike(data, tmp_path) -> None:
    agent = LinearGaussian.from_ratings(data, torch.arange(40), dim=2)
    agent.save(tmp_path / "agent.safetensors")
    found = LinearGaussian.load(tmp_path / "agent.safetensors")
    past = Sessions.from_history([[0, 2], [5], []], [[1.0, 0.9], [-1.0], []])
    assert torch.equal(found.recommend(past, k=ITEMS), agent.recommend(past, k=ITEMS))
    assert found.options == agent.options == {"dim": 2}
    other = GreedySVD.from_ratings(data, torch.arange(40), dim=2, epochs=1)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="LinearGaussian agent"):
        LinearGaussian.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(("changed", "text"), [
    ({"noise": torch.ones(4)}, r"expected \[N\], loading \[N, k\] and noise \[N\]"),
    ({"loading": torch.ones(3)}, r"loading \[N, k\]"),
    ({"loading": torch.ones(2, 2)}, r"loading \[N, k\]"),
    ({"expected": torch.zeros(0), "loading": torch.zeros(0, 2), "noise": torch.ones(0)}, "N and k > 0"),
    ({"expected": torch.tensor([0.0, torch.nan, 0.0])}, "`tastes` must be finite"),
])
def test_tastes_that_are_none(changed, text) -> None:
    parts = {"expected": torch.zeros(3), "loading": torch.ones(3, 2), "noise": torch.ones(3)}
    with pytest.raises(ValueError, match=text):
        LinearGaussian(TasteTerms(**{**parts, **changed}))
