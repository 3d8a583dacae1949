"""``GreedySVD`` against least squares solved user by user, and where tastes are planted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.greedy_svd import GreedySVD
from kgrl.evaluate import evaluate
from kgrl.pretrain import item_vectors
from kgrl.pretrain.items import ItemFactors, item_factors
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from tests.agents.rated_groups import rated_groups

USERS, ITEMS, TRAIN = 60, 14, torch.arange(40)


@pytest.fixture(scope="module")
def data() -> HeteroData:
    """Each user likes the items of one half more than those of the other."""
    return rated_groups(USERS, ITEMS, groups=2, above=0.8, noise=0.3)


def least_squares(factors: ItemFactors, ridge: float, items: Tensor, feedback: Tensor) -> Tensor:
    """(**p**, b) of one user: the penalty as d + 1 more equations √λ·x = 0."""
    vector, bias = (part.double() for part in factors)
    size = vector.size(1) + 1
    rows = torch.cat([torch.cat([vector[items], torch.ones(len(items), 1, dtype=torch.double)], 1),
                      ridge**0.5 * torch.eye(size, dtype=torch.double)])
    target = torch.cat([feedback.double() - bias[items], torch.zeros(size, dtype=torch.double)])
    return torch.linalg.lstsq(rows, target.unsqueeze(1)).solution.squeeze(1)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("dim", [2, 20])
def test_the_folded_in_user_is_the_least_squares_user(data, ridge: float, dim: int, device: torch.device) -> None:
    """Of every session at every step, with fewer and with more steps than factors; and it picks her best item."""
    generator = torch.Generator().manual_seed(dim)
    factors = ItemFactors(torch.randn(ITEMS, dim, generator=generator), torch.randn(ITEMS, generator=generator))
    agent = GreedySVD(factors, ridge).to(device)
    sessions = rollout(agent, Simulator(RatedFeedback(data, 0.0), horizon=8).to(device), torch.arange(40, 60))
    folded = torch.stack([agent.fold_in(sessions.before(step)) for step in range(9)]).cpu()
    sessions = sessions.to("cpu")
    for row in range(20):
        for step in range(9):
            seen = sessions.items[row, :step]
            user = least_squares(factors, ridge, seen, sessions.feedback[row, :step])
            torch.testing.assert_close(folded[step, row].double(), user, atol=2e-3 if ridge < 1 else 1e-4, rtol=1e-3)
            predicted = factors.vector.double() @ user[:-1] + user[-1] + factors.bias
            predicted[seen] = -torch.inf
            assert step == 8 or predicted[sessions.items[row, step]] >= predicted.max() - 2e-3


def test_gaps_in_a_session_are_skipped() -> None:
    agent = GreedySVD(ItemFactors(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(5)))
    whole = Sessions.from_history([[1, 4]], [[1.0, -0.5]])
    gappy = Sessions.from_history([[1, 2, 4], []], [[1.0, 0.9, -0.5], []])
    gappy.items[0, 1] = -1
    torch.testing.assert_close(agent.fold_in(gappy)[:1], agent.fold_in(whole))
    assert not agent.fold_in(gappy)[1].any()


def test_factors_are_those_of_item_vectors_and_the_biases_belong_to_them(data) -> None:
    options = {"dim": 3, "epochs": 60, "weight_decay": 1e-3, "seed": 4}
    factors = item_factors(data, TRAIN, **options)
    assert torch.equal(factors.vector, item_vectors(data, TRAIN, "mf", **options))
    agent = GreedySVD.from_ratings(data, TRAIN, ridge=2.0, **options)
    assert torch.equal(agent.loading[:, :-1], factors.vector)
    assert torch.equal(agent.bias, factors.bias)
    assert agent.options == {"ridge": 2.0}
    means = torch.zeros(ITEMS).index_add_(0, data["user", "rates", "item"].edge_index[1],
                                          data["user", "rates", "item"].rating.float()) / USERS
    assert torch.corrcoef(torch.stack([means, factors.bias]))[0, 1] > 0.5


def test_only_the_given_users_ratings_are_looked_at(data) -> None:
    other = data.clone()
    edges = other["user", "rates", "item"]
    edges.rating[edges.edge_index[0] >= 40] = 1.0
    one, two = (GreedySVD.from_ratings(source, TRAIN, epochs=2) for source in (data, other))
    assert torch.equal(one.loading, two.loading)
    assert torch.equal(one.bias, two.bias)


def test_beats_the_best_fixed_list_where_tastes_differ(data) -> None:
    world, test = Simulator(RatedFeedback(data, 0.0), horizon=6), torch.arange(40, 60)
    bounds = world.bounds(test, TRAIN)
    found = evaluate(GreedySVD.from_ratings(data, TRAIN, dim=2, epochs=200, ridge=0.3), world, test).reward
    assert found > bounds.metrics("best fixed list")["reward"] + 0.1
    assert found <= bounds.upper


def test_nothing_twice_and_an_end(data) -> None:
    world, agent = Simulator(RatedFeedback(data, 0.0), horizon=ITEMS + 3), GreedySVD.from_ratings(data, TRAIN, epochs=1)
    for explore in (True, False):
        sessions = rollout(agent, world, torch.arange(5), explore=explore)
        assert all(sorted(row[:ITEMS]) == list(range(ITEMS)) for row in sessions.items.tolist())
        assert sessions.length.tolist() == [ITEMS] * 5
    assert agent.learn(sessions) == {"gradient_steps": 0}


def test_recommend_for_real_users(data) -> None:
    agent = GreedySVD.from_ratings(data, TRAIN, dim=2, epochs=200, ridge=0.3)
    found = agent.recommend(Sessions.from_history([[0, 2], []], [[1.0, 0.9], []]), k=ITEMS + 1)
    assert set(found[0, :4].tolist()) <= {4, 6, 8, 10, 12}
    assert found[0, -3:].tolist() == [-1] * 3
    assert found[1].tolist() == [*agent.bias.argsort(descending=True).tolist(), -1]
    with pytest.raises(ValueError, match="item ids below 14, got 14"):
        agent.recommend(Sessions.from_history([[14]], [[1.0]]))
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        agent.recommend(Sessions.from_history([[1]], [[1.0]]), k=0)


def test_saved_and_loaded(tmp_path: Path, data) -> None:
    agent = GreedySVD.from_ratings(data, TRAIN, epochs=2, ridge=0.7)
    agent.save(tmp_path / "agent.safetensors")
    again = GreedySVD.load(tmp_path / "agent.safetensors")
    assert again.options == agent.options
    past = Sessions.from_history([[3, 5]], [[1.0, -1.0]])
    assert torch.equal(agent.fold_in(past), again.fold_in(past))
    assert torch.equal(agent.recommend(past), again.recommend(past))


def test_the_global_state_is_left_alone(data) -> None:
    before = torch.get_rng_state()
    rollout(GreedySVD.from_ratings(data, TRAIN, epochs=1), Simulator(RatedFeedback(data, 0.0), horizon=2), TRAIN)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("vector", "bias", "ridge", "complaint"),
    [
        (torch.zeros(3), torch.zeros(3), 1.0, r"`factors` must be .* \[N, d\] .*got '\[3\] and \[3\]'"),
        (torch.zeros(3, 2), torch.zeros(4), 1.0, r"got '\[3, 2\] and \[4\]'"),
        (torch.zeros(0, 2), torch.zeros(0), 1.0, "N > 0"),
        (torch.full((3, 2), torch.nan), torch.zeros(3), 1.0, "`factors` must be finite"),
        (torch.zeros(3, 2), torch.tensor([0, 0, torch.inf]), 1.0, "`factors` must be finite"),
        (torch.zeros(3, 2), torch.zeros(3), 0.0, r"`ridge` must be a finite number in \[0.001, inf\], got 0.0"),
    ],
)
def test_bad_input_is_named(vector: Tensor, bias: Tensor, ridge: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GreedySVD(ItemFactors(vector, bias), ridge)


def test_bad_options_of_the_fit_are_named(data) -> None:
    for options in ({"dim": 0}, {"epochs": 0}, {"weight_decay": -1.0}, {"ridge": -1.0}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
            GreedySVD.from_ratings(data, TRAIN, **{"epochs": 1, **options})
    with pytest.raises(ValueError, match="`users` must be (at least one id|ids from 0)"):
        GreedySVD.from_ratings(data, torch.tensor([USERS]))
