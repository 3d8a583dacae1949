"""A renumbered data set is the same data set, and an agent that goes by number is lost in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.renumber import renumbered
from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.simulator import PlantedFeedback
from kgrl.tree import ClusterTree

RAW = Path(__file__).resolve().parents[2] / "data" / "ml-100k" / "raw"


@pytest.fixture
def data(tmp_path):
    data = SyntheticKGRec(tmp_path, num_users=30, num_items=40, num_attributes=5, num_distractors=4,
                          ratings_per_user=10)[0]
    paths = torch.stack([torch.arange(40) // 7, torch.arange(40) % 7], 1)
    ClusterTree(paths, 7).attach(data)
    data["item"].title = [f"item {raw}" for raw in data["item"].raw_id.tolist()]
    data["item"].weight = np.arange(40.0)
    data["item"].scale = torch.tensor(2.0)
    data["item", "next_to", "item"].edge_index = torch.tensor([[0, 1, 2], [1, 2, 39]])
    data.relation_names = [*data.relation_names, "next_to"]
    return data


def test_it_is_the_same_graph_under_other_numbers(data):
    other = renumbered(data, seed=3)
    other.validate()
    raw = other["item"].raw_id
    assert not torch.equal(raw, data["item"].raw_id)
    for kind in data.edge_types:
        expected, got = data[kind].edge_index.clone(), other[kind].edge_index.clone()
        for end, node in enumerate((kind[0], kind[2])):
            if node == "item":
                expected[end], got[end] = data["item"].raw_id[expected[end]], raw[got[end]]
        assert torch.equal(expected, got)
        assert kind[0] != "user" or torch.equal(data[kind].rating, other[kind].rating)


def test_what_is_known_of_an_item_goes_along(data):
    other = renumbered(data)
    raw = other["item"].raw_id
    assert other["item"].title == [f"item {number}" for number in raw.tolist()]
    for name in ("attribute", "cluster_path"):
        assert torch.equal(other["item"][name], data["item"][name][raw])
    assert other["item"].weight.tolist() == raw.tolist()
    assert other["item"].scale == 2
    assert torch.equal(ClusterTree.from_data(other).paths, data["item"].cluster_path[raw])
    users = torch.arange(30)
    assert torch.equal(PlantedFeedback(other).rows(users), PlantedFeedback(data).rows(users)[:, raw])


def test_the_given_data_stay_and_the_seed_decides(data):
    before = data["user", "rates", "item"].edge_index.clone()
    random_state = torch.random.get_rng_state()
    first, again, other = (renumbered(data, seed)["item"].raw_id for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(data["user", "rates", "item"].edge_index, before)
    assert "renumbered" not in data.provenance
    assert renumbered(data, 5).provenance["renumbered"] == 5
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_movielens_numbers_no_longer_tell_fame(tmp_path):
    if not (RAW / "ml-100k.inter").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    data = MovieLens100K(tmp_path, source=RAW)[0]

    def share_of_first_hundred(data) -> float:
        return float((data["user", "rates", "item"].edge_index[1] < 100).float().mean())

    even = 100 / data["item"].num_nodes
    assert share_of_first_hundred(data) > 2 * even
    assert sum(share_of_first_hundred(renumbered(data, seed)) for seed in range(5)) / 5 < 1.5 * even
