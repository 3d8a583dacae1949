from __future__ import annotations

import random
from itertools import pairwise

import pandas as pd
import pytest
import torch

from kgrl.datasets.frames import from_frames
from kgrl.datasets.rating_splits import split_ratings, with_ratings

RATES = ("user", "rates", "item")


def rated(counts: list[int], seed: int = 0, times: bool = True):
    """User u has ``counts[u]`` ratings at times of few values, in a shuffled file."""
    rng = random.Random(seed)
    rows = [(user, item, 5 - item % 5, rng.randrange(9)) for user, count in enumerate(counts) for item in range(count)]
    rng.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    return from_frames(frame if times else frame.drop(columns="time"), rating_scale=(1, 5, 3))


def sets(parts) -> list[set[int]]:
    return [set(part.tolist()) for part in parts]


@pytest.mark.parametrize("by", ["user", "user_time", "last", "time"])
def test_every_rating_is_in_one_part(by, device):
    data = rated([1, 2, 3, 10, 27]).to(device)
    parts = split_ratings(data, by=by)
    assert sorted(torch.cat(parts).tolist()) == list(range(43))
    assert all(torch.equal(part, part.sort().values) and part.device.type == device.type for part in parts)


@pytest.mark.parametrize(("train", "valid"), [(0.8, 0.1), (0.5, 0.0), (0.34, 0.33), (0.9, 0.1)])
@pytest.mark.parametrize("by", ["user", "user_time"])
def test_shares_of_each_user_as_a_loop_finds_them(by, train, valid):
    counts = [1, 2, 3, 10, 27, 100]
    data = rated(counts)
    user, time = data[RATES].edge_index[0].tolist(), data[RATES].time.tolist()
    parts = sets(split_ratings(data, train, valid, by=by))
    for each, count in enumerate(counts):
        first = max(1, round(train * count))
        sizes = first, max(first, round((train + valid) * count)) - first
        found = [[row for row in part if user[row] == each] for part in parts]
        assert tuple(map(len, found)) == (*sizes, count - sum(sizes))
        if by == "user_time":
            ages = [[time[row] for row in rows] for rows in found if rows]
            assert all(max(before) <= min(after) for before, after in pairwise(ages))


def test_the_last_and_the_last_but_one_are_left_out():
    counts = [1, 2, 3, 4, 30]
    data = rated(counts, seed=3)
    user, time = data[RATES].edge_index[0].tolist(), data[RATES].time.tolist()
    train, valid, test = sets(split_ratings(data, by="last"))
    for each, count in enumerate(counts):
        own = [sorted(time[row] for row in part if user[row] == each) for part in (train, valid, test)]
        assert [len(part) for part in own] == [max(1, count - 2), int(count > 2), int(count > 1)]
        in_order = sorted(time[row] for row in range(len(user)) if user[row] == each)
        assert own[0] + own[1] + own[2] == in_order


def test_one_cut_in_time_for_all():
    data = rated([20, 30, 50], seed=1)
    time = data[RATES].time
    train, valid, test = split_ratings(data, 0.6, 0.2, by="time")
    assert time[train].max() < time[valid].min()
    assert time[valid].max() < time[test].min()
    in_order = sorted(time.tolist())
    assert (time[valid].min(), time[test].min()) == (in_order[60], in_order[80])
    everything = split_ratings(data, 1, 0, by="time")
    assert list(map(len, everything)) == [100, 0, 0]


def test_at_one_time_chance_decides_by_the_seed_alone():
    data = from_frames(pd.DataFrame({"user": 0, "item": range(50), "time": 7}))
    before = torch.random.get_rng_state()
    found = [split_ratings(data, by="last", seed=seed)[2].item() for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len(set(found)) > 2
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(*(split_ratings(data, seed=seed)[0] for seed in (0, 1)))


def test_parts_that_the_files_give():
    data = rated([3, 3])
    data[RATES].part = torch.tensor([0, 2, 0, 2, 0, 0])
    assert [part.tolist() for part in split_ratings(data, by="given")] == [[0, 2, 4, 5], [], [1, 3]]


@pytest.mark.parametrize(("options", "message"), [
    ({"by": "usr"}, "did you mean 'user'"),
    ({"train": 0.9, "valid": 0.2}, r"`train \+ valid` must be at most 1"),
    ({"train": -0.1}, "`train` must be"), ({"valid": float("nan")}, "`valid` must be"),
    ({"by": "last", "train": 0.5}, "`train` must be left out with by='last'"),
    ({"by": "given", "valid": 0.5}, "`valid` must be left out with by='given'"),
    ({"by": "given"}, "`by` must be another way, as the data's ratings have no `part`"),
    ({"by": "time"}, "have no `time`, got 'time'; ratings with times, or by='user'"),
    ({"by": "last"}, "have no `time`"), ({"by": "user_time"}, "have no `time`"),
    ({"train": 0.99, "valid": 0.0}, "`train` must be one that leaves test at least one of the 6 ratings"),
    ({"seed": -1}, "`seed`"),
])
def test_a_split_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        split_ratings(rated([3, 3], times=False), **options)


def test_nobody_has_a_last_rating_to_leave_out():
    with pytest.raises(ValueError, match="`by` must be one that leaves valid at least one of the 4 ratings"):
        split_ratings(rated([2, 2]), by="last")


def test_what_is_left_of_a_data_set(device):
    data = rated([4, 5]).to(device)
    data["item"].cluster_path, before = torch.zeros(5, 1), data[RATES].edge_index.clone()
    train, _, test = split_ratings(data, 0.5, 0.0)
    seen = with_ratings(data, train)
    for name in ("edge_index", "rating", "time"):
        assert torch.equal(seen[RATES][name], data[RATES][name][..., train])
    assert (seen["user"].num_nodes, seen["item"].num_nodes) == (2, 5)
    assert "cluster_path" not in seen["item"]
    assert "cluster_path" in data["item"]
    assert seen.provenance["with_ratings"] == {"ratings": len(train), "of": 9}
    assert torch.equal(data[RATES].edge_index, before)
    mask = torch.zeros(9, dtype=torch.bool, device=device).index_fill_(0, test, True)
    assert torch.equal(with_ratings(data, mask)[RATES].edge_index, data[RATES].edge_index[:, test])


@pytest.mark.parametrize(("ratings", "message"), [
    ([], "at least one id"), ([9], "ids from 0 to 8"), ([0, 0], "each rating once, got '2 ids of 1 ratings'")])
def test_ratings_that_are_none(ratings, message):
    with pytest.raises(ValueError, match=message):
        with_ratings(rated([4, 5]), torch.tensor(ratings, dtype=torch.long))
