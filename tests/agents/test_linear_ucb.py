"""``LinearUCB`` against a direct solve of each session's regression at each step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents.linear_ucb import LinearUCB, _Regression
from kgrl.agents.state.session_state import advance
from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from tests.agents.rated_groups import rated_groups

USERS, ITEMS = 60, 14


@pytest.fixture(scope="module")
def data() -> HeteroData:
    """Each user likes the items of one half more than those of the other."""
    return rated_groups(USERS, ITEMS, groups=2, above=0.8, noise=0.3)


def random_vectors(dim: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(ITEMS, dim, generator=torch.Generator().manual_seed(seed))


def halves() -> Tensor:
    """``[N, 2]``: a one-hot of which half an item is of, with a little noise."""
    return torch.nn.functional.one_hot(torch.arange(ITEMS) % 2, 2) + 0.1 * random_vectors(2)


def slow_scores(vectors: Tensor, items: list[int], feedback: list[float], alpha: float, regularisation: float):
    """The paper's Algorithm 1 as printed, of one session."""
    vectors = vectors.double()
    matrix, b = regularisation * torch.eye(vectors.size(1), dtype=torch.double), torch.zeros(vectors.size(1)).double()
    for item, value in zip(items, feedback, strict=True):
        matrix += torch.outer(vectors[item], vectors[item])
        b += value * vectors[item]
    theta = torch.linalg.solve(matrix, b)
    scores = [float(x @ theta + alpha * (x @ torch.linalg.solve(matrix, x)).sqrt()) for x in vectors]
    return torch.tensor([-torch.inf if item in items else score for item, score in enumerate(scores)])


@pytest.mark.parametrize(("alpha", "regularisation"), [(0.0, 1.0), (0.5, 0.1), (2.0, 3.0)])
def test_every_bound_of_every_step_is_the_direct_solve(data, alpha, regularisation) -> None:
    vectors, world = random_vectors(), Simulator(RatedFeedback(data, 0.0), horizon=ITEMS)
    agent, sessions = LinearUCB(vectors, alpha, regularisation), world.reset(torch.arange(20))
    for step in range(ITEMS):
        wanted = torch.stack([
            slow_scores(vectors, items[:step], feedback[:step], alpha, regularisation)
            for items, feedback in zip(sessions.items.tolist(), sessions.feedback.tolist(), strict=True)])
        torch.testing.assert_close(agent._scores(sessions), wanted, atol=2e-5, rtol=1e-4)
        items = agent.act(sessions)
        assert (wanted.gather(1, items.unsqueeze(1)).squeeze(1) >= wanted.amax(1) - 1e-4).all()
        # and without having followed the session
        torch.testing.assert_close(LinearUCB(vectors, alpha, regularisation)._scores(sessions.rows(torch.arange(20))),
                                   wanted, atol=2e-5, rtol=1e-4)
        world.step(sessions, items)


def test_beats_the_best_fixed_list_where_tastes_differ(data) -> None:
    world, test = Simulator(RatedFeedback(data, 0.0), horizon=6), torch.arange(40, 60)
    bounds = world.bounds(test, torch.arange(40))
    found = evaluate(LinearUCB(halves(), alpha=0.3), world, test).reward
    assert found > bounds.metrics("best fixed list")["reward"] + 0.1
    assert found <= bounds.upper


def test_uncertainty_shrinks_by_what_was_shown() -> None:
    agent = LinearUCB(torch.eye(3), alpha=1.5, regularisation=2.0)
    sessions = Sessions.from_history([[0, 1]], [[0.0, 0.0]])  # feedback of 0: the mean stays 0, the bound is the bonus
    fresh, once = 1.5 * 0.5**0.5, 1.5 * (1 / 3) ** 0.5
    known = [advance(agent, _Regression(), agent._terms(), sessions.before(step)) for step in range(3)]
    bonus = torch.stack([agent._bonus(each)[0] for each in known])
    wanted = torch.tensor([[fresh, fresh, fresh], [once, fresh, fresh], [once, once, fresh]])
    torch.testing.assert_close(bonus, wanted)


def test_opens_with_the_longest_vector_and_greedy_evaluation_has_no_bonus(data) -> None:
    vectors, world = random_vectors(), Simulator(RatedFeedback(data, 0.0), horizon=5)
    agent, greedy = LinearUCB(vectors), LinearUCB(vectors, greedy_evaluation=True)
    users = torch.arange(10)
    assert (rollout(agent, world, users).items[:, 0] == vectors.norm(dim=1).argmax()).all()
    assert torch.equal(rollout(agent, world, users).items, rollout(agent, world, users, explore=True).items)
    assert torch.equal(rollout(agent, world, users).items, rollout(greedy, world, users, explore=True).items)
    assert torch.equal(rollout(greedy, world, users).items, rollout(LinearUCB(vectors, alpha=0), world, users).items)
    assert not torch.equal(rollout(greedy, world, users).items, rollout(agent, world, users).items)


def test_nothing_twice_and_an_end(data) -> None:
    world, agent = Simulator(RatedFeedback(data, 0.0), horizon=ITEMS + 3), LinearUCB(random_vectors())
    sessions = rollout(agent, world, torch.arange(5))
    assert all(sorted(row[:ITEMS]) == list(range(ITEMS)) for row in sessions.items.tolist())
    assert sessions.items[:, ITEMS:].eq(-1).all()
    assert sessions.length.tolist() == [ITEMS] * 5
    assert agent.learn(sessions) == {"gradient_steps": 0}


def test_recommend_for_real_users() -> None:
    agent = LinearUCB(halves(), alpha=0.1)
    found = agent.recommend(Sessions.from_history([[0, 2], []], [[1.0, 0.9], []]), k=ITEMS + 1)
    assert set(found[0, :5].tolist()) == {4, 6, 8, 10, 12}
    assert found[0, -3:].tolist() == [-1] * 3
    assert found[1, -1] == -1
    wanted = slow_scores(agent.vectors, [0, 2], [1.0, 0.9], 0.1, 1.0)
    assert found[0, : ITEMS - 2].tolist() == wanted.argsort(descending=True)[: ITEMS - 2].tolist()
    with pytest.raises(ValueError, match="item ids below 14, got 14"):
        agent.recommend(Sessions.from_history([[14]], [[1.0]]))


def test_saved_and_loaded(data, tmp_path) -> None:
    world, agent = Simulator(RatedFeedback(data, 0.0), horizon=6), LinearUCB(random_vectors(), 0.7, 0.2)
    agent.save(tmp_path / "agent.safetensors")
    again = LinearUCB.load(tmp_path / "agent.safetensors")
    assert again.options == agent.options
    for other in (again, copy.deepcopy(agent)):
        assert torch.equal(rollout(other, world, torch.arange(9)).items, rollout(agent, world, torch.arange(9)).items)
    assert LinearUCB.load(tmp_path / "agent.safetensors", alpha=0.1).options["alpha"] == 0.1


def test_other_vectors_mean_other_bounds(data) -> None:
    """A running session's regression is not taken for that of vectors loaded meanwhile."""
    world, agent = Simulator(RatedFeedback(data, 0.0), horizon=6), LinearUCB(random_vectors())
    sessions = rollout(agent, world, torch.arange(9))
    other = LinearUCB(random_vectors(seed=1))
    agent.load_state_dict(other.state_dict())
    assert torch.equal(agent._scores(sessions), other._scores(sessions))


def test_a_checkpoint_of_other_vectors_is_refused(data, tmp_path) -> None:
    given = {"simulator": Simulator(RatedFeedback(data, 0.0), horizon=6), "users": torch.arange(40),
             "interactions": 60, "sessions": 5, "checkpoint": tmp_path}
    fit(LinearUCB(random_vectors()), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*agent data"):
        fit(LinearUCB(random_vectors(seed=1)), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*alpha"):
        fit(LinearUCB(random_vectors(), alpha=2.0), **given)


@pytest.mark.parametrize(("given", "message"), [
    ({"vectors": torch.zeros(3)}, r"`vectors` must be dense \[N, d\], got .*\[3\]"),
    ({"vectors": torch.zeros(0, 3)}, r"`vectors` must be dense \[N, d\], got .*\[0, 3\]"),
    ({"vectors": torch.eye(3).to_sparse()}, r"`vectors` must be dense \[N, d\], got .*sparse"),
    ({"vectors": torch.full((2, 2), torch.nan)}, "`vectors` must be finite numbers"),
    ({"alpha": -0.1}, "`alpha` must be a finite number"),
    ({"regularisation": 1e-4}, "`regularisation` must be a finite number in .0.001, inf"),
    ({"regularisation": 0.0}, "`regularisation` must be a finite number"),
    ({"regularisation": float("inf")}, "`regularisation` must be a finite number"),
])  # fmt: skip
def test_bad_input_is_named(given, message) -> None:
    with pytest.raises(ValueError, match=message):
        LinearUCB(**({"vectors": torch.eye(3)} | given))
