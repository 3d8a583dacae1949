"""The random agent picks every candidate equally often, and nothing else."""

from __future__ import annotations

import torch

from kgrl.agents.random import Random
from kgrl.candidates import KHopCandidates
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions


def test_uniform_over_the_candidates():
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [6, 6, 6, 7]]), num_nodes=8, num_items=6)
    agent = Random(KHopCandidates(kg, size=None))
    past = Sessions.from_history([[0, 5]] * 30_000, [[1.0, 1.0]] * 30_000)
    picks = agent.act(past, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(picks, minlength=6) / len(picks)  # items 1 and 2 share entity 6 with item 0
    torch.testing.assert_close(share, torch.tensor([0, 0.5, 0.5, 0, 0, 0]), atol=0.01, rtol=0)


def test_minus_one_where_nothing_is_left():
    kg = knowledge_graph(torch.tensor([[0], [2]]), num_nodes=3, num_items=2)
    assert Random(KHopCandidates(kg, size=None)).act(Sessions.from_history([[1]], [[1.0]])).tolist() == [-1]
