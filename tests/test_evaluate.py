"""The metrics by hand, the paired test against scipy on hand-made data, and agents whose score is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from kgrl.evaluate import Scores, compare, evaluate, score
from kgrl.sessions import Sessions
from kgrl.simulator import FeedbackModel, PredictedFeedback, Simulator


class Cheat(nn.Module):
    """Reads the world: the best item that is left."""

    def __init__(self, feedback: FeedbackModel) -> None:
        super().__init__()
        self.feedback = feedback

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        rows = self.feedback.rows(sessions.users)
        seen = torch.zeros(len(rows), rows.size(1) + 1, dtype=torch.bool, device=rows.device)
        seen.scatter_(1, sessions.shown + 1, True)  # column 0 takes the −1 of ended sessions
        rows = rows.masked_fill(seen[:, 1:], -torch.inf)
        return rows.argmax(1).masked_fill(rows.amax(1) == -torch.inf, -1)


class Random(Cheat):
    """Draws from the generator: an item not yet shown."""

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        assert not explore
        draw = torch.rand(len(sessions), self.feedback.num_items, generator=generator, device=sessions.device)
        if sessions.step:
            draw.scatter_(1, sessions.shown, -1)
        return draw.argmax(1)


def world(eta: float = 0.1, users: int = 40, items: int = 30, first: Tensor | None = None) -> Simulator:
    table = torch.rand(users, items, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Simulator(PredictedFeedback.from_embeddings(table, torch.eye(items)), eta, 8, first)


def test_length_is_that_of_the_mean_session() -> None:
    sessions = Sessions.empty(torch.arange(2), 4)
    sessions.length[:] = torch.tensor([4, 1])
    assert score(sessions, torch.tensor([1, 1])).length == 2.5


def test_metrics_by_hand(device: torch.device) -> None:
    """T = 4. User 0: two hits of five relevant. User 1: nothing relevant. User 2: ended after one hit of one."""
    sessions = Sessions.empty(torch.arange(3), 4).to(device)
    sessions.rewards[:] = torch.tensor([[1.0, 0.5, -0.5, 1.0], [-1.0, -1.1, -1.2, -1.3], [0.8, 0, 0, 0]])
    sessions.positive[0, :2] = True
    sessions.positive[2, 0] = True
    scores = score(sessions, torch.tensor([5, 0, 1], device=device))
    precision, recall = [0.5, 0.0, 0.25], [0.4, 0.0, 1.0]
    f1 = [2 * 0.5 * 0.4 / 0.9, 0.0, 2 * 0.25 * 1.0 / 1.25]
    for name, values in {"reward": [0.5, -1.15, 0.2], "precision": precision, "recall": recall, "f1": f1}.items():
        torch.testing.assert_close(scores.per_user[name].cpu(), torch.tensor(values))
        assert isinstance(getattr(scores, name), float)
        assert getattr(scores, name) == pytest.approx(sum(values) / 3)
    assert scores.sessions is sessions


@pytest.mark.parametrize("items", [30, 5])  # with 5 items every session ends early
def test_a_cheat_reaches_the_all_knowing_line(device: torch.device, items: int) -> None:
    simulator = world(items=items).to(device)
    users = torch.randperm(40, generator=torch.Generator().manual_seed(1))[:25]
    bounds = simulator.bounds(users, torch.arange(40))
    cheat = evaluate(Cheat(simulator.feedback), simulator, users, batch=10)
    line = score(bounds.lines["all-knowing"], bounds.num_relevant)
    assert torch.equal(cheat.sessions.items, line.sessions.items)
    for name, values in line.per_user.items():
        torch.testing.assert_close(cheat.per_user[name], values)
    assert bounds.metrics("all-knowing")["f1"] == line.f1
    assert cheat.reward <= bounds.upper + 1e-6
    outcome = compare(cheat, line)
    assert (outcome.p_value, outcome.difference) == (1.0, 0.0)


def test_same_users_in_order_whatever_the_batch() -> None:
    simulator = world(first=torch.tensor([3, 1]))
    users = torch.tensor([7, 3, 39, 0, 3])
    whole, parts = (evaluate(Cheat(simulator.feedback), simulator, users, batch=batch) for batch in (512, 2))
    assert whole.sessions.users.tolist() == parts.sessions.users.tolist() == users.tolist()
    assert torch.equal(whole.sessions.items, parts.sessions.items)
    assert whole.sessions.items[:, 0].tolist() == [3] * 5  # the cold-start protocol's evaluation item


def test_draws_from_a_generator_of_its_own() -> None:
    simulator = world()
    users, agent = torch.arange(40), Random(simulator.feedback)
    before = torch.random.get_rng_state()
    one, two, other = (evaluate(agent, simulator, users, batch=16, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.sessions.items, two.sessions.items)
    assert not torch.equal(one.sessions.items, other.sessions.items)
    assert not torch.equal(one.sessions.items[:16], one.sessions.items[16:32])  # batches are not each other's copy
    assert torch.equal(before, torch.random.get_rng_state())
    plain, given = evaluate(agent, simulator, users), evaluate(agent, simulator, users, batch=512, seed=0)
    assert torch.equal(plain.sessions.items, given.sessions.items)


def test_refuses_no_users_and_no_batch() -> None:
    simulator = world()
    with pytest.raises(ValueError, match="`users` must be at least one id"):
        evaluate(Cheat(simulator.feedback), simulator, torch.arange(0))
    with pytest.raises(ValueError, match="`batch`"):
        evaluate(Cheat(simulator.feedback), simulator, torch.arange(3), batch=0)
    with pytest.raises(TypeError, match="`users` must be a LongTensor .* got 'str'"):
        evaluate(Cheat(simulator.feedback), simulator, "0")  # type: ignore[arg-type]


def test_users_may_be_a_list() -> None:
    simulator = world()
    listed = evaluate(Cheat(simulator.feedback), simulator, [0, 1])  # type: ignore[arg-type]
    assert listed.reward == evaluate(Cheat(simulator.feedback), simulator, torch.tensor([0, 1])).reward


def scores_of(values: list[float], users: list[int] | None = None, metric: str = "reward") -> Scores:
    """Scores whose ``metric`` of each user is the given one, and 0 all others."""
    sessions = Sessions.empty(torch.tensor(users or list(range(len(values)))), 1)
    per_user = {name: torch.tensor(values) * (name == metric) for name in ("reward", "precision", "recall", "f1")}
    return Scores(0, 0, 0, 0, per_user, sessions)


def signed_rank_p(differences: list[float]) -> float:
    """Two-sided p of the signed-rank test by going through all sign patterns: no ties, no zeros."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    seen = ranks[np.array(differences) > 0].sum()
    patterns = np.array(list(itertools.product([0, 1], repeat=len(ranks)))) @ ranks
    return min(1.0, 2 * min((patterns <= seen).mean(), (patterns >= seen).mean()))


def test_compare_against_every_sign_pattern() -> None:
    a, b = [0.5, 0.7, 0.125, 0.9, 1.0, 0.25, 0.3, 2.0], [0.375, 0.2, 0.375, 0.3, 0.6, -0.5, 0.33, 0.8]
    outcome = compare(scores_of(a), scores_of(b))
    differences = [x - y for x, y in zip(a, b, strict=True)]
    assert outcome.p_value == pytest.approx(signed_rank_p(differences))
    assert outcome.difference == pytest.approx(sum(differences) / 8)
    assert outcome.metric == "reward"


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_compare_is_scipys_paired_test(alternative: str, metric: str) -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randint(0, 9, (200,), generator=generator) / 8  # ties and zeros, as in precision
    a = b + torch.randint(-1, 3, (200,), generator=generator) / 8
    mine, theirs = (scores_of(values.tolist(), metric=metric) for values in (a, b))
    outcome = compare(mine, theirs, metric, alternative)
    expected = stats.wilcoxon(a.numpy(), b.numpy(), alternative=alternative).pvalue
    assert outcome.p_value == pytest.approx(float(expected))
    assert (outcome.p_value < 0.05) == (alternative != "less")
    assert (outcome.metric, outcome.alternative) == (metric, alternative)


def test_compare_refuses() -> None:
    a = scores_of([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="same users in the same order"):
        compare(a, scores_of([1.0, 2.0, 3.0], users=[0, 2, 1]))
    with pytest.raises(ValueError, match="2 users beside 3"):
        compare(a, scores_of([1.0, 2.0]))
    with pytest.raises(ValueError, match="did you mean 'reward'"):
        compare(a, a, metric="rewards")
    with pytest.raises(ValueError, match="alternative"):
        compare(a, a, alternative="more")
