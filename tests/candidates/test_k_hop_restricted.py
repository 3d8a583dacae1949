"""Restricted k-hop candidates against those of all items, less the others."""

from __future__ import annotations

import pytest
import torch

from kgrl.candidates import KHopCandidates
from tests.candidates.test_k_hop import padded, per_session, random_kg

ALLOWED = torch.tensor([90, 3, 17, 44, 45, 46, 8])
SEEDS, EXCLUDE = padded([[1, 2], [3], [], [50, 60, 70]]), padded([[90], [17, 44], [], [3, 90, 17, 44, 45, 46, 8]])


def slow(base: list[list[int]], more: list[int] | None = None) -> list[list[int]]:
    gone = [{*SEEDS[row].tolist(), *EXCLUDE[row].tolist()} for row in range(len(SEEDS))]
    return [sorted(({*found, *(more or [])} & set(ALLOWED.tolist())) - gone[row]) for row, found in enumerate(base)]


@pytest.mark.parametrize("limit", [0, 50_000_000])
def test_what_is_not_allowed_is_no_candidate(limit: int, device: torch.device) -> None:
    kg = random_kg().to(device)
    seeds, exclude = SEEDS.to(device), EXCLUDE.to(device)
    free = per_session(KHopCandidates(kg, size=None, table_limit=limit).select(seeds, exclude), 4)
    made = KHopCandidates(kg, size=None, table_limit=limit).restrict(ALLOWED)
    assert per_session(made.select(seeds, exclude), 4) == slow(free)
    assert any(slow(free))
    assert per_session(made.restrict(None).select(seeds, exclude), 4) == free


def test_popular_backfill_is_the_first_of_those_allowed() -> None:
    kg, ranking = random_kg(), torch.arange(100).flip(0)
    free = per_session(KHopCandidates(kg, size=None).select(SEEDS, EXCLUDE), 4)
    made = KHopCandidates(kg, size=None, popular=ranking, backfill=("popular", 3)).restrict(ALLOWED)
    assert per_session(made.select(SEEDS, EXCLUDE), 4) == slow(free, [90, 46, 45])
    gone = torch.tensor([[90, 46, 45]])
    assert per_session(made.select(gone[:, :0], gone), 1) == [[8, 17, 44]]  # what a session gets that has nothing


@pytest.mark.parametrize("backfill", [("random", 3), ("fill", 3), ("random", 100), ("fill", 100)])
def test_random_backfill_is_drawn_from_those_allowed(backfill: tuple[str, int]) -> None:
    made = KHopCandidates(random_kg(edges=1), size=None, backfill=backfill).restrict(ALLOWED)
    none = torch.full((2_000, 1), -1)
    items, batch = made.select(none, none, torch.Generator().manual_seed(0))
    count = min(backfill[1], len(ALLOWED))
    assert torch.bincount(batch).tolist() == [count] * 2_000
    drawn = torch.bincount(items, minlength=100)
    assert drawn.sum() == drawn[ALLOWED].sum()
    assert (drawn[ALLOWED] - 2_000 * count / len(ALLOWED)).abs().max() < 120
    used_up = made.select(none[:1], ALLOWED[None], torch.Generator())
    assert len(used_up[0]) == 0


def test_size_is_that_of_what_is_allowed() -> None:
    made = KHopCandidates(random_kg(edges=1), size=2, backfill=("random", 5)).restrict(ALLOWED)
    none = torch.full((50, 1), -1)
    assert torch.bincount(made.select(none, none)[1]).tolist() == [2] * 50


def test_refuses_what_are_no_items() -> None:
    for items in ([], [100], [1, 1]):
        with pytest.raises(ValueError, match="`items` must be"):
            KHopCandidates(random_kg()).restrict(torch.tensor(items, dtype=torch.long))
