"""``item_ranking`` against a loop over the ratings, and by hand."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import from_frames
from kgrl.pretrain.rankings import item_ranking

USERS, ITEMS = 30, 9


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
    rows = [(user, item, float(torch.randint(1, 6, (), generator=generator))) for user in range(USERS)
            for item in range(ITEMS) if not (user and item) or torch.rand((), generator=generator) < 0.4]
    users = torch.tensor([7, 0, *range(10, 24)])
    seen = [row for row in rows if row[0] in users]
    mean, shrinkage = sum(row[2] for row in seen) / len(seen), shrinkage * (by == "average")

    def key(item: int) -> tuple[float, int, int]:
        ratings = [row[2] for row in seen if row[1] == item]
        value = {"average": (sum(ratings) + shrinkage * mean) / (len(ratings) + shrinkage), "count": len(ratings),
                 "total": sum(rating / 2 - 1.5 for rating in ratings)}[by]
        return -value, -len(ratings), item

    assert item_ranking(data_of(rows), users, by, shrinkage=shrinkage).tolist() == sorted(range(ITEMS), key=key)


def test_equal_ratings_are_equal_averages_however_many() -> None:
    """Stars that binary fractions do not hold (3.5 of 0.5 to 5 is 1/3): only the count may decide."""
    rows = [(user, item, 3.5) for item in range(5) for user in range(1 + 3 * item)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(0.5, 5.0, 3.0))
    assert item_ranking(data, torch.arange(13)).tolist() == [4, 3, 2, 1, 0]


def test_bad_input_is_named() -> None:
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
