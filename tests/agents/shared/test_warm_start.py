"""KGQR and DQN-R that begin with tastes from ratings: the first decisions, the first lesson, files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kgrl.agents import DQNR, KGQR, LinearGaussian
from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.candidates import FixedCandidates
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
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
