"""Returns of whole sessions, as the policy gradient weighs its steps by."""

from __future__ import annotations

import torch
from torch import Tensor

from kgrl.seeding import full_precision
from kgrl.sessions import Sessions


def taken_steps(sessions: Sessions) -> Tensor:
    """``[B, step]``, whether each step was taken: not those after a session's early end, nor a past's."""
    steps = torch.arange(sessions.step, device=sessions.device) - sessions.begin
    return (steps >= 0) & (steps < sessions.length.unsqueeze(1))


def decided_steps(sessions: Sessions) -> Tensor:
    """``[B, step]``, whether each step was taken by the agent, and not by the protocol that opens a session for it.

    An agent writes the log-probability of what it decides; where it was not asked, NaN is left.
    """
    return taken_steps(sessions) & ~sessions.log_prob[:, : sessions.step].isnan()


@full_precision
def returns(
    sessions: Sessions, gamma: float, baseline: bool = False, standardise: bool = False, counted: Tensor | None = None
) -> Tensor:
    r"""``[B, step]``, the discounted return from each step on; 0 after a session's end.

    .. math:: R_t = \sum_{t' \ge t} \gamma^{t' - t} r_{t'}

    Args:
        sessions: finished.
        gamma: discount γ in [0, 1].
        baseline: whether the mean over the sessions still there is taken off at each step.
        standardise: whether mean and standard deviation over all steps are made 0 and 1.
        counted: ``[B, step]``, the steps whose returns are wanted; others are 0, and no part of any mean. ``None``: all
            that were taken.
    """
    taken, steps = taken_steps(sessions), torch.arange(sessions.step, device=sessions.device)
    later = (steps.unsqueeze(0) - steps.unsqueeze(1)).clamp(min=0)  # [from, to]
    discount = (gamma ** later.to(sessions.rewards.dtype)).triu()
    found = (sessions.rewards[:, : sessions.step] * taken) @ discount.T
    taken = taken if counted is None else counted
    rounding = 1e-5 * found.abs().amax().clamp(min=1e-3)  # what is all alike but for this has no spread
    if baseline:
        found = found - (found * taken).sum(0) / taken.sum(0).clamp(min=1)
    if standardise:
        found = found - (found * taken).sum() / taken.sum()
        found = found / ((found * taken).square().sum() / taken.sum()).sqrt().clamp(min=rounding)
    return found * taken
