"""The parts of a joined state, where they stand; the counts against those of the sessions themselves."""

from __future__ import annotations

import torch

from kgrl.agents.shared.weights import Versioned
from kgrl.agents.state.joined import JoinedState
from kgrl.agents.state.session_state import advance, states_over
from tests.agents.state.session_states import HORIZON, PAST, begun, grow, make, played, vectors


def test_parts_are_history_status_and_taste() -> None:
    state, sessions = make("TPGR's"), played()
    assert isinstance(state, JoinedState)
    found = states_over(state, vectors(), sessions)[4]
    taste = state.taste.terms.infer(sessions.items[:, :4], sessions.feedback[:, :4])
    torch.testing.assert_close(found[:, state.columns("taste")], taste)
    status = found[:, state.columns("status")]
    torch.testing.assert_close(status[:, 0], (sessions.feedback[:, :4] > 0).sum(1) / HORIZON)
    torch.testing.assert_close(status[:, 3], torch.full((7,), 4 / HORIZON))
    assert [state.columns(name) for name in ("recurrent", "status", "taste")] == [
        slice(0, 5), slice(5, 14), slice(14, 17)]


def test_what_is_known_is_no_parameter() -> None:
    state = make("TPGR's")
    assert {name.split(".")[0] for name, _ in state.named_parameters()} == {"recurrent"}
    assert {name for name, _ in state.named_buffers()} == {"taste.expected", "taste.loading", "taste.noise"}


def test_a_part_that_is_none_is_left_out() -> None:
    state = make("own among others")
    assert [name for name, _ in state.named_children()] == ["recurrent", "streak"]
    assert state.channels == 7


def test_streaks_are_those_of_the_sessions_however_they_are_followed() -> None:
    """A simulator changes `length` in place: what an agent has counted must not be that very tensor."""
    for begin in (0, PAST):
        state, agent, whole = make("streak"), Versioned(), played(begin=begin, ends=True)
        growing = begun(whole)
        for _ in range(HORIZON):
            grow(growing, whole)
            found = advance(agent, state, state.items(vectors()), growing) * HORIZON**0.5
            torch.testing.assert_close(found, torch.stack([*growing.streak_counts(), growing.length], 1).float())


def test_the_status_counts_no_past() -> None:
    state, sessions = make("status"), begun(played(begin=PAST))
    assert not advance(Versioned(), state, state.items(vectors()), sessions).any()
