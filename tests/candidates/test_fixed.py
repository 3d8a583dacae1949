"""The same candidates for every session, against loops; random draws, distinct and equally likely."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare

from kgrl.candidates import FixedCandidates
from kgrl.candidates.fixed import random_cells, random_subsets, sample_rows, unshown_items

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


# the 0.1 % points of chi-square for the degrees of freedom below
CHI_SQUARE = {9: 27.9, 14: 36.1}


def chi_square(times: torch.Tensor) -> float:
    mean = times.double().mean()
    return float(((times - mean) ** 2 / mean).sum())


@pytest.mark.parametrize(("size", "total"), [(2, 6), (4, 6), (2, 5), (3, 5)])
@pytest.mark.parametrize("crowded", [1, 100])  # drawing until enough different ones came, and ranking all
def test_every_subset_is_equally_likely(size: int, total: int, crowded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.candidates.fixed._CROWDED", crowded)
    drawn = random_subsets(20_000, size, total, torch.Generator().manual_seed(0), torch.device("cpu"))
    code = (2**drawn).sum(dim=1)
    times = torch.bincount(code, minlength=2**total)
    subsets = [sum(2**number for number in subset) for subset in combinations(range(total), size)]
    assert int(times[subsets].sum()) == 20_000
    assert chi_square(times[subsets]) < CHI_SQUARE[len(subsets) - 1]


@pytest.mark.parametrize(("size", "total"), [(1, 1), (5, 5), (3, 10_000), (300, 1_598), (900, 1_598)])
def test_rows_are_sorted_and_distinct(size: int, total: int, device: torch.device) -> None:
    drawn = random_subsets(64, size, total, torch.Generator(device).manual_seed(0), device)
    assert drawn.shape == (64, size)
    assert bool((drawn[:, 1:] > drawn[:, :-1]).all())
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < total
    assert random_subsets(0, size, total, torch.Generator(device), device).shape == (0, size)


def test_large_totals_do_not_overflow() -> None:
    drawn = random_subsets(5, 4, 2**31, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert bool((drawn[:, 1:] > drawn[:, :-1]).all())
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < 2**31


def test_sampled_rows_of_very_unlike_lengths(device: torch.device) -> None:
    counts = torch.tensor([0, 3, 700, 4, 5, 0, 90, 6, 2], device=device)
    batch = torch.arange(9, device=device).repeat_interleave(counts)
    keep = sample_rows(batch, counts, 4, torch.Generator(device).manual_seed(0))
    assert torch.bincount(batch[keep], minlength=9).tolist() == [0, 3, 4, 4, 4, 0, 4, 4, 2]


def test_sampling_is_uniform_in_rows_of_unlike_lengths() -> None:
    counts = torch.tensor([5, 2, 6]).repeat(20_000)
    batch = torch.arange(60_000).repeat_interleave(counts)
    keep = sample_rows(batch, counts, 2, torch.Generator().manual_seed(0))
    kept = keep.view(20_000, 13).long()
    assert bool((kept[:, 5:7] == 1).all())
    for row, size in ((kept[:, :5], 5), (kept[:, 7:], 6)):
        subsets = [2**one + 2**other for one, other in combinations(range(size), 2)]
        times = torch.bincount((row * 2 ** torch.arange(size)).sum(dim=1), minlength=2**size)[subsets]
        assert int(times.sum()) == 20_000
        assert chi_square(times) < CHI_SQUARE[len(subsets) - 1]


def test_small_rows_take_nothing_from_the_generator() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert bool(sample_rows(torch.tensor([0, 0, 2]), torch.tensor([2, 0, 1]), 2, generator).all())
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize("free", [[0, 1, 2, 4, 5], [1, 3, 4, 8, 11]])  # most cells, and few of them
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_set_of_free_cells_is_equally_likely(free: list[int], count: int) -> None:
    mask = torch.zeros(20_001, 12 if free[-1] > 6 else 6, dtype=torch.bool)
    mask[:, free] = True
    mask[-1, 5] = False  # a row unlike the others
    chosen = random_cells(mask, torch.full((20_001,), count), torch.Generator().manual_seed(0))
    assert bool((chosen <= mask).all())
    code = (chosen[:-1].long() * 2 ** torch.arange(mask.size(1))).sum(1)
    sets = [sum(2**cell for cell in cells) for cells in combinations(free, count)]
    times = torch.bincount(code, minlength=2 ** mask.size(1))[sets]
    assert int(times.sum()) == 20_000
    assert chi_square(times) < {4: 18.5, 9: 27.9}[len(sets) - 1]  # 0.1 % points


def test_rows_get_as_many_free_cells_as_they_ask_for_and_have(device: torch.device) -> None:
    generator = torch.Generator(device).manual_seed(0)
    for share in (0.9, 0.01):
        free = torch.rand(40, 700, generator=generator, device=device) < share
        free[7] = False
        count = torch.randint(0, 700, (40,), generator=generator, device=device)
        chosen = random_cells(free, count, generator)
        assert torch.equal(chosen.sum(1), torch.minimum(count, free.sum(1)))
        assert bool((chosen <= free).all())


@pytest.mark.parametrize("shown", [[], [0], [6], [0, 1, 2], [6, 5, 4], [5, 0, 3], [2, 4, 1, 0, 6]])
def test_uniform_over_the_items_that_are_left(shown: list[int], device: torch.device):
    """Chi-square; shown items in any order, at either end, side by side, and with gaps between the steps."""
    count, generator = 20_000, torch.Generator(device).manual_seed(1)
    rows = torch.tensor([-1, *shown, -1], device=device).expand(count, -1)
    picks = torch.bincount(unshown_items(rows, 7, generator).cpu(), minlength=7)
    left = [item for item in range(7) if item not in shown]
    assert picks.sum() == picks[left].sum() == count
    assert chisquare(picks[left]).pvalue > 1e-3


def test_rows_are_independent_and_follow_their_own_past():
    """Every pair of picks of two sessions is equally likely."""
    generator = torch.Generator().manual_seed(2)
    one, two = unshown_items(torch.tensor([[2], [0]]).repeat(20_000, 1), 4, generator).view(-1, 2).T
    pairs = torch.bincount(4 * one + two, minlength=16).view(4, 4)
    assert not pairs[2].any()
    assert not pairs[:, 0].any()
    assert chisquare(pairs[[0, 1, 3]][:, [1, 2, 3]].flatten()).pvalue > 1e-3


def test_no_item_is_too_far_for_a_million():
    """Among many items all parts are drawn from, the last ones too, and no table of sessions × items is there."""
    picks = unshown_items(torch.arange(32).expand(50_000, -1), 10_000_000, torch.Generator().manual_seed(0))
    assert picks.min() >= 32
    assert picks.max() < 10_000_000
    assert chisquare(torch.histc(picks.double(), 20, 32, 10_000_000)).pvalue > 1e-3
