"""What holds of every agent: it keeps to the items that it may recommend, and knows a past for what it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from math import isfinite

import pytest
import torch
from torch import Tensor, nn

from kgrl.agents import DDPGR, DQNR, KGQR
from kgrl.agents.policy_gradient.finished_sessions import returns
from kgrl.agents.state.session_state import advance, states_over
from kgrl.graph import knowledge_graph
from kgrl.nn.state.recurrent_units import STATUS
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import Boredom, Leaving, Past, RatedFeedback, Simulator
from kgrl.train import fit
from tests.agents.every_agent import AGENTS, COUNTS_STEPS, HORIZON, ITEMS, LONGEST, NEW, OLD, TRAIN, data, world

EVERY = pytest.mark.parametrize("name", AGENTS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def history(sessions: Sessions, name: str) -> Sessions:
    """The past that sessions begin with, as lists of real users."""
    rows = [row >= 0 for row in sessions.shown]
    lists = [[part[row][keep].tolist() for row, keep in enumerate(rows)] for part in (sessions.items[:, :LONGEST],
                                                                                      sessions.feedback[:, :LONGEST])]
    made = Sessions.from_history(*lists)
    if name not in COUNTS_STEPS:
        return made
    return replace(made, begin=made.step, length=made.length * 0, streak=made.streak * 0)


@EVERY
@pytest.mark.parametrize("explore", [True, False])
def test_restricted_it_recommends_these_items_and_all_of_them(name: str, explore: bool) -> None:
    agent, there = AGENTS[name](), world(horizon=len(NEW) + 2)
    assert agent.restrict(NEW) is agent
    sessions = rollout(agent, there, TRAIN, explore, generator())  # the simulator refuses every other item
    assert all(sorted(row) == sorted(NEW.tolist()) for row in sessions.items[:, : len(NEW)].tolist())
    assert sessions.length.tolist() == [len(NEW)] * len(TRAIN)
    assert set(agent.recommend(Sessions.from_history([[0, 2]], [[1.0, -1.0]]), k=20)[0].tolist()) - {-1} <= set(
        NEW.tolist()) - {2}


@EVERY
def test_it_plays_and_learns_where_users_leave(name: str) -> None:
    """Who has left is shown nothing more, whatever the agent proposes, and what it learns from that is a number."""
    agent = AGENTS[name]()
    there = Simulator(RatedFeedback(data()), eta=0.1, horizon=HORIZON, leaving=Boredom(torch.arange(ITEMS) % 4, 2, 0))
    sessions = rollout(agent, there, TRAIN, True, generator())
    assert sessions.left.any()
    assert bool((sessions.length[sessions.left] < HORIZON).any())
    after = torch.arange(HORIZON) >= sessions.length.unsqueeze(1)
    assert (sessions.items[after] == -1).all()
    assert not sessions.rewards[after].any()
    if hasattr(agent, "learn"):
        assert all(isfinite(value) for value in (agent.learn(sessions, generator()) or {}).values())


@pytest.mark.parametrize("name", ["KGQR, popular", "DQNR", "DDPGR"])
def test_nothing_is_bootstrapped_after_a_user_left(name: str) -> None:
    """All leave after their first item: whatever γ is, what is learned is the reward alone."""
    class AtOnce(Leaving):
        def forward(self, sessions: Sessions, items: Tensor, feedback: Tensor) -> Tensor:
            return torch.ones_like(items, dtype=torch.bool)

    agent = AGENTS[name]()
    agent.gamma = 0.9
    agent.replay.add(rollout(agent, Simulator(RatedFeedback(data()), horizon=HORIZON, leaving=AtOnce), TRAIN, True,
                             generator()))
    batch = agent.replay.sample(40, generator())
    assert batch.last.all()
    assert batch.after.left.all()
    assert batch.rewards.any()
    torch.testing.assert_close(agent._targets(agent.network.view(project=False), batch, generator()), batch.rewards)


@EVERY
def test_lifted_it_decides_as_before(name: str) -> None:
    agent = AGENTS[name]()
    past = Sessions.from_history([[0, 3], [], [4, 2, 9]], [[1.0, -1.0], [], [1.0, 1.0, 0.0]])
    before = agent.recommend(past, k=ITEMS)
    assert not set(before.unique().tolist()) - {-1} <= set(NEW.tolist())
    within = agent.restrict(NEW).recommend(past, k=ITEMS)
    assert set(within.unique().tolist()) - {-1} <= set(NEW.tolist())
    assert torch.equal(agent.restrict(None).recommend(past, k=ITEMS), before)


@EVERY
def test_a_copy_and_the_files_are_as_if_unrestricted(name: str, tmp_path) -> None:
    agent = AGENTS[name]()
    names = set(agent.state_dict())
    agent.restrict(NEW)
    assert set(agent.state_dict()) == names
    assert torch.equal(copy.deepcopy(agent).recommend(Sessions.from_history([[0]], [[1.0]]), k=3),
                       agent.recommend(Sessions.from_history([[0]], [[1.0]]), k=3))


@EVERY
@pytest.mark.parametrize(("items", "message"), [
    ([], "at least one item id"), ([0, 1, 0], "every item at most once, got '1 repeated'|each item once"),
    ([-1, 2], "item ids in"),
])
def test_it_refuses_what_are_no_items(name: str, items: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AGENTS[name]().restrict(torch.tensor(items, dtype=torch.long))


@EVERY
def test_it_refuses_unknown_items(name: str) -> None:
    with pytest.raises(ValueError, match=rf"`items` must be item ids in \[0, {ITEMS}\)|some items that the ranking"):
        AGENTS[name]().restrict(torch.tensor([ITEMS]))


def test_candidates_of_ones_own_need_restrict() -> None:
    class Rule(nn.Module):
        def select(self, seeds: Tensor, *_: object) -> tuple[Tensor, Tensor]:
            return torch.ones(len(seeds), dtype=torch.long), torch.arange(len(seeds))

    with pytest.raises(TypeError, match=r"a module with `restrict\(items\)`"):
        KGQR(knowledge_graph(data()), dim=4, candidates=Rule()).restrict(NEW)


@EVERY
def test_a_past_is_a_history(name: str) -> None:
    """The first decision is that for the same items as lists, whatever stands before the first of them."""
    agent, sessions = AGENTS[name]().restrict(NEW).eval(), world(past=True).reset(TRAIN)
    lists = history(sessions, name)
    assert sessions.begin == LONGEST
    assert (sessions.items[:, 0] < 0).any(), "somebody has rated fewer"
    first = agent.act(sessions, False, generator())
    assert torch.equal(first, agent.act(lists, False, generator()))
    assert torch.equal(agent.recommend(sessions, k=4), agent.recommend(lists, k=4))


# an actor and critic that have hardly learned rank few items alike for everybody
ALIKE = {"Random", "Random of candidates", "FixedList", *(name for name in AGENTS if name.startswith("DDPGKNN"))}


@pytest.mark.parametrize("name", [name for name in AGENTS if name.startswith("TPGR")])
def test_in_the_state_of_a_tree_policy_a_past_is_no_step(name: str) -> None:
    """The status does not count it, what stands before the first item changes nothing, and the rest is a history's."""
    agent, sessions = AGENTS[name]().eval(), world(past=True).reset(TRAIN)
    hidden, found = agent.state.recurrent.channels, _states(agent, sessions)[-1]
    assert not found[:, hidden : hidden + STATUS].any()
    for user in TRAIN.tolist():
        there = sessions.items[user] >= 0
        alone = Sessions.from_history([sessions.items[user][there].tolist()], [sessions.feedback[user][there].tolist()])
        state = _states(agent, alone)[-1, 0]
        torch.testing.assert_close(found[user, :hidden], state[:hidden])
        torch.testing.assert_close(found[user, hidden + STATUS :], state[hidden + STATUS :])
    items = agent.state.items(agent.items())
    torch.testing.assert_close(advance(agent, agent.state, items, sessions), found)


def _states(agent: nn.Module, sessions: Sessions) -> Tensor:
    return states_over(agent.state, agent.items(), sessions)


def test_a_tree_policy_knows_in_learning_that_a_past_is_gone() -> None:
    """The first pass finds the probabilities that the items were drawn with: PPO's ratios are 1."""
    agent = AGENTS["TPGR, deep and frozen"]()
    agent.options |= {"epochs": 1, "minibatches": 1}
    sessions, draws = Past.from_data(data(), OLD, longest=LONGEST).begin(TRAIN, HORIZON, 0.0), generator()
    for step in range(LONGEST, LONGEST + HORIZON):  # no world: a restricted agent would not come by old items
        sessions.items[:, step] = agent.act(sessions, True, draws)
        sessions.rewards[:, step] = torch.rand(len(TRAIN), generator=draws)
        sessions.length += 1
        sessions.step += 1
    gain = returns(sessions, 0.3, True, True)[:, LONGEST:].mean()
    copied = sessions.rows(torch.arange(len(TRAIN)))  # of which the agent does not remember the walks
    assert agent.learn(copied)["loss"] == pytest.approx(-float(gain), abs=1e-5)


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in ALIKE])
def test_a_past_matters(name: str) -> None:
    agent = AGENTS[name]().restrict(NEW)
    if hasattr(agent, "gradient_steps"):
        fit(agent, world(past=True), TRAIN, interactions=8 * 24 * HORIZON, sessions=24)
    ranked = [agent.recommend(there.reset(TRAIN), k=len(NEW)) for there in (world(past=True), world())]
    assert not torch.equal(*ranked)


@EVERY
def test_it_learns_from_sessions_with_a_past(name: str) -> None:
    agent, shown = AGENTS[name]().restrict(NEW), 24 * HORIZON
    curve = fit(agent, world(past=True), TRAIN, eval_users=TRAIN, interactions=2 * shown, sessions=24,
                evaluate_every=shown, pretrain_interactions=shown if name.startswith("TPGR") else 0)
    assert [row["interactions"] for row in curve] == [shown, 2 * shown]  # a past is none
    assert all(torch.tensor(list(row.values())).isfinite().all() for row in curve)
    assert all(value.isfinite().all() for value in agent.state_dict().values() if value.is_floating_point())


@EVERY
def test_old_items_are_not_shown_in_a_session_with_a_past(name: str) -> None:
    """Nor where the agent may recommend all items: what a user has rated she is not shown."""
    agent, sessions = AGENTS[name](), world(past=True).reset(TRAIN)
    items = agent.act(sessions, False, generator())
    assert not (sessions.shown == items.unsqueeze(1)).any()
    assert items.max() < ITEMS
    assert len(OLD) + len(NEW) == ITEMS


@EVERY
def test_without_a_generator_nothing_is_drawn_from_the_global_state(name: str) -> None:
    """And what it draws is the same each time: acting, learning and recommending."""
    found, there = [], world()
    for seed in (0, 1):
        torch.manual_seed(seed)
        state, agent = torch.get_rng_state(), AGENTS[name]()
        sessions = there.reset(TRAIN)
        for _ in range(HORIZON):
            there.step(sessions, agent.restrict(NEW).act(sessions, True))
        report = agent.learn(sessions)
        if name.startswith("TPGR"):
            report |= agent.pretrain(sessions)
        found.append((sessions.items, report, agent.recommend(sessions, k=3)))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert torch.equal(found[0][2], found[1][2])


@EVERY
def test_deciding_records_no_gradients(name: str) -> None:
    agent, there, kept = AGENTS[name]().restrict(NEW), world(), []
    if hasattr(agent, "averaged"):
        agent.averaged = None  # it decides by what learns

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    sessions = there.reset(TRAIN)
    with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
        for explore in (True, False):
            items = agent.act(sessions, explore, generator())
        agent.recommend(there.step(sessions, items), k=3)
    assert not kept, "what backward would need"
    assert not sessions.log_prob.requires_grad


LENGTH = torch.arange(ITEMS) * 7 % ITEMS * 3.0 + 80
YEAR_AND_LENGTH = torch.stack([torch.arange(ITEMS) + 1980.0, LENGTH], 1)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e9])
@pytest.mark.parametrize("make", [DQNR, DDPGR, KGQR])
def test_vectors_too_large_to_infer_a_taste_are_named_and_standardised_ones_do(make: type, scale: float) -> None:
    kg, there = knowledge_graph(data()), Simulator(RatedFeedback(data()), horizon=HORIZON)

    def trained(vectors: Tensor) -> nn.Module:
        if make is KGQR:
            rest = vectors.new_zeros(kg.num_nodes - ITEMS, 2)
            agent = KGQR(kg, embedding=torch.cat([vectors, rest]), horizon=HORIZON)
        else:
            agent = make(vectors, horizon=HORIZON)
        fit(agent, there, TRAIN, interactions=300, progress=False)
        return agent

    vectors = YEAR_AND_LENGTH * scale
    if make is not KGQR or scale > 1:  # whose encoder makes them smaller
        with pytest.raises(ValueError, match="standardise the vectors .*`vectors` or `embedding`"):
            trained(vectors)
    trained((vectors - vectors.mean(0)) / vectors.std(0))


@pytest.mark.parametrize("name", [name for name in AGENTS if not name.startswith("Random")])  # which has no numbers
@pytest.mark.parametrize("kind", [torch.half, torch.bfloat16])
def test_half_precision_is_refused_and_nothing_has_changed(name: str, kind: torch.dtype) -> None:
    agent, there = AGENTS[name](), Simulator(RatedFeedback(data()), horizon=HORIZON)
    before = rollout(copy.deepcopy(agent), there, TRAIN, False, generator()).items
    with pytest.raises(ValueError, match="not meant for half precision.*bf16-mixed"):
        agent.to(kind)
    assert not {part.dtype for part in agent.state_dict().values()} & {torch.half, torch.bfloat16}
    assert torch.equal(rollout(agent, there, TRAIN, False, generator()).items, before)
    agent.double()


@EVERY
def test_a_past_of_unknown_items_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=str(ITEMS)):
        AGENTS[name]().recommend(Sessions.from_history([[0, 99]], [[1.0, -1.0]]), k=3)


@EVERY
def test_a_list_longer_than_there_are_items_is_padded_and_one_beyond_all_bounds_refused(name: str) -> None:
    agent, past = AGENTS[name](), Sessions.from_history([[0, 2], []], [[1.0, -1.0], []])
    short, long = agent.recommend(past, k=ITEMS), agent.recommend(past, k=100_000)
    assert long.shape == (2, 100_000)
    assert torch.equal(long[:, :ITEMS].sort(1).values, short.sort(1).values)  # of equal values, a tree has no first
    assert not (long[:, ITEMS:] + 1).any()
    with pytest.raises(ValueError, match="`k` must be at most"):
        agent.recommend(past, k=10**12)
