"""The GRU states of the sessions of a rollout, advanced one step at a time."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from kgrl.agents.q_learning.network import ItemView, QNetwork
from kgrl.sessions import Sessions


class RunningState:
    """Remembers the GRU states of the sessions it saw last.

    A rollout asks for the states of the same sessions step after step; from one step to the next only the item shown
    last can have changed them, so a step costs one GRU cell rather than the whole sequence.
    Anything else (other sessions, another item view, a step left out) is computed from the start.
    """

    def __init__(self) -> None:
        self._sessions: weakref.ref[Sessions] | None = None
        self._items: weakref.ref[Tensor] | None = None
        self._step = 0
        self._hidden = torch.empty(0)

    def __reduce__(self) -> tuple[type[RunningState], tuple[()]]:
        return RunningState, ()  # a copied or unpickled agent begins with an empty memory

    @torch.no_grad()
    def advance(self, network: QNetwork, view: ItemView, sessions: Sessions) -> Tensor:
        """``[B, h]``, the GRU states of ``sessions`` at their present step."""
        known = self._sessions is not None and self._sessions() is sessions
        known &= self._items is not None and self._items() is view.vectors
        if known and view.inputs is not None and self._step == sessions.step - 1:
            last = sessions.liked[:, -1]
            stepped = network.state.step(self._hidden, view.inputs[last.clamp(min=0)])
            self._hidden = torch.where((last >= 0).unsqueeze(1), stepped, self._hidden)
        elif not known or self._step != sessions.step:
            self._hidden = network.state(view.vectors, sessions.liked)
        self._sessions, self._items = weakref.ref(sessions), weakref.ref(view.vectors)
        self._step = sessions.step
        return self._hidden
