"""The random agent picks every candidate, or every item that is left, equally often, and nothing else."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from kgrl.agents.random import Random
from kgrl.candidates import KHopCandidates
from kgrl.graph import knowledge_graph
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator


def some_candidates() -> KHopCandidates:
    """Items 1 and 2 share entity 6 with item 0."""
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [6, 6, 6, 7]]), num_nodes=8, num_items=6)
    return KHopCandidates(kg, size=None)


def test_uniform_over_the_candidates():
    past = Sessions.from_history([[0, 5]] * 30_000, [[1.0, 1.0]] * 30_000)
    picks = Random(some_candidates()).act(past, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(picks, minlength=6) / len(picks)
    torch.testing.assert_close(share, torch.tensor([0, 0.5, 0.5, 0, 0, 0]), atol=0.01, rtol=0)


def test_minus_one_where_nothing_is_left():
    kg = knowledge_graph(torch.tensor([[0], [2]]), num_nodes=3, num_items=2)
    assert Random(KHopCandidates(kg, size=None)).act(Sessions.from_history([[1]], [[1.0]])).tolist() == [-1]
    past = Sessions.from_history([[1, 0], [1]], [[1.0, 1.0], [1.0]])
    assert Random(num_items=2).act(past).tolist() == [-1, 0]


def test_whole_sessions_show_every_item_once():
    items = 9
    world = Simulator(PredictedFeedback.from_embeddings(torch.ones(500, 1), torch.rand(items, 1)), horizon=items + 2)
    agent = Random(num_items=items)
    sessions = rollout(agent, world, torch.arange(500), generator=torch.Generator().manual_seed(0))
    assert all(sorted(row) == list(range(items)) for row in sessions.items[:, :items].tolist())
    assert (sessions.items[:, items:] == -1).all()
    for step in range(items):  # at every step, without a condition, every item
        assert chisquare(torch.bincount(sessions.items[:, step], minlength=items)).pvalue > 1e-3
    assert agent.learn(sessions) == {"gradient_steps": 0}


def test_recommends_distinct_items_that_are_left():
    past = Sessions.from_history([[0, 5], [], [3, 1, 0, 2, 4]], [[1.0, 1.0], [], [0.0] * 5])
    found = Random(num_items=6).recommend(past, 4, seed=3)
    assert sorted(found[0].tolist()) == [1, 2, 3, 4]
    assert len(set(found[1].tolist())) == 4
    assert found[2].tolist() == [5, -1, -1, -1]
    assert torch.equal(found, Random(num_items=6).recommend(past, 4, seed=3))
    assert not torch.equal(found, Random(num_items=6).recommend(past, 4, seed=4))
    near = Random(some_candidates()).recommend(past, 3)
    assert sorted(near[0, :2].tolist()) == [1, 2]
    assert near[0, 2] == -1


@pytest.mark.parametrize("options", [{"num_items": 6}, {"candidates": some_candidates()}])
def test_randomness_is_the_generators(options: dict):
    past, before = Sessions.from_history([[0, 5]] * 50, [[1.0, 1.0]] * 50), torch.get_rng_state()
    agent = Random(**options)
    one, two, other = (agent.act(past, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(agent.act(past), agent.act(past))
    assert torch.equal(before, torch.get_rng_state())


def test_bad_input_is_named():
    for options, complaint in [({}, "got 'neither'"), ({"num_items": 3, "candidates": some_candidates()}, "got 'both'"),
                               ({"num_items": 0}, "`num_items` must be at least 1, got 0")]:
        with pytest.raises(ValueError, match=complaint):
            Random(**options)
    with pytest.raises(ValueError, match="`past.items` must be item ids below 6, got 6"):
        Random(num_items=6).recommend(Sessions.from_history([[6]], [[1.0]]))
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        Random(num_items=6).recommend(Sessions.from_history([[1]], [[1.0]]), 0)
