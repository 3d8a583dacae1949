"""Planted tastes against what the KG says, looked up one pair at a time."""

from __future__ import annotations

import pytest
import torch

from kgrl.datasets import SyntheticKGRec
from kgrl.simulator import PlantedFeedback, Simulator

USERS, ITEMS = 30, 60


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return SyntheticKGRec(tmp_path_factory.mktemp("planted"), num_users=USERS, num_items=ITEMS, num_attributes=6,
                          ratings_per_user=12, tastes_per_user=2, num_distractors=3)[0]


def test_feedback_is_what_the_kg_says(data, device):
    attributes = [set() for _ in range(ITEMS)]
    for item, entity in data["item", "has_attribute", "entity"].edge_index.T.tolist():
        attributes[item].add(entity)
    feedback = PlantedFeedback(data).to(device)
    rows = feedback.rows(torch.arange(USERS, device=device))
    for user, taste in enumerate(data["user"].taste.tolist()):
        assert len(set(taste)) == 2
        assert rows[user].tolist() == [1.0 if set(taste) & attributes[item] else -1.0 for item in range(ITEMS)]
    users, items = torch.cartesian_prod(torch.arange(USERS), torch.arange(ITEMS)).T.to(device)
    assert torch.equal(feedback(users, items), rows.flatten())
    assert torch.equal(feedback.rows(torch.tensor([4, 2], device=device)), rows[[4, 2]])
    assert torch.equal(feedback.react(users, items).positive, rows.flatten() > 0)


def test_the_world_is_as_good_as_is_known(data, device):
    """Twenty items are liked by each user: ten steps of liked ones, and streaks of 0 to 9 before them."""
    world = Simulator(PlantedFeedback(data), eta=0.1, horizon=10).to(device)
    users = torch.arange(USERS, device=device)
    assert world.feedback.num_relevant(users).tolist() == [20] * USERS
    assert world.bounds(users, users).metrics("all-knowing")["reward"] == pytest.approx(1 + 0.1 * 9 / 2)


def test_data_without_planted_tastes_are_refused(data):
    for node, name in (("user", "taste"), ("item", "attribute")):
        other = data.clone()
        del other[node][name]
        with pytest.raises(ValueError, match=rf"with data\['{node}'\].{name}, got \[.*; SyntheticKGRec makes such"):
            PlantedFeedback(other)
