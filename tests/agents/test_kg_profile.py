"""``KGProfile`` on planted readers: new books are found by their authors, and by nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents import KGProfile, LinearGaussian
from kgrl.graph import shuffled, without_edges
from kgrl.nn import SparseTasteTerms
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from tests.agents.planted_readers import AUTHORS, ITEMS, NEW, OLD, TEST, TRAIN, likes_of, planted_readers


@pytest.fixture(scope="module")
def world() -> tuple[HeteroData, Data]:
    return planted_readers()


def pasts(data: HeteroData, users: Tensor) -> Sessions:
    """What each of ``users`` likes among the old items."""
    likes = likes_of(data)[users]
    likes[:, NEW] = False
    shown = [row.nonzero().flatten().tolist() for row in likes]
    return Sessions.from_history(shown, [[1.0] * len(row) for row in shown])


def recall_of_new(agent: KGProfile, data: HeteroData, k: int = 4) -> float:
    """Of the test users' new books, the part among the ``k`` best of the new ones."""
    scores = agent._scores(pasts(data, TEST))[:, NEW]
    truth = likes_of(data)[TEST][:, NEW]
    some = truth.any(1)
    hits = truth.gather(1, scores.topk(k).indices).sum(1)
    return float((hits / truth.sum(1).clamp(min=1, max=k))[some].mean())


def test_finds_new_books_by_the_real_graph_alone(world) -> None:
    data, kg = world
    chance = 4 / len(NEW)
    assert recall_of_new(KGProfile.from_data(kg, data, TRAIN, old=OLD), data) > 0.6
    for other in (shuffled(kg, 0), without_edges(kg)):
        assert recall_of_new(KGProfile.from_data(other, data, TRAIN, old=OLD), data) < 1.6 * chance


def test_items_in_another_order_are_recommended_alike(world) -> None:
    data, kg = world
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(5))
    moved, moved_kg = planted_readers(order)
    past = pasts(data, TEST[:10])
    there = past.rows(torch.arange(10))
    there.items = torch.where(past.items >= 0, order[past.items.clamp(min=0)], -1)
    one = KGProfile.from_data(kg, data, TRAIN, old=OLD)._scores(past)
    two = KGProfile.from_data(moved_kg, moved, TRAIN, old=order[OLD])._scores(there)
    torch.testing.assert_close(two[:, order], one, atol=1e-5, rtol=1e-3)


def test_before_any_feedback_the_most_liked_come_first(world) -> None:
    data, kg = world
    agent = KGProfile.from_data(kg, data, TRAIN)
    found = agent.recommend(Sessions.from_history([[], [0]], [[], [0.0]]), k=ITEMS + 1)
    assert found[0, 0] == agent.expected.argmax()
    assert found[0, -1] == -1
    assert 0 not in found[1].tolist()
    assert (agent._scores(Sessions.from_history([[]], [[]])) == agent.expected).all()


def test_a_like_raises_the_author_s_other_books_and_a_dislike_lowers_them(world) -> None:
    data, kg = world
    agent = KGProfile.from_data(kg, data, TRAIN)
    liked, disliked, _ = agent._scores(Sessions.from_history([[3], [3], []], [[1.0], [-1.0], []]))
    same = torch.arange(3 + AUTHORS, ITEMS, AUTHORS)
    assert (liked[same] > agent.expected[same] + 0.05).all()
    assert (disliked[same] < agent.expected[same]).all()


def test_nothing_twice_and_nothing_learned(world) -> None:
    data, kg = world
    agent = KGProfile.from_data(kg, data, TRAIN)
    sessions = rollout(agent, Simulator(RatedFeedback(data, 0.0), horizon=8), TEST[:20])
    assert all(len(set(row)) == 8 for row in sessions.items.tolist())
    assert agent.learn(sessions) == {"gradient_steps": 0}
    assert not list(agent.parameters())


def test_parts_of_a_batch_are_scored_alike(world, monkeypatch) -> None:
    data, kg = world
    agent, past = KGProfile.from_data(kg, data, TRAIN, old=OLD), pasts(data, TEST)
    at_once = agent._scores(past)
    monkeypatch.setattr("kgrl.agents.shared.picking._CELLS", 7 * ITEMS * 2)
    torch.testing.assert_close(agent._scores(past), at_once)


def test_a_saved_agent_decides_alike(world, tmp_path) -> None:
    data, kg = world
    agent = KGProfile.from_data(kg, data, TRAIN, old=OLD)
    agent.save(tmp_path / "agent.safetensors")
    found, past = KGProfile.load(tmp_path / "agent.safetensors"), pasts(data, TEST)
    assert torch.equal(found.recommend(past, k=ITEMS), agent.recommend(past, k=ITEMS))
    assert found.options == agent.options
    LinearGaussian.from_ratings(data, TRAIN, dim=2).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="KGProfile agent"):
        KGProfile.load(tmp_path / "other.safetensors")


def test_bad_input_is_named(world) -> None:
    data, kg = world
    agent = KGProfile.from_data(kg, data, TRAIN)
    with pytest.raises(ValueError, match=f"item ids below {ITEMS}, got {ITEMS}"):
        agent.recommend(Sessions.from_history([[ITEMS]], [[1.0]]))
    with pytest.raises(ValueError, match="noise above 0"):
        KGProfile(SparseTasteTerms(agent.expected, agent.likes.loading, torch.zeros(ITEMS)))
