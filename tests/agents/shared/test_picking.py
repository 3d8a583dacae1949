"""Picking by scores against sorting one session's list."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.shared.picking import best_item, best_items, of_known_items, without_shown
from kgrl.sessions import Sessions

SHOWN = torch.tensor([[2, -1], [-1, -1], [0, 3]])


def test_equals_sorting_what_is_left() -> None:
    given = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    scores = without_shown(given, SHOWN)
    for row, shown in enumerate(SHOWN.tolist()):
        left = sorted(set(range(4)) - set(shown), key=lambda item: -float(given[row, item]))
        assert best_item(scores)[row] == left[0]
        assert best_items(scores, 6)[row].tolist() == left + [-1] * (6 - len(left))
        assert best_items(scores, 1)[row].tolist() == left[:1]


@pytest.mark.parametrize("seed", range(5))
def test_of_equal_scores_the_first_comes_first(seed, device) -> None:
    given = torch.randint(3, (4, 200), generator=torch.Generator().manual_seed(seed)).float()
    given[1, :190] = -torch.inf
    for k in (1, 2, 30, 150, 200):
        slow = [sorted((i for i in range(200) if row[i] > -torch.inf), key=lambda i: -row[i])[:k]
                for row in given.tolist()]
        found = best_items(given.to(device), k)
        assert found.tolist() == [row + [-1] * (k - len(row)) for row in slow]
        assert found[:, 0].tolist() == best_item(given.to(device)).tolist()


def test_nothing_left_and_bad_k() -> None:
    scores = without_shown(torch.zeros(1, 2), torch.tensor([[1, 0]]))
    assert best_item(scores).tolist() == [-1]
    assert best_items(scores, 3).tolist() == [[-1, -1, -1]]
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        best_items(scores, 0)


def test_unknown_items_are_refused() -> None:
    past = Sessions.from_history([[0, 4], [2]], [[0.0, 0.0], [0.0]])
    assert of_known_items(past, 5) is past
    with pytest.raises(ValueError, match="`past.items` must be item ids below 4, got 4"):
        of_known_items(past, 4)
    with pytest.raises(TypeError, match="`past` must be Sessions, got 'list'; Sessions.from_history makes them"):
        of_known_items([[0, 4], [2]], 5)  # type: ignore[arg-type]
