"""Nothing mixes devices: every tensor that is made follows those that are there, and no kernel is asked for that a GPU
does not have.

Where there is no second device, ``meta`` is made the default one: a tensor that is made without saying where ends up
there, and meets those that stayed on the CPU with an error.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kgrl.datasets import SyntheticKGRec
from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.simulator import Past, PlantedFeedback, PredictedFeedback, RatedFeedback, Simulator
from kgrl.tree import ClusterTree
from tests.agents.every_agent import AGENTS, HORIZON, ITEMS, LONGEST, NEW, OLD, TRAIN, data

PRODUCTS = ("mm", "mv", "bmm", "dot", "addmm", "addmv", "baddbmm")


class NoIntegerProducts(TorchDispatchMode):
    """A CPU that refuses what CUDA does: products of matrices of whole numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        whole = [arg.dtype for arg in args if isinstance(arg, torch.Tensor) and not arg.is_floating_point()]
        if func.overloadpacket.__name__ in PRODUCTS and whole:
            raise NotImplementedError(f"{func} of {whole}")
        return func(*args, **(kwargs or {}))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_guards_notice() -> None:
    here = torch.ones(2)
    with pytest.raises(RuntimeError), torch.device("meta"):
        (here[:1] + torch.ones(2)).tolist()
    with pytest.raises(NotImplementedError, match="of .*int64"), NoIntegerProducts():
        torch.ones(2, 2, dtype=torch.long) @ torch.ones(2, dtype=torch.long)


def test_a_tree_needs_no_product_of_whole_numbers() -> None:
    vectors = torch.randn(20, 3, generator=generator())
    plain = ClusterTree.build(vectors, depth=3)
    with NoIntegerProducts():
        tree = ClusterTree.build(vectors, depth=3)
    number = [sum(int(digit) * tree.children**power for power, digit in enumerate(reversed(path)))
              for path in tree.paths.tolist()]
    assert tree.positions.tolist() == plain.positions.tolist() == number


@pytest.mark.parametrize("make", ["predicted", "planted", "rated"])
def test_a_world_is_where_its_data_are(make: str, tmp_path) -> None:
    given: Any = data()
    if make == "predicted":
        given = PredictedFeedback.from_embeddings(torch.randn(24, 3, generator=generator()), torch.rand(20, 3)).factors
    elif make == "planted":
        given = SyntheticKGRec(tmp_path, num_users=24, num_items=ITEMS, seed=0)[0]
    build = {"predicted": PredictedFeedback, "planted": PlantedFeedback, "rated": RatedFeedback}[make]
    past = Past.from_data(data(), OLD, longest=LONGEST)
    with torch.device("meta"):
        feedback = build(given)
        assert not {str(buffer.device) for buffer in feedback.buffers()} - {"cpu"}
        for options in ({"first": torch.arange(ITEMS, device="cpu")}, {"items": NEW, "past": past}):
            world = Simulator(feedback, eta=0.1, horizon=HORIZON, **options)
            bounds = world.bounds(TRAIN, TRAIN)
            world.play_random(TRAIN, generator())
    assert bounds.num_relevant.tolist() == world.num_relevant(TRAIN).tolist()


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "KGProfile"])  # its sparse matrices have no modes
def test_an_agent_decides_and_learns_where_it_is(name: str) -> None:
    agent, world = AGENTS[name](), Simulator(RatedFeedback(data()), eta=0.1, horizon=HORIZON)
    other = copy.deepcopy(agent)
    sessions = rollout(other, world, TRAIN, True, generator())
    report, reward = other.learn(sessions, generator()), evaluate(other, world, TRAIN).reward
    with NoIntegerProducts(), torch.device("meta"):
        sessions = rollout(agent, world, TRAIN, True, generator())
        assert agent.learn(sessions, generator()) == report
        assert evaluate(agent, world, TRAIN).reward == reward
        agent.recommend(sessions, k=3)


def memories(agent: Any) -> dict[str, Tensor]:
    """What an agent has learned by that is no part of its weights, but for single numbers."""
    return {name: part for name, part in agent.training_state().items() if part.dim()}


@pytest.mark.parametrize("name", [name for name in AGENTS if name.startswith(("DQNR", "DDPG", "KGQR", "TPGR"))])
def test_an_agent_that_has_learned_moves_as_a_whole(name: str) -> None:
    """Replay and optimiser, too; a step of the optimiser there refuses averages that stayed behind."""
    agent, world = AGENTS[name](), Simulator(RatedFeedback(data()), eta=0.1, horizon=HORIZON)
    agent.learn(rollout(agent, world, TRAIN, True, generator()), generator())
    before = {key: (part.dtype, part.shape) for key, part in memories(agent).items()}
    assert any("exp_avg" in key for key in before)
    agent.to("meta")
    assert {key: (part.dtype, part.shape) for key, part in memories(agent).items()} == before
    assert {part.device.type for part in memories(agent).values()} == {"meta"}
    own = {id(parameter) for parameter in agent.parameters()}
    for group in agent.optimizer.param_groups:
        for parameter in group["params"]:
            assert id(parameter) in own
            parameter.grad = torch.ones_like(parameter)
    agent.optimizer.step()


@pytest.mark.parametrize("name", [name for name in AGENTS if name.startswith(("DQNR", "DDPG", "KGQR", "TPGR"))])
def test_moving_to_where_it_is_changes_nothing(name: str) -> None:
    world = Simulator(RatedFeedback(data()), eta=0.1, horizon=HORIZON)
    reports = []
    for move in (False, True):
        agent = AGENTS[name]()
        for _ in range(2):
            sessions = rollout(agent, world, TRAIN, True, generator())
            report = agent.learn(sessions, generator())
            if move:
                agent.to("cpu")
        reports.append(report)
    assert reports[0] == reports[1]
