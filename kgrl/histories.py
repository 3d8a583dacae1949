"""Histories of real users, as lists of what was shown and how it was received: read and checked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kgrl.options import expected
from kgrl.raw_ids import RawIds, are_numbers, places


def padded_history(
    items: Sequence[Sequence[Any]], feedback: Sequence[Sequence[float]], raw_ids: RawIds | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Users' histories as tensors, if they can be sessions; see :meth:`kgrl.sessions.Sessions.from_history`.

    Args:
        items: one list per user, of item numbers or, with ``raw_ids``, of raw ids.
        feedback: likewise.
        raw_ids: ``[N]``, of the items.

    Returns:
        (items ``[B, L]``, padded with −1; feedback ``[B, L]``, padded with 0; length ``[B]``).

    Raises:
        TypeError: no lists, or raw ids that are kept in another way.
        ValueError: lists that do not match, unknown or repeated items, feedback outside [−1, 1].
    """
    for name, rows in (("items", items), ("feedback", feedback)):
        rows = plain(rows)
        if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
            raise TypeError(expected(name, "a list of lists, one a user", type(rows).__name__))
    items, feedback = plain(items), plain(feedback)
    if len(items) != len(feedback):
        raise ValueError(expected("feedback", f"one list for each of the {len(items)} users", len(feedback)))
    items = items if raw_ids is None else _numbers_of(items, raw_ids_of_items(raw_ids))
    every = [_item_numbers(f"items[{row}]", shown) for row, shown in enumerate(items)]
    length = torch.tensor([len(shown) for shown in every], dtype=torch.long, device="cpu")
    longest = max(map(len, every), default=0)
    numbers = torch.full((len(every), longest), -1, device="cpu")
    received = torch.zeros(len(every), longest, device="cpu", dtype=torch.float)
    for row, (shown, answers) in enumerate(zip(every, feedback, strict=True)):
        received[row, : len(shown)] = torch.tensor(_received(row, shown, answers), dtype=torch.float, device="cpu")
        numbers[row, : len(shown)] = torch.tensor(shown, dtype=torch.long, device="cpu")
    return numbers, received, length


def _received(row: int, shown: list[int], answers: object) -> list[float]:
    """How a user received what was ``shown``, if each item was shown once and has a number in [−1, 1]."""
    received = _one_list(f"feedback[{row}]", answers)
    if len(shown) != len(received):
        raise ValueError(expected(f"feedback[{row}]", f"one number for each of {len(shown)} items", received))
    if len(set(shown)) != len(shown) or any(item < 0 for item in shown):
        raise ValueError(expected(f"items[{row}]", "distinct item ids of at least 0", shown))
    if not all(hasattr(value, "__float__") and -1 <= value <= 1 for value in received):  # refuses NaN, too
        raise ValueError(expected(f"feedback[{row}]", "numbers in [-1, 1]", received))
    return received


def raw_ids_of_items(ids: RawIds) -> RawIds:
    """``ids``, if raw ids are kept so."""
    tensor = isinstance(ids, Tensor) and ids.dim() == 1 and ids.dtype == torch.long
    if not tensor and (not isinstance(ids, Sequence) or isinstance(ids, str | bytes)):
        raise TypeError(expected("ids", "a list or a LongTensor [N] of raw ids", type(ids).__name__))
    return ids


def _numbers_of(items: Sequence[Sequence[Any]], ids: RawIds) -> list[list[int]]:
    """The item numbers of raw ids, one list per user.

    Raises:
        ValueError: an unknown raw id.
    """
    rows = [_one_list(f"items[{row}]", shown) for row, shown in enumerate(items)]
    wanted = [raw for row in rows for raw in row]
    numbers = places(wanted, ids).tolist()
    if -1 in numbers:
        kind = "whole numbers" if are_numbers(ids) else "text"
        raise ValueError(expected("items", "raw ids among `ids`", wanted[numbers.index(-1)],
                                  f"`ids` are {kind}; leave out items that the data set does not have"))
    found = iter(numbers)
    return [[next(found) for _ in row] for row in rows]


def _one_list(name: str, row: object) -> list[Any]:
    """One user's row, be it a list, a tensor or an array, as a list of plain values."""
    row = plain(row)
    if not isinstance(row, Sequence) or isinstance(row, (str, bytes)):
        raise ValueError(expected(name, "one user's list", row, "give a list of lists, for one user [[...]]"))
    return [plain(value) for value in row]


def _item_numbers(name: str, row: object) -> list[int]:
    """One user's items; of any integer type, but nothing that would have to be rounded or looked up."""
    values = _one_list(name, row)
    if not all(hasattr(value, "__index__") and not isinstance(value, bool) for value in values):
        raise ValueError(expected(name, "whole numbers", values, "items are numbers from 0; for raw ids give "
                                  'ids=data["item"].raw_id, too'))
    return [operator.index(value) for value in values]


def plain(value: Any) -> Any:
    """What a tensor, an array or a scalar of theirs holds, in Python's own types."""
    return value.tolist() if hasattr(value, "tolist") else value
