"""Raw ids: found among others, kept in files."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kgrl.raw_ids import are_numbers, as_tensor, checked_ids, from_tensor, joined, missing_ids, places, same_ids

WHOLE = st.lists(st.integers(0, 20))
TEXT = st.lists(st.text(max_size=2))


def made(ids: list) -> Tensor | list[str]:
    """As the toolkit keeps them."""
    return torch.tensor(ids, dtype=torch.long) if all(isinstance(each, int) for each in ids) else ids


@given(st.one_of(st.tuples(WHOLE, WHOLE), st.tuples(TEXT, TEXT)))
def test_places_are_those_of_a_dictionary(both) -> None:
    wanted, among = both[0], list(dict.fromkeys(both[1]))
    slow = {raw: place for place, raw in enumerate(among) if raw not in (-1, "")}
    assert places(made(wanted), made(among)).tolist() == [slow.get(raw, -1) for raw in wanted]


def test_missing_ids_are_not_found_by_each_other() -> None:
    assert places(torch.tensor([-1, 3]), torch.tensor([-1, -1, 3])).tolist() == [-1, 2]
    assert places(["", "a"], ["", "", "a"]).tolist() == [-1, 2]
    assert missing_ids(2, torch.tensor([3])).tolist() == [-1, -1]
    assert missing_ids(2, ["a"]) == ["", ""]


def test_whole_numbers_are_not_text() -> None:
    assert places(["1", "2"], torch.tensor([1, 2])).tolist() == [-1, -1]
    assert not same_ids(["1", "2"], torch.tensor([1, 2]))
    assert same_ids([1, 2], torch.tensor([1, 2]))
    assert not same_ids(["a", "b"], ["b", "a"])


@pytest.mark.parametrize("ids", [torch.tensor([2**40, 3, -1]), ["0345", "ä→", "", 'q"\n'], []])
def test_a_file_keeps_them(ids) -> None:
    again = from_tensor(as_tensor(ids))
    assert are_numbers(again) == are_numbers(ids)
    assert same_ids(again, ids)


def test_checked_ids_are_numbers_or_text() -> None:
    assert checked_ids("ids", [3, 1], 2).tolist() == [3, 1]
    assert checked_ids("ids", [3, "a"], 2) == ["3", "a"]
    assert checked_ids("ids", torch.tensor([-1, -1, 3]), 3).tolist() == [-1, -1, 3]
    with pytest.raises(ValueError, match="`ids` must be one raw id for each of 3, got 2"):
        checked_ids("ids", ["a", "b"], 3)
    with pytest.raises(ValueError, match="`ids` must be distinct raw ids, got \"'a' more than once\""):
        checked_ids("ids", ["a", "b", "a"], 3)


def test_joined() -> None:
    assert joined(torch.tensor([1]), torch.tensor([2])).tolist() == [1, 2]
    assert joined(["a"], ["b"]) == ["a", "b"]
    assert joined(torch.tensor([1, -1]), ["b", ""]) == ["1", "", "b", ""]
