"""``Trail``: what an exploring rollout came by, kept for the update that follows it."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from kgrl.nn.walk import Choice, Walk, join_choices
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
        self._choices: list[tuple[Choice, ...]] = []

    def __reduce__(self) -> tuple[type[Trail], tuple[()]]:
        return Trail, ()  # a copied or unpickled agent begins with an empty memory

    def note(self, sessions: Sessions, states: Tensor, walk: Walk) -> None:
        """One step more."""
        if sessions.step == 0 or self._sessions is None or self._sessions() is not sessions:
            self._sessions, self._states, self._choices = weakref.ref(sessions), [], []
        self._states.append(states)
        self._choices.append(walk.choices)

    def take(self, sessions: Sessions) -> Kept | None:
        """What was noted of these sessions, if every step was; it is forgotten then."""
        known = self._sessions is not None and self._sessions() is sessions and len(self._states) == sessions.step
        found = Kept(torch.stack(self._states), join_choices(self._choices)) if known else None
        self._sessions, self._states, self._choices = None, [], []
        return found
