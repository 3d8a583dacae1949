"""``SessionState``: all that TPGR's policy sees of a session."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.history import History, Step
from kgrl.nn.status import STATUS, initial_status, next_status
from kgrl.nn.taste import Belief, TasteState, TasteTerms
from kgrl.sessions import Sessions


class Carry(NamedTuple):
    """B sessions as far as they have come: the history's own, ``status [B, 9]``, and the taste where there is one."""

    history: Any
    status: Tensor
    belief: Belief | None


class Items(NamedTuple):
    """What a parameter version says of the items: ``vectors [N, d]`` and the taste's terms of them."""

    vectors: Tensor
    taste: TasteTerms | None


class SessionState(nn.Module):
    r"""The state :math:`\mathbf s_t` of TPGR: hidden vector of the history and user status (Figure 2), then taste.

    Args:
        history: :class:`SRUHistory`, :class:`KGHistory`, or one of your own.
        horizon: T, which the status is divided by.
        taste: see :class:`kgrl.nn.TasteState`; ``None`` as in the paper. The policy's gradient does not reach it: it
            learns from the feedback alone, by :meth:`taste_loss`.
    """

    def __init__(self, history: History, horizon: int, taste: TasteState | None = None) -> None:
        super().__init__()
        self.history, self.horizon, self.taste = history, horizon, taste
        self.channels = history.channels + STATUS + (0 if taste is None else taste.taste_channels)

    def items(self) -> Items:
        """What all sessions share."""
        vectors = self.history.vectors()
        if self.taste is None:
            return Items(vectors, None)
        with torch.no_grad():
            return Items(vectors, self.taste.project(vectors))

    def initial(self, num_sessions: int) -> Carry:
        history = self.history.initial(num_sessions)
        device = next(self.parameters()).device
        belief = None if self.taste is None else self.taste.initial(num_sessions)
        return Carry(history, initial_status(num_sessions, device), belief)

    def step(self, carry: Carry, items: Items, step: Step, inputs: Any = None) -> Carry:
        """One step later.

        Args:
            carry: the sessions so far.
            items: from :meth:`items`.
            step: what was shown, and how it was received.
            inputs: the history's, where they were made for many steps at once.
        """
        if inputs is None:
            inputs = self.history.inputs(items.vectors, step)
        belief = carry.belief
        if self.taste is not None and belief is not None and items.taste is not None:
            with torch.no_grad():
                belief = self.taste.step(belief, items.taste, step.items, step.feedback)
        return Carry(self.history.step(carry.history, inputs), next_status(carry.status, step.streak), belief)

    def read(self, carry: Carry) -> Tensor:
        """``[B, s]``."""
        parts = [self.history.output(carry.history), carry.status / self.horizon]
        return torch.cat(parts if carry.belief is None else [*parts, carry.belief.mean], 1)

    def forward(self, sessions: Sessions) -> Tensor:
        """``[T + 1, B, s]``, states before each step and after the last; past a session's end they mean nothing."""
        items, carry, states = self.items(), self.initial(len(sessions)), []
        steps = Step.all_of(sessions)
        inputs = self.history.inputs(items.vectors, steps)
        for step, given in zip(_unbound(steps), _unbound(inputs), strict=True):
            states.append(self.read(carry))
            carry = self.step(carry, items, Step(*step), given)
        return torch.stack([*states, self.read(carry)])

    def taste_loss(self, sessions: Sessions, rows: Tensor, steps: Tensor) -> Tensor:
        """Squared error of the feedback that the taste state expects of R steps: ``rows [R]``, ``steps [R]``."""
        assert self.taste is not None
        before = sessions.rows(rows).before(steps)
        at = steps.unsqueeze(1)
        asked = sessions.items[rows].gather(1, at).squeeze(1)
        feedback = sessions.feedback[rows].gather(1, at).squeeze(1)
        terms = self.taste.project(self.history.vectors())
        mean = self.taste(terms, before.items, before.feedback)
        return F.mse_loss(self.taste.predict(mean, terms, asked, torch.arange(len(rows), device=rows.device)), feedback)


def _unbound(steps: Any) -> Any:
    """Step by step, of a tensor ``[T, …]`` or of several; ``unbind``, as a gradient through x[t] is as large as x."""
    return steps.unbind() if isinstance(steps, Tensor) else zip(*(part.unbind() for part in steps), strict=True)


class Follower:
    """Follows the sessions of a rollout: from one step to the next, one step is taken rather than all anew."""

    def __init__(self) -> None:
        self._sessions: weakref.ref[Sessions] | None = None
        self._step, self._version = 0, -1
        self._items: Items | None = None
        self._carry: Carry | None = None

    def __reduce__(self) -> tuple[type[Follower], tuple[()]]:
        return Follower, ()  # a copied or unpickled agent begins with an empty memory

    @torch.no_grad()
    def states(self, state: SessionState, sessions: Sessions, version: int) -> Tensor:
        """``[B, s]``, of ``sessions`` at their present step.

        Args:
            state: the network.
            sessions: any.
            version: changes with the network's parameters.
        """
        same = self._version == version and self._sessions is not None and self._sessions() is sessions
        if self._items is None or self._version != version:
            self._items = state.items()
        if not same or self._carry is None or self._step > sessions.step:
            self._carry, self._step = state.initial(len(sessions)), 0
        while self._step < sessions.step:
            self._carry = state.step(self._carry, self._items, Step.of(sessions, self._step))
            self._step += 1
        self._sessions, self._version = weakref.ref(sessions), version
        return state.read(self._carry)
