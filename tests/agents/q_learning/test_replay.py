"""The episode replay against a list of stored steps."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.q_learning.replay import EpisodeReplay
from kgrl.sessions import Sessions


def played(first_item: int, lengths: list[int], horizon: int = 4) -> Sessions:
    """Sessions whose items count up from ``first_item``; every second one is liked; rewards tell item and step."""
    sessions = Sessions.empty(torch.arange(len(lengths)), horizon)
    item = first_item
    for row, length in enumerate(lengths):
        for step in range(length):
            sessions.items[row, step] = item
            sessions.positive[row, step] = item % 2 == 0
            sessions.streak[row, step] = 1 if item % 2 == 0 else -1
            sessions.feedback[row, step] = -item
            sessions.rewards[row, step] = item + step / 10
            item += 1
        sessions.length[row] = length
    sessions.step = max(lengths)
    return sessions


def test_samples_are_stored_steps_cut_at_the_step():
    sessions = played(10, [4, 2, 3])
    replay = EpisodeReplay()
    replay.add(sessions)
    batch = replay.sample(200, torch.Generator().manual_seed(0))
    seen = set()
    for k in range(200):
        item = int(batch.items[k])
        row, step = (sessions.items == item).nonzero()[0].tolist()
        seen.add(item)
        history = sessions.items[row, :step].tolist()
        assert batch.before.items[k].tolist() == history + [-1] * (4 - step)
        assert batch.after.items[k].tolist() == [*history, item] + [-1] * (3 - step)
        assert batch.before.liked[k].tolist() == [i if i % 2 == 0 else -1 for i in history] + [-1] * (4 - step)
        assert float(batch.feedback[k]) == -item
        assert batch.before.feedback[k].tolist() == [-i for i in history] + [0] * (4 - step)
        assert float(batch.rewards[k]) == pytest.approx(item + step / 10)
        assert bool(batch.last[k]) == (step + 1 == sessions.length[row])
        assert (int(batch.before.length[k]), int(batch.after.length[k])) == (step, step + 1)
        ups = [c[k].item() for c in batch.after.streak_counts()]
        expected = sessions.rows(torch.tensor([row])).before(step + 1).streak_counts()
        assert ups == [int(c) for c in expected]
    assert seen == set(range(10, 19))


def test_every_step_is_drawn_equally_often():
    replay = EpisodeReplay()
    replay.add(played(0, [4, 1, 3]))
    items = replay.sample(80_000, torch.Generator().manual_seed(1)).items
    share = torch.bincount(items, minlength=8) / len(items)
    torch.testing.assert_close(share, torch.full((8,), 1 / 8), atol=0.006, rtol=0)


@pytest.mark.parametrize("parts", [[3, 3, 3], [5, 4], [2, 7], [9], [1] * 9])
def test_the_oldest_sessions_go_first(parts):
    replay, item = EpisodeReplay(capacity=5), 0
    for count in parts:
        replay.add(played(item, [1] * count))
        item += count
    assert len(replay) == 5
    kept = set(replay.sample(500, torch.Generator().manual_seed(0)).items.tolist())
    assert kept == {4, 5, 6, 7, 8}


def test_state_goes_on_exactly():
    replay = EpisodeReplay(capacity=6)
    replay.add(played(0, [4, 2, 3, 1]))
    other = EpisodeReplay(capacity=6)
    other.load_state_dict(replay.state_dict())
    for each in (replay, other):
        each.add(played(50, [2, 2, 2]))
    first, second = (each.sample(64, torch.Generator().manual_seed(3)) for each in (replay, other))
    assert torch.equal(first.items, second.items)
    assert torch.equal(first.before.items, second.before.items)


def test_an_empty_replay_and_another_horizon_are_refused():
    replay = EpisodeReplay()
    with pytest.raises(RuntimeError, match="empty"):
        replay.sample(1)
    replay.add(played(0, [4]))
    with pytest.raises(ValueError, match="horizon 4, got 5"):
        replay.add(played(0, [4], horizon=5))


def test_sessions_without_an_item_are_stored_but_never_drawn():
    replay = EpisodeReplay()
    with pytest.raises(ValueError, match="`sessions` must be sessions in which something was recommended"):
        replay.add(played(0, [0, 0]))
    replay.add(played(0, [0, 3, 0, 1, 0]))
    drawn = replay.sample(400, torch.Generator().manual_seed(0))
    assert (drawn.items >= 0).all()
    assert drawn.items.unique().numel() == 4


def with_past(sessions: Sessions, past: int) -> Sessions:
    """The same sessions, with a past of so many items before each."""
    longer = Sessions.empty(sessions.users, sessions.horizon, begin=past)
    for name, value in sessions.tensors().items():
        if value.dim() == 2:
            getattr(longer, name)[:, past:] = value
    longer.items[:, 1:past] = 1_000 + torch.arange(past - 1)
    longer.positive[:, 1:past] = True
    longer.length, longer.step = sessions.length, past + sessions.step
    return longer


def test_a_past_comes_along_and_is_never_drawn():
    sessions, plain, replay = played(10, [4, 2, 3]), EpisodeReplay(), EpisodeReplay()
    plain.add(sessions)
    replay.add(with_past(sessions, 3))
    resumed = EpisodeReplay()
    resumed.load_state_dict(replay.state_dict())
    for each in (replay, resumed):
        expected, batch = (one.sample(200, torch.Generator().manual_seed(0)) for one in (plain, each))
        for name in ("items", "feedback", "rewards", "last"):
            assert torch.equal(getattr(batch, name), getattr(expected, name))
        for then, short in ((batch.before, expected.before), (batch.after, expected.after)):
            assert (then.begin, then.horizon) == (3, 4)
            assert torch.equal(then.items[:, 3:], short.items)
            assert then.items[:, :3].tolist() == [[-1, 1_000, 1_001]] * 200
            assert torch.equal(then.length, short.length)
            assert torch.equal(torch.stack(then.streak_counts()), torch.stack(short.streak_counts()))
            assert torch.equal(then.liked[:, 3:], short.liked)


def test_pasts_of_two_lengths_are_refused():
    replay = EpisodeReplay()
    replay.add(with_past(played(0, [2, 1]), 3))
    with pytest.raises(ValueError, match="with a past of 3 items, got 0"):
        replay.add(played(0, [2], horizon=7))


def test_leaving_is_kept_and_known_after_the_last_step_alone():
    sessions = played(10, [4, 2, 3])
    sessions.left = torch.tensor([False, True, True])
    replay, other = EpisodeReplay(), EpisodeReplay()
    replay.add(sessions)
    other.load_state_dict(replay.state_dict())
    batch = other.sample(100, torch.Generator().manual_seed(0))
    rows = torch.tensor([(sessions.items == item).nonzero()[0, 0] for item in batch.items])
    assert not batch.before.left.any()
    assert torch.equal(batch.after.left, batch.last & sessions.left[rows])
    assert batch.after.left.any()


def test_files_of_before_know_nobody_who_leaves():
    replay, other = EpisodeReplay(), EpisodeReplay()
    replay.add(played(10, [4, 2, 3]))
    other.load_state_dict({name: value for name, value in replay.state_dict().items() if name != "left"})
    assert not other.sample(20).after.left.any()
    other.add(played(30, [4, 2, 3]))
    assert len(other) == 6
