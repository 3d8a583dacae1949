"""The parts of a joined state, where they stand and what they are."""

from __future__ import annotations

import torch

from kgrl.agents.state.joined import JoinedState
from kgrl.agents.state.session_state import states_over
from tests.agents.state.session_states import HORIZON, make, played, vectors


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
