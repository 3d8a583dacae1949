"""``Trail``: what an exploring rollout came by, kept for the update that follows it."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from kgrl.nn.policy.tree_walk import Choice, Walk, join_choices
from kgrl.sessions import Sessions


class Kept(NamedTuple):
    """``states [T, B, s]``, and ``choices``, level by level, each ``[T, B, …]``."""

    states: Tensor
    choices: list[Choice]

    def rows(self, index: Tensor) -> Kept:
        """Of these sessions alone."""
        return Kept(self.states[:, index], [choice.map(lambda x: x[:, index]) for choice in self.choices])


class Trail:
    """States and choices of every step of one rollout. An update would find the same ones again, for the same sessions.

    It forgets a rollout when the next begins, and says nothing of sessions that it did not see from the first step on.
    """

    def __init__(self) -> None:
        self._sessions: weakref.ref[Sessions] | None = None
        self._states: list[Tensor] = []
        self._walks: list[Walk] = []
        self._version = -1

    def __reduce__(self) -> tuple[type[Trail], tuple[()]]:
        return Trail, ()  # a copied or unpickled agent begins with an empty memory

    def note(self, sessions: Sessions, states: Tensor, walk: Walk, version: int) -> None:
        """One step more, by the agent's parameters of this version."""
        if sessions.step == sessions.begin or not self._follows(sessions, version):
            self._sessions, self._version, self._states, self._walks = weakref.ref(sessions), version, [], []
        self._states.append(states)
        self._walks.append(walk)

    def take(self, sessions: Sessions, version: int) -> Kept | None:
        """What was noted of these sessions, if every step was and showed what the walk chose; it is forgotten then."""
        found = None
        if self._follows(sessions, version) and len(self._walks) == sessions.step - sessions.begin > 0:
            chosen = torch.stack([walk.items for walk in self._walks], 1)
            shown = sessions.shown[:, sessions.begin :]
            if bool(((chosen == shown) | (shown < 0)).all()):
                found = Kept(torch.stack(self._states), join_choices([walk.choices for walk in self._walks]))
        self._sessions, self._states, self._walks = None, [], []
        return found

    def _follows(self, sessions: Sessions, version: int) -> bool:
        return self._sessions is not None and self._sessions() is sessions and self._version == version
