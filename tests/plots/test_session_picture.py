"""A session of three steps, whose bars, marks and counts are known."""

from __future__ import annotations

import pytest
import torch

from kgrl.candidates import FixedCandidates
from kgrl.factorization import Factors
from kgrl.plots import plot_session
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from tests.plots.drawn import rounded, texts

pytest.importorskip("matplotlib")


def played() -> Sessions:
    """Users like items 0 and 1 (feedback 0.5) and not 2 (−0.5)."""
    factors = Factors(2, 4, 1)
    with torch.no_grad():
        factors.user.fill_(1.0)
        factors.item.copy_(torch.tensor([[0.5], [0.5], [-0.5], [0.0]]))
    world = Simulator(PredictedFeedback(factors), eta=0.1, horizon=3)
    return world.play(torch.tensor([1, 0]), torch.tensor([[3, 1, 2], [0, 1, 2]]))


def test_bars_are_the_feedback_and_marks_the_reward() -> None:
    ax = plot_session(played(), 1, titles=["Alien", "Brazil", "Casablanca"], candidates=FixedCandidates(4))
    assert rounded((bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in ax.patches) == [
        (0.5, 1), (0.5, 2), (-0.5, 3)]
    green, red = ax.patches[0].get_facecolor(), ax.patches[2].get_facecolor()
    assert ax.patches[1].get_facecolor() == green != red
    marks = rounded(ax.lines[0].get_xydata())  # one like before the second step, two before the third
    assert marks == [(0.5, 1), (0.6, 2), (-0.3, 3)]
    assert [each.get_text() for each in ax.get_yticklabels()] == ["1. Alien", "2. Brazil", "3. Casablanca"]
    assert texts(ax) == ["4", "3", "2", "candidates"]
    assert ax.get_title() == "user 0: 2 of 3 liked"
    low, high = ax.get_ylim()
    assert low > high  # the first step is at the top


def test_without_titles_and_candidates_there_are_ids_and_no_counts() -> None:
    ax = plot_session(played())
    assert [each.get_text() for each in ax.get_yticklabels()] == ["1. 3", "2. 1", "3. 2"]
    assert texts(ax) == []
    assert ax.get_title() == "user 1: 1 of 3 liked"


def test_a_real_user_and_a_session_that_has_not_begun() -> None:
    ax = plot_session(Sessions.from_history([[2, 0]], [[1.0, -1.0]]))
    assert ax.get_title() == "a user: 1 of 2 liked"
    assert not plot_session(Sessions.empty(torch.tensor([0]), 4)).patches


def test_a_past_is_not_drawn_but_counts_for_the_candidates() -> None:
    sessions = Sessions.empty(torch.tensor([0]), 2, begin=1)
    sessions.items[0], sessions.step, sessions.length[0] = torch.tensor([3, 0, -1]), 2, 1
    ax = plot_session(sessions, candidates=FixedCandidates(4))
    assert [each.get_text() for each in ax.get_yticklabels()] == ["1. 0"]
    assert texts(ax) == ["3", "candidates"]


@pytest.mark.parametrize(("options", "message"), [
    ({"row": 2}, "`row` must be below 2"), ({"titles": ["a", "b"]}, "`titles` must be at least 4 texts"),
    ({"candidates": object()}, r"`candidates` must be an object with `select\(…\)`"),
    ({"sessions": 3}, "`sessions` must be a Sessions"),
])
def test_what_is_wrong_is_named(options: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        plot_session(**({"sessions": played()} | options))
