"""Item vectors and orders from ratings: what they hold, and whose ratings they never see."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames
from kgrl.pretrain import item_vectors
from kgrl.pretrain.items import item_ranking
from tests.pretrain.other_ratings import with_other_ratings

USERS, ITEMS = 40, 12


def two_tastes() -> HeteroData:
    """Users of even number like even items and dislike odd ones, the others the other way round; half is rated."""
    rated = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(0)) < 0.5
    user, item = rated.nonzero().T
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    data["user", "rates", "item"].edge_index = torch.stack([user, item])
    data["user", "rates", "item"].rating = torch.where((user + item) % 2 == 0, 5.0, 2.0)
    data.rating_scale = (1.0, 5.0, 3.5)
    return data


def test_factors_tell_the_tastes_apart() -> None:
    vectors = item_vectors(two_tastes(), torch.arange(USERS), dim=4, epochs=100)
    assert vectors.shape == (ITEMS, 4)
    cosine = torch.cosine_similarity(vectors[:, None], vectors, dim=2)
    alike = (torch.arange(ITEMS)[:, None] + torch.arange(ITEMS)) % 2 == 0
    assert cosine[alike].min() > 0.5
    assert cosine[~alike].max() < -0.5


@pytest.mark.parametrize("kind", ["mf", "rating"])
def test_only_the_given_users_are_seen(kind: str) -> None:
    data, train = two_tastes(), torch.arange(0, USERS, 3)
    others = torch.arange(USERS)[~torch.isin(torch.arange(USERS), train)]
    vectors, same, other = (
        item_vectors(source, train, kind, epochs=3).to_dense()
        for source in (data, with_other_ratings(data, others), with_other_ratings(data, train))
    )
    assert torch.equal(vectors, same)
    assert not torch.equal(vectors, other)


def test_factors_follow_the_seed() -> None:
    data, users = two_tastes(), torch.arange(USERS)
    first, again, other = (item_vectors(data, users, epochs=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rating_rows_equal_a_loop(device: torch.device) -> None:
    data, users = two_tastes(), torch.tensor([7, 2, 30])
    vectors = item_vectors(data, users.to(device), kind="rating")
    assert vectors.layout == torch.sparse_csr
    assert vectors.device.type == device.type
    expected = torch.zeros(ITEMS, 3)
    edges = data["user", "rates", "item"]
    for user, item, rating in zip(*edges.edge_index.tolist(), edges.rating.tolist(), strict=True):
        if user in users:
            expected[item, users.tolist().index(user)] = {5.0: 1.0, 2.0: -0.5}[rating]
    assert torch.equal(vectors.to_dense().cpu(), expected)


def test_factors_on_every_device(device: torch.device) -> None:
    vectors = item_vectors(two_tastes(), torch.arange(USERS, device=device), epochs=1)
    assert vectors.device.type == device.type
    assert not vectors.requires_grad


def test_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    item_vectors(two_tastes(), torch.arange(USERS), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kind": "mff"}, "choose from mf, rating, vae; did you mean 'mf'"),
        ({"users": torch.tensor([], dtype=torch.long)}, "`users` must be at least one (user )?id"),
        ({"users": torch.tensor([0, USERS])}, f"ids from 0 to {USERS - 1}"),
        ({"users": torch.tensor([3, 3])}, "each user once"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"weight_decay": -1.0}, "`weight_decay` must be"),
    ],
)
def test_bad_input_is_named(options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        item_vectors(two_tastes(), **{"users": torch.arange(3), **options})


RATERS, RANKED = 30, 9


def data_of(rows: list[tuple[int, int, float]]) -> HeteroData:
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(1.0, 5.0, 3.5))


def by_hand() -> HeteroData:
    """Users 0 to 3 count, user 4 does not; item 4 is rated by nobody who counts."""
    rows = [(0, 0, 5.0)]  # item 0: once, with five stars
    rows += [(user, 1, rating) for user, rating in enumerate([5.0, 5.0, 4.0, 4.0])]  # 4.5
    rows += [(user, 2, rating) for user, rating in enumerate([3.0, 2.0, 1.0])]  # 2
    rows += [(user, 3, 5.0) for user in (2, 3)]  # 5, twice
    rows += [(4, 4, 5.0), (4, 2, 5.0)]
    return data_of(rows)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, [3, 0, 1, 2, 4]),  # 5 twice before 5 once; no rating comes last
        ({"min_ratings": 2}, [3, 1, 2, 0, 4]),
        ({"min_ratings": 4}, [1, 3, 0, 2, 4]),
        # mean of the ten: 3.9; item 3: 17.8 / 4, item 1: 25.8 / 6, item 0: 12.8 / 3, item 4: 3.9, item 2: 13.8 / 5
        ({"shrinkage": 2.0}, [3, 1, 0, 4, 2]),
        ({"shrinkage": 2.0, "min_ratings": 1}, [3, 1, 0, 2, 4]),
        ({"by": "count"}, [1, 2, 3, 0, 4]),
        ({"by": "total"}, [1, 3, 0, 4, 2]),  # on [−1, 1]: 3, 2, 1, 0 and −1.5
    ],
)
def test_by_hand(options: dict, order: list[int], device: torch.device) -> None:
    found = item_ranking(by_hand(), torch.arange(4, device=device), **options)
    assert found.tolist() == order
    assert found.device.type == device.type
    assert found.dtype == torch.long


@pytest.mark.parametrize("by", ["average", "count", "total"])
@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_equals_a_loop(by: str, shrinkage: float) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = [(user, item, float(torch.randint(1, 6, (), generator=generator))) for user in range(RATERS)
            for item in range(RANKED) if not (user and item) or torch.rand((), generator=generator) < 0.4]
    users = torch.tensor([7, 0, *range(10, 24)])
    seen = [row for row in rows if row[0] in users]
    mean, shrinkage = sum(row[2] for row in seen) / len(seen), shrinkage * (by == "average")

    def key(item: int) -> tuple[float, int, int]:
        ratings = [row[2] for row in seen if row[1] == item]
        value = {"average": (sum(ratings) + shrinkage * mean) / (len(ratings) + shrinkage), "count": len(ratings),
                 "total": sum(rating / 2 - 1.5 for rating in ratings)}[by]
        return -value, -len(ratings), item

    assert item_ranking(data_of(rows), users, by, shrinkage=shrinkage).tolist() == sorted(range(RANKED), key=key)


def test_equal_ratings_are_equal_averages_however_many() -> None:
    """Stars that binary fractions do not hold (3.5 of 0.5 to 5 is 1/3): only the count may decide."""
    rows = [(user, item, 3.5) for item in range(5) for user in range(1 + 3 * item)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(0.5, 5.0, 3.0))
    assert item_ranking(data, torch.arange(13)).tolist() == [4, 3, 2, 1, 0]


def test_bad_input_of_a_ranking_is_named() -> None:
    for options, complaint in [
        ({"by": "averge"}, "choose from average, count, total; did you mean 'average'"),
        ({"users": torch.tensor([5])}, "`users` must be ids from 0 to 4"),
        ({"users": torch.tensor([1, 1])}, "each user once"),
        ({"min_ratings": -1}, "`min_ratings` must be at least 0, got -1"),
        ({"shrinkage": -1.0}, "`shrinkage` must be"),
        ({"shrinkage": 1.0, "by": "count"}, "`shrinkage` must be 0 for by='count', got 1.0; it belongs to"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            item_ranking(by_hand(), **{"users": torch.arange(3), **options})
