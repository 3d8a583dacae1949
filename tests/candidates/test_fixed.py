"""The same candidates for every session: places and items, what is left, random ones, pools that are none."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from kgrl.candidates import FixedCandidates

POOLS = pytest.mark.parametrize("pool", [None, [4, 0, 6]])


def candidates(pool: list[int] | None) -> FixedCandidates:
    return FixedCandidates(7, None if pool is None else torch.tensor(pool))


@POOLS
def test_a_place_and_its_item(pool, device) -> None:
    made, order = candidates(pool).to(device), pool or list(range(7))
    items = torch.tensor([[4, -1, 5], [0, 6, 6]], device=device)
    assert made.places(items).tolist() == [
        [order.index(item) if item in order else -1 for item in row] for row in items.tolist()]
    assert made.items(torch.tensor([2, -1, 0], device=device)).tolist() == [order[2], -1, order[0]]
    assert made.size == len(order)
    assert made.of(torch.arange(70, 77, device=device)).tolist() == [70 + item for item in order]


@POOLS
def test_what_is_left_is_that_of_a_loop(pool, device) -> None:
    seeds = torch.tensor([[4, -1], [-1, -1], [0, 6]], device=device)
    exclude = torch.tensor([[4, 5, 1], [-1, -1, -1], [4, 0, 6]], device=device)
    items, batch = candidates(pool).to(device).select(seeds, exclude)
    left = [(row, item) for row in range(3) for item in pool or range(7)
            if item not in {*seeds[row].tolist(), *exclude[row].tolist()}]
    assert list(zip(batch.tolist(), items.tolist(), strict=True)) == left
    assert 2 not in batch.tolist() or pool is None  # the third session has used up the pool


@POOLS
def test_random_ones_are_uniform_over_what_is_left(pool, device) -> None:
    shown, generator = torch.tensor([[0, -1, 5]], device=device).expand(8_000, -1), torch.Generator(device)
    picks = torch.bincount(candidates(pool).to(device).draw(shown, generator.manual_seed(0)).cpu(), minlength=7)
    left = [item for item in pool or range(7) if item not in (0, 5)]
    assert picks.sum() == picks[left].sum() == 8_000
    assert chisquare(picks[left]).pvalue > 1e-3


def test_none_is_left() -> None:
    shown = torch.tensor([[6, 0, 4], [6, 2, 0]])
    assert candidates([4, 0, 6]).draw(shown, torch.Generator()).tolist() == [-1, 4]


def test_a_pool_is_saved_and_moved_along() -> None:
    state = candidates([4, 0, 6]).state_dict()
    assert state["pool"].tolist() == [4, 0, 6]
    assert list(state) == ["pool"]
    assert not candidates(None).state_dict()


@pytest.mark.parametrize(("pool", "message"), [
    (torch.tensor([0, 7]), r"`pool` must be item ids in \[0, 7\), got \[0, 7\]"),
    (torch.tensor([-1, 2]), r"`pool` must be item ids in \[0, 7\)"),
    (torch.tensor([3, 3]), "`pool` must be every item at most once, got '1 repeated'"),
    (torch.tensor([0.5]), "`pool` must be a LongTensor"),
    (torch.empty(0, dtype=torch.long), "`pool` must be a LongTensor of at least one item id"),
])
def test_pools_that_are_none(pool, message) -> None:
    with pytest.raises(ValueError, match=message):
        FixedCandidates(7, pool)


@POOLS
def test_restricted_it_is_a_pool_of_these(pool, device) -> None:
    made, other = candidates(pool).to(device), candidates([5, 2])
    assert made.restrict(torch.tensor([5, 2])) is made
    assert (made.size, list(made.state_dict())) == (2, [] if pool is None else ["pool"])
    seeds = torch.tensor([[4, 2]])
    assert [part.tolist() for part in made.select(seeds.to(device), seeds.to(device))] == [
        part.tolist() for part in other.select(seeds, seeds)]
    assert made.of(torch.arange(7, device=device)).tolist() == [5, 2]
    made.restrict(None)
    assert made.of(torch.arange(7, device=device)).tolist() == (pool or list(range(7)))
