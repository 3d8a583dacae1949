"""``RolloutCache``: what an exploring rollout came by, kept for the update that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kgrl.agents.shared.weights import Versioned
from kgrl.nn.policy.tree_walk import Choice, Walk, join_choices
from kgrl.sessions import Sessions


def parts(order: Tensor, count: int, shuffled: bool) -> Sequence[Tensor | slice]:
    """A batch in ``count`` parts: in this order, or as it stands, uncopied; a rollout's order is random already."""
    size = -(-len(order) // count)
    return order.split(size) if shuffled else [slice(at, at + size) for at in range(0, len(order), size)]


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
