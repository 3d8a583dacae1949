"""``SessionState``: all that TPGR's policy sees of a session."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kgrl.agents.state.history import History, Step
from kgrl.nn.state.status import STATUS, initial_status, next_status
from kgrl.nn.state.taste import Belief, TasteTerms
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
        taste: what is inferred a user's taste by; ``None`` as in the paper. It stays as it is.
    """

    def __init__(self, history: History, horizon: int, taste: TasteTerms | None = None) -> None:
        super().__init__()
        self.history, self.horizon, self.taste_channels = history, horizon, 0
        if taste is not None:
            self.taste_channels = taste.loading.size(1)
            for name, part in taste._asdict().items():
                self.register_buffer(f"taste_{name}", part.clone())
        self.channels = history.channels + STATUS + self.taste_channels

    @property
    def taste(self) -> TasteTerms | None:
        """By what a user's taste is inferred."""
        if not self.taste_channels:
            return None
        return TasteTerms(*(self.get_buffer(f"taste_{name}") for name in TasteTerms._fields))

    def items(self) -> Items:
        """What all sessions share."""
        return Items(self.history.vectors(), self.taste)

    def initial(self, num_sessions: int, items: Items) -> Carry:
        """Before the first step."""
        history = self.history.initial(num_sessions)
        belief = None if items.taste is None else items.taste.prior(num_sessions)
        return Carry(history, initial_status(num_sessions, items.vectors.device), belief)

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
        history = self.history.step(carry.history, inputs)
        return Carry(history, next_status(carry.status, step.streak), self._believe(carry, items, step))

    def recall(self, carry: Carry, items: Items, step: Step, inputs: Any = None) -> Carry:
        """One step of a past later: the status does not count it, and nothing changes where there is no item."""
        if inputs is None:
            inputs = self.history.inputs(items.vectors, step)
        history = _where((step.items >= 0).unsqueeze(1), self.history.step(carry.history, inputs), carry.history)
        return Carry(history, carry.status, self._believe(carry, items, step))

    @torch.no_grad()
    def _believe(self, carry: Carry, items: Items, step: Step) -> Belief | None:
        """What is believed of the tastes after a step."""
        if carry.belief is None or items.taste is None:
            return carry.belief
        return items.taste.update(carry.belief, step.items, step.feedback)

    def read(self, carry: Carry) -> Tensor:
        """``[B, s]``."""
        parts = [self.history.output(carry.history), carry.status / self.horizon]
        return torch.cat(parts if carry.belief is None else [*parts, carry.belief.mean], 1)

    def forward(self, sessions: Sessions) -> Tensor:
        """``[L + T + 1, B, s]``, states before each step, a past's too, and after the last.

        Beyond a session's end they mean nothing.
        """
        items, steps = self.items(), Step.all_of(sessions)
        carry, states = self.initial(len(sessions), items), []
        inputs = self.history.inputs(items.vectors, steps)
        for column, (step, given) in enumerate(zip(_unbound(steps), _unbound(inputs), strict=True)):
            states.append(self.read(carry))
            take = self.step if column >= sessions.begin else self.recall
            carry = take(carry, items, Step(*step), given)
        return torch.stack([*states, self.read(carry)])


def _where(condition: Tensor, values: Any, others: Any) -> Any:
    """:func:`torch.where` of tensors ``[B, …]``, or of tuples of such."""
    if isinstance(values, Tensor):
        return torch.where(condition, values, others)
    return type(values)(*(torch.where(condition, *pair) for pair in zip(values, others, strict=True)))


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
            self._carry, self._step = state.initial(len(sessions), self._items), 0
        while self._step < sessions.step:
            take = state.step if self._step >= sessions.begin else state.recall
            self._carry = take(self._carry, self._items, Step.of(sessions, self._step))
            self._step += 1
        self._sessions, self._version = weakref.ref(sessions), version
        return state.read(self._carry)
