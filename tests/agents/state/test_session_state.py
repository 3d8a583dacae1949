"""Every session state: step by step, all at once and over all steps, against each other."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kgrl.agents.shared.weights import Versioned
from kgrl.agents.state.session_state import (
    SessionState,
    advance,
    carry_by_vectors,
    carry_of,
    checked_state,
    states_over,
)
from kgrl.sessions import Sessions
from tests.agents.state.session_states import (
    DIM,
    HORIZON,
    ITEMS,
    PAST,
    STATES,
    Mean,
    begun,
    grow,
    make,
    played,
    vectors,
)

WHOLE_SESSIONS = ("learned taste", "KGQR's")
"""States whose carry is all that was shown, and grows."""
EVERY = pytest.mark.parametrize("name", STATES)


@EVERY
@pytest.mark.parametrize(("begin", "ends"), [(0, False), (0, True), (PAST, False), (PAST, True)])
def test_step_by_step_at_once_and_over_all_steps_are_the_same(name: str, begin: int, ends: bool) -> None:
    state, whole, agent = make(name), played(begin=begin, ends=ends), Versioned()
    items, over = state.items(vectors()), states_over(state, vectors(), whole)
    assert over.shape == (begin + HORIZON + 1, len(whole), state.channels)
    growing = begun(whole)
    for step in range(begin, begin + HORIZON + 1):
        there = growing.length == step - begin  # beyond its end, a session's state may be anything
        at_once = state.read(carry_by_vectors(state, vectors(), growing))
        torch.testing.assert_close(advance(agent, state, items, growing)[there], at_once[there])
        torch.testing.assert_close(over[step][there], at_once[there])
        if step < begin + HORIZON:
            grow(growing, whole)
    # of sessions that ended, the state at once is the one after the last item
    last = over[begin + whole.length, torch.arange(len(whole))]
    torch.testing.assert_close(state.read(carry_of(state, items, whole)), last)


@EVERY
def test_gradients_are_those_of_the_steps(name: str) -> None:
    """The fast ways against the protocol's own loop, which a wrapper without them makes it take."""
    state, whole = make(name), played(ends=True)
    if not list(state.parameters()) or name in WHOLE_SESSIONS:
        pytest.skip("nothing is learned, or the carry is all that was shown")
    found = []
    for way in (lambda given: state.read(carry_by_vectors(state, given, whole)),
                lambda given: state.read(carry_by_vectors(Plain(state), given, whole))):
        given = vectors().requires_grad_()
        state.zero_grad()
        way(given).square().sum().backward()
        found.append([given.grad, *(part.grad for part in state.parameters())])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow)


class Plain:
    """A state without its faster ways."""

    def __init__(self, state: Any) -> None:
        self.items, self.initial, self.step, self.read = state.items, state.initial, state.step, state.read


def test_what_an_agent_left_is_used_only_while_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    state, agent, other, first, second = make("own"), Versioned(), Versioned(), played(), played(3)
    starts, initial = [], state.initial
    monkeypatch.setattr(state, "initial", lambda *args: starts.append(1) or initial(*args))

    def ask(agent: Versioned, sessions: Sessions, given: Tensor) -> int:
        """How often a carry was begun for it; what comes out is right in any case."""
        starts.clear()
        wanted = states_over(state, given, sessions)[sessions.step]
        starts.clear()
        torch.testing.assert_close(advance(agent, state, state.items(given), sessions), wanted)
        return len(starts)

    assert ask(agent, first, vectors()) == 1
    assert ask(agent, first, vectors()) == 0
    assert ask(agent, second, vectors()) == 1
    assert ask(agent, first, vectors()) == 0, "two rollouts do not disturb each other"
    assert ask(other, first, vectors()) == 1
    agent.version += 1
    assert ask(agent, first, vectors() + 1) == 1
    assert ask(agent, first.rows(torch.arange(7)), vectors() + 1) == 1
    first.step -= 2
    assert ask(agent, first, vectors() + 1) == 1, "sessions do not go back by themselves"


def test_copies_of_sessions_carry_nothing() -> None:
    sessions = played()
    advance(Versioned(), make("own"), vectors(), sessions)
    assert sessions.carry
    for copied in (copy.copy(sessions), copy.deepcopy(sessions), pickle.loads(pickle.dumps(sessions)),
                   sessions.before(2), sessions.rows(torch.arange(2)), sessions.to("cpu"), Sessions.cat([sessions])):
        assert copied.carry == {}
    assert sessions.carry


@EVERY
def test_each_is_a_session_state(name: str) -> None:
    state = make(name)
    assert isinstance(state, SessionState)
    if name not in WHOLE_SESSIONS:
        assert checked_state("state", state, vectors()) is state


class Growing(Mean):
    def step(self, carry, items, step):
        return {"sum": torch.cat([carry["sum"], items[step.items]], 1), "count": carry["count"]}


class Wide(Mean):
    channels = DIM + 1


class Headless(nn.Module):
    channels = 2
    initial = step = Mean.initial


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        (Growing(), ValueError, rf"keeps its shape.*\[2, {DIM}\].*\[2, {2 * DIM}\]"),
        (Wide(), ValueError, rf"reads \[2, {DIM + 1}\] of two sessions, got \[2, {DIM}\]"),
        (Headless(), TypeError, "has no items, read"),
        (Plain(Mean()), TypeError, "has no channels"),
        ("gru", TypeError, "session state"),
    ],
)
def test_what_is_none_is_refused(state: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        checked_state("state", state, torch.zeros(ITEMS, DIM))
