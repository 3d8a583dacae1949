"""A world whose right answer is known: each user likes the items of one attribute, and the KG says which these are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch_geometric.data import Data

from kgrl.agents import KGQR
from kgrl.datasets import SyntheticKGRec, split_users
from kgrl.evaluate import evaluate
from kgrl.graph import knowledge_graph, shuffled
from kgrl.simulator import PlantedFeedback, Simulator
from kgrl.train import fit

ATTRIBUTES, ITEMS, HORIZON = 8, 3000, 64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The same numbers whatever the machine's number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_kgqr_finds_the_planted_tastes_through_the_kg(tmp_path):
    """Three interactions an item say little of its attribute; the KG says it all, and with other edges nothing."""
    data = SyntheticKGRec(tmp_path, num_users=400, num_items=ITEMS, num_attributes=ATTRIBUTES)[0]
    world = Simulator(PlantedFeedback(data), eta=0.0, horizon=HORIZON)
    train, _, test = split_users(data, seed=0)

    def learned(kg: Data) -> float:
        agent = KGQR(kg, dim=16, state_channels=32, hidden_channels=32, num_candidates=200, backfill=("random", 30),
                     streak_state=True, horizon=HORIZON, taste_channels=8, gamma=0.0, lr=3e-3, epsilon=(0.05, 0.7),
                     gradient_steps=32, seed=0)
        fit(agent, world, train, interactions=10_240, sessions=16, seed=0)
        return evaluate(agent, world, test).reward

    kg = knowledge_graph(data)
    real, without = learned(kg), learned(shuffled(kg, seed=0))
    assert world.bounds(test, train).metrics("all-knowing")["reward"] == 1.0
    # Who has to find the taste out tries half of the other attributes before, and each costs +1 and −1.
    best = 1 - 2 * (ATTRIBUTES - 1) / 2 / HORIZON
    assert 0.9 * best <= real <= 1.1 * best
    assert without < 0.0
