"""Agents that begin with tastes from ratings; rows of new nodes against a slow spreading, and by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents import DQNR, KGQR, LinearGaussian
from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.shared.warm_start import SURE, heard_graph, moved_rows, prior_of_new_items
from kgrl.candidates import FixedCandidates
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.pretrain.kg_tastes import through_kg
from kgrl.rollout import rollout
from kgrl.train import fit
from tests.agents.planted_items import ITEMS, USERS, predicted, vectors

SMALL: dict[str, Any] = {"preset": "paper", "average": 0.1, "gamma": 0.5,
                         "state_channels": 8, "hidden_channels": 16, "gradient_steps": 3, "batch_size": 32,
                         "streak_state": True, "horizon": 6, "epsilon": 0.0, "seed": 1}
KG = knowledge_graph(torch.stack([torch.arange(ITEMS), ITEMS + torch.arange(ITEMS) % 4]), num_nodes=ITEMS + 4,
                     num_items=ITEMS)


def tastes(noise: float = 0.2) -> TasteTerms:
    """The world's own vectors, as its users' are drawn from: the mean user is (0, 1), and she differs in the first."""
    items = vectors()
    return TasteTerms(items[:, 1], items[:, :1], torch.full((ITEMS,), noise))


def dqn(**options: Any) -> DQNR:
    return DQNR(vectors(), **(SMALL | {"tastes": tastes()} | options))


def kgqr(**options: Any) -> KGQR:
    given = {"tastes": tastes(), "dim": 4, "candidates": FixedCandidates(ITEMS)}
    return KGQR(KG, **(SMALL | given | options))


AGENTS = pytest.mark.parametrize("make", [dqn, kgqr])
Make = Callable[..., OffPolicyAgent]


@AGENTS
@pytest.mark.parametrize("average", [0.0, 0.1])
def test_the_first_decisions_are_those_of_the_linear_gaussian_recommender(make: Make, average: float) -> None:
    world, users = predicted(), torch.arange(USERS)
    theirs = rollout(LinearGaussian(tastes()), world, users)
    ours = rollout(make(average=average), world, users)
    assert torch.equal(ours.items, theirs.items)
    cold = rollout(make(average=average, tastes=None, taste_channels=1), world, users)
    assert not torch.equal(cold.items, ours.items)


def test_ragged_candidates_are_decided_among_alike() -> None:
    world, users = predicted(), torch.arange(USERS)
    ragged = kgqr(candidates=None, num_candidates=None, backfill=("random", ITEMS))
    assert torch.equal(rollout(ragged, world, users).items, rollout(kgqr(), world, users).items)


@AGENTS
@pytest.mark.parametrize("target", ["head", "all"])
def test_what_items_have_in_common_is_there_before_the_first_step(make: Make, target: str) -> None:
    """η = 0.1 a like or dislike in a row, as the feedback is expected without error; and no item is moved by it."""
    agent, world = make(target=target, gradient_steps=1, lr=0.0, tastes=tastes(1e-6)), predicted()
    sessions = rollout(agent, world, torch.arange(USERS), explore=False)
    agent.learn(sessions, torch.Generator().manual_seed(0))
    slope = 0.1 * world.horizon**0.5
    heads = [agent.network.head, agent.averaged.head, agent.target.head if target == "all" else agent.target]
    for head in heads:
        assert head.streak.weight[0, 0].item() == pytest.approx(slope, rel=0.05)
        assert not head.advantage.weight.any()
    assert torch.equal(rollout(agent, world, torch.arange(USERS), explore=False).items, sessions.items)


@AGENTS
def test_once_it_has_learned_it_learns_by_gradient_alone(make: Make) -> None:
    agent, world = make(), predicted()
    sessions = rollout(agent, world, torch.arange(USERS))
    agent.learn(sessions, torch.Generator().manual_seed(0))
    before = agent.network.head.streak.weight.clone()
    agent.learn(sessions, torch.Generator().manual_seed(1))
    assert (agent.network.head.streak.weight - before).abs().max() <= 3.1 * agent.options["lr"]
    cold = make(tastes=None, taste_channels=1)
    before = cold.network.head.streak.weight.clone()
    cold.learn(sessions, torch.Generator().manual_seed(0))
    assert (cold.network.head.streak.weight - before).abs().max() <= 3.1 * cold.options["lr"]


@AGENTS
def test_the_average_remembers_a_warm_start_for_longer(make: Make) -> None:
    """By hand, one gradient step at a time: 1/101 of the way each, where a cold start forgets at once."""
    for agent, shares in ((make(gradient_steps=1), [1 / 101] * 3),
                          (make(gradient_steps=1, tastes=None, taste_channels=1), [1 / 1.1, 1 / 1.2, 1 / 1.3])):
        sessions = rollout(agent, predicted(), torch.arange(USERS))
        for step, share in enumerate(shares):
            before = agent.averaged.items.embedding.clone()
            agent.learn(sessions, torch.Generator().manual_seed(step))
            wanted = torch.lerp(before, agent.network.items.embedding, share)
            torch.testing.assert_close(agent.averaged.items.embedding, wanted)


@AGENTS
def test_without_gradient_steps_nothing_is_learned(make: Make) -> None:
    agent = make(gradient_steps=0)
    before = copy.deepcopy(agent.state_dict())
    agent.learn(rollout(agent, predicted(), torch.arange(USERS)))
    for name, value in agent.state_dict().items():
        assert torch.equal(value, before[name]), name


@AGENTS
def test_what_was_saved_decides_alike(make: Make, tmp_path) -> None:
    agent, world, users = make(), predicted(), torch.arange(USERS)
    for seed in range(3):
        agent.learn(rollout(agent, world, users), torch.Generator().manual_seed(seed))
    agent.save(tmp_path / "agent.safetensors")
    again = (KGQR.load(tmp_path / "agent.safetensors", KG, candidates=FixedCandidates(ITEMS)) if make is kgqr
             else DQNR.load(tmp_path / "agent.safetensors"))
    assert torch.equal(rollout(again, world, users).items, rollout(agent, world, users).items)
    for name, value in agent.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@AGENTS
def test_a_checkpoint_of_other_tastes_is_refused(make: Make, tmp_path) -> None:
    run = {"interactions": 60, "sessions": 5, "eval_users": torch.arange(4), "checkpoint": tmp_path}
    fit(make(), predicted(), torch.arange(USERS), **run)
    with pytest.raises(ValueError, match="agent data"):
        fit(make(tastes=tastes(0.3)), predicted(), torch.arange(USERS), **run)


@AGENTS
def test_an_interrupted_run_goes_on_exactly(make: Make, tmp_path) -> None:
    run = {"sessions": 5, "eval_users": torch.arange(4), "evaluate_every": 60, "evaluate_first": True}
    agents = [make(epsilon=0.2) for _ in range(3)]
    whole = fit(agents[0], predicted(), torch.arange(USERS), interactions=240, **run)
    fit(agents[1], predicted(), torch.arange(USERS), interactions=120, checkpoint=tmp_path, **run)
    goes_on = fit(agents[2], predicted(), torch.arange(USERS), interactions=240, checkpoint=tmp_path, **run)
    assert [row["reward"] for row in goes_on] == [row["reward"] for row in whole]
    for name, value in agents[0].state_dict().items():
        assert torch.equal(value, agents[2].state_dict()[name]), name


@AGENTS
@pytest.mark.parametrize("options", [{"streak_state": False}, {"gamma": 0.5}, {"gamma": 0.5, "target": "all"}])
def test_learns_on_every_device_and_with_other_options(make: Make, options: dict[str, Any], device) -> None:
    agent, world = make(**options).to(device), predicted().to(device)
    users = torch.arange(USERS, device=device)
    theirs = LinearGaussian(tastes()).to(device)
    assert torch.equal(rollout(agent, world, users).items, rollout(theirs, world, users).items)
    for _ in range(2):
        agent.learn(rollout(agent, world, users), torch.Generator(device).manual_seed(0))
    assert not agent.network.head.silent
    assert all(parameter.isfinite().all() for parameter in agent.parameters())
    assert agent.network.taste.start_loading.device.type == device.type


@AGENTS
def test_tastes_of_any_float_type_and_with_gradients(make: Make) -> None:
    world, users = predicted(), torch.arange(USERS)
    given = TasteTerms(*(part.double().requires_grad_() for part in tastes()))
    agent = make(tastes=given)
    assert torch.equal(rollout(agent, world, users).items, rollout(make(), world, users).items)
    agent.learn(rollout(agent, world, users), torch.Generator().manual_seed(0))


@AGENTS
def test_a_file_has_its_own_tastes(make: Make, tmp_path) -> None:
    make().save(tmp_path / "agent.safetensors")
    path, pool = tmp_path / "agent.safetensors", FixedCandidates(ITEMS)
    load = {kgqr: lambda **given: KGQR.load(path, KG, candidates=pool, **given),
            dqn: lambda **given: DQNR.load(path, **given)}[make]
    with pytest.raises(ValueError, match="`tastes` must be left out"):
        load(tastes=tastes(0.5))


@AGENTS
@pytest.mark.parametrize(("options", "text"), [
    ({"taste_channels": 3}, "`taste_channels` must be 1, the length of `tastes`, or left out, got 3"),
    ({"tastes": tastes()._replace(loading=torch.zeros(ITEMS, 0))}, r"`tastes` must be .* k > 0"),
    ({"tastes": tastes(0.0)}, "`tastes` must be of noise above 0"),
    ({"tastes": tastes()._replace(expected=torch.zeros(2))}, r"`tastes` must be expected \[N\]"),
])
def test_tastes_that_are_none(make: Make, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(**options)


@AGENTS
def test_tastes_of_other_items(make: Make) -> None:
    fewer = TasteTerms(*(part[:-1] for part in tastes()))
    with pytest.raises(ValueError, match=f"`tastes` must be of {ITEMS} items, got {ITEMS - 1}"):
        make(tastes=fewer)


def slow_spread(rows: dict[int, Tensor], edges: list[tuple[int, int]], nodes: int) -> Tensor:
    """Round by round, node by node."""
    average = torch.stack(list(rows.values())).mean(0)
    while True:
        fresh = {}
        for node in set(range(nodes)) - set(rows):
            near = {a + b - node for a, b in edges if node in (a, b) and a != b}
            if known := [rows[each] for each in near if each in rows]:
                fresh[node] = torch.stack(known).mean(0)
        if not fresh:
            return torch.stack([rows.get(node, average) for node in range(nodes)])
        rows = rows | fresh


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_new_nodes_are_filled_round_by_round(data, inverse: bool) -> None:
    nodes = data.draw(st.integers(2, 9))
    node = st.integers(0, nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=12))
    place = torch.tensor(data.draw(st.permutations([0, *([-1] * (nodes // 2)), *range(1, nodes - nodes // 2)])))
    kg = knowledge_graph(torch.tensor(edges, dtype=torch.long).view(-1, 2).T, num_items=2, num_nodes=nodes,
                         inverse=inverse)
    rows = torch.randn(nodes - 1, 3)
    slow = slow_spread({i: rows[p] for i, p in enumerate(place.tolist()) if p >= 0}, edges, nodes)
    torch.testing.assert_close(moved_rows(rows, place, kg), slow)


def test_rows_of_items_alone_reach_new_items_over_entities() -> None:
    """Items 0 to 3 and entities 4, 5: entity 4 has the rows of items 0 and 1, and item 2 that of entity 4."""
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 5]]), num_items=4)
    rows = moved_rows(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 0, -1, -1, 3, 2]), kg)
    assert rows.view(-1).tolist() == [3, 1, 2, 2, 2, 2]  # the last two: the mean of all


def films() -> tuple[Data, TasteTerms, Tensor]:
    """40 items of four kinds, by which they are liked, and of colours, which say nothing; every fifth item is new."""
    generator = torch.Generator().manual_seed(0)
    item = torch.arange(40)
    kind, colour = 40 + item % 4, 44 + torch.randint(5, (40,), generator=generator)
    links = torch.stack([torch.cat([item, item]), torch.cat([kind, colour])])
    kg = knowledge_graph(links, edge_type=torch.arange(2).repeat_interleave(40), num_items=40, num_nodes=51)
    expected = torch.tensor([0.6, -0.4, 0.1, -0.3])[item % 4] + 0.05 * torch.randn(40, generator=generator)
    noise = 0.1 + 0.1 * torch.rand(40, generator=generator)
    return kg, TasteTerms(expected, torch.stack([2 * expected, -expected], 1), noise), item % 5 > 0


def test_new_items_are_expected_to_be_like_those_of_their_kind() -> None:
    kg, terms, known = films()
    hidden = TasteTerms(*(part.clone() for part in terms))
    for part in hidden:
        part[~known] = torch.nan  # not looked at
    found = prior_of_new_items(hidden, known, kg).checked("found")
    for ours, theirs in zip(found, terms, strict=True):
        assert torch.equal(ours[known], theirs[known])
    torch.testing.assert_close(found.expected[~known], terms.expected[~known], atol=0.12, rtol=0)
    torch.testing.assert_close(found.loading[~known], terms.loading[~known], atol=0.24, rtol=0)
    assert found.noise[~known].min() > terms.noise[known].mean()
    through = through_kg(kg, terms, known * SURE)
    assert torch.equal(found.expected[~known], through.expected[~known])


@pytest.mark.parametrize("edges", [0, 3])
def test_new_items_that_share_nothing_are_the_mean_item(edges: int) -> None:
    """Without edges, and with entities that only one item has; the noise holds how much items differ."""
    _, terms, known = films()
    kg = knowledge_graph(torch.stack([torch.arange(edges), 40 + torch.arange(edges)]), num_items=40, num_nodes=51)
    found = prior_of_new_items(terms, known, kg)
    torch.testing.assert_close(found.expected[~known], terms.expected[known].mean().expand(8))
    torch.testing.assert_close(found.loading[~known], terms.loading[known].mean(0).expand(8, 2))
    spread = terms.expected[known].var(correction=0) + terms.loading[known].var(0, correction=0).sum()
    torch.testing.assert_close(found.noise[~known], (terms.noise[known].mean() + spread).expand(8), rtol=1e-3, atol=0)


@pytest.mark.parametrize("inverse", [True, False])
def test_trained_nodes_do_not_hear_of_new_ones(inverse: bool) -> None:
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 1]]), num_items=4, inverse=inverse)
    untrained = torch.tensor([False, False, True, True, False])
    kg.edge_attr = torch.arange(kg.num_edges).float().view(-1, 1)
    heard = heard_graph(kg, untrained)
    rows = zip(*kg.edge_index.tolist(), kg.edge_type.tolist(), strict=True)
    wanted = [(h, t, r) for h, t, r in rows if untrained[h] or not untrained[t]]  # messages go from tail to head
    assert list(zip(*heard.edge_index.tolist(), heard.edge_type.tolist(), strict=True)) == wanted
    assert torch.equal(kg.edge_index[:, heard.edge_attr.view(-1).long()], heard.edge_index)  # attributes go along
    assert heard.num_items == 4
    assert kg.num_edges == 4 * (1 + inverse)  # the graph itself stays as it is
