"""``LikedSequences`` against a loop over the ratings, and what the lanes hold."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.pretrain.sequences import LikedSequences
from kgrl.seeding import generator_for
from tests.pretrain.other_ratings import with_other_ratings

USERS, ITEMS, TRAIN = 30, 40, torch.tensor([7, 2, 20, 5, 11, 29])
THRESHOLD = 3.5


def logs(timed: bool = True) -> HeteroData:
    """Ratings at distinct times, in the order of neither users nor times; some of them on the threshold."""
    generator = torch.Generator().manual_seed(0)
    rated = torch.rand(USERS, ITEMS, generator=generator) < 0.5
    user, item = rated.nonzero().T
    order = torch.randperm(len(user), generator=generator)
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    edges = data["user", "rates", "item"]
    edges.edge_index = torch.stack([user, item])[:, order]
    edges.rating = torch.tensor([1.0, 3.5, 4.0, 5.0])[torch.randint(4, (len(user),), generator=generator)]
    if timed:
        edges.time = torch.randperm(len(user), generator=generator) - 100
    data.rating_scale = (1.0, 5.0, THRESHOLD)
    return data


def rows(sequences: LikedSequences, users: int = len(TRAIN)) -> list[list[int]]:
    return [sequences.items[sequences.owner == user].tolist() for user in range(users)]


def slow_rows(data: HeteroData, users: Tensor) -> list[list[int]]:
    edges = data["user", "rates", "item"]
    found = []
    for user in users.tolist():
        liked = []
        for place in range(edges.edge_index.size(1)):
            if edges.edge_index[0, place] == user and edges.rating[place] > THRESHOLD:
                liked.append((int(edges.time[place]), int(edges.edge_index[1, place])))
        found.append([item for _, item in sorted(liked)])
    return found


def test_equals_a_loop(device: torch.device) -> None:
    data = logs()
    sequences = LikedSequences.of(data, TRAIN.to(device))
    assert rows(sequences) == slow_rows(data, TRAIN)
    assert sequences.items.device.type == device.type
    assert (sequences.owner.diff() >= 0).all()
    assert sequences.ordered
    assert sequences.num_items == ITEMS
    likes = torch.zeros(ITEMS, dtype=torch.long)
    for item in sequences.items.tolist():
        likes[item] += 1
    assert torch.equal(sequences.likes().cpu(), likes)


def test_only_the_given_users_are_seen() -> None:
    data = logs()
    others = torch.arange(USERS)[~torch.isin(torch.arange(USERS), TRAIN)]
    same = data.clone()
    edges = same["user", "rates", "item"]
    foreign = torch.isin(edges.edge_index[0], others)
    edges.rating[foreign], edges.time[foreign] = 5.0, -edges.time[foreign]
    assert rows(LikedSequences.of(same, TRAIN)) == rows(LikedSequences.of(data, TRAIN))
    other = LikedSequences.of(with_other_ratings(data, TRAIN), TRAIN)  # all below the threshold
    assert not len(other.items)
    assert not len(other.parallel(3, 4, generator_for("cpu", 0))[0])


def test_what_time_does_not_order_is_drawn() -> None:
    data = logs(timed=False)
    first, again, other = (LikedSequences.of(data, TRAIN, seed) for seed in (0, 0, 1))
    assert not first.ordered
    assert rows(first) == rows(again)
    assert rows(first) != rows(other)
    timed = slow_rows(logs(), TRAIN)
    for row, same, liked in zip(rows(first), rows(other), timed, strict=True):
        assert sorted(row) == sorted(same) == sorted(liked)
        assert row != sorted(row)


def test_items_of_one_time_are_drawn_within_it() -> None:
    data = logs()
    data["user", "rates", "item"].time = data["user", "rates", "item"].edge_index[1] % 2  # even items first
    first, other = (rows(LikedSequences.of(data, TRAIN, seed)) for seed in (0, 1))
    assert first != other
    for row in (*first, *other):
        parity = [item % 2 for item in row]
        assert parity == sorted(parity)
        assert row != sorted(row, key=lambda item: (item % 2, item))


@pytest.mark.parametrize(("width", "longest"), [(1, 3), (4, 5), (4, 1), (7, 1000), (500, 3)])
def test_the_lanes_hold_every_sequence_once(width: int, longest: int) -> None:
    sequences = LikedSequences.of(logs(), TRAIN)
    items, first = sequences.parallel(width, longest, generator_for("cpu", 3))
    assert items.shape == first.shape == (-(-len(sequences.items) // width), width)
    assert first[0].all()
    known, sessions = rows(sequences), []
    follows = {pair for row in known for pair in pairwise(row)}
    for lane in range(width):
        for item, begins in zip(items[:, lane].tolist(), first[:, lane].tolist(), strict=True):
            if item < 0:
                continue
            if begins:
                sessions.append([])
            sessions[-1].append(item)
    assert sorted(item for session in sessions for item in session) == sorted(sequences.items.tolist())
    assert max(map(len, sessions)) <= longest
    assert all(pair in follows for session in sessions for pair in pairwise(session))
    # no needless cut: at the ends of lanes and of users, and once in `longest` items
    assert len(sessions) <= width + sum(2 + len(row) // longest for row in known)


def test_the_order_of_users_and_the_cuts_follow_the_generator() -> None:
    sequences = LikedSequences.of(logs(), TRAIN)
    one, same, other = (sequences.parallel(1, 4, generator_for("cpu", seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])
    alone, generator = LikedSequences.of(logs(), TRAIN[:1]), generator_for("cpu", 0)
    cuts = [alone.parallel(1, 4, generator)[1].squeeze(1).tolist().index(True, 1) for _ in range(40)]
    assert set(cuts) == {1, 2, 3, 4}


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=f"`users` must be ids from 0 to {USERS - 1}, got {USERS}"):
        LikedSequences.of(logs(), torch.tensor([USERS]))
    sequences = LikedSequences.of(logs(), TRAIN)
    with pytest.raises(ValueError, match="`width` must be at least 1, got 0"):
        sequences.parallel(0, 4, generator_for("cpu", 0))
    with pytest.raises(ValueError, match="`longest` must be at least 1, got 0"):
        sequences.parallel(4, 0, generator_for("cpu", 0))
