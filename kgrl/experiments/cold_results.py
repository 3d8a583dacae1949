"""Cold-start rankings measured, and the sheet of several splits."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kgrl.experiments.cold_rows import Row
from kgrl.experiments.cold_start import ColdStart, View
from kgrl.experiments.sheet import Sheet
from kgrl.significance import paired_wilcoxon

SHUFFLED = " (shuffled KG)"
"""What a control is called, behind the row's name."""


@dataclass(frozen=True)
class Case:
    """What is measured on a data set.

    Args:
        title: of the sheet.
        k: length of a list.
        views: what is asked.
        rows: names, in the order of the sheet.
        options: of :meth:`kgrl.experiments.cold_start.ColdStart.of`.
        notes: how it is measured.
    """

    title: str
    k: int
    views: Sequence[View]
    rows: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def measured(case: Case, split: ColdStart, rows: Mapping[str, Row], shufflings: Iterable[int]) -> dict[str, Any]:
    """Means over the reported users, and p-values of each row against its control.

    A control is the mean of several shufflings, user by user; the test is Wilcoxon's signed-rank test over users.

    Args:
        case: what is measured.
        split: on what.
        rows: by name; those that the case names.
        shufflings: seeds of the controls.

    Returns:
        Plain values: ``users``, ``train`` and ``new`` (numbers), ``means`` and ``p``, each row → view → metric.
    """
    means, p = {}, {}
    for name in case.rows:
        row, views = rows[name], [view for view in case.views if view.past or not rows[name].needs_past]
        found = _scores(case, split, [row.agent(split)], views)
        means[name] = _each(found, lambda scores: round(float(scores.mean()), 5))
        if row.control:
            control = _scores(case, split, [row.agent(split, seed) for seed in shufflings], views)
            means[name + SHUFFLED] = _each(control, lambda scores: round(float(scores.mean()), 5))
            p[name] = {view: {metric: float(f"{paired_wilcoxon(scores, control[view][metric]):.2g}")
                              for metric, scores in metrics.items()} for view, metrics in found.items()}
    return {"users": len(split.users), "train": len(split.train), "new": len(split.new), "means": means, "p": p}


def cold_sheet(case: Case, known_at: str, splits: Mapping[int, Mapping[str, Any]]) -> Sheet:
    """Mean ± standard deviation over splits.

    Args:
        case: what was measured.
        known_at: which relations were known.
        splits: seed → what :func:`measured` gave.
    """
    names = [name for row in case.rows for name in (row, row + SHUFFLED) if name in _first(splits)["means"]]
    columns = [(str(view), metric) for view in case.views for metric in _first(splits)["means"][names[0]][str(view)]]
    rows = [[name, *(_cell([split["means"][name].get(view, {}).get(metric) for split in splits.values()])
                     for view, metric in columns)] for name in names]
    users = ", ".join(str(split["users"]) for split in splits.values())
    known = "known at release" if known_at == "release" else "known ever, awards among them"
    return Sheet(
        f"{case.title}; relations {known}", ["method", *(f"{metric}@{case.k}, {view}" for view, metric in columns)],
        rows, [f"Mean ± standard deviation of {len(splits)} splits of the items, with {users} users and "
               f"{_first(splits)['new']} new items.", *case.notes, *_tested(splits)])


def _scores(
    case: Case, split: ColdStart, agents: Sequence[Any], views: Sequence[View]
) -> dict[str, dict[str, Tensor]]:
    """View → metric → ``[B]``, the mean of the agents."""
    made = {}
    for view in views:
        each = [split.scores(agent, view, case.k) for agent in agents]
        made[str(view)] = {metric: torch.stack([scores[metric] for scores in each]).mean(0) for metric in each[0]}
    return made


def _each(scores: Mapping[str, Mapping[str, Tensor]], what: Any) -> dict[str, dict[str, Any]]:
    return {view: {metric: what(values) for metric, values in metrics.items()} for view, metrics in scores.items()}


def _first(splits: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(iter(splits.values()))


def _cell(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation; "–" where the row has nothing to go by."""
    there = [value for value in values if value is not None]
    if not there:
        return "–"
    spread = f" ± {statistics.stdev(there):.3f}" if len(there) > 1 else ""
    return f"{statistics.mean(there):.3f}{spread}"


def _tested(splits: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """One line a row that has a control: the largest p-value of the splits."""
    lines = []
    for name, views in _first(splits)["p"].items():
        largest = [f"{metric} of {view} {max(split['p'][name][view][metric] for split in splits.values()):.1g}"
                   for view, metrics in views.items() for metric in metrics]
        lines.append(f"{name} against its shuffled KG, the largest p of the splits: {'; '.join(largest)}.")
    return lines
