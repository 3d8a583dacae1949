"""Runs the cells of a table, one after the other, and says how far it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from kgrl.experiments.data_sets import Unserved
from kgrl.experiments.method import Method
from kgrl.experiments.runner import run_bounds, run_cell
from kgrl.experiments.search import Tuned, world_of
from kgrl.experiments.setting import Setting

SEEDS = (0, 1, 2, 3, 4)
"""Of the agents, where no others are asked for."""


def run_cells(
    worlds: Iterable[str], etas: Sequence[float], methods: Sequence[Method], seeds: Iterable[int], tuned: Tuned,
    cells: str | os.PathLike[str], *, checkpoints: str | os.PathLike[str], table: str = "the table",
    interactions: int | None = None, data: str | os.PathLike[str] = "data",
    source: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu",
    say: Callable[[str], None] = print,
) -> None:
    """Method × world × η × seed, those that have not been run; what a data set cannot serve is said and left out.

    Args:
        worlds: ``data set/world``.
        etas: weights of the streak term.
        methods: the rows.
        seeds: of the agents.
        tuned: what was chosen for them.
        cells: folder of the cells.
        checkpoints: where a run that is cut off leaves its state.
        table: what needs the rows, for what is said.
        interactions: of training, in place of the methods' own.
        data, source, device: see :meth:`kgrl.experiments.setting.Setting.load`.
        say: called with each line.
    """
    changed, seeds = {} if interactions is None else {"interactions": interactions}, list(seeds)
    for world in worlds:
        dataset, kind = world.split("/")
        setting = Setting.load(dataset, kind, root=data, source=source, device=device)
        served = [method for method in methods if _served(method, setting, table, say)]
        for at in [setting.with_eta(eta) for eta in etas]:
            bounds = {cell.method: round(cell.scores["reward"], 4) for cell in run_bounds(at, cells)}
            say(f"{at.name}  {bounds}")
            for seed in seeds:
                for method in served:
                    started = time.perf_counter()
                    cell = run_cell(at, method, seed, Path(cells), checkpoints=checkpoints,
                                    options=tuned.options(world_of(at.name), method),
                                    training=method.training_with(changed))
                    say(f"  {method.name}, seed {seed}: reward {cell.scores['reward']:.4f}, precision "
                        f"{cell.scores['precision']:.4f}  ({time.perf_counter() - started:.0f} s)")


def _served(method: Method, setting: Setting, table: str, say: Callable[[str], None]) -> bool:
    """Whether the data set has what a method needs; what it lacks is said."""
    try:
        method.require(setting, f"{table}: the row {method.name}")
    except Unserved as error:
        say(str(error))
        return False
    return True
