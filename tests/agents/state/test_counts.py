"""The counts against those of the sessions themselves."""

from __future__ import annotations

import torch

from kgrl.agents.shared.versioned import Versioned
from kgrl.agents.state.session_state import advance
from tests.agents.state.session_states import HORIZON, PAST, begun, grow, make, played, vectors


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
