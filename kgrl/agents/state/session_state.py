"""``SessionState``: what an agent sees of a session, one step at a time."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_structure

from kgrl.agents.shared.weights import Versioned
from kgrl.options import expected
from kgrl.sessions import Sessions


class Step(NamedTuple):
    """What one step showed of B users, each ``[B]``; see :class:`kgrl.sessions.Sessions`.

    ``past`` tells whether the step is one of the sessions' past, which no count of the session's steps has in it.
    """

    items: Tensor
    feedback: Tensor
    rewards: Tensor
    positive: Tensor
    streak: Tensor
    past: bool = False

    @classmethod
    def of(cls, sessions: Sessions, column: int) -> Step:
        """What ``column`` holds."""
        seen = {name: getattr(sessions, name)[:, column] for name in cls._fields[:-1]}
        return cls(**seen, past=column < sessions.begin)


class Stepwise(Protocol):
    """What can be followed through a rollout, whatever is read of it in the end; see :class:`SessionState`."""

    def initial(self, num_sessions: int, items: Any, /) -> Any: ...

    def step(self, carry: Any, items: Any, step: Step, /) -> Any: ...

    def read(self, carry: Any, /) -> Any: ...


@runtime_checkable
class SessionState(Protocol):
    r"""What an agent sees of sessions: a function of items shown and of how they were received, made step by step.

    .. math::
        \mathbf c_0 = \mathrm{initial}, \qquad \mathbf c_t = \mathrm{step}(\mathbf c_{t-1}, i_t, r_t), \qquad
        \mathbf s_t = \mathrm{read}(\mathbf c_t)

    A state of your own is a :class:`torch.nn.Module` with these four methods and ``channels``; the agents that take one
    (``KGQR(state=)``, ``TPGR(state=)``) train it along. The *carry* **c** is a tensor ``[B, …]`` or any nesting of
    tuples, lists and dictionaries of such, and never changes its shape. It is held by the sessions that it is of.

    Where a state has a faster way for many steps at once, it may have two more methods: ``present(items, sessions)``,
    the carry of sessions as they stand, where ``items`` may be the plain ``vectors``, too, told apart by type; and
    ``over(vectors, sessions)``, ``[L + T + 1, B, channels]``, what is read before each column and after the last.

    Attributes:
        channels: length of a state.
    """

    channels: int

    def items(self, vectors: Tensor) -> Any:
        """What all sessions share, made once for each set of parameters.

        Args:
            vectors: ``[N, d]``, the agent's item vectors.
        """

    def initial(self, num_sessions: int, items: Any) -> Any:
        """The carry before the first step.

        Args:
            num_sessions: B.
            items: from :meth:`items`.
        """

    def step(self, carry: Any, items: Any, step: Step) -> Any:
        """The carry one step later; where an item is −1 it may be anything.

        Args:
            carry: of the sessions so far.
            items: from :meth:`items`.
            step: what was shown, and how it was received.
        """

    def read(self, carry: Any) -> Tensor:
        """``[B, channels]``, the states."""


class Progress(NamedTuple):
    """How far an agent has come with sessions: its ``version`` then, the columns seen, and the carry after these."""

    version: int
    column: int
    carry: Any


def advance(agent: Versioned, state: Stepwise, items: Any, sessions: Sessions) -> Any:
    """What ``state`` reads of ``sessions`` at their present step.

    Goes on from where ``agent`` was with these sessions, as long as its parameters are the same; one step of a rollout
    costs one step of the state. What it needs for that is kept in ``sessions.carry``.

    Args:
        agent: whose state it is.
        state: any.
        items: ``state.items(vectors)``, for the parameters as they are.
        sessions: any.
    """
    left: Progress | None = sessions.carry.get(agent)
    if left is None or left.version != agent.version or left.column > sessions.step:
        carry = carry_of(state, items, sessions)
    else:
        carry = left.carry
        for column in range(left.column, sessions.step):
            carry = state.step(carry, items, Step.of(sessions, column))
    sessions.carry[agent] = Progress(agent.version, sessions.step, carry)
    return state.read(carry)


def carry_of(state: Stepwise, items: Any, sessions: Sessions) -> Any:
    """The carry of ``sessions`` as they stand, each after its own last item.

    Args:
        state: any.
        items: ``state.items(vectors)``.
        sessions: any; items of −1, anywhere, are skipped.
    """
    if hasattr(state, "present"):
        return state.present(items, sessions)
    carry = state.initial(len(sessions), items)
    for column in range(sessions.step):
        step = Step.of(sessions, column)
        carry = _where(step.items >= 0, state.step(carry, items, step), carry)
    return carry


def carry_by_vectors(state: SessionState, vectors: Tensor, sessions: Sessions) -> Any:
    """As :func:`carry_of`, by the plain ``vectors [N, d]``: of a few sessions, in which few items occur."""
    if hasattr(state, "present"):
        return state.present(vectors, sessions)
    return carry_of(state, state.items(vectors), sessions)


def states_over(state: SessionState, vectors: Tensor, sessions: Sessions) -> Tensor:
    """``[L + T + 1, B, s]``, the states before each column, a past's too, and after the last.

    Beyond a session's end they mean nothing.
    """
    if hasattr(state, "over"):
        found: Tensor = state.over(vectors, sessions)
        return found
    items = state.items(vectors)
    carry, states = state.initial(len(sessions), items), []
    for column in range(sessions.step):
        states.append(state.read(carry))
        step = Step.of(sessions, column)
        later = state.step(carry, items, step)
        carry = _where(step.items >= 0, later, carry) if step.past else later
    return torch.stack([*states, state.read(carry)])


@torch.no_grad()
def checked_state(name: str, state: Any, vectors: Tensor) -> SessionState:
    """``state``, if it is one: tried on two sessions of one step.

    Args:
        name: what it is called in the error.
        state: what was given.
        vectors: ``[N, d]``, the agent's item vectors.

    Raises:
        TypeError: a method or ``channels`` is missing, or it is no module.
        ValueError: its carry changes shape in a step, or it reads something else than ``[B, channels]``.
    """
    lacking = [part for part in ("channels", "items", "initial", "step", "read") if not hasattr(state, part)]
    if lacking or not isinstance(state, torch.nn.Module):
        why = f"it has no {', '.join(lacking)}" if lacking else "it is no torch.nn.Module"
        raise TypeError(expected(name, "a session state, see kgrl.agents.state.session_state.SessionState", state, why))
    found = cast(SessionState, state)  # all its parts are there
    zeros = vectors.new_zeros(2)
    step = Step(zeros.long(), zeros, zeros, zeros > 0, zeros.to(torch.int8))
    items = found.items(vectors)
    before = found.initial(2, items)
    after = found.step(before, items, step)
    shapes = [(str(tree_structure(carry)), [list(part.shape) for part in tree_leaves(carry)])
              for carry in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError(expected(name, "a state whose carry keeps its shape", f"{shapes[0]}, then {shapes[1]}"))
    if (read := found.read(after)).shape != (2, found.channels):
        raise ValueError(expected(name, f"a state that reads [2, {found.channels}] of two sessions", list(read.shape)))
    return found


def _where(condition: Tensor, values: Any, others: Any) -> Any:
    """:func:`torch.where` of tensors ``[B, …]``, or of any nesting of such."""
    return tree_map(
        lambda value, other: torch.where(condition.view(-1, *[1] * (value.dim() - 1)), value, other), values, others)
