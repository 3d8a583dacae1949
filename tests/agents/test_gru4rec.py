"""``GRU4Rec`` against a loop over a session's items, and where the order of items is planted."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents import gru4rec
from kgrl.agents.greedy_svd import GreedySVD
from kgrl.agents.gru4rec import GRU4Rec
from kgrl.nn.policy.next_item import LOSSES
from kgrl.pretrain.items import ItemFactors, item_vectors
from kgrl.pretrain.sequences import LikedSequences
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from tests.agents.planted_sequences import ITEMS, LIKED, USERS, planted

TRAIN = torch.arange(USERS - 20)
TEST = torch.arange(USERS - 20, USERS)
SMALL: dict[str, Any] = {"dim": 8, "epochs": 1, "negatives": 4, "batch_size": 10}


@pytest.fixture(scope="module")
def data() -> HeteroData:
    return planted()


@pytest.fixture(scope="module")
def trained(data: HeteroData) -> GRU4Rec:
    return GRU4Rec.from_ratings(data, TRAIN, dim=16, epochs=30, lr=1e-2)


@torch.no_grad()
def slow_scores(agent: GRU4Rec, items: list[int], positive: list[bool]) -> Tensor:
    """Of one session, item by item, in double precision."""
    network = copy.deepcopy(agent.network).double()
    gru, h = network.gru, torch.zeros(agent.options["state_channels"], dtype=torch.double)
    (w_z, w_r, w), (b_z, b_r, b) = gru.weight.chunk(3), gru.bias.chunk(3)
    u_z, u_r = gru.recurrent_gates.chunk(2)
    for item, liked in zip(items, positive, strict=True):
        if liked:
            x = network.embedding[item]
            z, r = torch.sigmoid(w_z @ x + u_z @ h + b_z), torch.sigmoid(w_r @ x + u_r @ h + b_r)
            h = (1 - z) * h + z * torch.tanh(w @ x + gru.recurrent_candidate @ (r * h) + b)
    out = network.embedding if agent.options["tied"] else network.output
    likes = agent.likes.double()
    prior = agent.options["prior"] * torch.log((likes + 1) / (likes.sum() + len(likes)))
    scores = [-torch.inf if item in items else float(out[item] @ h + network.bias[item] + prior[item])
              for item in range(len(likes))]
    return torch.tensor(scores)


def chain_share(agent: GRU4Rec) -> float:
    """How often the item after i is i + 1, after one, two and three items of the chain."""
    past = [[(i + step) % ITEMS for step in range(length)] for length in (1, 2, 3) for i in range(ITEMS)]
    found = agent.recommend(Sessions.from_history(past, [[1.0] * len(items) for items in past]), k=1).squeeze(1)
    return float(np.mean(found.numpy() == [(items[-1] + 1) % ITEMS for items in past]))


def same(one: GRU4Rec, other: GRU4Rec) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# ------------------------------------------------------------------------------------------------------------- acting


@pytest.mark.parametrize("options", [{}, {"tied": False, "state_channels": 5, "prior": 0.3}, {"prior": 0.0}])
def test_every_score_of_every_step_equals_a_loop(data, options: dict, device: torch.device) -> None:
    """Step after step of a rollout, and without having followed it: from scratch, and with a step left out."""
    agent = GRU4Rec.from_ratings(data, TRAIN.to(device), **{**SMALL, "epochs": 5, "lr": 0.03, **options})
    world = Simulator(RatedFeedback(data), horizon=12).to(device)
    sessions = world.reset(TEST.to(device))
    for step in range(12):
        wanted = torch.stack([
            slow_scores(copy.deepcopy(agent).cpu(), items[:step], positive[:step])
            for items, positive in zip(sessions.items.tolist(), sessions.positive.tolist(), strict=True)])
        for one in (agent, copy.deepcopy(agent)):
            torch.testing.assert_close(one._scores(sessions).cpu(), wanted, atol=1e-4, rtol=1e-4)
        if step == 5:
            agent._scores(world.reset(TEST.to(device)))  # other sessions in between
        items = agent.act(sessions) if step % 3 else torch.randint(ITEMS, (20,), device=device)
        items = torch.where((sessions.items == items.unsqueeze(1)).any(1), agent.act(sessions), items)
        world.step(sessions, items)
    assert sessions.positive.any(1).all()
    assert not sessions.positive.all(1).any()


def test_a_rollout_takes_one_step_of_the_unit_a_step(data, trained, monkeypatch) -> None:
    """The whole rollout costs T steps of the GRU and one projection of the items, not T²/2 and T."""
    calls = {"step": 0, "project": 0}
    for name in calls:
        whole = getattr(trained.network.gru, name)

        def counted(*args: Tensor, name: str = name, whole: Any = whole) -> Tensor:
            calls[name] += 1
            return whole(*args)

        monkeypatch.setattr(trained.network.gru, name, counted)
    trained.version += 1  # nothing is known of the items yet
    rollout(trained, Simulator(RatedFeedback(data), horizon=15), TEST)
    assert calls == {"step": 14, "project": 1}


def test_gaps_and_dislikes_leave_the_state_alone(trained) -> None:
    plain = Sessions.from_history([[3, 4], []], [[1.0, 1.0], []])
    gappy = Sessions.from_history([[3, 9, 4, 12], [7]], [[1.0, -1.0, 1.0, 0.5], [-0.2]])
    gappy.items[0, 3], gappy.positive[0, 3] = -1, True  # nothing was shown: whatever else stands there
    found, wanted = trained._scores(gappy), trained._scores(plain)
    for row, gone in enumerate([[9], [7]]):
        left = torch.tensor([item for item in range(ITEMS) if item not in (3, 4, *gone)])
        torch.testing.assert_close(found[row, left], wanted[row, left])


def test_nothing_twice_and_an_end(data, trained) -> None:
    world = Simulator(RatedFeedback(data), horizon=ITEMS + 3)
    for explore in (True, False):
        sessions = rollout(trained, world, TEST, explore=explore)
        assert all(sorted(row[:ITEMS]) == list(range(ITEMS)) for row in sessions.items.tolist())
        assert sessions.items[:, ITEMS:].eq(-1).all()
    assert trained.learn(sessions) == {"gradient_steps": 0}


def test_before_anything_is_liked_the_popular_go_first() -> None:
    """As made, exactly by likes; as trained, nearly so, and what nobody liked comes last."""
    likes = torch.tensor([5, 0, 40, 7, 1])
    agent = GRU4Rec(likes, dim=4)
    nothing = Sessions.from_history([[]], [[]])
    assert agent.recommend(nothing, k=5).tolist() == [[2, 3, 0, 4, 1]]
    torch.testing.assert_close(agent._scores(nothing)[0], ((likes + 1) / (likes.sum() + 5)).log())
    data = planted()
    edges = data["user", "rates", "item"]
    edges.rating[edges.edge_index[1] >= 15] = 1.0
    edges.rating[(edges.edge_index[1] < 5) & (edges.edge_index[0] % 3 > 0)] = 1.0
    for loss in LOSSES:
        agent = GRU4Rec.from_ratings(data, TRAIN, loss=loss, dim=8, epochs=5)
        first = agent.recommend(nothing, k=ITEMS)[0].tolist()
        assert set(first[:10]) == set(range(5, 15)), loss
        assert set(first[-5:]) == set(range(15, ITEMS)), loss


def test_recommend_for_real_users(trained) -> None:
    found = trained.recommend(Sessions.from_history([[2, 3], [0]], [[1.0, 0.9], [-1.0]]), k=ITEMS)
    assert found[0, 0] == 4
    assert found[0, -2:].tolist() == [-1, -1]
    assert found[1, -1] == -1
    assert found[0, : ITEMS - 2].tolist() == \
        slow_scores(trained, [2, 3], [True, True]).argsort(descending=True)[: ITEMS - 2].tolist()
    with pytest.raises(ValueError, match="item ids below 20, got 20"):
        trained.recommend(Sessions.from_history([[20]], [[1.0]]))
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        trained.recommend(Sessions.from_history([[1]], [[1.0]]), k=0)


# ----------------------------------------------------------------------------------------------------------- training


def test_learns_what_follows_what(trained) -> None:
    assert trained.ordered
    assert chain_share(trained) > 0.95


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tied", [True, False])
def test_every_loss_learns_it(data, loss: str, tied: bool) -> None:
    agent = GRU4Rec.from_ratings(data, TRAIN, loss=loss, tied=tied, dim=16, epochs=30, lr=1e-2, pretrained=False)
    assert chain_share(agent) > 0.9


def test_it_is_time_that_orders(data) -> None:
    options = {"dim": 16, "epochs": 30, "lr": 1e-2}
    shuffled = GRU4Rec.from_ratings(planted(shuffled=True), TRAIN, **options)
    assert shuffled.ordered
    assert chain_share(shuffled) < 0.7
    reversed_ = data.clone()
    edges = reversed_["user", "rates", "item"]
    edges.time = -edges.time
    backwards = GRU4Rec.from_ratings(reversed_, TRAIN, **options)
    found = backwards.recommend(Sessions.from_history([[7], [0]], [[1.0], [1.0]]), k=1)
    assert found.tolist() == [[6], [ITEMS - 1]]


def test_without_time_the_order_is_drawn_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planted(timed=False)
    one, again, other = (GRU4Rec.from_ratings(data, TRAIN, **SMALL, pretrained=False, seed=seed) for seed in (0, 0, 1))
    assert not one.ordered
    assert "ordered=False" in repr(one)
    assert same(one, again)
    assert not same(one, other)
    # the seed is the order's, too
    given: list[LikedSequences] = []
    monkeypatch.setattr(gru4rec, "fit_next_item", lambda network, sequences, options: given.append(sequences))
    for seed in (0, 1):
        GRU4Rec.from_ratings(data, TRAIN, **SMALL, pretrained=False, seed=seed)
        assert torch.equal(given[seed].items, LikedSequences.of(data, TRAIN, seed).items)
    assert not torch.equal(given[0].items, given[1].items)
    monkeypatch.undo()
    # who likes i likes those around it, but which comes next is not known
    known = GRU4Rec.from_ratings(data, TRAIN, dim=16, epochs=30, lr=1e-2)
    assert chain_share(known) < 0.7
    near = known.recommend(Sessions.from_history([[9, 10, 11]], [[1.0] * 3]), k=4)[0].tolist()
    assert set(near) <= {6, 7, 8, 12, 13, 14}


def test_only_positive_ratings_are_looked_at(data) -> None:
    """What is at the threshold or below changes nothing but the item vectors' start."""
    other = data.clone()
    edges = other["user", "rates", "item"]
    edges.rating[edges.rating < 3.5] = 3.5
    edges.time[edges.rating == 3.5] = 7
    one, two = (GRU4Rec.from_ratings(source, TRAIN, **SMALL, pretrained=False) for source in (data, other))
    assert same(one, two)
    edges.rating[edges.rating == 3.5] = 4.0
    assert not same(one, GRU4Rec.from_ratings(other, TRAIN, **SMALL, pretrained=False))


def test_only_the_given_users_are_looked_at(data) -> None:
    other = data.clone()
    edges = other["user", "rates", "item"]
    foreign = edges.edge_index[0] >= len(TRAIN)
    edges.rating[foreign], edges.time[foreign] = 5.0, -edges.time[foreign]
    one, two = (GRU4Rec.from_ratings(source, TRAIN, **SMALL) for source in (data, other))
    assert same(one, two)
    assert not same(one, GRU4Rec.from_ratings(other, TRAIN + 1, **SMALL))


def test_item_vectors_start_from_the_factorization(data) -> None:
    """At rate 0 nothing but the start is left."""
    agent, unlike = (
        GRU4Rec.from_ratings(data, TRAIN, **SMALL, lr=0.0, seed=3, pretrained=start) for start in (True, False))
    assert torch.equal(agent.network.embedding, item_vectors(data, TRAIN, dim=8, seed=3))
    assert torch.equal(unlike.network.embedding, GRU4Rec(agent.likes, dim=8, seed=3).network.embedding)


def test_the_seed_is_all_that_is_drawn_from(data) -> None:
    """Same seed, same bits, whatever the global states; and these are left alone."""
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    one = GRU4Rec.from_ratings(data, TRAIN, **SMALL, dropout=0.5)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    again = GRU4Rec.from_ratings(data, TRAIN, **SMALL, dropout=0.5)
    rollout(again, Simulator(RatedFeedback(data), horizon=3), TEST)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == np.random.get_state()[1].tolist()
    assert states[2] == random.getstate()
    torch.manual_seed(6)
    assert same(one, again)
    assert same(one, GRU4Rec.from_ratings(data, TRAIN, **SMALL, dropout=0.5))
    assert not same(one, GRU4Rec.from_ratings(data, TRAIN, **SMALL, dropout=0.5, seed=1))


# ------------------------------------------------------------------------------------------------------ saving, moving


@pytest.mark.parametrize("options", [{}, {"tied": False, "state_channels": 5, "loss": "bpr-max", "prior": 0.5}])
def test_saved_and_loaded(tmp_path: Path, options: dict) -> None:
    data = planted(timed=False)
    agent = GRU4Rec.from_ratings(data, TRAIN, **{**SMALL, **options})
    agent.save(tmp_path / "agent.safetensors")
    again = GRU4Rec.load(tmp_path / "agent.safetensors")
    assert again.options == agent.options
    assert again.ordered is agent.ordered is False
    world = Simulator(RatedFeedback(data), horizon=6)
    for other in (again, copy.deepcopy(agent)):
        assert torch.equal(rollout(other, world, TEST).items, rollout(agent, world, TEST).items)
        assert same(agent, other)
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "agent.safetensors").read_bytes()[:-30])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        GRU4Rec.load(tmp_path / "broken.safetensors")
    GreedySVD(ItemFactors(torch.zeros(3, 2), torch.zeros(3))).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="must hold a GRU4Rec agent, got 'GreedySVD agent'"):
        GRU4Rec.load(tmp_path / "other.safetensors")


def test_other_weights_mean_other_states(data) -> None:
    """A running session's state is not taken for that of weights loaded meanwhile."""
    world = Simulator(RatedFeedback(data), horizon=6)
    agent, other = (GRU4Rec.from_ratings(data, TRAIN, **SMALL, seed=seed) for seed in (0, 1))
    sessions = rollout(agent, world, TEST)
    assert not torch.equal(agent._scores(sessions), other._scores(sessions))
    agent.load_state_dict(other.state_dict())
    assert torch.equal(agent._scores(sessions), other._scores(sessions))


def test_a_checkpoint_of_other_weights_is_refused(data, tmp_path: Path) -> None:
    given = {"simulator": Simulator(RatedFeedback(data), horizon=6), "users": TRAIN, "interactions": 60,
             "sessions": 5, "checkpoint": tmp_path}
    fit(GRU4Rec.from_ratings(data, TRAIN, **SMALL), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*agent data"):
        fit(GRU4Rec.from_ratings(data, TRAIN[1:], **SMALL), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*alpha"):
        fit(GRU4Rec.from_ratings(data, TRAIN, **SMALL, alpha=0.7), **given)


@pytest.mark.parametrize(("given", "message"), [
    ({"likes": torch.zeros(3)}, r"`likes` must be an int64 tensor \[N\] of counts, N > 0, got 'torch.float32 \[3\]"),
    ({"likes": torch.zeros(0, dtype=torch.long)}, r"`likes` must be .* got 'torch.int64 \[0\]'"),
    ({"likes": torch.ones(2, 2, dtype=torch.long)}, r"`likes` must be .*\[2, 2\]"),
    ({"likes": torch.tensor([2, -1])}, "`likes` must be .* from -1'"),
    ({"loss": "bpr_max"}, "`loss` must be a known name, got 'bpr_max'; choose from .*; did you mean 'bpr-max'"),
    ({"state_channels": 7}, "`state_channels` must be dim = 50 where `tied`, got 7"),
    ({"dim": 0}, "`dim` must be at least 1"), ({"regularisation": -1.0}, "`regularisation` must be"),
    ({"prior": -1.0}, "`prior` must be"), ({"negatives": -1}, "`negatives` must be at least 0"),
    ({"alpha": -0.5}, "`alpha` must be"), ({"dropout": 1.0}, "`dropout` must be"),
    ({"epochs": 0}, "`epochs` must be at least 1"), ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ({"steps": 0}, "`steps` must be at least 1"), ({"longest": 0}, "`longest` must be at least 1"),
    ({"lr": 2.0}, "`lr` must be"), ({"weight_decay": -1.0}, "`weight_decay` must be"),
])  # fmt: skip
def test_bad_input_is_named(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GRU4Rec(**({"likes": torch.tensor([1, 2, 3])} | given))


def test_bad_input_of_the_training_is_named(data) -> None:
    with pytest.raises(ValueError, match="`users` must be (at least one id|ids from 0)"):
        GRU4Rec.from_ratings(data, torch.tensor([USERS]))
    with pytest.raises(TypeError, match="hidden"):
        GRU4Rec.from_ratings(data, TRAIN, hidden=3)
    disliked = data.clone()
    disliked["user", "rates", "item"].rating = torch.full_like(disliked["user", "rates", "item"].rating, 3.5)
    with pytest.raises(ValueError, match="`users` must be training users who rated something above 3.5, got '100 who"):
        GRU4Rec.from_ratings(disliked, TRAIN)


def test_any_shape_of_the_batches(data) -> None:
    """More lanes than items, nothing beside the mini-batch, one item a session, one user."""
    for options in ({"batch_size": 5000}, {"batch_size": 1, "negatives": 0}, {"longest": 1}, {"steps": 1}):
        agent = GRU4Rec.from_ratings(data, TRAIN[:3], **{**SMALL, **options})
        assert all(parameter.isfinite().all() for parameter in agent.parameters())
    assert len(GRU4Rec.from_ratings(data, TRAIN[:1], **SMALL).likes.nonzero()) == LIKED
