"""TPGR's learning against formulas written out, and in a planted world."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.agents import TPGR, Random
from kgrl.agents.policy_gradient.finished_sessions import parts, returns
from kgrl.agents.state.session_state import states_over
from kgrl.evaluate import evaluate
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from kgrl.tree import ClusterTree
from tests.agents.four_tastes import GROUPS, ITEMS, USERS, make, play, ratings


@pytest.fixture(scope="module")
def data() -> HeteroData:
    return ratings()


@pytest.fixture
def world(data: HeteroData) -> Simulator:
    return Simulator(RatedFeedback(data), eta=0.1, horizon=6)


def test_rollout_and_learning_agree_on_the_log_probability(data, world):
    """What `act` writes while it walks is what the gradient is taken of, masks of shown items included."""
    agent = make(data)
    sessions = play(agent, world)
    states = states_over(agent.state, agent.items(), sessions)[:-1]
    log_prob, _ = agent.policy.session_log_prob_and_entropy(states, sessions.shown, agent._scores())
    torch.testing.assert_close(log_prob.t(), sessions.log_prob)
    for step in range(6):  # and one step at a time, by the probabilities of all items
        gone = sessions.items[:, :step]
        everything = agent.policy.probabilities(states[step], gone, agent._scores())
        torch.testing.assert_close(everything.gather(1, sessions.items[:, step : step + 1]).log().squeeze(1),
                                   sessions.log_prob[:, step])


@pytest.mark.parametrize("options", [{"preset": "paper"}, {"entropy": 0.1}, {"clip": 0.2}])
def test_one_gradient_step_is_the_formula(data, world, options):
    agent = make(data, weight_decay=0.01, lr=0.02, **options)
    sessions = play(agent, world)
    if "clip" in options:  # as if another policy had acted
        sessions.log_prob += 0.5 * torch.randn(sessions.log_prob.shape, generator=torch.Generator().manual_seed(3))
    advantages = returns(sessions, *(agent.options[name] for name in ("gamma", "baseline", "standardise")))
    states, objective = states_over(agent.state, agent.items(), sessions)[:-1], torch.zeros(())
    for step in range(6):
        gone, items = sessions.items[:, :step], sessions.items[:, step]
        log_prob = agent.policy.log_prob(states[step], items, gone, agent._scores())
        gain = log_prob * advantages[:, step]
        if "clip" in options:
            ratio = (log_prob - sessions.log_prob[:, step]).exp()
            gain = torch.minimum(ratio * advantages[:, step], ratio.clamp(0.8, 1.2) * advantages[:, step])
        objective = objective - gain.sum()
        entropy = agent.policy.log_prob_and_entropy(states[step], items, gone, agent._scores())[1]
        objective = objective - agent.options["entropy"] * entropy.sum()
    parameters = agent.optimizer.param_groups[0]["params"]
    expected = torch.autograd.grad(objective / (USERS * 6), parameters)
    before = [p.detach().clone() for p in parameters]
    agent._gradient_step(sessions, advantages)
    for parameter, gradient, old in zip(parameters, expected, before, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
        decayed = gradient + 0.01 * old  # L2 goes into Adam's gradient
        moved = old - 0.02 * decayed / (decayed.abs() + 1e-8)
        clear = decayed.abs() > 1e-5
        torch.testing.assert_close(parameter.detach()[clear], moved[clear], atol=1e-4, rtol=1e-3)


def test_the_paper_preset_is_plain_reinforce(data):
    agent = make(data, preset="paper", taste_channels=None)
    assert [type(part).__name__ for part in agent.state.parts] == ["RewardedItems", "UserStatus"]
    assert (agent.options["baseline"], agent.options["standardise"], agent.options["entropy"]) == (False, False, 0.0)


@pytest.mark.parametrize(("name", "value"), [
    ("entropy", 0.5), ("baseline", True), ("standardise", True), ("clip", 0.1)])
def test_an_option_that_is_given_holds_in_every_preset(data, name, value):
    """And the others are what the preset has: the printed method with one thing added."""
    plain = TPGR.from_data(data, torch.arange(USERS), preset="paper").options
    assert TPGR.from_data(data, torch.arange(USERS), preset="paper", **{name: value}).options == {**plain, name: value}


def test_a_taste_state_that_is_asked_for_is_there_in_every_preset(data):
    agent = TPGR.from_data(data, torch.arange(USERS), preset="paper", taste_channels=3)
    assert agent.state.taste.channels == 3


@pytest.mark.parametrize("options", [{}, {"clip": 0.2, "minibatches": 3}])
def test_nothing_is_learned_from_an_item_that_the_protocol_chose(data, options):
    """The gradient is that of the later steps alone, by hand: as if a session began with its second item."""
    agent = make(data, entropy=0.1, **options)
    agent.options["minibatches"] = 1
    sessions = play(agent, Simulator(RatedFeedback(data), eta=0.1, horizon=6, first=torch.arange(ITEMS)))
    assert sessions.log_prob[:, 0].isnan().all()
    gain = torch.stack([sum(0.3**(later - step) * sessions.rewards[:, later] for later in range(step, 6))
                        for step in range(1, 6)])
    gain = gain - gain.mean(1, keepdim=True)
    gain = gain / gain.square().mean().sqrt()
    states, objective = states_over(agent.state, agent.items(), sessions)[:-1], torch.zeros(())
    for step in range(1, 6):
        found = agent.policy.log_prob_and_entropy(states[step], sessions.items[:, step], sessions.items[:, :step],
                                                  agent._scores())
        ratio = (found[0] - sessions.log_prob[:, step]).exp()
        objective = objective - ((ratio if options else found[0]) * gain[step - 1] + 0.1 * found[1]).mean() / 5
    expected = torch.autograd.grad(objective, parameters := agent.optimizer.param_groups[0]["params"])
    agent.learn(sessions)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


def test_what_it_did_not_decide_it_does_not_learn_from(data, world):
    with pytest.raises(ValueError, match="`sessions` must be of steps that the agent decided, got 'none"):
        make(data).learn(world.play_random(torch.arange(USERS), torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(("options", "frozen", "minibatches"), [
    ({}, True, 4), ({"state": "SRU"}, True, 4), ({"state": "gru"}, False, 4), ({"state": "kg"}, False, 4),
    ({"taste_channels": 0}, False, 4), ({"preset": "paper"}, False, 1),
    ({"preset": "paper", "taste_channels": 3}, False, 1), ({"frozen": False, "minibatches": 2}, False, 2),
    ({"preset": "paper", "frozen": True, "minibatches": 2}, True, 2)])
def test_a_state_that_is_not_needed_stays_as_it_is(data, world, options, frozen, minibatches):
    """The recurrent state is trained where nothing else remembers the session, and where it is the user's choice."""
    agent = TPGR.from_data(data, torch.arange(USERS), horizon=6, **options)
    assert (agent.options["frozen"], agent.options["minibatches"]) == (frozen, minibatches)
    before = [parameter.clone() for parameter in agent.state.part("recurrent").parameters()]
    for _ in range(2):  # where the taste state says all at first, the first step reaches the nodes alone
        agent.learn(play(agent, world), torch.Generator().manual_seed(0))
    after = agent.state.part("recurrent").parameters()
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True)) == frozen


@pytest.mark.parametrize(("count", "sizes"), [
    (1, [10]), (3, [3, 3, 4]), (4, [2, 3, 2, 3]), (10, [1] * 10), (20, [1] * 10)])
def test_a_batch_is_parted_as_it_stands_and_then_by_chance(count, sizes):
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    first, later = (parts(order, count, shuffled) for shuffled in (False, True))
    assert [len(torch.arange(10)[part]) for part in first] == [len(part) for part in later] == sizes
    assert torch.cat([torch.arange(10)[part] for part in first]).tolist() == list(range(10))
    assert torch.cat([torch.arange(10)[part] for part in later]).tolist() == order.tolist()


def test_minibatches_and_epochs_are_gradient_steps(data, world):
    agent = make(data, minibatches=4, epochs=3, clip=0.2)
    report = agent.learn(play(agent, world), torch.Generator().manual_seed(0))
    assert report["gradient_steps"] == 12
    assert all(torch.tensor(list(report.values())).isfinite())


def test_pretraining_is_one_step_on_the_error_of_recalled_rewards(data, world):
    """Against a loop over sessions and steps, with the same draws."""
    agent = make(data, pretrain_lr=0.01)
    sessions = play(agent, world)
    sessions.length[0] = 2  # what stands after a session's end counts for nothing
    draws = torch.rand(6, USERS, generator=torch.Generator().manual_seed(4))
    hidden, losses = states_over(agent.state, agent.items(), sessions)[:, :, :5], []
    for row in range(USERS):
        for step in range(int(sessions.length[row])):
            asked = int(draws[step, row] * (step + 1))
            key = torch.cat([agent.items.embedding[sessions.items[row, asked]], torch.ones(1)])
            losses.append((agent.memory.key(hidden[step + 1, row]) @ key - sessions.rewards[row, asked]) ** 2)
    expected = torch.stack(losses).mean()
    parameters = [*agent.items.parameters(), *agent.state.parameters(), *agent.memory.parameters()]
    gradients, before = torch.autograd.grad(expected, parameters), [p.detach().clone() for p in parameters]
    report = agent.pretrain(sessions, torch.Generator().manual_seed(4))
    assert report["loss"] == pytest.approx(expected.item(), rel=1e-5)
    for parameter, gradient, old in zip(parameters, gradients, before, strict=True):
        clear = gradient.abs() > 1e-5  # Adam's first step, up to its ε
        torch.testing.assert_close(parameter.detach()[clear], (old - 0.01 * gradient.sign())[clear], atol=1e-4, rtol=0)


def test_pretraining_learns_to_recall(data, world):
    agent = make(data, state_channels=16, pretrain_lr=0.01)
    losses = []
    for seed in range(80):
        sessions = world.play_random(torch.arange(USERS), torch.Generator().manual_seed(seed))
        losses.append(agent.pretrain(sessions, torch.Generator().manual_seed(seed))["loss"])
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"minibatches": 3}, {"frozen": True, "minibatches": 3}])
def test_what_is_kept_of_the_rollout_changes_nothing(data, world, options):
    """An update on sessions that the agent has just played, and on copies of them, of which it kept nothing."""
    weights = []
    for copied in (False, True):
        agent = make(data, lr=0.1, **options)
        for seed in range(2):
            sessions = play(agent, world, seed=seed)
            if copied:
                sessions = sessions.rows(torch.arange(USERS))
            agent.learn(sessions, torch.Generator().manual_seed(0))
        weights.append(agent.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("change", ["other items", "other weights"])
def test_what_is_kept_is_forgotten_where_it_is_no_longer_true(data, world, change):
    """Where something else was shown than the agent chose, or its history has learned since, all is found out anew."""
    losses = []
    for copied in (False, True):
        agent = make(data, frozen=True)
        torch.nn.init.normal_(agent.policy.weights[0], generator=torch.Generator().manual_seed(0))
        sessions = play(agent, world)
        if change == "other items":
            sessions.items = sessions.items.roll(1, 0)
        else:
            agent.pretrain(sessions, torch.Generator().manual_seed(0))
        losses.append(agent.learn(sessions.rows(torch.arange(USERS)) if copied else sessions)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_used_agent_goes_on_from_a_checkpoint_like_a_new_one(tmp_path, data, world):
    """Nothing that it knew of its former weights is used."""
    agents = [make(data, lr=0.1) for _ in range(2)]
    for seed, agent in enumerate(agents):
        fit(agent, world, torch.arange(USERS), interactions=720, sessions=40, checkpoint=tmp_path / str(seed),
            seed=seed, progress=False)
        play(agent, world, False)
    fit(agents[0], world, torch.arange(USERS), interactions=720, sessions=40, checkpoint=tmp_path / "1", seed=1,
        progress=False)
    assert torch.equal(play(agents[0], world, False).items, play(agents[1], world, False).items)


@pytest.mark.parametrize("options", [{}, {"preset": "paper"}, {"state": "kg"}, {"hidden": [4]}])
def test_learns_in_mixed_precision(data, world, options):
    agent = make(data, **options)
    curve = fit(agent, world, torch.arange(USERS), interactions=720, sessions=40, eval_users=torch.arange(8),
                pretrain_interactions=240, precision="bf16-mixed", progress=False)
    assert torch.tensor(curve[-1]["reward"]).isfinite()
    assert all(parameter.isfinite().all() for parameter in agent.parameters())


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_history_stays_and_the_policy_learns(data, world, frozen):
    agent = make(data, frozen=frozen)
    before = {name: value.clone() for name, value in agent.state_dict().items()}
    agent.learn(play(agent, world))
    agent.learn(play(agent, world))  # at first the policy is zero, and nothing reaches the state
    changed = {name for name, value in agent.state_dict().items() if not torch.equal(value, before[name])}
    assert "policy.weights.0" in changed
    assert any(name.startswith(("items.", "state.")) for name in changed) != frozen


def test_fit_pretrains_first_and_counts_it(data, world):
    agent = make(data)
    calls = []
    agent.pretrain = lambda sessions, generator: calls.append(("pretrain", sessions)) or {"gradient_steps": 1}
    agent.learn = lambda sessions, generator: calls.append(("learn", sessions)) or {"gradient_steps": 1}
    fit(agent, world, torch.arange(USERS), interactions=1_200, pretrain_interactions=500, sessions=40, progress=False)
    assert [name for name, _ in calls] == ["pretrain"] * 3 + ["learn"] * 2
    assert all(sessions.log_prob.isnan().all() == (name == "pretrain") for name, sessions in calls)
    with pytest.raises(ValueError, match="`pretrain_interactions` must be 0 for an agent without `pretrain`"):
        fit(Random(num_items=ITEMS), world, torch.arange(USERS), interactions=60, pretrain_interactions=6)


def test_the_true_tree_learns_faster_than_a_random_one(data):
    """The clusters are the groups that users like: with them, plain REINFORCE finds tastes sooner."""
    world = Simulator(RatedFeedback(data), horizon=4)
    groups = torch.nn.functional.one_hot(torch.arange(ITEMS) % GROUPS, GROUPS).float()
    noise = 1e-3 * torch.randn(ITEMS, GROUPS, generator=torch.Generator().manual_seed(0))
    true = ClusterTree.build(groups * torch.tensor([1.0, 2.0, 3.0, 4.0]) + noise, method="kmeans")
    assert all(len(set((true.subtree([digit]) % GROUPS).tolist())) == 1 for digit in range(4))
    random = ClusterTree(true.paths[torch.randperm(ITEMS, generator=torch.Generator().manual_seed(1))], true.children)

    def learned(tree: ClusterTree) -> float:
        scores = []
        for seed in range(3):
            agent = make(data, tree=tree, taste_channels=0, horizon=4, eta=0.0, gamma=0.6, lr=0.02, seed=seed)
            fit(agent, world, torch.arange(USERS), interactions=12_800, sessions=80, seed=seed, progress=False)
            scores.append(evaluate(agent, world, torch.arange(USERS)).reward)
        return sum(scores) / len(scores)

    with_groups, without = learned(true), learned(random)
    assert with_groups > without + 0.1


def test_a_states_name_is_the_same_in_capitals(data):
    """Bins and the range of rewards reach the state however its name is written."""
    small, capital = (make(data, state=name, bins=4, eta=0.2) for name in ("sru", "SRU"))
    assert capital.options == small.options
    parts = [agent.state.part("recurrent") for agent in (small, capital)]
    assert [(part.bins, part.highest) for part in parts] == [(4, 1 + 0.2 * 5)] * 2
