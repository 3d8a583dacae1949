"""One file of every kind that kgrl writes and reads again, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgrl.agents import KGQR, TPGR, FixedList
from kgrl.experiments.cell import Cell
from kgrl.experiments.script_run import few_data
from kgrl.files import load_tensors, save_tensors
from kgrl.graph import knowledge_graph
from kgrl.pretrain.entities import KIND as VECTORS
from kgrl.train.checkpoint import FILE, KIND, Run
from kgrl.tree import ClusterTree
from tests.datasets.test_base import Toy
from tests.experiments.made_cells import made_cell


class Read:
    """A file and how it is read: to something that can be compared."""

    def __init__(self, path: Path, read: Callable[[], Any]) -> None:
        self.path, self.read = path, read


def weights(agent: torch.nn.Module) -> dict[str, Any]:
    return {**agent.state_dict(), "options": getattr(agent, "options", None)}


def checkpoint(folder: Path) -> dict[str, Any]:
    agent = torch.nn.Linear(4, 4)
    run = Run(agent, torch.Generator())
    run.restore(folder, {"seed": 1})
    return {**vars(run), "agent": None, **agent.state_dict(), "generator": run.generator.get_state()}


def every_file(folder: Path) -> Iterator[Read]:
    """Written below ``folder``, by kgrl itself."""
    data = few_data()
    kg, users = knowledge_graph(data), torch.arange(12)
    small = {"dim": 4, "state_channels": 4, "hidden_channels": 4}
    KGQR(kg, backfill=("random", 5), **small).save(folder / "kgqr")
    yield Read(folder / "kgqr", lambda: weights(KGQR.load(folder / "kgqr", kg)))
    tree = ClusterTree.build(torch.eye(40), depth=2)
    TPGR.from_data(data, users, tree=tree).save(folder / "tpgr")
    yield Read(folder / "tpgr", lambda: weights(TPGR.load(folder / "tpgr", data, users)))
    FixedList(torch.arange(40)).save(folder / "list")
    yield Read(folder / "list", lambda: weights(FixedList.load(folder / "list")))
    tree.save(folder / "tree")
    yield Read(folder / "tree", lambda: {"paths": ClusterTree.load(folder / "tree").paths})
    save_tensors(folder / "vectors", {"vectors": torch.randn(8, 4)}, {"kind": VECTORS, "scores": None})
    yield Read(folder / "vectors", lambda: dict(load_tensors(folder / "vectors", VECTORS)[0]))
    Run(torch.nn.Linear(4, 4), torch.Generator().manual_seed(5), 1, 2, 3).save(folder, {"seed": 1})
    assert load_tensors(folder / FILE, KIND)
    yield Read(folder / FILE, lambda: checkpoint(folder))
    processed = Path(Toy(folder / "data").processed_paths[0])
    yield Read(processed, lambda: Toy(folder / "data")[0].to_dict())
    cell = made_cell("A", 0, [1.0, 0.5, 0.25], curve=(0.5, 1.0)).write(folder)
    yield Read(cell, lambda: asdict(Cell.read(cell)))


def alike(first: Any, second: Any) -> bool:
    """Whether nested values are the same, tensors bit for bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(alike(first[name], second[name]) for name in first)
    return isinstance(first, torch.Generator) or bool(first == second)
