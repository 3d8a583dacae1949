"""Picking by scores against sorting one session's list."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.shared.picking import best_item, best_items, best_left, of_known_items, without_shown
from kgrl.sessions import UNDEFINED, Sessions

SHOWN = torch.tensor([[2, -1], [-1, -1], [0, 3]])


def test_equals_sorting_what_is_left() -> None:
    given = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    scores = without_shown(given, SHOWN)
    for row, shown in enumerate(SHOWN.tolist()):
        left = sorted(set(range(4)) - set(shown), key=lambda item: -float(given[row, item]))
        assert best_item(scores, SHOWN)[row] == best_left(given, SHOWN, 1)[row] == left[0]
        assert best_items(scores, 6, SHOWN)[row].tolist() == left + [-1] * (6 - len(left))
        assert best_items(scores, 1, SHOWN)[row].tolist() == best_left(given, SHOWN, 1)[row].tolist() == left[:1]


@pytest.mark.parametrize("seed", range(5))
def test_of_equal_scores_the_first_comes_first(seed, device) -> None:
    given = torch.randint(3, (4, 200), generator=torch.Generator().manual_seed(seed)).float()
    gone = torch.full((4, 190), -1, device=device)
    given[1, :190], gone[1] = -torch.inf, torch.arange(190)
    for k in (1, 2, 30, 150, 200):
        slow = [sorted((i for i in range(200) if row[i] > -torch.inf), key=lambda i: -row[i])[:k]
                for row in given.tolist()]
        found = best_items(given.to(device), k, gone)
        assert found.tolist() == [row + [-1] * (k - len(row)) for row in slow]
        assert found[:, 0].tolist() == best_item(given.to(device), gone).tolist()


def test_nothing_left_and_bad_k() -> None:
    gone = torch.tensor([[1, 0]])
    scores = without_shown(torch.zeros(1, 2), gone)
    assert best_item(scores, gone).tolist() == [-1]
    assert best_items(scores, 3, gone).tolist() == [[-1, -1, -1]]
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        best_items(scores, 0, gone)


@pytest.mark.parametrize("shown", [[[-1, 1], [2, 1], [-1, -1]], [[-1, 1, -1], [2, 1, 0], [-1, -1, -1]]])
@pytest.mark.parametrize("value", [-torch.inf, torch.inf, torch.nan])
def test_scores_that_are_no_numbers_are_told_from_a_session_in_which_nothing_is_left(shown, value: float) -> None:
    """The one of two sessions is at its last item, or past it; the third is spoilt."""
    scores, shown = torch.zeros(3, 3), torch.tensor(shown)
    scores[2] = value
    whole = 0 if shown.size(1) < 3 else -1
    assert best_left(scores, shown, 1)[:, 0].tolist() == [0, whole, UNDEFINED]
    assert best_left(scores[:2], shown[:2], 3).tolist() == [[0, 2, -1], [whole, -1, -1]]
    with pytest.raises(ValueError, match="`the agent's values` must be finite"):
        best_left(scores, shown, 2)


def test_one_score_too_low_is_no_item_that_is_gone() -> None:
    scores, shown = torch.tensor([[0.0, -torch.inf, 1.0, 2.0]]), torch.tensor([[3]])
    assert best_left(scores, shown, 2).tolist() == [[2, 0]]
    with pytest.raises(ValueError, match="`the agent's values` must be finite"):
        best_left(scores, shown, 3)


def test_some_items_do_not_count() -> None:
    scores = torch.full((2, 4), -torch.inf)
    gone = torch.tensor([[0, 3], [0, -1]])
    assert best_item(scores, gone, 2).tolist() == [-1, UNDEFINED]
    assert best_items(scores[:1], 2, gone[:1], 2).tolist() == [[-1, -1]]


def test_unknown_items_are_refused() -> None:
    past = Sessions.from_history([[0, 4], [2]], [[0.0, 0.0], [0.0]])
    assert of_known_items(past, 5) is past
    with pytest.raises(ValueError, match="`past.items` must be item ids below 4, got 4"):
        of_known_items(past, 4)
    with pytest.raises(TypeError, match="`past` must be a Sessions, got 'list'; Sessions.from_history makes them"):
        of_known_items([[0, 4], [2]], 5)  # type: ignore[arg-type]
