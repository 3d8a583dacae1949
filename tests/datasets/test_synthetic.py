from __future__ import annotations

import numpy as np
import pytest
import torch

from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.simulator import PlantedFeedback

SIZE = {"num_users": 30, "num_items": 60, "num_attributes": 6, "ratings_per_user": 12}


def everyones_feedback(data):
    return PlantedFeedback(data).rows(torch.arange(data["user"].num_nodes))


def test_log_without_noise_is_the_truth(tmp_path):
    data = SyntheticKGRec(tmp_path, **SIZE)[0]
    rates = data["user", "rates", "item"]
    user, item = rates.edge_index
    assert torch.equal(rates.rating * 2 - 1, everyones_feedback(data)[user, item])
    assert torch.equal(torch.bincount(user), torch.full((30,), 12))
    assert len(torch.unique(user * 60 + item)) == len(user)
    assert ((rates.rating == 1).float().mean() - 0.55).abs() < 0.05


def test_noise_is_as_much_as_asked_for(tmp_path):
    data = SyntheticKGRec(tmp_path, num_users=500, tastes_per_user=2, noise=0.2)[0]
    user, item = data["user", "rates", "item"].edge_index
    wrong = data["user", "rates", "item"].rating * 2 - 1 != everyones_feedback(data)[user, item]
    assert abs(wrong.float().mean() - 0.2) < 0.02  # five standard errors


def test_nothing_is_popular_with_all(tmp_path):
    data = SyntheticKGRec(tmp_path, **SIZE, tastes_per_user=2)[0]
    assert torch.equal((everyones_feedback(data) > 0).float().mean(0), torch.full((60,), 2 / 6))
    assert torch.bincount(data["item"].attribute).tolist() == [10] * 6


def test_seed(tmp_path):
    first, other = (SyntheticKGRec(tmp_path, **SIZE, seed=seed)[0] for seed in (0, 1))
    again = SyntheticKGRec(tmp_path, **SIZE, seed=0, force_reload=True)[0]
    assert torch.equal(first["user", "rates", "item"].edge_index, again["user", "rates", "item"].edge_index)
    assert torch.equal(first["user"].taste, again["user"].taste)
    assert not torch.equal(first["item"].attribute, other["item"].attribute)


def test_global_random_states_are_left_alone(tmp_path):
    np.random.random(), torch.rand(1)  # or a seed set by an earlier call might be the one set again
    before = np.random.get_state(), torch.random.get_rng_state()
    SyntheticKGRec(tmp_path, **SIZE)
    assert str(np.random.get_state()) == str(before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_distractors_are_entities_of_their_own(tmp_path):
    data = SyntheticKGRec(tmp_path, **SIZE, num_distractors=3)[0]
    assert data["entity"].num_nodes == 9
    assert data.relation_names == ["has_attribute", "has_distractor"]
    distractor = data["item", "has_distractor", "entity"].edge_index[1] - 6
    assert distractor.min() == 0
    assert len(torch.unique(data["item"].attribute * 3 + distractor)) > 6  # it tells nothing of the attribute


@pytest.mark.parametrize("liked_share", [0.5, 1.0])
def test_user_may_rate_everything(tmp_path, liked_share):
    size = {"num_users": 3, "num_items": 8, "num_attributes": 2, "ratings_per_user": 8}
    data = SyntheticKGRec(tmp_path, **size, liked_share=liked_share)[0]
    assert data["user", "rates", "item"].num_edges == 24
    assert data.provenance["options"].items() >= size.items()


def test_many_items(tmp_path):
    data = SyntheticKGRec(tmp_path, num_users=100, num_items=200_000, num_attributes=1000)[0]
    assert data["item"].num_nodes == 200_000
    edges = torch.stack([torch.arange(200_000), data["item"].attribute])
    assert torch.equal(data["item", "has_attribute", "entity"].edge_index, edges)


@pytest.mark.parametrize("options", [{"num_users": 0}, {"num_attributes": 501}, {"tastes_per_user": 11}, {"noise": 0.6},
                                     {"ratings_per_user": 501}, {"liked_share": -1}, {"num_distractors": 501},
                                     {"seed": -1}])
def test_bad_options(tmp_path, options):
    with pytest.raises(ValueError, match="must be"):
        SyntheticKGRec(tmp_path, **options)
