"""KGQR: decisions, ablations, saving, devices."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents import KGQR
from kgrl.candidates import FixedCandidates
from kgrl.factorization import Factors
from kgrl.graph import knowledge_graph
from kgrl.nn import Aggregator
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit

# ---------------------------------------------------------------------------------------------- decisions


@pytest.fixture
def world() -> Simulator:
    """Six users, half of whom like the even items, half the odd ones, of twenty."""
    factors = Factors(6, 20, 2, biases=False)
    with torch.no_grad():
        factors.user.copy_(torch.eye(2).repeat(3, 1) * 2 - 1)
        factors.item.copy_(torch.eye(2).repeat(10, 1))
    return Simulator(PredictedFeedback(factors, threshold=0.0), eta=0.1, horizon=8, first=torch.arange(20))


def parity_agent(**options) -> KGQR:
    kg = knowledge_graph(torch.stack([torch.arange(20), 20 + torch.arange(20) % 2]), num_nodes=22, num_items=20)
    given = {"preset": "paper", "average": 0.1, "gamma": 0.5,
             "dim": 4, "state_channels": 4, "hidden_channels": 4, "backfill": ("random", 3), "batch_size": 8,
             "gradient_steps": 2}
    return KGQR(kg, **(given | options))


def test_greedy_takes_the_best_candidate(world):
    agent = parity_agent(average=0.0)
    sessions = rollout(agent, world, torch.arange(6), explore=False)
    vectors = agent.network.items().detach()
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 8):
        then = sessions.before(step)
        items, batch = agent.candidates.select(then.liked, then.shown, generator)
        for row in range(6):
            liked = [i for i in then.liked[row].tolist() if i >= 0]
            gru = agent.network.state.recurrent.gru
            h = gru(vectors, torch.tensor([liked], dtype=torch.long))[0] if liked else torch.zeros(4)
            left = items[batch == row]
            q = agent.network.head(h[None], vectors, left, torch.zeros_like(left))
            values = dict(zip(left.tolist(), q.tolist(), strict=True))
            chosen = int(sessions.items[row, step])
            assert values[chosen] == pytest.approx(max(values.values()), abs=1e-6)


def test_exploring_picks_random_candidates_at_the_rate_epsilon(world):
    agent = parity_agent(epsilon=0.3, average=0.0)
    past = Sessions.empty(torch.zeros(20_000, dtype=torch.long), 8)
    agent.candidates = parity_agent(backfill=("popular", 10), popular=torch.arange(20)).candidates
    picks = agent.act(past, explore=True, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(picks, minlength=10).double() / len(picks)
    best = int(share.argmax())
    assert best == int(agent.act(past)[0])
    others = torch.cat([share[:best], share[best + 1 : 10]])
    torch.testing.assert_close(others, torch.full((9,), 0.03, dtype=torch.double), atol=0.006, rtol=0)
    assert not share[10:].any()


def test_epsilon_is_spread_over_the_sessions_of_a_rollout():
    agent = parity_agent(epsilon=(0.01, 0.64), average=0.0, backfill=("popular", 10), popular=torch.arange(20))
    torch.testing.assert_close(agent.epsilons(4, agent.device), torch.tensor([0.01, 0.04, 0.16, 0.64]))
    past, generator = Sessions.empty(torch.zeros(4, dtype=torch.long), 8), torch.Generator().manual_seed(0)
    best = agent.act(past)
    off = torch.stack([agent.act(past, True, generator) != best for _ in range(3_000)]).double().mean(0)
    torch.testing.assert_close(off, 0.9 * torch.tensor([0.01, 0.04, 0.16, 0.64]).double(), atol=0.03, rtol=0)


def test_nothing_left_is_minus_one():
    agent = parity_agent()
    used_up = Sessions.from_history([list(range(20)), [1]], [[1.0] * 20, [1.0]])
    used_up.step = 20
    picks = agent.act(used_up)
    assert picks[0] == -1
    assert picks[1] >= 0


def test_a_copied_or_pickled_agent_decides_alike(world):
    agent = parity_agent()
    rollout(agent, world, torch.arange(6))  # leaves traces in the running state
    for twin in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert torch.equal(rollout(twin, world, torch.arange(6)).items, rollout(agent, world, torch.arange(6)).items)


def test_same_seed_same_run(world):
    def run() -> dict[str, Tensor]:
        agent, generator = parity_agent(seed=5), torch.Generator().manual_seed(7)
        for _ in range(2):
            agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
        return agent.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_running_average_is_the_weighted_mean_of_the_weights(world):
    agent = parity_agent(average=0.5)
    start = agent.averaged.items.embedding.clone()
    generator = torch.Generator().manual_seed(0)
    agent.replay.add(rollout(agent, world, torch.arange(6), True, generator))
    expected = start
    for step in range(1, 4):
        agent._gradient_step(agent.replay.sample(8, generator), generator)
        expected = expected + (agent.network.items.embedding.detach() - expected) / (1 + 0.5 * step)
    torch.testing.assert_close(agent.averaged.items.embedding, expected)
    assert agent.acting is agent.averaged


# ------------------------------------------------------------------------------------- for a real user


def test_recommend_ranks_unseen_candidates():
    agent = parity_agent(average=0.0)
    past = Sessions.from_history([[0, 3], []], [[1.0, -0.5], []])
    top = agent.recommend(past, k=4)
    items, batch, values = agent._values(agent._look(past), past, torch.Generator().manual_seed(0))
    for row in range(2):
        own = zip(values[batch == row].tolist(), items[batch == row].tolist(), strict=True)
        wanted = [item for _, item in sorted(own, key=lambda pair: -pair[0])][:4]
        assert top[row].tolist() == wanted + [-1] * (4 - len(wanted))
    assert not {0, 3} & set(top[0].tolist())


def test_recommend_refuses_unknown_items():
    with pytest.raises(ValueError, match="item ids below 20, got 20"):
        parity_agent().recommend(Sessions.from_history([[20]], [[1.0]]))


# ------------------------------------------------------------------------------------- saving and ablations


def test_save_and_load_decide_alike(tmp_path, world):
    agent = parity_agent(popular=torch.arange(20), aggregator="concat")
    generator = torch.Generator().manual_seed(0)
    agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
    agent.save(tmp_path / "agent.safetensors")
    loaded = KGQR.load(tmp_path / "agent.safetensors", agent.candidates._kg)
    assert loaded.options == agent.options
    before, after = (rollout(each, world, torch.arange(6)).items for each in (agent, loaded))
    assert torch.equal(before, after)


def test_what_is_recommended_to_one_is_not_the_others_business(world):
    agent = parity_agent(streak_state=True, horizon=8, taste_channels=2, backfill=("popular", 20),
                         popular=torch.arange(20))
    generator = torch.Generator().manual_seed(0)
    agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
    pasts = [([0, 3], [1.0, -0.5]), ([], []), (list(range(15)), [0.5, -0.5, 1.0] * 5)]
    together = agent.recommend(Sessions.from_history(*zip(*pasts, strict=True)), k=4)
    for row, (items, feedback) in enumerate(pasts):
        assert torch.equal(agent.recommend(Sessions.from_history([items], [feedback]), k=4)[0], together[row])


def test_load_refuses_another_graph(tmp_path):
    agent = parity_agent()
    agent.save(tmp_path / "agent.safetensors")
    other = knowledge_graph(torch.tensor([[0], [20]]), num_nodes=22, num_items=20)
    with pytest.raises(ValueError, match="another knowledge graph"):
        KGQR.load(tmp_path / "agent.safetensors", other)


@pytest.mark.parametrize("change", [{"embedding": torch.ones(22, 4)}, {"popular": torch.arange(19, -1, -1)}])
def test_a_checkpoint_of_other_embeddings_or_another_ranking_is_refused(change, tmp_path, world):
    def run(**given) -> None:
        agent = parity_agent(**({"embedding": torch.zeros(22, 4), "popular": torch.arange(20)} | given))
        fit(agent, world, torch.arange(6), interactions=48, sessions=3, checkpoint=tmp_path, progress=False)

    run()
    run()
    with pytest.raises(ValueError, match=r"belongs to another run(.|\n)*agent data"):
        run(**change)


def test_a_loaded_agent_is_known_by_what_its_training_began_with(tmp_path, world):
    agent = parity_agent(embedding=torch.randn(22, 4))
    generator = torch.Generator().manual_seed(0)
    agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
    agent.save(tmp_path / "agent.safetensors")
    assert KGQR.load(tmp_path / "agent.safetensors", agent.candidates._kg).data_digest == agent.data_digest


def test_load_refuses_a_damaged_file(tmp_path):
    agent = parity_agent()
    path = tmp_path / "agent.safetensors"
    agent.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        KGQR.load(path, agent.candidates._kg)


@pytest.mark.parametrize("variant", ["KGQR-CS", "KGQR-GCN-CS", "KGQR-KG"])
def test_ablations_take_away_what_table_5_says(variant, world):
    agent = parity_agent(variant=variant, embedding=torch.randn(22, 4))
    assert (agent.network.items.encoder is None) == (variant != "KGQR-CS")
    past = Sessions.from_history([[0, 1]], [[1.0, -1.0]])
    items, _ = agent.candidates.select(past.liked, past.shown)
    assert items.tolist() == list(range(2, 20))  # every item not yet shown
    generator = torch.Generator().manual_seed(0)
    report = agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
    assert report["gradient_steps"] == 2


@pytest.mark.parametrize("pool", [None, [3, 8, 17, 0, 5]])
@pytest.mark.parametrize("taste_channels", [0, 2])
def test_fixed_candidates_are_decided_among_as_ragged_ones(pool, taste_channels, world):
    """The same items by a rule of one's own, whose Q-values are computed pair by pair."""

    class Ragged(torch.nn.Module):
        def __init__(self, fixed: FixedCandidates) -> None:
            super().__init__()
            self.select = fixed.select

    fixed = FixedCandidates(20, None if pool is None else torch.tensor(pool))
    dense, ragged = (parity_agent(candidates=rule, epsilon=0.0, taste_channels=taste_channels, variant="KGQR-GCN-CS",
                                  dim=8, hidden_channels=16) for rule in (fixed, Ragged(fixed)))  # so that none tie
    for _ in range(3):
        played = [rollout(agent, world, torch.arange(6), True) for agent in (dense, ragged)]
        assert torch.equal(played[0].items, played[1].items)
        reports = [agent.learn(played[0], torch.Generator().manual_seed(0)) for agent in (dense, ragged)]
        assert reports[0] == pytest.approx(reports[1])
    past = Sessions.from_history([[0, 1], [], [5, 3, 8, 17, 0]], [[1.0, -1.0], [], [1.0] * 5])
    assert torch.equal(dense.recommend(past, 4), ragged.recommend(past, 4))


def test_strays_are_uniform_over_what_is_left_of_fixed_candidates():
    agent = parity_agent(candidates=FixedCandidates(20, torch.tensor([3, 8, 17, 0, 5])), epsilon=0.5, average=0.0)
    past = Sessions.from_history([[8, 1]], [[1.0, -1.0]]).rows(torch.zeros(8_000, dtype=torch.long))
    past.step = 2
    best = int(agent.act(past)[0])
    share = torch.bincount(agent.act(past, True, torch.Generator().manual_seed(0)), minlength=20) / 8_000
    expected = torch.zeros(20)
    expected[[3, 17, 0, 5]] = 0.125
    expected[best] += 0.5
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)


def test_without_a_kg_item_vectors_are_asked_for():
    with pytest.raises(ValueError, match="item_vectors"):
        parity_agent(variant="KGQR-KG")


@pytest.mark.parametrize(("option", "message"), [
    ({"variant": "KGRQ"}, "did you mean 'KGQR"),
    ({"aggregator": "men"}, "did you mean 'mean'"),
    ({"gamma": 1.5}, "`gamma` must be"),
    ({"epsilon": (0.5, 0.1)}, "`epsilon` must be"),
    ({"embedding": torch.zeros(3, 4)}, r"finite vectors \[22, d\]"),
    ({"target": "tail"}, "choose from all, head"),
])
def test_bad_options_are_named(option, message):
    with pytest.raises(ValueError, match=message):
        parity_agent(**option)


def test_embeddings_in_double_precision_are_taken_in_single() -> None:
    agent = parity_agent(embedding=torch.randn(22, 4).double())
    assert {parameter.dtype for parameter in agent.parameters()} == {torch.float}
    with pytest.raises(TypeError, match="`embedding` must be a tensor, got 'ndarray'"):
        parity_agent(embedding=torch.randn(22, 4).numpy())


@pytest.mark.parametrize("made", [HeteroData, dict, Data])
def test_another_graph_is_no_kg(made) -> None:
    with pytest.raises(ValueError, match=r"`kg` must be a graph that `kgrl.graph.knowledge_graph` made"):
        KGQR(made())


def test_candidates_have_a_rule() -> None:
    with pytest.raises(TypeError, match=r"`candidates` must be an object with `select\(…\)`"):
        parity_agent(candidates=lambda seeds, exclude, generator: None)


def test_embeddings_are_trained_along(world):
    agent, generator = parity_agent(), torch.Generator().manual_seed(0)
    before = agent.network.items.embedding.detach().clone()
    agent.learn(rollout(agent, world, torch.arange(6), True, generator), generator)
    moved = (agent.network.items.embedding.detach() != before).any(1)
    assert moved[20:].all()  # the entities, too


def test_learns_on_every_device(device, world):
    agent, world = parity_agent().to(device), world.to(device)
    generator = torch.Generator(device).manual_seed(0)
    sessions = rollout(agent, world, torch.arange(6, device=device), True, generator)
    assert sessions.device.type == device.type
    assert agent.learn(sessions, generator)["loss"] > 0


class EvenItems(torch.nn.Module):
    """A rule of one's own: the even items not yet shown."""

    def select(self, seeds: Tensor, exclude: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        left = torch.ones(len(seeds), 20, dtype=torch.bool)
        left[:, 1::2] = False
        rows, columns = (exclude >= 0).nonzero(as_tuple=True)
        left[rows, exclude[rows, columns]] = False
        batch, items = left.nonzero(as_tuple=True)
        return items, batch


def test_a_candidate_rule_of_ones_own(tmp_path, world):
    agent = parity_agent(candidates=EvenItems())
    assert (rollout(agent, world, torch.arange(6)).items[:, 1:] % 2 == 0).all()
    agent.save(tmp_path / "agent.safetensors")
    kg = parity_agent().candidates._kg
    with pytest.raises(ValueError, match="`candidates` must be given again"):
        KGQR.load(tmp_path / "agent.safetensors", kg)
    loaded = KGQR.load(tmp_path / "agent.safetensors", kg, candidates=EvenItems())
    assert torch.equal(rollout(loaded, world, torch.arange(6)).items, rollout(agent, world, torch.arange(6)).items)


def test_an_agent_has_no_dropout_of_pytorchs_global_generator():
    with pytest.raises(ValueError, match="`dropout` must be 0 in an agent, .*, got 0.5"):
        parity_agent(aggregator="gat", aggregator_kwargs={"dropout": 0.5})


def test_an_aggregator_of_ones_own_is_asked_for_again(tmp_path):
    from kgrl.nn.conv.named_aggregators import NeighborAggregator

    agent = parity_agent(aggregator=NeighborAggregator)
    agent.save(tmp_path / "agent.safetensors")
    with pytest.raises(ValueError, match="`aggregator` must be given again"):
        KGQR.load(tmp_path / "agent.safetensors", agent.candidates._kg)
    loaded = KGQR.load(tmp_path / "agent.safetensors", agent.candidates._kg, aggregator=NeighborAggregator)
    past = Sessions.from_history([[0, 3]], [[1.0, 0.5]])
    assert torch.equal(loaded.recommend(past), agent.recommend(past))


@pytest.mark.parametrize("kwargs", [None, {"num_bases": 2}])
def test_relations_are_told_apart_trained_saved_and_loaded(world, tmp_path, kwargs):
    agent = parity_agent(aggregator="relational", aggregator_kwargs=kwargs)
    parts = [conv.aggregator for conv in agent.network.items.encoder.convs]
    assert [part.coefficients.shape for part in parts] == [(2, kwargs["num_bases"] if kwargs else 1)] * 2  # and inverse
    fit(agent, world, torch.arange(6), interactions=96, sessions=6)
    assert all(part.deviation.abs().max() > 0 for part in parts)
    agent.save(tmp_path / "agent.safetensors")
    loaded = KGQR.load(tmp_path / "agent.safetensors", agent.candidates._kg)
    assert loaded.options == agent.options
    past = Sessions.from_history([[0, 3]], [[1.0, 0.5]])
    assert torch.equal(loaded.recommend(past), agent.recommend(past))


# -------------------------------------------------------------------------------------- an aggregator of one's own


class Plain(Aggregator):
    """Without a weight."""

    def __init__(self, in_channels, out_channels: int, bias: bool = True) -> None:
        super().__init__()

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours + itself


class Narrow(Plain):
    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return itself[:, :2]


def test_an_aggregator_without_weights_is_tried_as_any_other(world):
    agent = parity_agent(aggregator=Plain)
    assert rollout(agent, world, torch.arange(6), explore=False).length.eq(8).all()
    with pytest.raises(ValueError, match="Narrow.* must "):
        parity_agent(aggregator=Narrow)
