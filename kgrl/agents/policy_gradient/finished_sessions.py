"""What an update makes of finished sessions: their returns, what their rollout kept, and how well they are recalled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.shared.weights import Versioned
from kgrl.nn.policy.tree_walk import Choice, Walk, join_choices
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


class Recall(nn.Module):
    r"""How an item that was shown before was rewarded, from the state and the item's vector.

    From the state :math:`\mathbf h_t` after t steps, of an item shown at a step :math:`j \le t`, drawn at random:

    .. math:: \hat r_j = (\mathbf A \mathbf h_t + \mathbf b)^\top [\mathbf e(a_j) \Vert 1]

    Paper is silent (TPGR's) on how a state is pre-trained; its authors' code predicts past rewards, too.

    Args:
        state_channels: size h of the state.
        item_channels: length of an item vector.
    """

    def __init__(self, state_channels: int, item_channels: int) -> None:
        super().__init__()
        self.key = nn.Linear(state_channels, item_channels + 1)

    def forward(
        self, states: Tensor, vectors: Tensor, sessions: Sessions, generator: torch.Generator | None = None
    ) -> Tensor:
        """The mean squared error over the steps taken.

        Args:
            states: ``[T, B, h]``, after each step.
            vectors: ``[N, d]``, of the items.
            sessions: finished.
            generator: of which item is asked for.
        """
        shown, rewards = (part[:, sessions.begin : sessions.step].t() for part in (sessions.items, sessions.rewards))
        steps = torch.arange(len(shown), device=shown.device).unsqueeze(1)
        drawn = torch.rand(shown.shape, generator=generator, device=shown.device, dtype=torch.float)
        asked = (drawn * (steps + 1)).long().clamp_(max=len(shown) - 1)
        items, rewards = shown.gather(0, asked), rewards.gather(0, asked)
        key, read = F.embedding(items.clamp(min=0), vectors), self.key(states)
        error = (read[..., :-1] * key).sum(-1) + read[..., -1] - rewards
        taken = taken_steps(sessions)[:, sessions.begin :].t()
        return torch.where(taken, error.square(), 0.0).sum() / taken.sum()


def parts(order: Tensor, count: int, shuffled: bool) -> Sequence[Tensor | slice]:
    """A batch in ``count`` parts of one session at least: in this order, or uncopied, as it stands: random already."""
    bounds = sorted({len(order) * part // count for part in range(count + 1)})
    places = [slice(*pair) for pair in pairwise(bounds)]
    return [order[place] for place in places] if shuffled else places


class Kept(NamedTuple):
    """``states [T, B, s]``, and ``choices``, level by level, each ``[T, B, …]``."""

    states: Tensor
    choices: list[Choice]

    def rows(self, index: Tensor | slice) -> Kept:
        """Of these sessions alone."""
        return Kept(self.states[:, index], [choice.map(lambda x: x[:, index]) for choice in self.choices])


class RolloutCache:
    """States and choices of every step of one rollout. An update would find the same ones again, for the same sessions.

    It is held by the sessions that it is of.

    Args:
        version: of the agent's parameters.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._states: list[Tensor] = []
        self._walks: list[Walk] = []

    @classmethod
    def note(cls, agent: Versioned, sessions: Sessions, states: Tensor, walk: Walk) -> None:
        """One step more of ``sessions``, by the agent's parameters as they are."""
        found = sessions.carry.get((agent, cls))
        if found is None or found.version != agent.version:
            found = sessions.carry[agent, cls] = cls(agent.version)
        found._states.append(states)
        found._walks.append(walk)

    @classmethod
    def take(cls, agent: Versioned, sessions: Sessions) -> Kept | None:
        """What was noted of these sessions, if every step was and showed what the walk chose; it is forgotten then."""
        found = sessions.carry.pop((agent, cls), None)
        if found is None or found.version != agent.version:
            return None
        if not len(found._walks) == sessions.step - sessions.begin > 0:
            return None
        chosen = torch.stack([walk.items for walk in found._walks], 1)
        shown = sessions.shown[:, sessions.begin :]
        if not bool(((chosen == shown) | (shown < 0)).all()):
            return None
        return Kept(torch.stack(found._states), join_choices([walk.choices for walk in found._walks]))
