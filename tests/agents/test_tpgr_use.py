"""TPGR in use: decisions, what it is made of, saving, devices."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents import TPGR
from kgrl.agents.state.session_state import states_over
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from kgrl.tree import ClusterTree
from tests.agents.four_tastes import ITEMS, USERS, make, play, ratings


@pytest.fixture(scope="module")
def data() -> HeteroData:
    return ratings()


@pytest.fixture
def world(data: HeteroData) -> Simulator:
    return Simulator(RatedFeedback(data), eta=0.1, horizon=6)


# ---------------------------------------------------------------------------------------------------- decisions


def test_nothing_is_shown_twice_and_greedy_is_repeatable(data, world):
    agent = make(data)
    for explore in (True, False):
        items = play(agent, world, explore).items
        assert all(len(set(row)) == 6 for row in items.tolist())
    assert torch.equal(play(agent, world, False, seed=0).items, play(agent, world, False, seed=1).items)


def test_more_steps_than_items_end_the_session(data):
    world = Simulator(RatedFeedback(data), horizon=20)
    agent = make(data, horizon=20)
    sessions = play(agent, world)
    assert sessions.length.tolist() == [ITEMS] * USERS
    assert all(sorted(row) == list(range(ITEMS)) for row in sessions.items[:, :ITEMS].tolist())
    assert torch.tensor(list(agent.learn(sessions).values())).isfinite().all()


def test_recommend_for_real_users_of_any_length(data):
    agent = make(data)
    torch.nn.init.normal_(agent.policy.biases[0], generator=torch.Generator().manual_seed(0))  # no two items alike
    past = [[3], [], [0, 5, 9, 2]], [[1.0], [], [1.0, -1.0, 0.0, 0.5]]
    together = agent.recommend(Sessions.from_history(*past), k=5, beam=16)
    for row, (items, feedback) in enumerate(zip(*past, strict=True)):
        alone = Sessions.from_history([items], [feedback])
        after_the_last = states_over(agent.state, agent.items(), alone)[-1]
        ranked = agent.policy.probabilities(after_the_last, alone.items, agent._scores())[0].topk(5).indices
        assert torch.equal(together[row], ranked)
        assert not set(items) & set(together[row].tolist())
    with pytest.raises(ValueError, match="item ids below 16, got 16"):
        agent.recommend(Sessions.from_history([[16]], [[1.0]]))


# -------------------------------------------------------------------------------------- what it is made of, saving


def test_the_attached_tree_is_taken(data):
    own = data.clone()
    tree = ClusterTree.build(torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(5)), depth=4).attach(own)
    agent = TPGR.from_data(own, torch.arange(USERS))
    assert torch.equal(agent.tree.paths, tree.paths)


def test_other_horizons_and_embeddings_are_refused(data):
    with pytest.raises(ValueError, match=r"`sessions` must be of horizon 6, got 5; make the agent with horizon=5"):
        make(data).learn(Sessions.empty(torch.arange(3), 5))
    with pytest.raises(ValueError, match=r"`embedding` must be finite vectors \[16, d\], one an item, got \[5, 3\]"):
        make(data, embedding=torch.randn(5, 3))
    with pytest.raises(TypeError, match="`embedding` must be a tensor, got 'ndarray'"):
        make(data, embedding=torch.randn(16, 3).numpy())
    double = make(data, embedding=torch.randn(16, 3).double())
    assert {parameter.dtype for parameter in double.parameters()} == {torch.float}


def test_another_data_sets_tree_is_refused(data):
    tree = ClusterTree.build(torch.randn(ITEMS + 1, 3))
    with pytest.raises(ValueError, match="over the data set's 16 items, got 17"):
        make(data, tree=tree)


def test_kgqrs_state_encoder_serves(data, world):
    agent = make(data, state="kg", tree=ClusterTree.build(torch.randn(ITEMS, 3)))
    before = agent.items.embedding.detach().clone()
    for _ in range(2):  # at first the policy is zero, and nothing reaches the state
        agent.learn(play(agent, world))
    moved = (agent.items.embedding - before).abs().sum(1)
    assert (moved[ITEMS:] > 0).all()  # the entities' embeddings are trained through the convolution


@pytest.mark.parametrize("state", ["sru", "kg"])
def test_save_and_load_decide_alike(tmp_path, data, world, state):
    agent = make(data, state=state)
    agent.learn(play(agent, world))
    agent.save(tmp_path / "agent.safetensors")
    loaded = TPGR.load(tmp_path / "agent.safetensors", data, torch.arange(USERS))
    assert torch.equal(play(loaded, world, False).items, play(agent, world, False).items)
    assert loaded.options == agent.options


@pytest.mark.parametrize(("options", "message"), [
    ({"state": "gur"}, "`state` must be .*did you mean 'gru'"),
    ({"preset": "papers"}, "did you mean"), ({"gamma": -0.1}, "`gamma` must be"),
    ({"minibatches": 0}, "`minibatches` must be"), ({"clip": 2.0}, "`clip` must be"),
])
def test_bad_options_are_named(data, options, message):
    with pytest.raises(ValueError, match=message):
        make(data, **options)


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, data, world):
    def run(folder: str, interactions: int) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        agent = make(data, minibatches=2)
        curve = fit(agent, world, torch.arange(USERS), interactions=interactions, eval_users=torch.arange(8),
                    evaluate_every=240, sessions=40, checkpoint=tmp_path / folder, seed=3, progress=False,
                    pretrain_interactions=480)
        return curve, agent.state_dict()

    whole = run("whole", 1_200)
    run("parts", 720)
    parts = run("parts", 1_200)
    for mine, other in zip(parts[0], whole[0], strict=True):
        clocks = {"seconds": 0, "evaluation_seconds": 0}
        assert {**mine, **clocks} == {**other, **clocks}
    assert all(torch.equal(parts[1][name], value) for name, value in whole[1].items())


def test_a_checkpoint_of_another_tree_is_refused(tmp_path, data, world):
    def run(seed: int) -> None:
        vectors = torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(seed))
        fit(make(data, tree=ClusterTree.build(vectors)), world, torch.arange(USERS), interactions=240, sessions=40,
            checkpoint=tmp_path, progress=False)

    run(0)
    run(0)
    with pytest.raises(ValueError, match="agent data"):
        run(1)


def another_kg(data: HeteroData) -> HeteroData:
    """The same items, ratings and numbers of nodes; the KG links other pairs."""
    other = copy.deepcopy(data)
    for kind in other.edge_types:
        if "user" not in (kind[0], kind[2]):
            other[kind].edge_index = other[kind].edge_index.flip(1).roll(1, 1).index_copy(
                1, torch.arange(1), other[kind].edge_index[:, 3:4])
    return other


@pytest.mark.parametrize("change", ["embedding", "kg"])
def test_a_checkpoint_of_another_embedding_or_kg_is_refused(tmp_path, data, world, change):
    def run(of: HeteroData, scale: float) -> None:
        vectors = scale * torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(0))
        state = {"state": "kg"} if change == "kg" else {"embedding": vectors}
        fit(make(of, tree=ClusterTree.build(vectors / scale), **state), world, torch.arange(USERS), interactions=240,
            sessions=40, checkpoint=tmp_path, progress=False)

    run(data, 1.0)
    run(data, 1.0)
    with pytest.raises(ValueError, match="agent data"):
        run(another_kg(data), 2.0)


def test_load_refuses_another_kg_where_items_have_no_raw_ids(tmp_path, data):
    data = data.clone()
    for kind in ("item", "entity"):
        del data[kind].raw_id
    agent = make(data, state="kg")
    agent.save(tmp_path / "agent.safetensors")
    assert TPGR.load(tmp_path / "agent.safetensors", data, torch.arange(USERS)).data_digest == agent.data_digest
    with pytest.raises(ValueError, match="trained on another data set, and is of an agent whose items have no raw"):
        TPGR.load(tmp_path / "agent.safetensors", another_kg(data), torch.arange(USERS))


def test_same_seed_same_run_and_global_states_untouched(data, world):
    state = torch.get_rng_state()
    runs = []
    for _ in range(2):
        agent = make(data, seed=4)
        agent.learn(play(agent, world, seed=7), torch.Generator().manual_seed(1))
        runs.append(agent.state_dict())
    assert all(torch.equal(runs[0][name], value) for name, value in runs[1].items())
    assert torch.equal(torch.get_rng_state(), state)


def test_learns_on_every_device(device, data):
    world = Simulator(RatedFeedback(data), eta=0.1, horizon=6).to(device)
    agent = make(data).to(device)
    curve = fit(agent, world, torch.arange(USERS), interactions=480, eval_users=torch.arange(8), sessions=40,
                progress=False)
    assert torch.tensor(curve[-1]["reward"]).isfinite()
