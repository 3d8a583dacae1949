"""How much of a world is personal, from some of its users: cheap enough to be looked at before every training."""

from __future__ import annotations

import torch
from torch import Tensor

from kgrl.precision import full_precision
from kgrl.simulator.feedback import FeedbackModel

SMALLEST = 0.01
"""The taste share below which there is nothing personal to learn."""
USERS, FEWEST, CELLS = 128, 16, 2**22
"""How many users are looked at: so many, or in a world of many items as have so many feedbacks together."""


@torch.no_grad()
@full_precision
def taste_share_of_some(
    feedback: FeedbackModel, users: Tensor, train_users: Tensor, size: int, items: Tensor | None = None
) -> float:
    """The taste share of :class:`kgrl.simulator.Bounds`, of some of the users, without a session and without chance.

    A random item's feedback is the mean over all items, and of lists at η = 0 the order does not matter: nothing is
    played, and nothing is drawn.

    Args:
        feedback: the world's.
        users: ``[U]``, in whom it is measured.
        train_users: ``[U']``, whose mean feedback chooses the one list for all.
        size: of the list.
        items: ``[P]``, the items that are shown; ``None``: all.

    Returns:
        The share; 0 where every item is received alike, NaN where the list holds all items and leaves no choice.
    """
    def shown(values: Tensor) -> Tensor:
        return values if items is None else values.index_select(-1, items)

    mean = shown(feedback.mean_feedback(_some(train_users, feedback.num_items)))
    if size >= len(mean):
        return float("nan")
    fixed, lines = mean.topk(size).indices, []
    for part in feedback.chunks(_some(users, feedback.num_items)):
        rows = shown(feedback.checked_rows(part))
        lines.append(torch.stack([each.mean(1) for each in (rows.topk(size).values, rows[:, fixed], rows)], 1))
    top, one_list, low = torch.cat(lines).mean(0).tolist()
    return (top - one_list) / (top - low) if top > low else 0.0


def _some(users: Tensor, num_items: int) -> Tensor:
    """Evenly spread over ``users``."""
    most = min(USERS, max(FEWEST, CELLS // num_items))
    return users[:: -(-len(users) // most)]
