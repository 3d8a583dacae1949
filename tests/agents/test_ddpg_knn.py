"""DDPG-KNN: the best of the k nearest, item by item; k = N against all; the nearest against a loop; FAISS."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from kgrl.agents import DDPGKNN, DQNR
from kgrl.agents.ddpg_knn import FaissIndex, nearest
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.train import fit
from tests.agents.planted_items import ITEMS, USERS, make, predicted, vectors

USERS_HERE = torch.arange(9)


def learned(k: int | float, **options) -> DDPGKNN:
    given = {"state_channels": 8, "hidden_channels": 16, "gradient_steps": 4, "batch_size": 32, "seed": 1, "horizon": 6}
    agent, generator = DDPGKNN(vectors(), k=k, **(given | options)), torch.Generator().manual_seed(0)
    agent.learn(rollout(agent, predicted(), torch.arange(USERS), True, generator), generator)
    return agent


@pytest.mark.parametrize("k", [1, 2, 5, 0.5])
@pytest.mark.parametrize("pool", [None, torch.tensor([3, 20, 11, 6, 9, 14, 17])])
def test_takes_the_best_of_the_k_nearest_item_by_item(k, pool) -> None:
    agent = learned(k, pool=pool, taste_channels=2)
    sessions, net, told = rollout(agent, predicted(), USERS_HERE), agent.acting, 0
    for step in range(1, 6):
        then = sessions.before(step)
        state = net.states(net.view(), then)
        for row in range(len(USERS_HERE)):
            left = [item for item in (range(ITEMS) if pool is None else pool.tolist())
                    if item not in then.items[row].tolist()]
            action = net.bounded(net.actor(state[row : row + 1]))[0]
            near = sorted(left, key=lambda i: float((action - vectors()[i]).square().sum()))[: agent.k]
            q = {item: float(net.worth(state[row : row + 1], vectors()[item][None])) for item in left}
            chosen = int(sessions.items[row, step])
            assert chosen in near
            assert q[chosen] == pytest.approx(max(q[item] for item in near), abs=1e-6)
            told += max(q.values()) > q[chosen] + 1e-4
    assert told  # elsewhere something better was too far away


def test_with_k_of_n_it_is_the_argmax_over_all_items() -> None:
    """Also a DQN-R of the same critic takes these, and the actor has no say."""
    agent = learned(1.0, taste_channels=2, streak_state=True)
    dqn = DQNR(vectors(), state_channels=8, hidden_channels=16, taste_channels=2, streak_state=True,
               horizon=6, average=0.0)
    dqn.network.load_state_dict({name: value for name, value in agent.acting.state_dict().items()
                                 if not name.startswith(("actor.", "scale"))})
    sessions, net = rollout(agent, predicted(), USERS_HERE), agent.acting
    assert torch.equal(rollout(dqn, predicted(), USERS_HERE).items, sessions.items)
    for step in range(1, 6):
        then = sessions.before(step)
        state = net.states(net.view(), then)
        for row in range(len(USERS_HERE)):
            q = {item: float(net.worth(state[row : row + 1], vectors()[item][None])) for item in range(ITEMS)
                 if item not in then.items[row].tolist()}
            assert q[int(sessions.items[row, step])] == pytest.approx(max(q.values()), abs=1e-6)
    with torch.no_grad():
        agent.acting.actor[4].bias.add_(3.0)
    assert torch.equal(rollout(agent, predicted(), USERS_HERE).items, sessions.items)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("pool", [None, torch.tensor([3, 20, 11, 6, 9, 14, 17])])
def test_more_than_k_are_those_it_decides_among_and_then_the_next_nearest(k, pool) -> None:
    agent, shown = learned(k, pool=pool), [6, 2]
    past = Sessions.from_history([shown], [[1.0, -0.5]])
    net = agent.acting
    state = net.states(net.view(), past)
    action = net.bounded(net.actor(state))[0]
    left = [item for item in (range(ITEMS) if pool is None else pool.tolist()) if item not in shown]
    near = sorted(left, key=lambda i: float((action - vectors()[i]).square().sum()))
    own = sorted(near[:k], key=lambda i: -float(net.worth(state, vectors()[i][None])))
    assert agent.recommend(past, k=30)[0].tolist() == own + near[k:] + [-1] * (30 - len(left))


def test_fewer_left_than_neighbours_asked_for() -> None:
    agent, lists = learned(5), [[item for item in range(ITEMS) if item not in (i, i + 1)] for i in range(ITEMS - 1)]
    past = Sessions.from_history([*lists, list(range(ITEMS))], [[1.0] * len(each) for each in lists] + [[1.0] * ITEMS])
    found = agent.recommend(past, 4)
    assert [sorted(row[:2]) + row[2:] for row in found.tolist()[:-1]] == [[i, i + 1, -1, -1] for i in range(ITEMS - 1)]
    assert found[-1].tolist() == [-1] * 4
    assert torch.equal(agent.act(past), found[:, 0])


@pytest.mark.parametrize(("k", "count"), [(1, 1), (7, 7), (100, 24), (0.1, 2), (1.0, 24), (0.001, 1), (0.5, 12)])
def test_how_many_neighbours_k_means(k, count) -> None:
    assert DDPGKNN(vectors(), k=k).k == count
    assert DDPGKNN(vectors(), k=k).options["k"] == k
    assert DDPGKNN(vectors(), k=0.5, pool=torch.tensor([4, 8, 9, 1])).k == 2


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"k": 0}, ValueError, "`k` must be at least 1, got 0"), ({"k": 0.0}, ValueError, "`k` must be a finite number"),
    ({"k": 1.5}, ValueError, "`k` must be a finite number"), ({"k": "N"}, TypeError, "`k` must be a whole number"),
    ({"k": True}, TypeError, "`k` must be"), ({"search": "fais"}, ValueError, "did you mean 'faiss'"),
])
def test_bad_options_are_named(options, error, message) -> None:
    with pytest.raises(error, match=message):
        DDPGKNN(vectors(), **options)


def test_a_share_is_still_a_share_after_loading(tmp_path) -> None:
    for k in (1, 1.0):
        agent = DDPGKNN(vectors(), k=k)
        agent.save(tmp_path / "agent.safetensors")
        assert DDPGKNN.load(tmp_path / "agent.safetensors").k == agent.k


# ------------------------------------------------------------------------------------------------------- FAISS


@pytest.mark.parametrize("k", [1, 5])
def test_faiss_finds_the_same_neighbours_of_few_items(k, tmp_path) -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")
    pool = torch.tensor([3, 20, 11, 6, 9, 14, 17, 0])
    exact, found = (learned(k, pool=pool, search=search) for search in ("exact", "faiss"))
    assert torch.equal(rollout(exact, predicted(), USERS_HERE).items, rollout(found, predicted(), USERS_HERE).items)
    found.save(tmp_path / "agent.safetensors")
    again = DDPGKNN.load(tmp_path / "agent.safetensors")
    assert torch.equal(rollout(again, predicted(), USERS_HERE).items, rollout(found, predicted(), USERS_HERE).items)


def test_other_vectors_make_another_faiss_index() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")
    agent, exact = (learned(1, search=search) for search in ("faiss", "exact"))
    rollout(agent, predicted(), USERS_HERE)
    other = DDPGKNN(vectors().flip(0), k=1, state_channels=8, hidden_channels=16).state_dict()
    for each in (agent, exact):
        each.load_state_dict(other)
    assert torch.equal(rollout(agent, predicted(), USERS_HERE).items, rollout(exact, predicted(), USERS_HERE).items)


def test_a_restricted_agent_makes_another_faiss_index() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")
    past, items = Sessions.from_history([[0, 5], [7]], [[1.0, -1.0], [1.0]]), torch.tensor([3, 20, 11, 6])
    agent, exact = (learned(1, search=search) for search in ("faiss", "exact"))
    for allowed in (None, items, items[:2], None):
        ranked = [each.restrict(allowed).recommend(past, k=2) for each in (agent, exact)]
        assert torch.equal(*ranked)


def test_faiss_resumed_ends_as_uninterrupted(tmp_path) -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")

    def run(folder: str, interactions: int) -> dict[str, torch.Tensor]:
        agent = DDPGKNN(vectors(), k=2, search="faiss", gradient_steps=2, batch_size=16)
        fit(agent, predicted(), torch.arange(20), interactions=interactions, evaluate_every=60, sessions=5,
            checkpoint=tmp_path / folder, seed=3, progress=False)
        return agent.state_dict()

    run("parts", 120)
    parts, whole = run("parts", 240), run("whole", 240)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_without_faiss_the_search_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("kgrl.agents.ddpg_knn.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs FAISS"):
        DDPGKNN(vectors(), search="faiss")
    assert make("DDPGKNN 1")._index is None  # nothing else asks for it


def given(items: int = 40, sessions: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, proto-actions, and what is gone of each session: a gap, few, many and nothing left."""
    generator = torch.Generator().manual_seed(0)
    vectors, actions = torch.randn(items, 3, generator=generator), 2 * torch.randn(sessions, 3, generator=generator)
    gone = torch.full((sessions, items), -1)
    for row in range(sessions - 1):
        some = torch.randperm(items, generator=generator)[: row * 5]
        gone[row, 1 : 1 + len(some)] = some
    gone[-1] = torch.arange(items)
    return vectors, actions, gone


def slowly(vectors: Tensor, action: Tensor, gone: Tensor, k: int) -> list[int]:
    """Item by item, nearest first."""
    distances = {item: float((action - vectors[item]).square().sum()) for item in range(len(vectors))
                 if item not in gone.tolist()}
    return sorted(distances, key=distances.__getitem__)[:k]


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_are_those_of_a_loop_over_items(k: int, device) -> None:
    vectors, actions, gone = given()
    found = nearest(vectors.to(device), actions.to(device), gone.to(device), k).tolist()
    for row, action in enumerate(actions):
        wanted = slowly(vectors, action, gone[row], k)
        assert sorted(found[row]) == sorted(wanted + [-1] * (k - len(wanted)))


def test_nothing_gone_yet() -> None:
    vectors, actions, gone = given()
    found = nearest(vectors, actions, gone[:, :0], 3)
    assert all(sorted(row) == sorted(slowly(vectors, action, gone[0, :0], 3))
               for row, action in zip(found.tolist(), actions, strict=True))


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_few_items_are_found_by_faiss_as_well(faiss, k: int) -> None:
    vectors, actions, gone = given()
    index = FaissIndex()
    found = index(vectors, actions, gone, k)
    wanted = [slowly(vectors, action, gone[row], k) for row, action in enumerate(actions)]
    assert found.tolist() == [row + [-1] * (k - len(row)) for row in wanted]
    assert index(vectors, actions, gone[:, :0], k).shape == (9, k)
    for twin in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert torch.equal(twin(vectors, actions, gone, k), found)


def test_most_of_many_items_are_found_by_faiss(faiss) -> None:
    vectors, actions, gone = given(items=3_000)
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        found = FaissIndex()(vectors, actions, gone[:, :30], 20)
        assert faiss.omp_get_max_threads() == 3  # making the index takes one alone
    finally:
        faiss.omp_set_num_threads(threads)
    exact = nearest(vectors, actions, gone[:, :30], 20)
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
    assert hits > 0.9 * exact.numel()


def test_without_faiss_it_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr("kgrl.agents.ddpg_knn.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'kgrl\[faiss\]'"):
        FaissIndex()
