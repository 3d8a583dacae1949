"""Pasts, made of ratings, against what is plainly read off them; and sessions that begin with one."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from kgrl.datasets import from_frames
from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import Past, RatedFeedback, Simulator
from kgrl.simulator.pool import check_sessions
from tests.agents.every_agent import AGENTS, HORIZON, LONGEST, NEW, OLD, TRAIN, data, world


def ratings(timed: bool = True):
    rows = [(0, 0, 5, 30), (0, 1, 1, 10), (0, 2, 3, 20), (0, 3, 4, 40), (1, 3, 2, 5), (2, 4, 5, 1)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    return from_frames(frame if timed else frame.drop(columns="time"), rating_scale=(1, 5, 3.5))


def test_the_last_ratings_of_these_items_in_order() -> None:
    past = Past.from_data(ratings(), torch.tensor([0, 1, 2, 3]), longest=3)
    assert past.items.tolist() == [[2, 0, 3], [-1, -1, 3], [-1, -1, -1]]
    assert past.feedback.tolist() == [[0.0, 1.0, 0.5], [0.0, 0.0, -0.5], [0.0, 0.0, 0.0]]
    past = Past.from_data(ratings(), torch.tensor([4, 1, 2]), longest=3)
    assert past.items.tolist() == [[-1, 1, 2], [-1, -1, -1], [-1, -1, 4]]


def test_without_times_chance_decides_by_the_seed() -> None:
    def taken(seed: int) -> list[int]:
        return Past.from_data(ratings(timed=False), torch.arange(5), longest=2, seed=seed).items[0].tolist()

    assert taken(1) == taken(1)
    assert {item for seed in range(30) for item in taken(seed)} == {0, 1, 2, 3}
    state = torch.random.get_rng_state()
    taken(2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sessions_begin_with_it(device: torch.device) -> None:
    feedback = RatedFeedback(ratings()).to(device)
    past = Past.from_data(ratings(), torch.tensor([0, 1, 2]), longest=3)
    there = Simulator(feedback, eta=0.5, horizon=2, items=torch.tensor([3, 4]), past=past)
    sessions = there.reset(torch.tensor([1, 0]))
    assert (sessions.begin, sessions.step, sessions.horizon) == (3, 3, 2)
    assert sessions.shown.tolist() == [[-1, -1, -1], [1, 2, 0]]
    assert sessions.liked.tolist() == [[-1, -1, -1], [-1, -1, 0]]
    assert sessions.streak_counts()[0].tolist() == sessions.length.tolist() == [0, 0]
    for items in ([3, 3], [4, 4]):
        there.step(sessions, torch.tensor(items, device=device))
    assert sessions.items.tolist() == [[-1, -1, -1, 3, 4], [1, 2, 0, 3, 4]]
    assert sessions.rewards.tolist() == [[0, 0, 0, -0.5, -0.5], [-1, 0, 1, 0.5, 0.5]]
    assert sessions.length.tolist() == [2, 2]
    scores = sessions.metrics(there.num_relevant(sessions.users))
    assert scores["reward"].tolist() == [-0.5, 0.5]
    assert scores["precision"].tolist() == [0.0, 0.5]
    assert scores["recall"].tolist() == [0.0, 1.0]
    check_sessions(sessions, 5, there.pool)
    with pytest.raises(ValueError, match="below the horizon"):
        there.step(sessions, torch.tensor([3, 3], device=device))


def test_bounds_and_openings_do_not_see_it() -> None:
    users = torch.arange(24)
    with_past, without = (world(past=past) for past in (True, False))
    bounds, others = (each.bounds(users, users) for each in (with_past, without))
    assert bounds.taste_share == pytest.approx(others.taste_share)
    assert bounds.upper == others.upper
    for name in bounds.lines:
        assert bounds.metrics(name) == others.metrics(name)
    opened = Simulator(RatedFeedback(data()), horizon=2, items=NEW, first=NEW, past=Past.from_data(data(), OLD))
    sessions = opened.reset(users)
    assert opened.opening(sessions, False, torch.Generator()).tolist() == [int(NEW[0])] * 24
    opened.step(sessions, NEW[:1].expand(24))
    assert opened.opening(sessions, False, torch.Generator()) is None


def test_an_agent_that_reads_nothing_scores_as_without() -> None:
    agent = AGENTS["FixedList"]().restrict(NEW)
    scores, others = (evaluate(agent, world(past=past), TRAIN, batch=7) for past in (True, False))
    for name, values in scores.per_user.items():
        assert torch.equal(values, others.per_user[name])
    assert torch.equal(scores.sessions.items[:, LONGEST:], others.sessions.items)
    assert scores.sessions.begin == LONGEST


def test_an_early_end_is_one_with_a_past_too() -> None:
    there = world(past=True, horizon=HORIZON)
    sessions = there.play(TRAIN, NEW[:2].expand(len(TRAIN), -1))
    assert sessions.length.tolist() == [2] * len(TRAIN)
    later = rollout(AGENTS["Random"]().restrict(NEW), world(past=True, horizon=9), TRAIN)
    assert later.length.tolist() == [len(NEW)] * len(TRAIN)


@pytest.mark.parametrize(("items", "feedback", "message"), [
    ([[1, 1]], [[0.0, 0.0]], "each item once a user, got 'item 1 of user 0'"),
    ([[1, 2]], [[0.0, 1.5]], r"`feedback` must be numbers in \[-1, 1\]"),
    ([[1, 2]], [[0.0]], "of the shape of `items`"), ([[1, 2]], [[0.0, float("nan")]], "numbers in"),
    ([1, 2], [0.0, 0.0], r"a LongTensor \[U, L\]"), ([[]], [[]], r"a LongTensor \[U, L\]"),
])
def test_refuses_what_is_no_past(items: list, feedback: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Past(torch.tensor(items, dtype=torch.long), torch.tensor(feedback))


def test_refuses_a_past_that_does_not_fit() -> None:
    feedback, past = RatedFeedback(data()), Past.from_data(data(), OLD)
    with pytest.raises(ValueError, match="`past` must be of items that the simulator does not show, got 0"):
        Simulator(feedback, items=torch.tensor([0]), past=past)
    with pytest.raises(ValueError, match="`items` must be given where there is a `past`"):
        Simulator(feedback, past=past)
    with pytest.raises(ValueError, match="`past` must be of 24 users, with items below 20, got '3 users"):
        Simulator(feedback, items=NEW, past=Past.from_data(ratings(), torch.arange(5)))
    with pytest.raises(TypeError, match="a Past"):
        Simulator(feedback, items=NEW, past=32)


def test_sessions_with_pasts_of_two_lengths_are_not_one_batch() -> None:
    users = torch.arange(2)
    with pytest.raises(ValueError, match="begin at column 3, got"):
        Sessions.cat([Sessions.empty(users, 2, begin=3), Sessions.empty(users, 3, begin=2)])
