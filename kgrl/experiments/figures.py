"""Cells → PNG: learning curves, and scores against what a row stands for."""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kgrl.experiments.canvas import canvas
from kgrl.experiments.cell import Cell
from kgrl.experiments.result_tables import METRIC_NAMES, ResultTable
from kgrl.experiments.results import Results

COLOURS = [f"tab:{name}" for name in ("blue", "orange", "green", "red", "purple", "brown", "pink", "gray", "olive",
                                      "cyan")]


def plot_curves(table: ResultTable, results: Results, path: str | os.PathLike[str]) -> None:
    """Reward against interactions, every row of ``table.curves`` that has been run: mean and span of the seeds.

    KGQR's Figure 3. On the validation users of the curves, the bounds on the same users as flat lines.
    """
    with canvas(path, _title(table, results), size=(11, 5), legend="beside") as (axes,):
        axes.set_prop_cycle(color=COLOURS * 2, linestyle=["-"] * 10 + ["--"] * 10)
        for label, method in table.rows.items():
            if table.curves and label not in table.curves:
                continue
            cells = [cell for cell in results.of(method) if cell.curve]
            if cells:
                _curve(axes, label, cells)
        bounds = {name: cell.curve[0]["reward"] for name, cell in results.bounds().items() if cell.curve}
        for (name, level), style in zip(bounds.items(), itertools.cycle(["--", ":", "-.", (0, (1, 5))])):
            axes.axhline(level, color="gray", linestyle=style, linewidth=1, label=name)
        axes.set(xlabel="interactions with training users", ylabel="mean reward a step")


def plot_rows(table: ResultTable, results: Results, path: str | os.PathLike[str]) -> None:
    """A table's metrics against its rows, in their order, a panel each: Figures 4 of both papers.

    Where training takes time, the seconds a thousand interactions take are a panel, too.
    """
    cells = {label: found for label, method in table.rows.items() if (found := results.of(method))}
    panels = {METRIC_NAMES[metric]: {label: [cell.scores[metric] for cell in found] for label, found in cells.items()}
              for metric in table.metrics}
    panels["seconds a 1,000 interactions"] = {
        label: [1_000 * seconds for cell in found if (seconds := _seconds_an_interaction(cell))]
        for label, found in cells.items()}
    with canvas(path, _title(table, results), panels=len(panels), size=(5, 5)) as all_axes:
        for axes, (name, values) in zip(all_axes, panels.items(), strict=True):
            _points(axes, name, values, "-" if table.ordered else "none")


def _title(table: ResultTable, results: Results) -> str:
    return f"{table.figure or table.title}\n{results.setting}"


def _curve(axes: Any, label: str, cells: Sequence[Cell]) -> None:
    steps = [row["interactions"] for row in min((cell.curve for cell in cells), key=len)]
    seeds = [[row["reward"] for row in cell.curve[: len(steps)]] for cell in cells]
    line, = axes.plot(steps, [statistics.mean(at) for at in zip(*seeds, strict=True)], label=label, linewidth=1.4)
    if len(seeds) > 1:
        low, high = ([pick(at) for at in zip(*seeds, strict=True)] for pick in (min, max))
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def _points(axes: Any, name: str, values: Mapping[str, Sequence[float]], line: str) -> None:
    there = {label: seeds for label, seeds in values.items() if seeds}
    spread = [statistics.stdev(seeds) if len(seeds) > 1 else 0.0 for seeds in there.values()]
    axes.errorbar(list(there), [statistics.mean(seeds) for seeds in there.values()], yerr=spread, marker="o", capsize=3,
                  linestyle=line)
    axes.set(ylabel=name)
    axes.tick_params(axis="x", labelrotation=30)


def _seconds_an_interaction(cell: Cell) -> float | None:
    """Of training, evaluations apart; ``None`` for a method that does not train."""
    if not cell.curve:
        return None
    last = cell.curve[-1]
    return (last["seconds"] - last["evaluation_seconds"]) / last["interactions"]
