"""A world whose right answer is known: each user likes the items of one attribute, and the KG says which these are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Data

from kgrl.agents import KGQR
from kgrl.datasets import SyntheticKGRec, split_users
from kgrl.evaluate import evaluate
from kgrl.graph import knowledge_graph, shuffled
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit

ATTRIBUTES = 2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The same numbers whatever the machine's number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_kgqr_finds_the_planted_tastes_through_the_kg(tmp_path):
    data = SyntheticKGRec(tmp_path, num_users=400, num_items=600, num_attributes=ATTRIBUTES)[0]
    taste = F.one_hot(data["user"].taste.squeeze(1), ATTRIBUTES).float()
    attribute = F.one_hot(data["item"].attribute, ATTRIBUTES).float()
    # +1 where the item's attribute is the user's taste, else −1
    feedback = PredictedFeedback.from_embeddings(2 * taste, attribute, item_bias=torch.full((600,), -1.0))
    world = Simulator(feedback, eta=0.0, horizon=64)
    train, _, test = split_users(data, seed=0)

    def learned(kg: Data) -> float:
        agent = KGQR(kg, dim=16, state_channels=32, hidden_channels=32, num_candidates=200, backfill=("random", 30),
                     streak_state=True, horizon=64, gamma=0.0, lr=5e-3, epsilon=(0.05, 0.7), gradient_steps=16, seed=0)
        fit(agent, world, train, interactions=20_480, sessions=16, seed=0)
        return evaluate(agent, world, test).reward

    kg = knowledge_graph(data)
    real, without = learned(kg), learned(shuffled(kg, seed=0))
    all_knowing = world.bounds(test, train).metrics("all-knowing")["reward"]
    assert all_knowing == 1.0
    assert 0.95 * all_knowing <= real <= all_knowing
    assert without < real - 0.2
