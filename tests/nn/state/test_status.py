"""The user status against a session worked out by hand, and against Python's own counting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrl.nn.state.sru import STATUS, initial_status, next_status

# sign of the feedback, then: positive, negative, zero feedbacks, steps; and in a row, up to now: positive, negative,
# zero, not negative, not positive
BY_HAND = [
    (0, [0, 0, 1, 1, 0, 0, 1, 1, 1]),
    (+1, [1, 0, 1, 2, 1, 0, 0, 2, 0]),
    (+1, [2, 0, 1, 3, 2, 0, 0, 3, 0]),
    (-1, [2, 1, 1, 4, 0, 1, 0, 0, 1]),
    (0, [2, 1, 2, 5, 0, 0, 1, 1, 2]),
    (0, [2, 1, 3, 6, 0, 0, 2, 2, 3]),
    (-1, [2, 2, 3, 7, 0, 1, 0, 0, 4]),
    (-1, [2, 3, 3, 8, 0, 2, 0, 0, 5]),
    (+1, [3, 3, 3, 9, 1, 0, 0, 1, 0]),
    (0, [3, 3, 4, 10, 0, 0, 1, 2, 1]),
]


@pytest.mark.parametrize("dtype", [torch.int8, torch.long, torch.float])
def test_a_session_by_hand(dtype: torch.dtype, device: torch.device) -> None:
    """Beside one that sees the opposite: what counts positive and negative feedbacks changes places."""
    status = initial_status(2, device)
    assert torch.equal(status.cpu(), torch.zeros(2, STATUS))
    for sign, numbers in BY_HAND:
        status = next_status(status, torch.tensor([sign, -sign], dtype=dtype, device=device))
        positive, negative, zero, steps, ups, downs, zeros, not_down, not_up = numbers
        mirrored = [negative, positive, zero, steps, downs, ups, zeros, not_up, not_down]
        assert status.tolist() == [numbers, mirrored]
        assert status.dtype == torch.float


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_equals_counting(signs: list[int]) -> None:
    status = initial_status(1)
    for sign in signs:
        status = next_status(status, torch.tensor([sign]))
    kinds = [{1}, {-1}, {0}, {0, 1}, {0, -1}]
    runs = [next((i for i, sign in enumerate(reversed(signs)) if sign not in kind), len(signs)) for kind in kinds]
    assert status[0].tolist() == [signs.count(1), signs.count(-1), signs.count(0), len(signs), *runs]


def test_size_of_the_feedback_does_not_matter() -> None:
    before = torch.arange(3.0 * STATUS).view(3, STATUS)
    found = next_status(before, torch.tensor([0.2, -7.0, 0.0]))
    assert torch.equal(found, next_status(before, torch.tensor([1, -1, 0])))
    assert torch.equal(before, torch.arange(3.0 * STATUS).view(3, STATUS))  # is left as it was


def test_no_sessions() -> None:
    assert next_status(initial_status(0), torch.zeros(0)).shape == (0, STATUS)
