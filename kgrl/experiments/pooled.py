"""Cells of several splits → one sheet: how far from random to all-knowing each method goes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from kgrl.experiments.cell import Cell
from kgrl.experiments.result_tables import ResultTable
from kgrl.experiments.results import Results
from kgrl.experiments.sheet import MISSING, Sheet
from kgrl.experiments.variant import Variant
from kgrl.significance import paired_wilcoxon
from kgrl.simulator.bounds import ALL_KNOWING, RANDOM

Runs = dict[tuple[str, int], float]
"""(setting, seed) → a score."""


def group_of(setting: str) -> str:
    """A setting's name without the seeds of its splits: settings that agree in it are pooled."""
    dataset, world, eta = setting.split("/")
    base, variant = Variant.read(world)
    if variant.items is None:
        return f"{dataset}/{base}/{eta}"
    rest = str(replace(variant, users=0)).replace(f"-{variant.items}", "", 1)
    return f"{dataset}/{base}{rest}/{eta}"


def pooled_sheet(table: ResultTable, group: str, splits: Sequence[Results]) -> Sheet:
    """A table's rows over several splits.

    A run's *share* is (its reward − random) / (all-knowing − random), in its own split. A row's share is the mean over
    the splits of the mean over seeds, ± the deviation over all runs: of splits and seeds alike. Where a row has a
    control of the same name with "(shuffled KG)", the last columns tell by how much the row is ahead of it, and how
    likely that is by chance: Wilcoxon's signed-rank test over the runs that both have, paired by split and seed.

    Args:
        table: whose rows and title.
        group: from :func:`group_of`.
        splits: the results of each split.

    Raises:
        ValueError: a cell is broken or of another run.
    """
    bounds = {each.setting: each.bounds() for each in splits}
    splits = [each for each in splits if bounds[each.setting]]
    columns = ["method", *(f"reward, split {number}" for number in range(len(splits))), "share", "runs",
               "ahead of shuffled KG", "p"]
    shares = {label: _shares(splits, bounds, method) for label, method in table.rows.items()}
    rows = []
    for label, method in table.rows.items():
        by_split = [[cell.scores["reward"] for cell in each.of(method)] for each in splits]
        texts = [f"{statistics.mean(seeds):.4f}" if seeds else MISSING for seeds in by_split]
        rows.append([label, *texts, _spread(shares[label]), str(len(shares[label]) or MISSING),
                     *_ahead(shares[label], shares.get(f"{label} (shuffled KG)", {}))])
    rows.append([])
    for line in bounds[splits[0].setting] if splits else ():
        rewards = [bounds[each.setting][line].scores["reward"] for each in splits]
        share = {(each.setting, 0): _share(bounds[each.setting][line], bounds[each.setting]) for each in splits}
        rows.append([line, *(f"{reward:.4f}" for reward in rewards), _spread(share), "–", "–", "–"])
    return Sheet(f"{table.title}; {group.replace('/eta-', ', η = ').replace('/', ', ')}", columns, rows,
                 [note for note in (_explained(splits), table.note) if note])


def _shares(splits: Sequence[Results], bounds: Mapping[str, Mapping[str, Cell]], method: str) -> Runs:
    return {(each.setting, cell.seed): _share(cell, bounds[each.setting])
            for each in splits for cell in each.of(method)}


def _share(cell: Cell, bounds: Mapping[str, Cell]) -> float:
    low, high = (bounds[line].scores["reward"] for line in (RANDOM, ALL_KNOWING))
    return (cell.scores["reward"] - low) / (high - low)


def _spread(runs: Runs) -> str:
    """Mean over the splits' means, and the deviation over all runs."""
    if not runs:
        return MISSING
    by_split: dict[str, list[float]] = {}
    for (setting, _), value in runs.items():
        by_split.setdefault(setting, []).append(value)
    mean = statistics.mean(statistics.mean(values) for values in by_split.values())
    return f"{mean:.3f}" + (f" ± {statistics.stdev(runs.values()):.3f}" if len(runs) > 1 else "")


def _ahead(runs: Runs, control: Runs) -> list[str]:
    """By how much runs are ahead of their control's, and how likely that is by chance."""
    both = sorted(runs.keys() & control.keys())
    if not both:
        return ["–", "–"]
    own, other = (torch.tensor([each[key] for key in both]).double() for each in (runs, control))
    test = f"{paired_wilcoxon(own, other):.2g}" if len(both) > 1 else "–"
    return [f"{float((own - other).mean()):+.3f}", test]


def _explained(splits: Sequence[Results]) -> str:
    return (f"share: of the way from random to all-knowing, mean over {len(splits)} splits, ± over splits and seeds; "
            "p: paired Wilcoxon test over splits and seeds against the same row with a shuffled KG")
