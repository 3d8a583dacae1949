"""``examples/kgqr_single_file.py`` and the library are one algorithm written twice: number for number."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import HeteroData

from kgrl.agents import KGQR
from kgrl.datasets import SyntheticKGRec, popular_items, split_users
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from kgrl.simulator import PlantedFeedback, Simulator
from kgrl.train import fit

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "kgqr_single_file.py"
SMALL = {"dim": 12, "backfill": 20, "state_channels": 10, "hidden_channels": 9, "batch_size": 16, "gradient_steps": 4,
         "sessions": 16, "interactions": 600, "evaluate_every": 128}


@pytest.fixture(scope="module")
def single() -> ModuleType:
    """The script as a module (PyG wants to find the module of a ``MessagePassing``)."""
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return importlib.import_module(SCRIPT.stem)
    finally:
        sys.path.remove(str(SCRIPT.parent))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> HeteroData:
    """60 users, 80 items, 5 attributes that explain the tastes and 4 that do not."""
    folder = tmp_path_factory.mktemp("synthetic")
    return SyntheticKGRec(folder, num_users=60, num_items=80, num_attributes=5, num_distractors=4)[0]


class Noted(NamedTuple):
    """Of one training: every item shown (evaluation too), every loss, the curve and all weights at the end."""

    items: list[Tensor]
    losses: list[Tensor]
    curve: list[dict[str, float]]
    weights: list[Tensor]


class Watched(Simulator):
    """Writes down what it is told to show."""

    def step(self, sessions: Sessions, items: Tensor) -> Sessions:
        self.noted.append(items.clone())
        return super().step(sessions, items)


def noted(data: HeteroData, monkeypatch: pytest.MonkeyPatch, train: Callable[..., tuple[list, list]]) -> Noted:
    """What ``train(kg, popular, world, users, valid) → (curve, networks)`` does in the same small world."""
    users, valid, _ = split_users(data, train=0.7, valid=0.2, seed=0)
    popular = popular_items(data, users)
    world = Watched(PlantedFeedback(data), eta=0.1, horizon=8, first=popular)
    world.noted, losses, mse_loss = [], [], F.mse_loss

    def watched_loss(*args: Tensor) -> Tensor:
        loss = mse_loss(*args)
        losses.append(loss.detach())
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(F, "mse_loss", watched_loss)
        curve, networks = train(knowledge_graph(data), popular, world, users, valid)
    return Noted(world.noted, losses, curve, [part for network in networks for part in network.parameters()])


def by_library(options: dict) -> Callable[..., tuple[list, list]]:
    """The same options, each under its name, and none left to a default that may change."""
    own = {name: options[name] for name in ("interactions", "evaluate_every", "sessions", "seed")}
    given = {name: value for name, value in options.items() if name not in own}
    given |= {"backfill": ("popular", options["backfill"]), "num_candidates": None, "max_degree": None,
              "aggregator": "mean", "streak_state": False, "taste_channels": 0, "weight_decay": 0.0, "target": "head"}

    def train(kg, popular, world, users, valid):
        agent = KGQR(kg, popular=popular, seed=own["seed"], **given)
        curve = fit(agent, world, users, eval_users=valid, **own)
        return curve, [agent.network, agent.target, agent.acting]

    return train


def by_single_file(single: ModuleType, options: dict) -> Callable[..., tuple[list, list]]:
    def train(kg, popular, world, users, valid):
        agent = single.KGQR(kg, popular, single.Options(**options))
        curve = list(single.train(agent, world, users, valid))
        return curve, [agent.network, agent.target, agent.averaged]

    return train


def both(single, data, monkeypatch, changed) -> tuple[Noted, Noted]:
    options = asdict(single.Options(**(SMALL | changed)))
    return (noted(data, monkeypatch, by_library(options)),
            noted(data, monkeypatch, by_single_file(single, options)))


@pytest.mark.parametrize("changed", [
    {},
    {"hops": 1, "seed": 3, "gamma": 0.9, "tau": 0.2},
    {"average": 0.0, "epsilon": 0.5, "lr": 1e-2, "batch_size": 5},
    {"backfill": 8, "state_channels": 70, "dim": 33, "sessions": 7},
], ids=str)
def test_it_is_the_library_bit_for_bit(changed, single, data, monkeypatch):
    ours, theirs = both(single, data, monkeypatch, changed)
    assert len(ours.losses) == len(theirs.losses) >= 20
    assert torch.equal(torch.stack(ours.losses), torch.stack(theirs.losses))
    assert len(ours.items) == len(theirs.items)
    assert all(torch.equal(*shown) for shown in zip(ours.items, theirs.items, strict=True))
    assert all(torch.equal(*pair) for pair in zip(ours.weights, theirs.weights, strict=True))
    assert [row["interactions"] for row in theirs.curve][-1] == 600
    for row, same in zip(ours.curve, theirs.curve, strict=True):
        assert same == {name: row[name] for name in same}
        assert {"interactions", "loss", "reward", "precision", "recall", "f1"} == set(same)


def test_beyond_two_hops_sums_are_in_another_order(single, data, monkeypatch):
    """The library then hears of an entity's neighbours in another order: the last bits of a sum may differ."""
    ours, theirs = both(single, data, monkeypatch, {"hops": 3, "interactions": 128})
    torch.testing.assert_close(torch.stack(ours.losses), torch.stack(theirs.losses))
    for pair in zip(ours.weights, theirs.weights, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-5)


def test_only_data_kg_and_simulator_are_the_librarys():
    allowed = {"kgrl.datasets", "kgrl.graph", "kgrl.options", "kgrl.seeding", "kgrl.sessions", "kgrl.simulator"}
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.startswith("kgrl")} == allowed


def test_it_prints_a_learning_curve(single, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--dataset", "synthetic", "--data", str(tmp_path), "--interactions", "64",
                                      "--evaluate-every", "32", "--sessions", "1", "--gradient-steps", "1"])
    single.main()
    said = capsys.readouterr().out
    order = ["all-knowing", "20 validation users", "32 interactions  loss", "64 interactions  loss"]
    places = [said.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize(("arguments", "text"), [
    (["--gamma", "1.5"], "`gamma` must be a finite number in [0, 1], got 1.5"),
    (["--gradient-steps", "0"], "`gradient_steps` must be at least 1, got 0"),
    (["--interactions", "31"], "`interactions` must be at least 32, got 31"),
    (["--dataset", "netflix"], "invalid choice: 'netflix'"),
])
def test_a_wrong_argument_ends_it_at_once(arguments, text, single, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    with pytest.raises(SystemExit):
        single.main()
    assert text in capsys.readouterr().err
