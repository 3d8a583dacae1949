"""``FixedList`` against the simulator's own lines, against a loop over the ranking, and in every corner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.agents.fixed_list import FixedList
from kgrl.datasets import SyntheticKGRec, popular_items, split_users
from kgrl.evaluate import evaluate, score
from kgrl.pretrain.items import item_ranking
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, RatedFeedback, Simulator

ITEMS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> HeteroData:
    folder = tmp_path_factory.mktemp("made")
    return SyntheticKGRec(folder, num_users=80, num_items=ITEMS, num_attributes=4, ratings_per_user=12, noise=0.1)[0]


def worlds(data: HeteroData) -> list[Simulator]:
    train, _, _ = split_users(data, seed=0)
    generator = torch.Generator().manual_seed(0)
    predicted = PredictedFeedback.from_embeddings(
        0.5 * torch.randn(80, 3, generator=generator), 0.5 * torch.randn(ITEMS, 3, generator=generator))
    rated = RatedFeedback(data, relevant_above=0.0)
    return [Simulator(rated, 0.1, 16), Simulator(predicted, 0.1, ITEMS + 2, popular_items(data, train))]


def test_scores_as_the_simulators_fixed_lines(data) -> None:
    train, _, test = split_users(data, seed=0)
    popular = popular_items(data, train)
    for world in worlds(data):
        bounds = world.bounds(test, train, popular=popular)
        free = Simulator(world.feedback, world.eta, world.horizon)
        best = world.feedback.mean_feedback(train).argsort(descending=True, stable=True)
        for line, played, ranking in [("best fixed list", free, best), ("most liked list", world, popular)]:
            found, expected = evaluate(FixedList(ranking), played, test), score(bounds.lines[line], bounds.num_relevant)
            assert torch.equal(found.sessions.items, expected.sessions.items)
            for metric in ("reward", "precision", "recall", "f1"):
                assert torch.equal(found.per_user[metric], expected.per_user[metric])


def test_total_ratings_are_the_best_fixed_list_of_the_logged_world(data) -> None:
    """But for equal items, which are many here."""
    train, _, _ = split_users(data, seed=0)
    mean = worlds(data)[0].feedback.mean_feedback(train)
    ranking = FixedList.from_ratings(data, train, by="total").ranking
    assert torch.equal(mean[ranking], mean.sort(descending=True).values)
    assert sorted(ranking.tolist()) == list(range(ITEMS))


def test_from_ratings_takes_the_ranking_of_that_name(data) -> None:
    users = torch.arange(50)
    for options in ({}, {"by": "count"}, {"min_ratings": 5}, {"shrinkage": 4.0}):
        agent = FixedList.from_ratings(data, users, **options)
        assert torch.equal(agent.ranking, item_ranking(data, users, **options))


@pytest.mark.parametrize("explore", [True, False])
def test_next_unshown_as_a_loop_finds_it(explore: bool, device: torch.device) -> None:
    """Where others choose too, and also items that the ranking does not hold."""
    generator = torch.Generator().manual_seed(0)
    ranking = torch.randperm(ITEMS, generator=generator)[:25]
    agent = FixedList(ranking).to(device)
    shown = torch.stack([torch.randperm(ITEMS + 5, generator=generator)[:30] for _ in range(50)])
    shown[torch.rand(shown.shape, generator=generator) < 0.2] = -1
    sessions = Sessions.empty(torch.full((50,), -1), 30)
    sessions.items = shown
    for step in range(31):
        sessions.step = step
        left = [[i for i in ranking.tolist() if i not in row] for row in sessions.shown.tolist()]
        assert agent.act(sessions.to(device), explore).tolist() == [row[0] for row in left]
        for k in (1, 4, 60):
            padded = [(row + [-1] * 60)[:k] for row in left]
            assert agent.recommend(sessions, k).tolist() == padded


def test_nothing_twice_and_an_end(data) -> None:
    world = Simulator(worlds(data)[0].feedback, horizon=20)
    agent = FixedList(torch.arange(14).flip(0))
    sessions = rollout(agent, world, torch.arange(5))
    assert sessions.items.tolist() == [[*range(13, -1, -1), *[-1] * 6]] * 5
    assert sessions.length.tolist() == [14] * 5
    assert agent.learn(sessions) == {"gradient_steps": 0}
    assert agent.recommend(Sessions.from_history([[], [13, 2]], [[], [1.0, 0.0]]), 2).tolist() == [[13, 12], [12, 11]]


def test_saved_and_loaded(tmp_path: Path, data) -> None:
    agent = FixedList.from_ratings(data, torch.arange(20))
    agent.save(tmp_path / "agent.safetensors")
    again = FixedList.load(tmp_path / "agent.safetensors")
    assert torch.equal(agent.ranking, again.ranking)
    other = FixedList(torch.arange(ITEMS))
    other.load_state_dict(agent.state_dict())  # as a checkpoint does it
    past = Sessions.from_history([[int(agent.ranking[0]), int(agent.ranking[2])]], [[1.0, 1.0]])
    for same in (again, other):
        assert same.recommend(past, 3).tolist() == [agent.ranking[[1, 3, 4]].tolist()]


def test_the_ranking_is_the_agents_own() -> None:
    ranking = torch.arange(3)
    agent = FixedList(ranking)
    ranking[0] = 2
    assert agent.ranking.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ranking", "complaint"),
    [
        (torch.empty(0, dtype=torch.long), "`ranking` must be a LongTensor of at least one item id"),
        (torch.tensor([1.0, 2.0]), "`ranking` must be a LongTensor"),
        (torch.tensor([[1, 2]]), "`ranking` must be a LongTensor"),
        (torch.tensor([3, -1]), "`ranking` must be item ids"),
        (torch.tensor([3, 5, 3]), "every item at most once"),
    ],
)
def test_bad_rankings_are_named(ranking, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        FixedList(ranking)


def test_bad_k_is_named() -> None:
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        FixedList(torch.arange(3)).recommend(Sessions.from_history([[]], [[]]), 0)
