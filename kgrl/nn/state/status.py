"""The user status of TPGR: nine numbers that sum a session up."""

from __future__ import annotations

import torch
from torch import Tensor

STATUS = 9
"""How many there are: positive, negative, zero feedbacks, steps; and how many feedbacks in a row, up to now, were
positive, negative, zero, not negative, not positive."""


def initial_status(num_sessions: int, device: torch.device | str | None = None) -> Tensor:
    """``[num_sessions, 9]``, before the first step."""
    return torch.zeros(num_sessions, STATUS, device=device)


def next_status(status: Tensor, sign: Tensor) -> Tensor:
    """The status one step later (TPGR, Figure 2; which nine, the paper leaves to the authors' code).

    Args:
        status: ``[B, 9]``, counts.
        sign: ``[B]``, whether the last feedback was positive (1), negative (−1) or neither (0).
    """
    up, down = sign > 0, sign < 0
    always = torch.ones_like(up)
    flags = torch.stack([up, down, ~(up | down), always, up, down, ~(up | down), ~down, ~up], 1)
    # a total is kept and grows where its flag is up; a run also ends where it is not
    grown = status + flags
    return torch.cat([grown[:, :4], grown[:, 4:] * flags[:, 4:]], 1)
