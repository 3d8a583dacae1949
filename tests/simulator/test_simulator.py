"""The batched simulator against a slow loop over one user at a time, and its errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.simulator import FeedbackModel, PredictedFeedback, Reaction, Simulator
from kgrl.simulator.pool import check_sessions

USERS, ITEMS = 5, 12


class TableFeedback(FeedbackModel):
    """Three classes of streak, from a table: a hit is above 0.5, a streak goes by the sign."""

    def __init__(self, table: Tensor) -> None:
        super().__init__(*table.shape, threshold=0.5)
        self.register_buffer("table", table)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.table[users, items]

    def rows(self, users: Tensor) -> Tensor:
        return self.table[users]

    def react(self, users: Tensor, items: Tensor) -> Reaction:
        feedback = self(users, items)
        return Reaction(feedback, feedback > 0.5, feedback.sign().to(torch.int8))


def table(seed: int) -> Tensor:
    """Feedback in quarters, so that zeros and ties are frequent."""
    return torch.randint(-4, 5, (USERS, ITEMS), generator=torch.Generator().manual_seed(seed)) / 4


def slow_session(row: list[float], items: list[int], eta: float, horizon: int, classes: int) -> dict[str, list]:
    """One user's session, step by step, by the words of KGQR section 5.1.2 (or TPGR's, with three classes)."""
    out: dict[str, list] = {"items": [], "feedback": [], "rewards": [], "positive": [], "streak": []}
    ups = downs = 0
    for item in items[:horizon]:
        if item == -1:
            break
        r = row[item]
        out["items"].append(item)
        out["feedback"].append(r)
        out["rewards"].append(r + eta * (ups - downs))
        out["positive"].append(r > 0.5)
        up, down = (r > 0.5, r <= 0.5) if classes == 2 else (r > 0, r < 0)
        out["streak"].append(1 if up else -1 if down else 0)
        ups, downs = (ups + 1 if up else 0), (downs + 1 if down else 0)
    missing = horizon - len(out["items"])
    fill = {"items": -1, "feedback": 0.0, "rewards": 0.0, "positive": False, "streak": 0}
    return {name: values + [fill[name]] * missing for name, values in out.items()}


@given(seed=st.integers(0, 10**6), eta=st.sampled_from([0.0, 0.1, 0.7]), horizon=st.integers(1, 10),
       classes=st.sampled_from([2, 3]), ends=st.lists(st.integers(0, 12), min_size=7, max_size=7))
@settings(max_examples=60, deadline=None)
def test_batched_equals_one_user_at_a_time(seed: int, eta: float, horizon: int, classes: int, ends: list[int]) -> None:
    world = table(seed)
    feedback = TableFeedback(world) if classes == 3 else PredictedFeedback.from_embeddings(
        world, torch.eye(ITEMS), threshold=0.5
    )
    generator = torch.Generator().manual_seed(seed)
    users = torch.randint(USERS, (7,), generator=generator)
    items = torch.rand(7, ITEMS, generator=generator).argsort(1)[:, :horizon]
    for row, end in enumerate(ends):  # nothing left from here on, then something again: the session stays ended
        items[row, end : end + 1] = -1
    simulator = Simulator(feedback, eta, horizon)
    sessions = simulator.reset(users)
    for step in range(horizon):
        assert simulator.step(sessions, items[:, step]) is sessions
        assert sessions.step == step + 1
    for row, user in enumerate(users.tolist()):
        slow = slow_session(world[user].tolist(), items[row].tolist(), eta, horizon, classes)
        for name, values in slow.items():
            got = getattr(sessions, name)[row]
            torch.testing.assert_close(got, torch.tensor(values, dtype=got.dtype), msg=lambda m, n=name: f"{n}: {m}")
        assert sessions.length[row] == sum(item >= 0 for item in slow["items"])


def test_streak_hand_worked(device: torch.device) -> None:
    world = torch.tensor([[1.0, 0.5, 0.0, -1.0, -0.5, 0.25]])
    simulator = Simulator(TableFeedback(world), eta=0.1, horizon=6).to(device)
    sessions = simulator.play(torch.tensor([0]), torch.arange(6, device=device)[None])
    # counts before each step: none, one up, two up, none (zero ended it), one down, two down
    expected = torch.tensor([[1.0, 0.5 + 0.1, 0.0 + 0.2, -1.0, -0.5 - 0.1, 0.25 - 0.2]])
    torch.testing.assert_close(sessions.rewards.cpu(), expected)
    assert sessions.streak.tolist() == [[1, 1, 0, -1, -1, 1]]
    assert sessions.positive.tolist() == [[True, False, False, False, False, False]]
    assert sessions.device.type == device.type


def test_item_shown_twice_names_session_and_step(device: torch.device) -> None:
    simulator = Simulator(TableFeedback(table(0)), horizon=3).to(device)
    sessions = simulator.reset(torch.tensor([4, 2]))
    with pytest.raises(ValueError, match=r"not yet shown.*got 7; session 1 \(user 2\), step 1"):
        for items in ([3, 7], [7, 7], [1, 2]):  # off the CPU the error comes with the last of them
            simulator.step(sessions, torch.tensor(items, device=device))


@pytest.mark.parametrize("item", [ITEMS, -3])
def test_unknown_item_names_session_and_step(device: torch.device, item: int) -> None:
    simulator = Simulator(TableFeedback(table(0)), horizon=2).to(device)
    sessions = simulator.reset(torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=rf"below {ITEMS}.*got {item}; session 1 \(user 3\), step 0"):
        for items in ([3, item], [1, 2]):
            simulator.step(sessions, torch.tensor(items, device=device))


def test_nothing_left_is_no_repetition() -> None:
    simulator = Simulator(TableFeedback(table(0)), horizon=3)
    sessions = simulator.play(torch.tensor([0, 1]), torch.tensor([[2], [3]]))
    assert sessions.length.tolist() == [1, 1]
    assert sessions.step == 3


def test_put_off_checks_find_what_the_immediate_one_does() -> None:
    """The check that runs at the last step on a GPU, run here by hand."""
    simulator = Simulator(TableFeedback(table(0)), horizon=3)
    sessions = simulator.play(torch.tensor([0, 1]), torch.tensor([[2, 4, 5], [3, 1, 0]]))
    check_sessions(sessions, ITEMS, None)
    sessions.items[1, 2] = 3
    with pytest.raises(ValueError, match=r"got 3; session 1 \(user 1\), step 2"):
        check_sessions(sessions, ITEMS, None)
    sessions.items[0, 1] = 99
    with pytest.raises(ValueError, match=r"below 12.*got 99; session 0 \(user 0\), step 1"):
        check_sessions(sessions, ITEMS, None)
    sessions = simulator.play(torch.tensor([0, 1]), torch.tensor([[2, 4, 5], [3, 1, 0]]))
    sessions.feedback[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"`feedback` must be numbers in \[-1, 1\], got nan; user 1, item 0"):
        check_sessions(sessions, ITEMS, None)


@pytest.mark.parametrize("wrong", [1.5, float("nan"), -float("inf")])
def test_feedback_outside_its_range_is_refused(wrong: float, device: torch.device) -> None:
    values = table(0)
    values[4, 7] = wrong
    own = TableFeedback(values).to(device)
    world = Simulator(own if wrong == wrong else TableFeedback(table(0)).to(device), horizon=2)
    world.feedback.table = own.table  # NaN is refused where a simulator is made, so it comes later
    world.play(torch.tensor([4, 2], device=device), torch.tensor([[1, 2], [7, 3]], device=device))  # never met
    with pytest.raises(ValueError, match=rf"`feedback` must be numbers in \[-1, 1\], got {wrong}; user 4, item 7"):
        world.play(torch.tensor([2, 4], device=device), torch.tensor([[7, 3], [1, 7]], device=device))


def test_step_refuses_more_than_the_horizon_and_wrong_shapes() -> None:
    simulator = Simulator(TableFeedback(table(0)), horizon=1)
    sessions = simulator.reset(torch.tensor([0, 1]))
    for wrong in (torch.tensor([1]), torch.tensor([[1], [2]]), torch.tensor([1.0, 2.0])):
        with pytest.raises(ValueError, match="one id a session"):
            simulator.step(sessions, wrong)
    simulator.step(sessions, torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="below the horizon 1, got 1"):
        simulator.step(sessions, torch.tensor([1, 1]))


def test_cold_start_opens_with_the_ranking(device: torch.device) -> None:
    feedback = PredictedFeedback.from_embeddings(torch.ones(USERS, 1), torch.ones(300, 1))
    ranking = torch.arange(300).flip(0)
    simulator = Simulator(feedback, horizon=2, first=ranking).to(device)
    sessions = simulator.reset(torch.zeros(4000, dtype=torch.long))
    generator = torch.Generator(device).manual_seed(0)
    assert set(simulator.opening(sessions, False, generator).tolist()) == {299}
    training = simulator.opening(sessions, True, generator)
    assert set(training.tolist()) == set(range(200, 300))  # one of its first 100, each of them in 4,000 draws
    simulator.step(sessions, training)
    assert simulator.opening(sessions, True, generator) is None
    assert Simulator(feedback, horizon=2).opening(sessions, True, generator) is None


def test_short_ranking_and_seeded_opening() -> None:
    simulator = Simulator(TableFeedback(table(0)), horizon=2, first=torch.tensor([5, 6]))
    sessions = simulator.reset(torch.arange(5))
    before = torch.random.get_rng_state()
    drawn = [simulator.opening(sessions, True, torch.Generator().manual_seed(1)).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) <= {5, 6}
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("users", "message"), [
    (torch.tensor([], dtype=torch.long), "at least one id"),
    (torch.tensor([0, USERS]), f"ids from 0 to {USERS - 1}.*got {USERS}"),
    (torch.tensor([-1]), "got -1"),
    (torch.tensor([0.5]), "a LongTensor"),
])
def test_reset_refuses(users: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Simulator(TableFeedback(table(0))).reset(users)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"eta": -0.1}, ValueError, "`eta`"),
    ({"eta": float("nan")}, ValueError, "`eta`"),
    ({"horizon": 0}, ValueError, "`horizon`.*at least 1"),
    ({"horizon": 1.5}, TypeError, "`horizon`.*whole"),
    ({"first": torch.tensor([0, ITEMS])}, ValueError, "`first`"),
    ({"first": torch.tensor([], dtype=torch.long)}, ValueError, "`first` must be at least one id"),
])
def test_constructor_refuses(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Simulator(TableFeedback(table(0)), **options)


def test_constructor_refuses_what_is_no_feedback_model() -> None:
    with pytest.raises(TypeError, match="a FeedbackModel"):
        Simulator(torch.nn.Linear(1, 1))
