"""Histories of real users: every kind of list that is one, and what is said of the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgrl.histories import padded_history
from kgrl.sessions import Sessions
from tests.test_sessions import same


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("items", [
    np.array([[50, 181]], dtype=np.int32), [np.array([50, 181], dtype=np.uint8)], [[np.int64(50), np.uint16(181)]],
    torch.tensor([[50, 181]]), [torch.tensor([50, 181], dtype=torch.int32)], [[torch.tensor(50), torch.tensor(181)]],
    [range(50, 182, 131)], ((50, 181),),
])
def test_from_history_takes_whole_numbers_of_any_type(items) -> None:
    """And feedback as a list, an array and a tensor."""
    by_hand = Sessions.from_history([[50, 181]], [[0.25, -0.5]])
    for feedback in ([[0.25, np.float32(-0.5)]], np.array([[0.25, -0.5]]), [torch.tensor([0.25, -0.5])]):
        assert same(Sessions.from_history(items, feedback), by_hand)


@pytest.mark.parametrize(
    ("items", "feedback", "message"),
    [
        ([[1]], [[1.0], [1.0]], "`feedback` must be one list for each of the 1 users, got 2"),
        ([[1], [2, 3]], [[1.0], [1.0]], r"`feedback\[1\]` must be one number for each of 2 items, got \[1.0\]"),
        ([[4, 4]], [[1.0, 1.0]], r"`items\[0\]` must be distinct item ids of at least 0, got \[4, 4\]"),
        ([[-1]], [[1.0]], r"`items\[0\]` must be distinct item ids of at least 0"),
        ([[1]], [[1.5]], r"`feedback\[0\]` must be numbers in \[-1, 1\], got \[1.5\]"),
        ([[1]], [[-1.5]], r"`feedback\[0\]` must be numbers in \[-1, 1\], got \[-1.5\]"),
        ([[1]], [[math.nan]], r"`feedback\[0\]` must be numbers in \[-1, 1\]"),
        ([[1]], torch.tensor([[math.nan]]), r"`feedback\[0\]` must be numbers in \[-1, 1\], got \[nan\]"),
        ([[1]], [["0.5"]], r"`feedback\[0\]` must be numbers in \[-1, 1\], got \['0.5'\]"),
        ([[1]], [[None]], r"`feedback\[0\]` must be numbers in \[-1, 1\], got \[None\]"),
        ([[1]], [1.0], r"`feedback\[0\]` must be one user's list, got 1.0; give a list of lists"),
        ([[3], [50.7]], [[1.0], [1.0]], r"`items\[1\]` must be whole numbers, got \[50.7\]; .*raw_id"),
        (torch.tensor([[50.0]]), [[1.0]], r"`items\[0\]` must be whole numbers, got \[50.0\]"),
        ([[True]], [[1.0]], r"`items\[0\]` must be whole numbers, got \[True\]"),
        ([["Alien"]], [[1.0]], r"`items\[0\]` must be whole numbers, got \['Alien'\]; .*raw_id"),
        (["Alien"], [[1.0]], r"`items\[0\]` must be one user's list, got 'Alien'"),
        ([50, 181], [1.0, 1.0], r"`items\[0\]` must be one user's list, got 50; give a list of lists"),
        (torch.tensor([50, 181]), [1.0, 1.0], r"`items\[0\]` must be one user's list, got 50"),
        (torch.tensor([[4, 4]]), [[1.0, 1.0]], r"`items\[0\]` must be distinct item ids of at least 0, got \[4, 4\]"),
    ],
)
def test_from_history_refuses_what_cannot_be(items, feedback, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sessions.from_history(items, feedback)


@pytest.mark.parametrize(("ids", "shown", "message"), [
    (torch.tensor([50, 181]), [[50], [51]], "`items` must be raw ids among `ids`, got 51; `ids` are whole numbers"),
    (torch.tensor([50, 181]), [["50"]], "got '50'; `ids` are whole numbers"),
    (torch.tensor([50, -1]), [[-1]], "got -1"),  # which stands for no id
    (["a", "b"], [["a", "c"]], "got 'c'; `ids` are text; leave out items that the data set does not have"),
    (["a", "b"], [["a", "a"]], r"`items\[0\]` must be distinct"),
])
def test_unknown_raw_ids_are_named(ids, shown, message) -> None:
    with pytest.raises(ValueError, match=message):
        Sessions.from_history(shown, [[0.5] * len(row) for row in shown], ids=ids)


def test_lists_are_padded_behind_their_ends() -> None:
    items, feedback, length = padded_history([["b"], ["a", "c"], []], [[0.5], [-1, 1.0], []], ["a", "b", "c"])
    assert items.tolist() == [[1, -1], [0, 2], [-1, -1]]
    assert feedback.tolist() == [[0.5, 0], [-1, 1], [0, 0]]
    assert length.tolist() == [1, 2, 0]
