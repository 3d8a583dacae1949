"""Users who leave and feedback that drifts, against loops over users and steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.sessions import Sessions
from kgrl.simulator import Boredom, Drift, Leaving, Patience, PredictedFeedback, RatedFeedback, Satiation, Simulator

USERS, ITEMS, HORIZON = 6, 14, 9


def world(seed: int) -> tuple[PredictedFeedback, Tensor]:
    """(feedback in eighths, the table it is of)."""
    table = torch.randint(-8, 9, (USERS, ITEMS), generator=torch.Generator().manual_seed(seed)) / 8
    return PredictedFeedback.from_embeddings(table, torch.eye(ITEMS)), table


def kinds(seed: int) -> list[set[int]]:
    """Up to three of five categories an item; some have none."""
    generator = torch.Generator().manual_seed(seed)
    return [set(torch.randint(5, (int(torch.randint(4, (1,), generator=generator)),), generator=generator).tolist())
            for _ in range(ITEMS)]


def padded(categories: list[set[int]]) -> Tensor:
    return torch.tensor([[*sorted(each), -1, -1, -1][:3] for each in categories])


def bored(shown: list[int], item: int, categories: list[set[int]], window: int, most: int) -> bool:
    """KuaiEnv's words: among the last N items, more than n share a category with this one."""
    last = shown[-window:]
    return any(sum(category in categories[other] for other in last) > most for category in categories[item])


@given(seed=st.integers(0, 10**6), window=st.integers(1, 6), most=st.integers(0, 3), end=st.integers(1, HORIZON))
@settings(max_examples=50, deadline=None)
def test_boredom_is_that_of_one_user_at_a_time(seed: int, window: int, most: int, end: int) -> None:
    feedback, table = world(seed)
    categories = kinds(seed)
    if not any(categories):
        return
    simulator = Simulator(feedback, eta=0.5, horizon=HORIZON, leaving=Boredom(padded(categories), window, most))
    items = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :HORIZON]
    items[1, end:] = -1  # one is left without anything to recommend
    sessions = simulator.play(torch.arange(USERS), items)
    for user in range(USERS):
        shown: list[int] = []
        gone = False
        for item in items[user].tolist():
            if item < 0 or gone:
                break
            gone = bored(shown, item, categories, window, most)
            shown.append(item)
        assert sessions.items[user].tolist() == shown + [-1] * (HORIZON - len(shown))
        assert sessions.feedback[user].tolist() == table[user, shown].tolist() + [0.0] * (HORIZON - len(shown))
        assert not sessions.rewards[user, len(shown) :].any()
        assert not sessions.positive[user, len(shown) :].any()
        assert (int(sessions.length[user]), bool(sessions.left[user])) == (len(shown), gone)


@given(seed=st.integers(0, 10**6), budget=st.sampled_from([1.0, 2.5, 4.0, 100.0]), least=st.sampled_from([0.0, 1.0]))
@settings(max_examples=50, deadline=None)
def test_patience_is_that_of_one_user_at_a_time(seed: int, budget: float, least: float) -> None:
    feedback, table = world(seed)
    simulator = Simulator(feedback, horizon=HORIZON, leaving=Patience(budget, least))
    items = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :HORIZON]
    sessions = simulator.play(torch.arange(USERS), items)
    for user in range(USERS):
        left, steps = budget, 0
        for item in items[user].tolist():
            left -= 1 - float(table[user, item])
            steps += 1
            if left < least:
                break
        assert (int(sessions.length[user]), bool(sessions.left[user])) == (steps, left < least)
        assert (sessions.items[user, steps:] == -1).all()


def test_patience_by_hand(device: torch.device) -> None:
    """1 and 2 are taken: 10 − 8·1 = 2, then 2 − 2 = 0 < 1: she leaves at the ninth item; who likes all stays."""
    table = torch.tensor([[0.0] * 8 + [-1.0, 1.0], [1.0] * 10], device=device)
    simulator = Simulator(PredictedFeedback.from_embeddings(table, torch.eye(10, device=device)), horizon=10,
                          leaving="patience")
    sessions = simulator.play(torch.arange(2), torch.arange(10, device=device).expand(2, -1))
    assert sessions.length.tolist() == [9, 10]
    assert sessions.left.tolist() == [True, False]


def test_what_is_shown_to_who_has_left_is_ignored() -> None:
    feedback, _ = world(0)
    simulator = Simulator(feedback, horizon=3, leaving=Boredom(torch.zeros(ITEMS, dtype=torch.long), 1, 0))
    sessions = simulator.reset(torch.arange(2))
    for step, items in enumerate(([0, 1], [2, 3], [2, 99])):  # an item twice and one that is none
        simulator.step(sessions, torch.tensor(items))
        assert sessions.left.tolist() == [step > 0] * 2
    assert sessions.items.tolist() == [[0, 2, -1], [1, 3, -1]]
    assert sessions.step == 3


def test_a_past_bores_nobody() -> None:
    """A session begins anew: what was rated before it is not counted."""
    before = Sessions.empty(torch.zeros(1, dtype=torch.long), 2, begin=2)
    before.items[0, :2] = torch.tensor([0, 1])
    rule = Boredom(torch.zeros(ITEMS, dtype=torch.long), 5, 0)
    assert not rule(before, torch.tensor([[2]]), torch.zeros(1, 1)).any()
    before.step, before.items[0, 2] = 3, 2
    assert rule(before, torch.tensor([[3]]), torch.zeros(1, 1)).all()
    before.feedback[0, :2], before.length[0] = -1.0, 1
    assert not Patience(4, 1)(before, torch.tensor([[3]]), torch.zeros(1, 1)).any()  # 4 − 1 − 1 = 2


class AfterTwo(Leaving):
    """A rule of one's own."""

    def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
        return (sessions.length.unsqueeze(1) >= 1).expand_as(items)


@pytest.mark.parametrize("leaving", [AfterTwo, AfterTwo()])
def test_a_rule_of_ones_own(leaving: Leaving | type[Leaving]) -> None:
    simulator = Simulator(world(0)[0], horizon=4, leaving=leaving)
    assert simulator.play_random(torch.arange(3), torch.Generator().manual_seed(0)).length.tolist() == [2] * 3


def test_nobody_leaves_and_nothing_moves_without_the_options() -> None:
    simulator = Simulator(world(0)[0], horizon=4)
    assert simulator.leaving is None
    assert simulator.drift is None
    assert not simulator.play_random(torch.arange(3), torch.Generator().manual_seed(0)).left.any()


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"leaving": "bored"}, ValueError, "`leaving` must be a known name.*boredom, patience.*did you mean 'boredom'"),
    ({"leaving": 3}, TypeError, "`leaving` must be a name, a subclass or an instance of Leaving"),
    ({"leaving": "boredom"}, TypeError, r"`categories` must be the items' categories.*item_categories\(kg, relation\)"),
    ({"leaving": "boredom", "categories": torch.zeros(3, dtype=torch.long)}, ValueError,
     f"`leaving` must be a rule with the categories of the world's {ITEMS} items, got 'of 3 items'"),
    ({"leaving": "boredom", "categories": torch.zeros(ITEMS)}, ValueError, r"LongTensor \[N\] or \[N, K\]"),
    ({"leaving": "boredom", "categories": torch.full((ITEMS, 2), -1)}, ValueError, "a category of at least one item"),
])
def test_wrong_options_are_named(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Simulator(world(0)[0], **options)


@pytest.mark.parametrize("answer", [torch.zeros(2, 3), torch.zeros(2, dtype=torch.bool), None])
def test_a_rule_that_answers_something_else_is_named(answer: Tensor | None) -> None:
    class Wrong(Leaving):
        def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor | None:
            return answer

    with pytest.raises(ValueError, match=r"`leaving` must be a rule that says a mask \[B, M\] of who leaves"):
        Simulator(world(0)[0], leaving=Wrong())


@pytest.mark.parametrize("make", [lambda: Boredom(torch.zeros(3, dtype=torch.long), window=0),
                                  lambda: Boredom(torch.zeros(3, dtype=torch.long), most=-1),
                                  lambda: Patience(budget=0.5), lambda: Patience(least=-1.0),
                                  lambda: Patience(budget=float("nan"))])
def test_options_out_of_range(make: object) -> None:
    with pytest.raises(ValueError, match=r"`(window|most|budget|least)`"):
        make()


@given(seed=st.integers(0, 10**6), strength=st.sampled_from([0.0, 0.5, 2.0]), retention=st.sampled_from([0.0, 0.5]))
@settings(max_examples=50, deadline=None)
def test_satiation_is_that_of_one_user_at_a_time(seed: int, strength: float, retention: float) -> None:
    feedback, table = world(seed)
    categories = kinds(seed)
    if not any(categories):
        return
    simulator = Simulator(feedback, horizon=HORIZON, drift=Satiation(padded(categories), strength, retention))
    items = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :HORIZON]
    sessions = simulator.play(torch.arange(USERS), items)
    for user in range(USERS):
        satiation = dict.fromkeys(range(5), 0.0)
        for step, item in enumerate(items[user].tolist()):
            levels = [satiation[category] for category in categories[item]]
            mean = sum(levels) / len(levels) if levels else 0.0
            now = max(-1.0, float(table[user, item]) - strength * mean)
            assert float(sessions.feedback[user, step]) == pytest.approx(now, abs=1e-6)
            assert bool(sessions.positive[user, step]) == (float(sessions.feedback[user, step]) > 0)
            assert int(sessions.streak[user, step]) == (1 if sessions.positive[user, step] else -1)
            satiation = {category: retention * (level + (category in categories[item]))
                         for category, level in satiation.items()}


def test_satiation_by_hand_and_its_recovery(device: torch.device) -> None:
    """The second of a kind loses λρ = 0.25, one more 0.375; after one of another kind, less again."""
    kind = torch.tensor([0, 0, 0, 1, 0], device=device)
    simulator = Simulator(PredictedFeedback.from_embeddings(torch.ones(1, 1, device=device),
                                                            torch.full((5, 1), 0.8, device=device)),
                          horizon=5, drift="satiation", categories=kind)
    sessions = simulator.play(torch.tensor([0]), torch.arange(5, device=device)[None])
    expected = torch.tensor([[0.8, 0.8 - 0.25, 0.8 - 0.375, 0.8, 0.8 - 0.21875]])
    torch.testing.assert_close(sessions.feedback.cpu(), expected)


class Warmer(Drift):
    """A drift of one's own: everything is liked better by the step, beyond what feedback can be."""

    def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor:
        return feedback + sessions.length.unsqueeze(1)


def test_a_drift_of_ones_own_is_kept_in_range() -> None:
    feedback, table = world(1)
    sessions = Simulator(feedback, horizon=3, drift=Warmer).play(torch.arange(2), torch.tensor([[0, 1, 2], [3, 4, 5]]))
    torch.testing.assert_close(sessions.feedback[:, 1], (table[[0, 1], [1, 4]] + 1).clamp(-1, 1))
    assert (sessions.feedback[:, 2] == 1).all()


def test_a_world_that_counts_feedback_its_own_way_is_refused() -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes, data.rating_scale = 1, 2, (1.0, 5.0, 3.5)
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 0], [0, 1]])
    data["user", "rates", "item"].rating = torch.tensor([4.0, 1.0])
    with pytest.raises(ValueError, match="leaves `react` to FeedbackModel where there is a drift, got 'RatedFeedback'"):
        Simulator(RatedFeedback(data), drift=Warmer)


@pytest.mark.parametrize("answer", [torch.zeros(2), torch.zeros(2, 3, dtype=torch.long), None])
def test_a_drift_that_answers_something_else_is_named(answer: Tensor | None) -> None:
    class Wrong(Drift):
        def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor | None:
            return answer

    with pytest.raises(ValueError, match=r"`drift` must be a rule that says real numbers \[B, M\]"):
        Simulator(world(0)[0], drift=Wrong())


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"drift": "satiate"}, ValueError, "`drift` must be a known name.*did you mean 'satiation'"),
    ({"drift": "satiation"}, TypeError, "`categories` must be the items' categories"),
    ({"drift": Satiation(torch.zeros(3, dtype=torch.long))}, ValueError, "got 'of 3 items'"),
])
def test_wrong_drifts_are_named(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Simulator(world(0)[0], **options)


@pytest.mark.parametrize("options", [{"strength": -1.0}, {"strength": 3.0}, {"retention": 1.0}, {"retention": -0.1}])
def test_options_of_a_drift_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
        Satiation(torch.zeros(3, dtype=torch.long), **options)
