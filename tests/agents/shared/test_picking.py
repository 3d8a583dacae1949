"""Picking against sorting one list, and a loop over sessions; an agent that has diverged says so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kgrl.agents import DDPGKNN, DDPGR, DQNR, KGQR, TPGR, HLinearUCB, LinearUCB
from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.q_learning.learner_options import Epsilons
from kgrl.agents.shared.picking import (
    best_item,
    best_items,
    best_left,
    finite_report,
    of_known_items,
    ragged_argmax,
    ragged_topk,
    without_shown,
)
from kgrl.graph import knowledge_graph
from kgrl.rollout import rollout
from kgrl.sessions import UNDEFINED, Sessions
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.simulator.pool import check_sessions
from kgrl.train import fit
from tests.agents.every_agent import AGENTS, HORIZON, ITEMS, TRAIN, data

SHOWN = torch.tensor([[2, -1], [-1, -1], [0, 3]])


def test_equals_sorting_what_is_left() -> None:
    given = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    scores = without_shown(given, SHOWN)
    for row, shown in enumerate(SHOWN.tolist()):
        left = sorted(set(range(4)) - set(shown), key=lambda item: -float(given[row, item]))
        assert best_item(scores, SHOWN)[row] == best_left(given, SHOWN, 1)[row] == left[0]
        assert best_items(scores, 6, SHOWN)[row].tolist() == left + [-1] * (6 - len(left))
        assert best_items(scores, 1, SHOWN)[row].tolist() == best_left(given, SHOWN, 1)[row].tolist() == left[:1]


@pytest.mark.parametrize("seed", range(5))
def test_of_equal_scores_the_first_comes_first(seed, device) -> None:
    given = torch.randint(3, (4, 200), generator=torch.Generator().manual_seed(seed)).float()
    gone = torch.full((4, 190), -1, device=device)
    given[1, :190], gone[1] = -torch.inf, torch.arange(190)
    for k in (1, 2, 30, 150, 200):
        slow = [sorted((i for i in range(200) if row[i] > -torch.inf), key=lambda i: -row[i])[:k]
                for row in given.tolist()]
        found = best_items(given.to(device), k, gone)
        assert found.tolist() == [row + [-1] * (k - len(row)) for row in slow]
        assert found[:, 0].tolist() == best_item(given.to(device), gone).tolist()


def test_nothing_left_and_bad_k() -> None:
    gone = torch.tensor([[1, 0]])
    scores = without_shown(torch.zeros(1, 2), gone)
    assert best_item(scores, gone).tolist() == [-1]
    assert best_items(scores, 3, gone).tolist() == [[-1, -1, -1]]
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        best_items(scores, 0, gone)


@pytest.mark.parametrize("shown", [[[-1, 1], [2, 1], [-1, -1]], [[-1, 1, -1], [2, 1, 0], [-1, -1, -1]]])
@pytest.mark.parametrize("value", [-torch.inf, torch.inf, torch.nan])
def test_scores_that_are_no_numbers_are_told_from_a_session_in_which_nothing_is_left(shown, value: float) -> None:
    """The one of two sessions is at its last item, or past it; the third is spoilt."""
    scores, shown = torch.zeros(3, 3), torch.tensor(shown)
    scores[2] = value
    whole = 0 if shown.size(1) < 3 else -1
    assert best_left(scores, shown, 1)[:, 0].tolist() == [0, whole, UNDEFINED]
    assert best_left(scores[:2], shown[:2], 3).tolist() == [[0, 2, -1], [whole, -1, -1]]
    with pytest.raises(ValueError, match="`the agent's values` must be finite"):
        best_left(scores, shown, 2)


def test_one_score_too_low_is_no_item_that_is_gone() -> None:
    scores, shown = torch.tensor([[0.0, -torch.inf, 1.0, 2.0]]), torch.tensor([[3]])
    assert best_left(scores, shown, 2).tolist() == [[2, 0]]
    with pytest.raises(ValueError, match="`the agent's values` must be finite"):
        best_left(scores, shown, 3)


def test_some_items_do_not_count() -> None:
    scores = torch.full((2, 4), -torch.inf)
    gone = torch.tensor([[0, 3], [0, -1]])
    assert best_item(scores, gone, 2).tolist() == [-1, UNDEFINED]
    assert best_items(scores[:1], 2, gone[:1], 2).tolist() == [[-1, -1]]


def test_unknown_items_are_refused() -> None:
    past = Sessions.from_history([[0, 4], [2]], [[0.0, 0.0], [0.0]])
    assert of_known_items(past, 5) is past
    with pytest.raises(ValueError, match="`past.items` must be item ids below 4, got 4"):
        of_known_items(past, 4)
    with pytest.raises(TypeError, match="`past` must be a Sessions, got 'list'; Sessions.from_history makes them"):
        of_known_items([[0, 4], [2]], 5)  # type: ignore[arg-type]


PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), max_size=30)


@given(PAIRS, st.integers(1, 4))
def test_against_a_loop(pairs, k):
    values = torch.tensor([float(value) for value, _ in pairs])
    batch = torch.tensor([session for _, session in pairs], dtype=torch.long)
    best, top = ragged_argmax(values, batch, 5), ragged_topk(values, batch, 5, k)
    for session in range(5):
        own = [at for at, (_, other) in enumerate(pairs) if other == session]
        own.sort(key=lambda at: -pairs[at][0])  # stable: of equal values the first wins
        assert best[session] == (own[0] if own else -1)
        assert top[session].tolist() == (own + [-1] * k)[:k]


def test_all_values_below_zero(device):
    values, batch = torch.tensor([-5.0, -2.0, -7.0], device=device), torch.tensor([0, 0, 2], device=device)
    assert ragged_argmax(values, batch, 3).tolist() == [1, -1, 2]


LEARNS = [name for name in AGENTS if name.split(",")[0].split(" ")[0] in
          ("DQNR", "DDPGR", "DDPGKNN", "KGQR", "TPGR")]
WITHOUT_MODEL = {"FixedList", "Random", "Random of candidates"}
VALUES = r"`the agent's values` must be finite, got 'NaN or infinity'"


def world(horizon: int = HORIZON, eta: float = 0.1) -> Simulator:
    return Simulator(RatedFeedback(data()), eta=eta, horizon=horizon)


def spoil(agent: nn.Module, value: float) -> nn.Module:
    """Every number that it decides by, as after a step that went too far."""
    state = {name: torch.full_like(part, value) if part.is_floating_point() else part
             for name, part in agent.state_dict().items()}
    agent.load_state_dict(state)
    if hasattr(agent, "offset"):  # made of the counts, which are whole numbers
        agent.network.load_state_dict(agent.network.state_dict())
    return agent


@pytest.mark.parametrize("explore", [True, False])
@pytest.mark.parametrize("name", [name for name in AGENTS if name not in WITHOUT_MODEL])
def test_values_that_are_no_numbers_are_an_error_in_a_rollout_and_out_of_it(name: str, explore: bool) -> None:
    agent = spoil(AGENTS[name](), torch.nan)
    if hasattr(agent, "epsilon"):
        agent.epsilons = Epsilons(0.0)
    with pytest.raises(ValueError, match=VALUES + "; session 0 .*diverged"):
        rollout(agent, world(), TRAIN, explore, torch.Generator().manual_seed(0))
    for k in (1, 3):
        with pytest.raises(ValueError, match=VALUES + ".*diverged"):
            agent.recommend(Sessions.from_history([[0, 3]], [[1.0, -1.0]]), k=k)


def sunk(agent: nn.Module) -> nn.Module:
    """Every item worth −∞, as where a product has overflowed."""
    if isinstance(agent, OffPolicyAgent):
        for network in (agent.network, agent.averaged):
            network.head.last_layers[0].bias.data.fill_(-torch.inf)
    elif isinstance(agent, TPGR):
        agent.policy.biases[-1].data.fill_(-torch.inf)
        agent.version += 1
    else:
        scores = agent._scores
        agent._scores = lambda *args: scores(*args) - torch.inf
    return agent


SINKS = [name for name in AGENTS if name not in WITHOUT_MODEL and name != "DDPGR" and name != "DDPGKNN of some"]
"""Those whose values can be −∞: an actor's answer is bounded."""


@pytest.mark.parametrize("kept", [ITEMS, 4])
@pytest.mark.parametrize("name", SINKS)
def test_values_of_minus_infinity_are_no_end_of_the_items(name: str, kept: int) -> None:
    """With 4 items, how many are left must be counted in each session."""
    agent = sunk(AGENTS[name]().restrict(None if kept == ITEMS else torch.arange(kept)))
    if getattr(agent, "k", None) == 1:
        pytest.skip("the nearest item is shown whatever its value")
    if hasattr(agent, "epsilon"):
        agent.epsilons = Epsilons(0.0)
    with pytest.raises(ValueError, match=VALUES + "; session 0 .*diverged"):
        rollout(agent, world(), TRAIN)
    for k in (1, 3):
        with pytest.raises(ValueError, match=VALUES + ".*diverged"):
            agent.recommend(Sessions.from_history([[0, 3]], [[1.0, -1.0]]), k=k)


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in WITHOUT_MODEL])
def test_a_session_in_which_nothing_is_left_is_no_divergence(name: str) -> None:
    agent = AGENTS[name]().restrict(torch.arange(3))
    sessions = rollout(agent, world(horizon=5), TRAIN)
    assert sessions.length.tolist() == [3] * len(TRAIN)


@pytest.mark.parametrize("name", LEARNS)
def test_a_loss_or_weight_that_is_no_number_is_an_error_of_the_learning_step(name: str) -> None:
    """Here, as the rewards are infinite."""
    agent = AGENTS[name]()
    sessions = rollout(agent, world(), TRAIN, True, torch.Generator().manual_seed(0))
    sessions.rewards[:, 1] = torch.inf
    with pytest.raises(ValueError, match="must be finite, got (nan|inf|-inf); learning has diverged"):
        agent.learn(sessions, torch.Generator().manual_seed(0))


def test_finite_losses_do_not_hide_weights() -> None:
    weights = [torch.ones(3), torch.tensor([1.0, torch.inf])]
    assert finite_report(("loss",), torch.tensor([2.0]), weights[:1]) == {"loss": 2.0}
    with pytest.raises(ValueError, match="`the agent's weights` must be finite, got inf"):
        finite_report(("loss",), torch.tensor([2.0]), weights)


@pytest.mark.parametrize("build", [
    lambda v: KGQR(knowledge_graph(data()), embedding=v.repeat(4, 1)),
    lambda v: TPGR.from_data(data(), TRAIN, embedding=v),
    DQNR, DDPGR, DDPGKNN, LinearUCB, HLinearUCB])
@pytest.mark.parametrize("scale", [1e30, 1e38])
def test_vectors_whose_products_overflow_are_refused(build, scale: float) -> None:
    with pytest.raises(ValueError, match=r"must be finite (numbers|vectors)"):
        build(torch.ones(ITEMS, 3) * scale)


@pytest.mark.parametrize("eta", [1e300, 1e38])
def test_a_streak_that_overflows_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match="`eta` must be a finite number in"):
        world(eta=eta)
    with pytest.raises(ValueError, match="`eta` must be a finite number in"):
        TPGR.from_data(data(), TRAIN, eta=eta)


def test_training_ends_with_an_error_where_rewards_are_too_large() -> None:
    with pytest.raises(ValueError, match="`loss` must be finite, got inf; learning has diverged.*smaller eta"):
        fit(AGENTS["DQNR"](), world(eta=1e30), TRAIN, interactions=24 * HORIZON * 4)


def test_an_agent_of_ones_own_that_reports_no_number_is_stopped() -> None:
    class Lost(nn.Module):
        def act(self, sessions: Sessions, explore: bool = False, generator: object = None) -> torch.Tensor:
            return torch.full_like(sessions.users, sessions.step)

        def learn(self, sessions: Sessions, generator: object = None) -> dict[str, float]:
            return {"loss": float("nan")}

    with pytest.raises(ValueError, match="`loss` must be finite, got nan"):
        fit(Lost(), world(), TRAIN, interactions=24 * HORIZON)


def test_where_a_step_cannot_be_looked_at_the_end_of_the_session_tells() -> None:
    """What the simulator does on other devices than a CPU: no number stands in the feedback of what was no item."""
    sessions = world().play(TRAIN, torch.arange(HORIZON).expand(len(TRAIN), -1))
    check_sessions(sessions, ITEMS, None)
    sessions.items[2, 3], sessions.feedback[2, 3] = -1, torch.nan
    with pytest.raises(ValueError, match=VALUES + "; user 2; the agent has diverged"):
        check_sessions(sessions, ITEMS, None)
    assert UNDEFINED < -1
