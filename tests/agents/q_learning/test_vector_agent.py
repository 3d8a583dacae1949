"""What holds of every agent over item vectors: both worlds, the pool, exploring, saving, resuming, learning."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrl.agents import DDPGR, DQNR
from kgrl.agents.q_learning.vector_agent import VectorAgent
from kgrl.agents.state.recurrent import LikedItems, RewardedItems
from kgrl.evaluate import evaluate
from kgrl.parts import UnusedOption
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.train import fit
from tests.agents.every_agent import MeanItem
from tests.agents.planted_items import AGENTS, ITEMS, USERS, WORLDS, make, predicted, vectors

EVERY = pytest.mark.parametrize("name", AGENTS)
STATES = pytest.mark.parametrize("state", [{}, {"streak_state": True, "taste_channels": 3, "target": "all"}])


def learned(name: str, **options) -> VectorAgent:
    """An agent that has learned a little from the predicted world."""
    agent, generator = make(name, **options), torch.Generator().manual_seed(0)
    for _ in range(2):
        agent.learn(rollout(agent, predicted(), torch.arange(USERS), True, generator), generator)
    return agent


# ------------------------------------------------------------------------------------------------------ sessions


@EVERY
@STATES
@pytest.mark.parametrize("kind", WORLDS)
def test_nothing_twice_and_an_end(name, state, kind, device) -> None:
    world, agent = WORLDS[kind](horizon=ITEMS + 3).to(device), make(name, horizon=ITEMS + 3, **state).to(device)
    generator, users = torch.Generator(device).manual_seed(0), torch.arange(7, device=device)
    for explore in (True, False):
        sessions = rollout(agent, world, users, explore, generator)
        assert all(sorted(row) == list(range(ITEMS)) for row in sessions.items[:, :ITEMS].tolist())
        assert sessions.length.tolist() == [ITEMS] * 7
        assert (sessions.items[:, ITEMS:] == -1).all()
        report = agent.learn(sessions, generator)
        assert all(torch.tensor(list(report.values())).isfinite())
        assert report["gradient_steps"] == 3


@EVERY
@pytest.mark.parametrize("explore", [True, False])
def test_only_the_pool_is_recommended_and_all_of_it(name, explore) -> None:
    pool = torch.tensor([21, 3, 8, 14, 5])
    agent, world = make(name, pool=pool, epsilon=0.3), predicted(horizon=8)
    generator = torch.Generator().manual_seed(0)
    sessions = rollout(agent, world, torch.arange(USERS), explore, generator)
    for row in sessions.items.tolist():
        assert sorted(set(row[1:]) - {-1}) == sorted(set(pool.tolist()) - {row[0]})  # the world chose the first
    agent.learn(sessions, generator)
    batch = agent.replay.sample(200, generator)
    chosen = agent._following(*outlooks(agent, batch.after), batch.after, None)
    left = [set(pool.tolist()) - set(row) for row in batch.after.items.tolist()]
    assert all(item in some if some else item == -1 for item, some in zip(chosen.tolist(), left, strict=True))


def outlooks(agent: VectorAgent, sessions: Sessions):
    """The sessions as online network and target see them."""
    view = agent.network.view(project=False)
    online = agent._look(sessions)._replace(network=agent.network, head=agent.network.head, view=view,
                                            state=agent.network.states(view, sessions))
    return online, agent._delayed(online, sessions)


@EVERY
def test_strays_are_uniform_over_what_is_left_of_the_pool(name) -> None:
    pool = torch.tensor([20, 2, 7, 11, 16])
    agent = make(name, pool=pool, epsilon=1.0)
    past = Sessions.from_history([[7, 1]], [[1.0, -1.0]]).rows(torch.zeros(8_000, dtype=torch.long))
    past.step = 2
    picks = agent.act(past, explore=True, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(picks, minlength=ITEMS) / len(picks)
    torch.testing.assert_close(share[[20, 2, 11, 16]], torch.full((4,), 0.25), atol=0.02, rtol=0)
    assert share[[20, 2, 11, 16]].sum() == 1


def test_epsilon_is_spread_over_the_sessions_of_a_rollout() -> None:
    agent = make("DQNR", epsilon=(0.05, 0.8), average=0.0)
    past = Sessions.empty(torch.zeros(100_000, dtype=torch.long), 6)
    off = agent.act(past, True, torch.Generator().manual_seed(0)) != agent.act(past)
    rates = 0.05 * 16 ** torch.linspace(0, 1, 100_000)
    torch.testing.assert_close(off.float().view(10, -1).mean(1), rates.view(10, -1).mean(1) * (1 - 1 / ITEMS),
                               atol=0.02, rtol=0)


@EVERY
def test_exploring_needs_no_generator_and_leaves_the_global_state_alone(name) -> None:
    before = torch.get_rng_state()
    agent = make(name, noise=1.0) if name != "DQNR" else make(name)
    past = Sessions.empty(torch.zeros(5, dtype=torch.long), 6)
    assert torch.equal(agent.act(past, explore=True), agent.act(past, explore=True))
    assert torch.equal(before, torch.get_rng_state())


@EVERY
def test_a_long_batch_is_ranked_in_parts(name, monkeypatch) -> None:
    agent = learned(name)
    whole = rollout(agent, predicted(), torch.arange(USERS)).items
    monkeypatch.setattr("kgrl.agents.shared.picking._CELLS", 7 * ITEMS + 1)  # 7 sessions a part
    assert torch.equal(rollout(agent, predicted(), torch.arange(USERS)).items, whole)


@EVERY
def test_recommend_begins_with_what_it_would_show(name) -> None:
    agent = learned(name, taste_channels=2)
    past = Sessions.from_history([[0, 4, 9], [1], []], [[1.0, 0.9, -0.5], [1.0], []])
    found = agent.recommend(past, k=ITEMS + 2)
    for row, shown in enumerate(([0, 4, 9], [1], [])):
        assert sorted(found[row, : ITEMS - len(shown)].tolist()) == sorted(set(range(ITEMS)) - set(shown))
        assert (found[row, ITEMS - len(shown) :] == -1).all()
    assert torch.equal(found[:, 0], agent.act(past))
    for k in (1, 2, 5, 6, 20):
        assert torch.equal(agent.recommend(past, k=k), found[:, :k])
    assert torch.equal(agent.recommend(past, k=1)[:, 0], agent.act(past))
    with pytest.raises(ValueError, match="item ids below 24, got 24"):
        agent.recommend(Sessions.from_history([[24]], [[1.0]]))
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        agent.recommend(past, k=0)


@EVERY
def test_what_is_recommended_to_one_is_not_the_others_business(name) -> None:
    agent, empty = learned(name, taste_channels=2, streak_state=True), ([], [])
    pasts = [([0, 4, 9], [1.0, 0.9, -0.5]), ([1], [1.0]), empty, (list(range(20)), [0.5, -0.5] * 10)]
    together = agent.recommend(Sessions.from_history(*zip(*pasts, strict=True)), k=4)
    for row, (items, feedback) in enumerate(pasts):
        assert torch.equal(agent.recommend(Sessions.from_history([items], [feedback]), k=4)[0], together[row])
    begun = Sessions.empty(torch.zeros(1, dtype=torch.long), 6)  # as training and evaluation begin
    assert torch.equal(agent.act(begun), agent.recommend(Sessions.from_history([[]], [[]]), k=1)[0])


@EVERY
def test_sessions_of_another_horizon_than_it_was_made_for_are_learned_from(name) -> None:
    """The horizon is what the streak is divided by; nothing else goes by it."""
    for options in ({"streak_state": True}, {}):
        agent, generator = make(name, **options), torch.Generator().manual_seed(0)
        report = agent.learn(rollout(agent, predicted(5), torch.arange(USERS), True), generator)
        assert report["gradient_steps"] == 3


# ------------------------------------------------------------------------------------- saving, copying, resuming


@EVERY
def test_saved_and_loaded(name, tmp_path) -> None:
    options = {"pool": torch.tensor([21, 3, 8, 14, 5, 0, 9]), "taste_channels": 2, "epsilon": (0.1, 0.4)}
    agent = learned(name, **options)
    agent.save(tmp_path / "agent.safetensors")
    again = type(agent).load(tmp_path / "agent.safetensors")
    assert again.options == agent.options
    assert again.data_digest == agent.data_digest
    assert torch.equal(*(rollout(each, predicted(), torch.arange(USERS)).items for each in (agent, again)))
    assert type(agent).load(tmp_path / "agent.safetensors", gamma=0.25).gamma == 0.25
    path = tmp_path / "agent.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        type(agent).load(path)


@EVERY
@pytest.mark.parametrize("pool", [None, torch.tensor([1, 2, 7]), torch.tensor([2, 4, 6, 8, 10, 12])])
def test_loaded_with_another_pool(name, pool, tmp_path) -> None:
    agent = learned(name, pool=torch.tensor([3, 4, 5]))
    agent.save(tmp_path / "agent.safetensors")
    again = type(agent).load(tmp_path / "agent.safetensors", pool=pool)
    assert again.data_digest != agent.data_digest
    inside = set(range(ITEMS)) if pool is None else set(pool.tolist())
    found = again.recommend(Sessions.from_history([[2, 3], []], [[1.0, -1.0], []]), k=ITEMS).tolist()
    assert set(found[0]) - {-1} == inside - {2, 3}
    assert set(found[1]) - {-1} == inside
    for trained, loaded in zip(agent.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(trained, loaded)


@pytest.mark.parametrize("option", [{"hidden_channels": 3}, {"average": 0.0}, {"target": "all"}])
def test_options_that_make_another_network_are_refused(option, tmp_path) -> None:
    learned("DQNR").save(tmp_path / "agent.safetensors")
    with pytest.raises(ValueError, match=r"agent.safetensors does not fit the options given to load: .* another DQNR"):
        DQNR.load(tmp_path / "agent.safetensors", **option)


def test_a_foreign_file_is_refused(tmp_path) -> None:
    make("DDPGR").save(tmp_path / "agent.safetensors")
    with pytest.raises(ValueError, match="must hold a DQNR agent, got 'DDPGR agent'"):
        DQNR.load(tmp_path / "agent.safetensors")


@EVERY
def test_a_copied_or_pickled_agent_decides_alike(name) -> None:
    agent = learned(name)
    whole = rollout(agent, predicted(), torch.arange(USERS)).items
    for twin in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert torch.equal(rollout(twin, predicted(), torch.arange(USERS)).items, whole)


@EVERY
@STATES
def test_resumed_it_ends_as_uninterrupted(name, state, tmp_path) -> None:
    def run(folder: str, interactions: int) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        agent = make(name, epsilon=(0.05, 0.5), **state)
        curve = fit(agent, predicted(), torch.arange(20), eval_users=torch.arange(20, 30), interactions=interactions,
                    evaluate_every=60, sessions=5, checkpoint=tmp_path / folder, seed=3, progress=False)
        for row in curve:
            del row["seconds"], row["evaluation_seconds"]
        return agent.state_dict() | agent.training_state(), curve

    run("parts", 120)
    parts, part_curve = run("parts", 240)
    whole, curve = run("whole", 240)
    assert part_curve == curve
    assert len(curve) == 4
    assert parts.keys() == whole.keys()
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key


@pytest.mark.parametrize("change", [{"vectors": vectors() + 0.5}, {"pool": torch.tensor([1, 2, 3, 4, 5, 6, 7])}])
def test_a_checkpoint_of_other_items_is_refused(change, tmp_path) -> None:
    given = {"interactions": 60, "sessions": 5, "checkpoint": tmp_path, "progress": False}
    fit(DDPGR(vectors(), gradient_steps=1), predicted(), torch.arange(20), **given)
    other = DDPGR(**({"vectors": vectors(), "gradient_steps": 1} | change))
    with pytest.raises(ValueError, match=r"belongs to another run(.|\n)*agent data"):
        fit(other, predicted(), torch.arange(20), **given)


# ------------------------------------------------------------------------------------------------------ learning


@EVERY
@pytest.mark.parametrize(("kind", "share"), [("predicted", 0.7), ("rated", 0.4)])  # a third of the ratings is missing
def test_learns_what_is_planted(name, kind, share) -> None:
    world, users, others = WORLDS[kind](), torch.arange(20), torch.arange(20, USERS)
    agent = make(name, gradient_steps=16, hidden_channels=32, taste_channels=2)
    fit(agent, world, users, interactions=1_536, sessions=32, seed=1, progress=False)
    bounds = world.bounds(others, users)
    random, best = (bounds.metrics(line)["reward"] for line in ("random", "all-knowing"))
    found = evaluate(agent, world, others).reward
    assert found > random + share * (best - random)
    assert found <= bounds.upper + 1e-6


@pytest.mark.parametrize(("options", "message"), [
    ({"vectors": torch.zeros(3)}, r"`vectors` must be dense \[N, d\], got 'torch.strided \[3\]'"),
    ({"vectors": torch.zeros(0, 2)}, r"`vectors` must be dense \[N, d\]"),
    ({"vectors": torch.zeros(3, 2).to_sparse()}, "got 'torch.sparse_coo"),
    ({"vectors": torch.tensor([[0.0, torch.nan]])}, "`vectors` must be finite"),
    ({"pool": torch.tensor([0, 24])}, r"`pool` must be item ids in \[0, 24\), got \[0, 24\]"),
    ({"pool": torch.tensor([-1, 2])}, r"`pool` must be item ids in \[0, 24\)"),
    ({"pool": torch.tensor([3, 3])}, "`pool` must be every item at most once, got '1 repeated'"),
    ({"pool": torch.tensor([0.5])}, "`pool` must be a LongTensor"),
    ({"pool": torch.empty(0, dtype=torch.long)}, "`pool` must be a LongTensor of at least one item id"),
    ({"gamma": 1.5}, "`gamma` must be"),
    ({"epsilon": (0.5, 0.1)}, "`epsilon` must be"),
    ({"epsilon": (0.1, 0.2, 0.3)}, r"`epsilon` must be a number or \(low, high\), got \(0.1, 0.2, 0.3\)"),
    ({"seed": -1}, "`seed` must be at least 0"),
    ({"target": "heads"}, "did you mean 'head'"),
])
@pytest.mark.parametrize("agent", [DQNR, DDPGR])
def test_bad_input_is_named(agent, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        agent(**({"vectors": vectors()} | options))


def test_numpys_numbers_are_numbers() -> None:
    agent = DQNR(vectors(), epsilon=np.float32(0.25), seed=np.int64(4), state_channels=np.int64(8))
    assert (agent.options["epsilon"], agent.options["seed"]) == ([0.25, 0.25], 4)
    json.dumps(agent.options)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="gama"):
        DQNR(vectors(), gama=0.5)


# ------------------------------------------------------------------------------------------- another session state


class Mean(MeanItem):
    def __init__(self, item_channels: int) -> None:
        super().__init__(item_channels)


@pytest.mark.parametrize("name", ["DQNR", "DDPGR", "DDPGKNN 5"])
@pytest.mark.parametrize("state", ["SRU", RewardedItems, RewardedItems(2, 4), Mean])
def test_a_session_state_is_swapped_by_one_argument(name, state, tmp_path) -> None:
    """By name, class or instance it is what decides, learns, and is found again in a file."""
    width = {} if state in ("SRU", RewardedItems) else {"state_channels": 64}  # as by default: it has no effect
    agent = learned(name, state=copy.deepcopy(state), taste_channels=3, target="all", **width)
    kind = state if isinstance(state, type) else RewardedItems
    part, fresh = agent.network.state.part("recurrent"), make(name).network.state.part("recurrent")
    assert (type(part), type(fresh)) == (kind, LikedItems)
    assert part.channels == {Mean: 2, RewardedItems: 8}.get(state, 8 if state == "SRU" else 4)
    before = {key: value.clone() for key, value in part.named_parameters()}
    agent.learn(rollout(agent, predicted(), torch.arange(USERS), True, torch.Generator().manual_seed(1)))
    assert any(not torch.equal(before[key], value) for key, value in part.named_parameters())
    past = Sessions.from_history([[3, 5], [2]], [[1.0, -0.5], [0.5]])
    agent.save(tmp_path / "agent.safetensors")
    own = {}
    if not isinstance(state, str):
        with pytest.raises(ValueError, match="`state` must be given again, as it was made by hand"):
            type(agent).load(tmp_path / "agent.safetensors")
        own = {"state": copy.deepcopy(state)}
    with warnings.catch_warnings(action="error"):
        again = type(agent).load(tmp_path / "agent.safetensors", **own)
    assert torch.equal(again.recommend(past), agent.recommend(past))


def test_a_state_that_looks_at_all_feedback_does_so() -> None:
    """KGQR's sees what was liked alone; in TPGR's an item that was disliked counts, too."""
    liked, disliked = (Sessions.from_history([[3, *more]], [[1.0, *(-0.8 for _ in more)]]) for more in ([], [5]))
    for state, same in (("gru", True), ("sru", False)):
        agent = make("DQNR", state=state)
        found = [agent.network.states(agent.network.view(), past) for past in (liked, disliked)]
        assert torch.equal(*found) == same


def test_wrong_session_states_are_named() -> None:
    for name in ("DQNR", "DDPGR", "DDPGKNN 5"):
        with pytest.raises(ValueError, match="`state` must be a known name, got 'gur'.*did you mean 'gru'"):
            make(name, state="gur")
        with pytest.raises(TypeError, match="`state`.*it has no channels"):
            make(name, state=torch.nn.Linear(2, 2))
        with pytest.warns(UnusedOption, match="`state_channels` has no effect beside a `state` that is made") as caught:
            make(name, state=LikedItems(2, 8), state_channels=9)
        assert len(caught) == 1
