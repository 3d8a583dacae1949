"""Splits of users and items; a renumbered data set is the same one, and an agent that goes by number is lost in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kgrl.datasets.frames import from_frames
from kgrl.datasets.movielens_100k import MovieLens100K
from kgrl.datasets.splits import popular_items, release_years, renumbered, split_items, split_users
from kgrl.datasets.synthetic import SyntheticKGRec
from kgrl.simulator import PlantedFeedback
from kgrl.tree import ClusterTree

TITLES = ["Toys (1995)", "2001: A Space Odyssey (1968)", "Land (1995) (V)", "unknown", "M (Eine Stadt)", "(500) Days"]


def test_the_year_is_what_the_title_ends_in():
    names = range(len(TITLES))
    data = from_frames(pd.DataFrame({"user": 0, "item": names}), items=pd.DataFrame({"item": names, "title": TITLES}))
    years = release_years(data)
    assert years.tolist() == [1995, 1968, 1995, -1, -1, -1]
    assert years.dtype == torch.long


def test_years_of_the_data_set_go_first_and_are_checked():
    data = from_frames(pd.DataFrame({"user": 0, "item": [0, 1]}))
    data["item"].year = torch.tensor([1990, -1])
    assert release_years(data) is data["item"].year
    for wrong in (torch.tensor([1990.0, -1]), torch.tensor([1990]), [1990, 1991]):
        data["item"].year = wrong
        with pytest.raises(ValueError, match="a LongTensor \\[2\\], -1 where unknown"):
            release_years(data)


def users(count: int):
    return from_frames(pd.DataFrame({"user": range(count), "item": 0}))


@pytest.mark.parametrize(("count", "sizes"), [(7, (5, 1, 1)), (10, (7, 1, 2)), (943, (660, 94, 189)),
                                              (17860, (12502, 1786, 3572))])
def test_split_covers_all_users_once(count, sizes):
    parts = split_users(users(count))
    assert tuple(map(len, parts)) == sizes
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(count))
    assert all(torch.equal(part, part.sort().values) for part in parts)


def test_split_depends_on_the_seed_alone():
    data = users(50)
    before = torch.random.get_rng_state()
    first, again, other = (split_users(data, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_split_may_leave_out_a_part_on_purpose():
    for train, valid in ((1, 0), (0.9, 0.1), (0.7, 0.3)):  # in floats 1 - 0.9 - 0.1 < 0 < 1 - 0.7 - 0.3
        sizes = tuple(map(len, split_users(users(10), train=train, valid=valid)))
        assert sizes == (round(10 * train), round(10 * valid), 0)


@pytest.mark.parametrize("shares", [{"train": 0}, {"train": 0.9, "valid": 0.2}, {"train": 0.99, "valid": 0},
                                    {"train": 0.5, "valid": 0.01}, {"train": float("nan")},
                                    {"train": -0.1, "valid": 0}, {"valid": -0.1}])
def test_split_refuses_empty_parts(shares):
    with pytest.raises(ValueError, match=r"train|valid|test"):
        split_users(users(10), **shares)


def test_popularity_of_a_hand_worked_case(device):
    rows = [(0, 1, 5), (1, 1, 4), (0, 2, 4), (2, 0, 5), (2, 2, 5), (2, 3, 5), (1, 0, 3)]
    ratings = pd.DataFrame(rows, columns=["user", "item", "rating"])
    data = from_frames(ratings, rating_scale=(1, 5, 3), items=pd.DataFrame({"item": [0, 1, 2, 3]}))
    assert popular_items(data, torch.tensor([0, 1], device=device)).tolist() == [1, 2, 0, 3]
    assert popular_items(data, torch.tensor([0, 1, 2], device=device)).tolist() == [1, 2, 0, 3]
    assert popular_items(data, torch.tensor([2], device=device)).tolist() == [0, 2, 3, 1]
    assert popular_items(data.to(device), torch.tensor([0, 1], device=device)).device.type == device.type


@pytest.mark.parametrize("bad", [[], [-1], [3]])
def test_popularity_refuses(bad):
    with pytest.raises(ValueError, match="`users` must be"):
        popular_items(users(3), torch.tensor(bad, dtype=torch.long))


def items(years: list[int] | None = None, count: int = 10):
    data = from_frames(pd.DataFrame({"user": 0, "item": range(count)}))
    if years is not None:
        data["item"].year = torch.tensor(years)
    return data


@pytest.mark.parametrize(("count", "new", "size"), [(10, 0.2, 2), (1522, 0.2, 304), (7, 0.5, 4), (2, 0.5, 1)])
def test_every_item_is_old_or_new(count, new, size):
    old, fresh = split_items(items(count=count), new=new)
    assert len(fresh) == size
    assert torch.equal(torch.cat([old, fresh]).sort().values, torch.arange(count))
    assert all(torch.equal(part, part.sort().values) for part in (old, fresh))


def test_the_split_of_items_depends_on_the_seed_alone():
    data = items(count=50)
    before = torch.random.get_rng_state()
    first, again, other = (split_items(data, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_by_time_the_latest_are_new_and_chance_decides_within_a_year():
    data = items([1990, 1998, -1, 1997, 1997, 1997, 1995, -1, 1990, 1990])
    seen = {tuple(split_items(data, new=0.2, by="time", seed=seed)[1].tolist()) for seed in range(30)}
    assert seen == {(1, 3), (1, 4), (1, 5)}


def test_an_item_of_unknown_year_stays_old():
    years = [-1] * 8 + [1990, 1991]
    assert split_items(items(years), new=0.2, by="time")[1].tolist() == [8, 9]
    with pytest.raises(ValueError, match=r"`new` must be a share of at most 0.200 by time.*got 0.3"):
        split_items(items(years), new=0.3, by="time")


@pytest.mark.parametrize(("options", "message"), [
    ({"new": 0}, "`new` must be a share that leaves at least one of the 10 items new and one old, got 0"),
    ({"new": 1.0}, "one old"), ({"new": -0.1}, "`new`"), ({"new": float("nan")}, "`new`"), ({"new": 0.01}, "one old"),
    ({"by": "tme"}, "did you mean 'time'"),
    ({"by": "time"}, 'must be one with data\\["item"\\].year, or with titles'),
])
def test_the_split_of_items_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        split_items(items(), **options)


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


def test_a_split_is_where_the_data_are():
    """What is made of the users follows them: on a GPU, agent and world would else be apart."""
    data = users(10)
    data["item"].num_nodes = 10
    data["user", "rates", "item"].edge_index = torch.zeros(2, 1, dtype=torch.long)
    assert {part.device.type for part in (*split_users(data), *split_items(data))} == {"cpu"}
    data["user", "rates", "item"].edge_index = torch.zeros(2, 1, dtype=torch.long, device="meta")
    assert {part.device.type for part in (*split_users(data), *split_items(data))} == {"meta"}
