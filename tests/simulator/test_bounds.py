"""The bounds against brute force on tiny worlds."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.sessions import Sessions
from kgrl.simulator import Boredom, Bounds, Drift, Patience, PredictedFeedback, Satiation, Simulator
from kgrl.simulator.bounds import distinct_items


def world_of(table: Tensor, eta: float, horizon: int, first: Tensor | None = None) -> Simulator:
    return Simulator(PredictedFeedback.from_embeddings(table, torch.eye(table.size(1))), eta, horizon, first)


def session_reward(row: list[float], items: tuple[int, ...], eta: float, horizon: int) -> float:
    total, ups, downs = 0.0, 0, 0
    for item in items:
        total += row[item] + eta * (ups - downs)
        ups, downs = (ups + 1, 0) if row[item] > 0 else (0, downs + 1)
    return total / horizon


@pytest.mark.parametrize("eta", [0.0, 0.3])
@pytest.mark.parametrize("horizon", [1, 3, 6])
def test_against_every_possible_session(eta: float, horizon: int) -> None:
    table = torch.rand(4, 4, generator=torch.Generator().manual_seed(horizon)) * 2 - 1
    table[3] = -1  # who likes nothing: to stop at once is best
    bounds = world_of(table, eta, horizon).bounds(torch.arange(4), torch.arange(2))
    rewards: list[list[float]] = []  # every session of every length, each user
    for row in table.tolist():
        lengths = range(min(horizon, 4) + 1)
        sessions = itertools.chain.from_iterable(itertools.permutations(range(4), n) for n in lengths)
        rewards.append([session_reward(row, items, eta, horizon) for items in sessions])
    best_possible = sum(map(max, rewards)) / 4
    assert bounds.upper >= best_possible - 1e-6
    full = list(itertools.permutations(range(4), min(horizon, 4)))
    top = bounds.lines["all-knowing"].rewards.sum(1) / horizon
    if eta == 0:  # the order does not matter: the best session of full length is found
        best_full = [max(session_reward(row, items, eta, horizon) for items in full) for row in table.tolist()]
        torch.testing.assert_close(top, torch.tensor(best_full))
    means = table[:2].mean(0).tolist()
    fixed = sorted(range(4), key=lambda item: -means[item])[:horizon]
    line = bounds.lines["best fixed list"]
    assert line.items[:, : len(fixed)].tolist() == [fixed] * 4
    expected = [session_reward(row, tuple(fixed), eta, horizon) for row in table.tolist()]
    torch.testing.assert_close(line.rewards.sum(1) / horizon, torch.tensor(expected))


def test_upper_is_the_formula_where_everyone_has_enough_to_like(device: torch.device) -> None:
    table = torch.tensor([[0.2, 0.9, 0.5, -0.4], [1.0, -1.0, 0.1, 0.3]])
    bounds = world_of(table, 0.1, 3).to(device).bounds(torch.arange(2), torch.arange(2))
    mean_of_highest = ((0.9 + 0.5 + 0.2) / 3 + (1.0 + 0.3 + 0.1) / 3) / 2
    assert bounds.upper == pytest.approx(mean_of_highest + 0.1 * (3 - 1) / 2)
    assert bounds.metrics("all-knowing")["reward"] == pytest.approx(bounds.upper)  # no streak is broken here
    assert bounds.lines["all-knowing"].items.tolist() == [[1, 2, 0], [0, 3, 2]]


@given(seed=st.integers(0, 10**6), eta=st.sampled_from([0.0, 0.1, 1.0]), horizon=st.integers(1, 9),
       shift=st.sampled_from([-1.0, 0.0, 0.5]))
@settings(max_examples=25, deadline=None)
def test_nothing_exceeds_the_upper_bound(seed: int, eta: float, horizon: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = (torch.rand(6, 7, generator=generator) * 2 - 1 + shift).clamp(-1, 1)
    simulator = world_of(table, eta, horizon)
    users = torch.arange(6)
    bounds = simulator.bounds(users, users, popular=torch.arange(7))
    for _ in range(8):
        items = torch.rand(6, 7, generator=generator).argsort(1)
        ends = torch.randint(0, 9, (6, 1), generator=generator)  # some stop early
        sessions = simulator.play(users, items.masked_fill(torch.arange(7) >= ends, -1))
        assert sessions.metrics(bounds.num_relevant)["reward"].mean() <= bounds.upper + 1e-6
    for line in bounds.lines:
        assert bounds.metrics(line)["reward"] <= bounds.upper + 1e-6


def test_most_liked_list_needs_a_ranking_and_no_opening() -> None:
    table = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    users = torch.arange(3)
    assert "most liked list" not in world_of(table, 0.0, 2).bounds(users, users).lines
    ranking = torch.tensor([4, 2, 0, 1, 3])
    bounds = world_of(table, 0.0, 2, first=ranking).bounds(users, users)
    assert bounds.lines["most liked list"].items.tolist() == [[4, 2]] * 3
    assert bounds.lines["all-knowing"].items[:, 0].tolist() == table.argmax(1).tolist()  # not the ranking's first
    other = world_of(table, 0.0, 2, first=ranking).bounds(users, users, popular=torch.tensor([1, 3, 2]))
    assert other.lines["most liked list"].items.tolist() == [[1, 3]] * 3


def test_taste_share_is_that_of_eta_zero() -> None:
    users = torch.arange(4)
    personal = world_of(torch.eye(4) * 2 - 1, 0.5, 1).bounds(users, users)
    # every user likes one item of their own: all-knowing 1, any fixed item −1/2, random near −1/2
    random = float(personal.lines["random"].feedback.mean())
    assert personal.taste_share == pytest.approx((1 - -0.5) / (1 - random))
    shared = world_of(torch.tensor([[1.0, 0.5, -1.0, -1.0]] * 4), 0.5, 2).bounds(users, users)
    assert shared.taste_share == pytest.approx(0)
    alike = world_of(torch.full((4, 4), 0.5), 0.5, 2).bounds(users, users)
    assert alike.taste_share == 0
    table = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain, streaks = (world_of(table, eta, 4).bounds(users, users) for eta in (0.0, 0.5))
    assert streaks.taste_share == plain.taste_share > 0
    assert streaks.upper > plain.upper


def test_random_is_seeded_and_leaves_the_global_state() -> None:
    users = torch.arange(6)
    simulator = world_of(torch.rand(6, 9, generator=torch.Generator().manual_seed(0)), 0.1, 4)
    before = torch.random.get_rng_state()
    first, again, other = (simulator.bounds(users, users, seed=seed).lines["random"].items for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_distinct_items_are_uniform(device: torch.device) -> None:
    generator = torch.Generator(device).manual_seed(0)
    drawn = distinct_items(6000, 3, 5, generator).cpu()
    assert all(len(set(row)) == 3 for row in drawn[:200].tolist())
    counts = torch.bincount(drawn[:, 0] * 25 + drawn[:, 1] * 5 + drawn[:, 2], minlength=125)
    counts = counts[counts > 0]
    assert len(counts) == 60  # every ordered triple of five items
    assert float(((counts - 100.0) ** 2 / 100).sum()) < 98.3  # chi-square with 59 degrees of freedom, p = 0.001
    assert sorted(distinct_items(1, 5, 5, generator)[0].tolist()) == [0, 1, 2, 3, 4]


def test_prints_a_table() -> None:
    users = torch.arange(3)
    bounds = world_of(torch.eye(3), 0.0, 2, first=torch.arange(3)).bounds(users, users)
    assert isinstance(bounds, Bounds)
    lines = str(bounds).splitlines()
    assert lines[0].split() == ["reward", "precision", "recall"]
    assert [line[:15].strip() for line in lines[1:-1]] == ["upper bound", *bounds.lines]
    top = bounds.metrics("all-knowing")
    assert lines[2].split()[1:] == [f"{top['reward']:.3f}", f"{top['precision']:.3f}", f"{top['recall']:.4f}"]
    assert lines[-1] == f"taste share {bounds.taste_share:.1%}"
    assert len({len(line) for line in lines[:1] + lines[2:-1]}) == 1


def test_refuses_unknown_users() -> None:
    simulator = world_of(torch.eye(3), 0.0, 2)
    users = torch.arange(3)
    with pytest.raises(ValueError, match="`train_users` must be at least one id"):
        simulator.bounds(users, users[:0])
    with pytest.raises(ValueError, match="`users`.*got 3"):
        simulator.bounds(users + 1, users)
    with pytest.raises(ValueError, match="`popular`.*got 4"):
        simulator.bounds(users, users, popular=torch.tensor([4]))


def test_a_list_below_random_is_said() -> None:
    table = torch.full((4, 8), 0.2)
    table[:2, 0], table[2:, 0] = 1.0, -1.0  # the training users' favourite is what the others dislike
    world = world_of(table, 0.0, 1)
    said = "the best fixed list is below random"
    assert said in str(world.bounds(torch.arange(2, 4), torch.arange(2)))
    assert said not in str(world.bounds(torch.arange(2), torch.arange(2)))


@pytest.mark.parametrize("eta", [0.0, 0.3])
@pytest.mark.parametrize("options", [{"leaving": Boredom(torch.tensor([0, 0, 1, 2]), 2, 0)},
                                     {"leaving": Patience(3.0, 1.0)},
                                     {"drift": Satiation(torch.tensor([0, 0, 1, 1]))}])
def test_upper_bounds_every_session_where_users_leave_or_wear_off(eta: float, options: dict) -> None:
    """The same brute force, by the simulator itself: no order of the items gets more."""
    table = torch.rand(4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
    feedback = PredictedFeedback.from_embeddings(table, torch.eye(4))
    world = Simulator(feedback, eta, 3, **options)
    bounds = world.bounds(torch.arange(4), torch.arange(2))
    orders = torch.tensor(list(itertools.permutations(range(4), 3)))
    best = torch.stack([world.play(torch.arange(4), order.expand(4, -1)).rewards.sum(1) for order in orders]).amax(0)
    assert bounds.upper >= float(best.mean()) / 3 - 1e-6
    assert bounds.taste_share == Simulator(feedback, 0.0, 3).taste_share(torch.arange(4), torch.arange(2))


def test_upper_is_no_less_than_one_where_a_drift_may_raise_feedback() -> None:
    class Raise(Drift):
        def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor:
            return feedback + 2

    table = torch.rand(4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
    world = Simulator(PredictedFeedback.from_embeddings(table, torch.eye(4)), 0.0, 3, drift=Raise)
    bounds = world.bounds(torch.arange(4), torch.arange(2))
    assert bounds.upper == bounds.metrics("all-knowing")["reward"] == 1


def test_who_stays_is_shown_what_keeps_her_by_hand() -> None:
    """Two kinds, never one twice in a row: the best two are of one kind, after which she leaves."""
    table = torch.tensor([[0.9, 0.8, 0.2, -0.5]])
    world = Simulator(PredictedFeedback.from_embeddings(table, torch.eye(4)), 0.0, 4,
                      leaving=Boredom(torch.tensor([0, 0, 1, 1]), 1, 0))
    bounds = world.bounds(torch.tensor([0]), torch.tensor([0]))
    assert bounds.lines["all-knowing"].items.tolist() == [[0, 1, -1, -1]]
    assert bounds.lines["all-knowing, staying"].items.tolist() == [[0, 2, 1, 3]]
    assert "all-knowing, staying" in str(bounds)
    assert "steps" in str(bounds)
    assert "steps" not in str(world_of(table, 0.0, 4).bounds(torch.tensor([0]), torch.tensor([0])))


def test_the_all_knowing_sees_how_feedback_is_now() -> None:
    """Satiation takes 0.5·0.5 of the second of a kind: another kind's is better then."""
    table = torch.tensor([[0.9, 0.8, 0.6, -0.5]])
    world = Simulator(PredictedFeedback.from_embeddings(table, torch.eye(4)), 0.0, 3,
                      drift=Satiation(torch.tensor([0, 0, 1, 1])))
    line = world.bounds(torch.tensor([0]), torch.tensor([0])).lines["all-knowing"]
    assert line.items.tolist() == [[0, 2, 1]]
    torch.testing.assert_close(line.feedback, torch.tensor([[0.9, 0.6, 0.8 - 0.125]]))


def test_a_drift_of_items_that_are_shown_alone() -> None:
    table = torch.rand(3, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    pool = torch.tensor([4, 1, 5])
    world = Simulator(PredictedFeedback.from_embeddings(table, torch.eye(6)), 0.0, 4, items=pool,
                      drift=Satiation(torch.zeros(6, dtype=torch.long)), leaving=Patience())
    for line in world.bounds(torch.arange(3), torch.arange(3)).lines.values():
        assert line.items[:, :3].sort(1).values.tolist() == [[1, 4, 5]] * 3
        assert (line.items[:, 3] == -1).all()
