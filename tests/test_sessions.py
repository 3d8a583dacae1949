"""Sessions: histories, streaks, and what is derived from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kgrl.sessions import Sessions, raw_items


def slow_counts(streak: list[int]) -> tuple[int, int]:
    """(c_p, c_n) of one session, read off step by step (KGQR section 5.2: consecutive counts before this step)."""
    positives = negatives = 0
    for sign in streak:
        positives = positives + 1 if sign == 1 else 0
        negatives = negatives + 1 if sign == -1 else 0
    return positives, negatives


def random_sessions(users: int = 4, horizon: int = 6, step: int = 5) -> Sessions:
    """Sessions in which every field differs from row to row and step to step."""
    generator = torch.Generator().manual_seed(0)
    sessions = Sessions.empty(torch.arange(10, 10 + users), horizon)
    taken = torch.arange(horizon) < step
    shape = (users, horizon)
    sessions.items[:, :step] = torch.stack([torch.randperm(50, generator=generator)[:step] for _ in range(users)])
    sessions.feedback = (torch.rand(shape, generator=generator) * 2 - 1) * taken
    sessions.rewards = torch.randn(shape, generator=generator) * taken
    sessions.positive = (sessions.feedback > 0) & taken
    sessions.streak = (sessions.feedback.sign() * taken).to(torch.int8)
    sessions.log_prob = torch.randn(shape, generator=generator).masked_fill(~taken, math.nan)
    sessions.length[:] = step
    sessions.step = step
    return sessions


def same(left: Sessions, right: Sessions) -> bool:
    pairs = zip(left.tensors().values(), right.tensors().values(), strict=True)
    return left.step == right.step and all(
        a.dtype == b.dtype and torch.allclose(a.double(), b.double(), rtol=0, atol=0, equal_nan=True) for a, b in pairs
    )


def test_empty_has_begun_nothing(device: torch.device) -> None:
    users = torch.tensor([3, 1], device=device)
    sessions = Sessions.empty(users, horizon=4)
    assert (len(sessions), sessions.horizon, sessions.step) == (2, 4, 0)
    assert sessions.device.type == device.type
    assert {tensor.device.type for tensor in sessions.tensors().values()} == {device.type}
    assert sessions.items.tolist() == [[-1] * 4] * 2
    assert sessions.shown.shape == sessions.liked.shape == (2, 0)
    assert torch.stack(sessions.streak_counts()).tolist() == [[0, 0], [0, 0]]
    assert sessions.log_prob.isnan().all()


def test_fields_of_empty_sessions_do_not_share_memory() -> None:
    sessions = Sessions.empty(torch.tensor([0]), horizon=2)
    sessions.feedback[0, 0] = 1
    assert sessions.rewards.sum() == 0


def test_from_history_by_hand() -> None:
    past = Sessions.from_history([[50, 181, 172], [], [0]], [[1.0, 1.0, -0.5], [], [0.0]])
    assert past.users.tolist() == [-1, -1, -1]
    assert past.items.tolist() == [[50, 181, 172], [-1, -1, -1], [0, -1, -1]]
    assert past.feedback.tolist() == past.rewards.tolist() == [[1.0, 1.0, -0.5], [0, 0, 0], [0, 0, 0]]
    assert past.positive.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert past.streak.tolist() == [[1, 1, -1], [0, 0, 0], [-1, 0, 0]]
    assert past.length.tolist() == [3, 0, 1]
    assert past.step == past.horizon == 3
    assert past.liked.tolist() == [[50, 181, -1], [-1] * 3, [-1] * 3]
    begun = Sessions.empty(past.users, 3).tensors()
    assert {name: tensor.dtype for name, tensor in past.tensors().items()} == {
        name: tensor.dtype for name, tensor in begun.items()}
    past.feedback[0, 0] = -1
    assert past.rewards[0, 0] == 1  # no memory is shared


def test_from_history_threshold_is_exclusive() -> None:
    past = Sessions.from_history([[1, 2, 3]], [[0.2, 0.25, 0.3]], threshold=0.25)
    assert past.positive.tolist() == [[False, False, True]]
    assert Sessions.from_history([[1, 2]], [[0.0, 0.05]]).positive.tolist() == [[False, True]]


def test_from_history_beyond_its_end_nothing_is_positive() -> None:
    past = Sessions.from_history([[1, 2], [3]], [[-0.3, -0.7], [-0.3]], threshold=-0.5)
    assert past.positive.tolist() == [[True, False], [True, False]]


def test_from_history_of_nobody_and_of_newcomers() -> None:
    nobody = Sessions.from_history([], [])
    assert (len(nobody), nobody.horizon) == (0, 0)
    newcomers = Sessions.from_history([[], []], [[], []])
    assert newcomers.liked.shape == (2, 0)
    assert torch.stack(newcomers.streak_counts()).tolist() == [[0, 0], [0, 0]]


@given(data=st.data(), users=st.integers(1, 4), horizon=st.integers(0, 7))
def test_streak_counts_equal_a_slow_loop(data: st.DataObject, users: int, horizon: int) -> None:
    """Sessions of different lengths; what stands beyond a session's length has not happened and must not count."""
    row = st.lists(st.sampled_from([-1, 0, 1]), min_size=horizon, max_size=horizon)
    streak = data.draw(st.lists(row, min_size=users, max_size=users))
    length = data.draw(st.lists(st.integers(0, horizon), min_size=users, max_size=users))
    sessions = Sessions.empty(torch.arange(users), horizon)
    sessions.streak = torch.tensor(streak, dtype=torch.int8).view(users, horizon)
    sessions.length, sessions.step = torch.tensor(length), max(length)
    positives, negatives = sessions.streak_counts()
    slow = [slow_counts(signs[:end]) for signs, end in zip(streak, length, strict=True)]
    assert list(zip(positives.tolist(), negatives.tolist(), strict=True)) == slow


def test_streak_counts_on_every_device(device: torch.device) -> None:
    past = Sessions.from_history([[1, 2, 3], [4, 5], []], [[-1.0, 1.0, 1.0], [0.5, -0.5], []]).to(device)
    positives, negatives = past.streak_counts()
    assert positives.tolist() == [2, 0, 0]
    assert negatives.tolist() == [0, 1, 0]


def test_metrics_equal_a_slow_loop(device: torch.device) -> None:
    """Reward, precision, recall (KGQR equations 17 to 19) and F1, one user at a time, in plain Python."""
    sessions = random_sessions(users=5, horizon=6, step=6)
    sessions.positive[1] = False  # no hit
    sessions.positive[2] = False  # nothing relevant
    num_relevant = [4, 9, 0, 6, 30]
    metrics = sessions.to(device).metrics(torch.tensor(num_relevant, device=device))
    assert list(metrics) == ["reward", "precision", "recall", "f1"]
    for user, relevant in enumerate(num_relevant):
        hits = sum(sessions.positive[user].tolist())
        precision, recall = hits / 6, hits / relevant if relevant else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision * recall else 0.0
        slow = [sum(sessions.rewards[user].tolist()) / 6, precision, recall, f1]
        assert [values[user].item() for values in metrics.values()] == pytest.approx(slow, abs=1e-6)


def test_metrics_divide_by_the_horizon_also_where_a_session_ended_early() -> None:
    past = Sessions.from_history([[1, 2, 3, 4], [1]], [[1.0, 1.0, 1.0, 1.0], [1.0]])
    metrics = past.metrics(torch.tensor([4, 1]))
    assert metrics["reward"].tolist() == metrics["precision"].tolist() == [1.0, 0.25]
    assert metrics["recall"].tolist() == [1.0, 1.0]
    assert metrics["f1"].tolist() == pytest.approx([1.0, 0.4])
    assert past.before(2).metrics(torch.tensor([4, 1]))["precision"].tolist() == [0.5, 0.25]  # of four steps still


@pytest.mark.parametrize("step", range(7))
def test_before_is_how_it_was(step: int) -> None:
    """A session grown step by step, with a copy kept at each, against cutting the finished one."""
    whole = random_sessions()
    then = Sessions.empty(whole.users, whole.horizon)
    for t in range(min(step, whole.step)):
        for name in ("items", "feedback", "rewards", "positive", "streak", "log_prob"):
            getattr(then, name)[:, t] = getattr(whole, name)[:, t]
        then.length += 1
        then.step += 1
    untouched = {name: tensor.clone() for name, tensor in whole.tensors().items()}
    assert same(whole.before(step), then)
    assert same(whole, Sessions(**untouched, step=whole.step))


def test_before_takes_a_step_for_each_session(device: torch.device) -> None:
    whole = random_sessions().to(device)
    steps = torch.tensor([0, 3, 4, 2], device=device)
    each = [whole.rows(torch.tensor([row], device=device)).before(int(step)) for row, step in enumerate(steps)]
    together = whole.before(steps)
    assert together.step == whole.step
    assert same(together, Sessions(**Sessions.cat(each).tensors(), step=whole.step))


def test_before_keeps_early_ends() -> None:
    past = Sessions.from_history([[1, 2, 3], [4]], [[1.0] * 3, [1.0]])
    assert past.before(2).length.tolist() == [2, 1]


@pytest.mark.parametrize("index", [torch.tensor([2, 0, 2]), torch.tensor([True, False, True, False])])
def test_rows_are_copies(index: Tensor) -> None:
    whole = random_sessions()
    part = whole.rows(index)
    assert part.users.tolist() == whole.users[index].tolist()
    assert part.step == whole.step
    part.items.fill_(0)
    assert (whole.items[:, :5] > 0).any()


def test_cat_undoes_rows() -> None:
    whole = random_sessions()
    assert same(Sessions.cat([whole.rows(torch.arange(3)), whole.rows(torch.arange(3, 4))]), whole)


def test_cat_goes_by_the_longest() -> None:
    whole = random_sessions()
    assert Sessions.cat([whole.before(2), whole, whole.before(3)]).step == whole.step


def test_cat_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="`parts` must be at least one batch"):
        Sessions.cat([])


def test_to_moves_everything(device: torch.device) -> None:
    there = random_sessions().to(device)
    assert {tensor.device.type for tensor in there.tensors().values()} == {device.type}
    assert same(there.to("cpu"), random_sessions())
    assert {tensor.device.type for tensor in there.to("meta").tensors().values()} == {"meta"}


# ------------------------------------------------------------------------------------------------------- raw ids


@pytest.mark.parametrize(("ids", "shown"), [
    (torch.tensor([50, 181, 172, 7]), [[172, 50], [], [7]]),
    (torch.tensor([50, 181, 172, 7]), [torch.tensor([172, 50]), np.array([], int), [np.int64(7)]]),
    (["0345A", "b", "0002", "d"], [["0002", "0345A"], [], ["d"]]),
])
def test_raw_ids_go_in_and_come_out(ids, shown) -> None:
    past = Sessions.from_history(shown, [[1.0, -0.5], [], [0.5]], ids=ids)
    assert same(past, Sessions.from_history([[2, 0], [], [3]], [[1.0, -0.5], [], [0.5]]))
    assert raw_items(past.items, ids) == [list(row) for row in shown]
    assert raw_items(torch.tensor([[-1, 1], [-1, -1]]), ids) == [[181 if isinstance(ids, Tensor) else "b"], []]


def test_an_item_beyond_the_raw_ids_is_named() -> None:
    with pytest.raises(ValueError, match="`ids` must be a raw id for each item, got '2 of them, and item 2'"):
        raw_items(torch.tensor([[2]]), ["a", "b"])


def with_past(sessions: Sessions, past: int = 3) -> Sessions:
    """The same sessions, and before each a past."""
    longer = Sessions.empty(sessions.users, sessions.horizon, begin=past)
    for name, value in sessions.tensors().items():
        if value.dim() == 2:
            getattr(longer, name)[:, past:] = value
    longer.items[:, 1:past] = 100 + torch.arange(past - 1)
    longer.feedback[:, 1:past] = longer.rewards[:, 1:past] = 0.5
    longer.positive[:, 1:past] = True
    longer.length, longer.step = sessions.length.clone(), past + sessions.step
    return longer


def test_a_past_counts_for_nothing_but_what_is_known() -> None:
    plain = random_sessions(horizon=6, step=5)
    sessions = with_past(plain)
    assert (sessions.begin, sessions.horizon, sessions.step) == (3, 6, 8)
    assert torch.equal(torch.stack(sessions.streak_counts()), torch.stack(plain.streak_counts()))
    num_relevant = torch.tensor([4, 9, 0, 6])
    for name, values in sessions.metrics(num_relevant).items():
        assert torch.equal(values, plain.metrics(num_relevant)[name])
    assert sessions.shown[:, :3].tolist() == sessions.liked[:, :3].tolist() == [[-1, 100, 101]] * 4
    assert torch.equal(sessions.shown[:, 3:], plain.shown)


def test_a_past_stays_in_parts_and_copies() -> None:
    plain, sessions = random_sessions(), with_past(random_sessions())
    for cut in (0, 2, 5, torch.tensor([0, 3, 4, 2])):
        column = cut + 3
        assert same(sessions.before(column), with_past(plain.before(cut)))
        assert torch.equal(sessions.before(column).length, plain.before(cut).length)
        assert torch.equal(sessions.before(column).items[:, :3], sessions.items[:, :3])
    assert sessions.before(1).length.tolist() == [0] * 4
    halves = [sessions.rows(torch.arange(2)), sessions.rows(torch.arange(2, 4)).to("cpu")]
    assert [half.begin for half in halves] == [3, 3]
    assert same(Sessions.cat(halves), sessions)
    assert Sessions.cat(halves).begin == 3


def test_unshown_is_what_is_left_session_by_session() -> None:
    """By sets, of sessions with a past, one of which has ended."""
    sessions = Sessions.empty(torch.arange(3), 3, begin=2)
    sessions.items = torch.tensor([[-1, 4, 0, 2, -1], [3, 1, 5, -1, -1], [-1, -1, 1, 0, -1]])
    sessions.step = 4
    left = sessions.unshown(6)
    assert left.dtype == torch.bool
    for row, shown in zip(left.tolist(), sessions.shown.tolist(), strict=True):
        assert [item for item, free in enumerate(row) if free] == sorted(set(range(6)) - set(shown))
    assert Sessions.empty(torch.arange(2), 3).unshown(4).all()
    with pytest.raises(ValueError, match="`num_items` must be above 5, which was shown, got 5"):
        sessions.unshown(5)


def test_leaving_is_with_the_last_step_and_is_carried_along() -> None:
    """A copy cut before the last step does not know yet that the user will leave after it."""
    whole = random_sessions(step=4)
    whole.length = torch.tensor([4, 2, 4, 1])
    whole.left = torch.tensor([True, True, False, True])
    then = [whole.before(step).left.tolist() for step in range(5)]
    assert then == [[False] * 4, [False, False, False, True], [False, True, False, True], [False, True, False, True],
                    [True, True, False, True]]
    assert whole.before(torch.tensor([3, 2, 4, 1])).left.tolist() == [False, True, False, True]
    assert whole.rows(torch.tensor([1, 2])).left.tolist() == [True, False]
    assert Sessions.cat([whole, whole]).left.tolist() == [True, True, False, True] * 2
    assert not Sessions.empty(torch.arange(2), 3).left.any()
    assert not Sessions.from_history([[1]], [[1.0]]).left.any()
