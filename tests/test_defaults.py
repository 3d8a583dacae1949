"""PyTorch's global defaults change nothing: every tensor that is made follows the device of those that are there, and
is of single precision where nothing else is said. Nor is a kernel asked for that a GPU does not have.

Where there is no second device, ``meta`` is made the default one: a tensor that is made without saying where ends up
there, and meets those that stayed on the CPU with an error. Double precision as the default meets single precision.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.data import HeteroData

from kgrl.datasets import (
    SyntheticKGRec,
    from_frames,
    popular_items,
    split_items,
    split_ratings,
    split_users,
)
from kgrl.datasets.splits import renumbered
from kgrl.evaluate import evaluate
from kgrl.graph import kg_digest, knowledge_graph, shuffled
from kgrl.pretrain import factor_tastes, item_tastes, item_vectors, kg_tastes, pretrain_entities
from kgrl.raw_ids import aligned
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import Boredom, Past, PlantedFeedback, PredictedFeedback, RatedFeedback, Simulator
from kgrl.simulator.observations import SessionSummary
from kgrl.train import fit
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


@contextmanager
def other_defaults(device: str = "meta") -> Iterator[None]:
    torch.set_default_dtype(torch.double)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(torch.float)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_guards_notice() -> None:
    here = torch.ones(2)
    with pytest.raises(RuntimeError), torch.device("meta"):
        (here[:1] + torch.ones(2)).tolist()
    with pytest.raises(NotImplementedError, match="of .*int64"), NoIntegerProducts():
        torch.ones(2, 2, dtype=torch.long) @ torch.ones(2, dtype=torch.long)
    with pytest.raises(RuntimeError, match="dtype"), other_defaults("cpu"):
        torch.ones(2, 2) @ here
    assert torch.ones(2).dtype == torch.float


def test_a_tree_needs_no_product_of_whole_numbers() -> None:
    vectors = torch.randn(20, 3, generator=generator())
    plain = ClusterTree.build(vectors, depth=3)
    with NoIntegerProducts():
        tree = ClusterTree.build(vectors, depth=3)
    number = [sum(int(digit) * tree.children**power for power, digit in enumerate(reversed(path)))
              for path in tree.paths.tolist()]
    assert tree.positions.tolist() == plain.positions.tolist() == number


@pytest.mark.parametrize("make", ["predicted", "planted", "rated"])
def test_a_world_is_like_its_data(make: str, tmp_path: Path) -> None:
    given: Any = data()
    if make == "predicted":
        given = PredictedFeedback.from_embeddings(torch.randn(24, 3, generator=generator()), torch.rand(20, 3)).factors
    elif make == "planted":
        given = SyntheticKGRec(tmp_path, num_users=24, num_items=ITEMS, seed=0)[0]
    build = {"predicted": PredictedFeedback, "planted": PlantedFeedback, "rated": RatedFeedback}[make]
    past = Past.from_data(data(), OLD, longest=LONGEST)

    def made() -> list[Any]:
        feedback = build(given)
        parts = [feedback.state_dict()]
        leaving = Boredom(torch.arange(ITEMS, device="cpu") % 4, 2, 0)
        for options in ({"first": torch.arange(ITEMS, device="cpu")}, {"items": NEW, "past": past},
                        {"leaving": leaving}):
            world = Simulator(feedback, eta=0.1, horizon=HORIZON, **options)
            bounds, sessions = world.bounds(TRAIN, TRAIN), world.play_random(TRAIN, generator())
            assert bounds.num_relevant.tolist() == world.num_relevant(TRAIN).tolist()
            played = [sessions, *bounds.lines.values()]
            parts += [bounds.num_relevant, bounds.upper, bounds.taste_share, *(each.tensors() for each in played),
                      sessions.metrics(bounds.num_relevant)]
        return parts

    same_as_elsewhere(made)


def same_as_elsewhere(make: Callable[[], Any], device: str = "meta") -> None:
    """What ``make`` gives is the same, on the CPU and of the same precision, where other defaults hold."""
    plain = tree_leaves(make())
    with other_defaults(device):
        found = tree_leaves(make())
    assert len(found) == len(plain) > 0
    for before, now in zip(plain, found, strict=True):
        if isinstance(before, Tensor):
            assert (now.device.type, now.dtype) == ("cpu", before.dtype)
            torch.testing.assert_close(now.to_dense(), before.to_dense(), rtol=0, atol=0, equal_nan=True)
        else:
            assert now == before


MADE: dict[str, Callable[[Path], Any]] = {
    "read": lambda folder: parts_of(from_frames(FRAME, rating_scale=(1.0, 5.0, 3.0))),
    "a data set": lambda folder: parts_of(SyntheticKGRec(folder, num_users=20, num_items=30, seed=0)[0]),
    "graph": lambda folder: [part for part in knowledge_graph(data()).to_dict().values() if isinstance(part, Tensor)],
    "shuffled graph": lambda folder: shuffled(knowledge_graph(data())).edge_index,
    "digest": lambda folder: kg_digest(
        knowledge_graph(data().edge_index_dict["item", "has_a", "entity"], num_items=ITEMS)),
    "users": lambda folder: split_users(data()),
    "items": lambda folder: split_items(data()),
    "ratings": lambda folder: split_ratings(data(), train=0.5, valid=0.2),
    "popular": lambda folder: popular_items(data(), TRAIN),
    "renumbered": lambda folder: parts_of(renumbered(data())),
    "TransE": lambda folder: pretrain_entities(knowledge_graph(data()), dim=4, epochs=2, cache=folder),
    "factors": lambda folder: item_vectors(data(), TRAIN, "mf", dim=3),
    "rows": lambda folder: item_vectors(data(), TRAIN, "rating"),
    "codes": lambda folder: item_vectors(data(), TRAIN, "vae", dim=3),
    "factor_tastes": lambda folder: list(factor_tastes(data(), TRAIN)),
    "item_tastes": lambda folder: list(item_tastes(data(), TRAIN)),
    "kg_tastes": lambda folder: list(kg_tastes(knowledge_graph(data()), data(), TRAIN)),
    "predicted": lambda folder: PredictedFeedback.fit(data()).state_dict(),
    "past": lambda folder: Past.from_data(data(), OLD, longest=LONGEST).begin(TRAIN, HORIZON, 0.0).tensors(),
    "history": lambda folder: Sessions.from_history([[0, 1], [2]], [[1.0, -1.0], [0.5]]).tensors(),
    "summary": lambda folder: SessionSummary(torch.full((ITEMS, 2), 0.5, dtype=torch.float, device="cpu"))(
        Sessions.from_history([[0, 1], [2]], [[1.0, -1.0], [0.5]])),
    "tree": lambda folder: ClusterTree.build(item_vectors(data(), TRAIN, "mf", dim=3), depth=3).paths,
    "k-means tree": lambda folder: ClusterTree.build(
        item_vectors(data(), TRAIN, "mf", dim=3), depth=3, method="kmeans").paths,
    "aligned": lambda folder: aligned(torch.tensor([7, 5], device="cpu"), {5: [1.0, 2.0], 7: [3.0, 4.0]}),
}
FRAME = pd.DataFrame({"user": [0, 0, 1, 1], "item": [3, 4, 4, 5], "rating": [5.0, 1.0, 4.0, 2.0]})


def parts_of(given: HeteroData) -> dict[str, Tensor]:
    return {f"{at} {name}": part for at, store in enumerate(given.stores) for name, part in store.items()
            if isinstance(part, Tensor)}


def folder_here(folder: Path) -> Path:
    return folder / f"{torch.get_default_device()} {torch.get_default_dtype()}"


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_the_same(name: str, tmp_path: Path) -> None:
    data()  # made before, once for all tests
    same_as_elsewhere(lambda: MADE[name](folder_here(tmp_path)))


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_made_and_read_like_its_data(name: str, tmp_path: Path) -> None:
    given = {"kg": knowledge_graph(data()), "data": data(), "users": TRAIN}

    def made() -> list[dict[str, Tensor]]:
        agent: Any = AGENTS[name]()
        if name.startswith("Random") or "one's own" in name:
            return [agent.state_dict()] if agent.state_dict() else [{"items": torch.tensor(ITEMS, device="cpu")}]
        agent.save(tmp_path / "agent")
        asked = inspect.signature(type(agent).load).parameters.keys() & given.keys()
        loaded = type(agent).load(tmp_path / "agent", **{part: given[part] for part in asked})
        return [agent.state_dict(), loaded.state_dict()]

    same_as_elsewhere(made)


@pytest.mark.parametrize("name", ["KGQR, popular", "TPGR"])
def test_a_training_is_the_same(name: str, tmp_path: Path) -> None:
    """With evaluations and checkpoints, and going on from one."""
    def trained() -> list[Any]:
        folder, world = folder_here(tmp_path), Simulator(RatedFeedback(data()), horizon=HORIZON)
        for interactions in (120, 240):
            agent = AGENTS[name]()
            curve = fit(agent, world, TRAIN, interactions=interactions, eval_users=TRAIN[:4], evaluate_every=60,
                        sessions=6, checkpoint=folder, progress=False)
        return [agent.state_dict(), [row["reward"] for row in curve]]

    same_as_elsewhere(trained)


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_decides_and_learns_like_itself(name: str) -> None:
    first = AGENTS[name]()

    def used() -> list[Any]:
        agent, world = copy.deepcopy(first), Simulator(RatedFeedback(data()), eta=0.1, horizon=HORIZON)
        sessions = rollout(agent, world, TRAIN, True, generator())
        report = agent.learn(sessions, generator())
        scores = evaluate(agent, world, TRAIN)
        found = [sessions.tensors(), report, agent.state_dict(), scores.reward, scores.per_user]
        return [*found, agent.recommend(sessions, k=3)]

    if name == "KGProfile":  # its sparse matrices know no modes, and a default device is one
        same_as_elsewhere(used, "cpu")
    else:
        with NoIntegerProducts():
            same_as_elsewhere(used)


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
