"""``UserStatus`` and ``Streak``: what counting tells of a session."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kgrl.agents.state.session_state import Step
from kgrl.nn.state.sru import STATUS, initial_status, next_status
from kgrl.options import at_least
from kgrl.sessions import Sessions


class UserStatus(nn.Module):
    """TPGR's nine counts, divided by the horizon (Chen et al., 2019, Figure 2); a past is not counted.

    Args:
        horizon: T.
    """

    channels = STATUS

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = at_least("horizon", horizon, 1)

    def items(self, vectors: Tensor) -> torch.device:
        return vectors.device

    def initial(self, num_sessions: int, items: torch.device) -> Tensor:
        return initial_status(num_sessions, items)

    def step(self, carry: Tensor, items: torch.device, step: Step) -> Tensor:
        return carry if step.past else next_status(carry, step.streak)

    def read(self, carry: Tensor) -> Tensor:
        return carry / self.horizon


class Counts(NamedTuple):
    """Of B sessions: positive and negative feedback in a row up to now, and steps, ``[B]`` each."""

    up: Tensor
    down: Tensor
    steps: Tensor


class Streak(nn.Module):
    """c_p, c_n and the step, which the reward depends on (KGQR, equation 16) and the paper's state lacks.

    They are divided by √T, so that a step moves the state by little: training's T, as a real user's past is as long as
    it is.

    Args:
        horizon: T.
    """

    channels = 3

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = at_least("horizon", horizon, 1)

    def items(self, vectors: Tensor) -> torch.device:
        return vectors.device

    def initial(self, num_sessions: int, items: torch.device) -> Counts:
        zeros = torch.zeros(num_sessions, dtype=torch.long, device=items)
        return Counts(zeros, zeros, zeros)

    def step(self, carry: Counts, items: torch.device, step: Step) -> Counts:
        if step.past:
            return carry
        taken = step.items >= 0
        up, down = (torch.where(taken, (count + 1) * (step.streak == sign), count)
                    for count, sign in ((carry.up, 1), (carry.down, -1)))
        return Counts(up, down, carry.steps + taken)

    def read(self, carry: Counts) -> Tensor:
        return torch.stack(list(carry), 1) / self.horizon**0.5

    def present(self, items: Any, sessions: Sessions) -> Counts:
        """All steps at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        return Counts(*sessions.streak_counts(), sessions.length.clone())  # which a simulator changes in place
