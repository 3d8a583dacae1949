"""Cells → sheets: the papers' tables of scores, and of interactions to reach a reward."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from kgrl.experiments import paper
from kgrl.experiments.cell import Cell
from kgrl.experiments.report import held
from kgrl.experiments.results import Results, user_means
from kgrl.experiments.sheet import MISSING, Sheet
from kgrl.experiments.tables import METRIC_NAMES, Table
from kgrl.significance import TESTS

TEST_NAMES = {"wilcoxon": "paired two-sided Wilcoxon test", "welch": "Welch's t-test"}
NOT_REACHED = "–"


def score_sheet(table: Table, results: Results) -> Sheet:
    """A table's scores in one setting: means and deviations over seeds, significance, the paper's figures, bounds.

    Tests are over users, each with her mean over the seeds. ``ours`` has a star where its mean is above that of every
    other row that has been run, significantly.

    Raises:
        ValueError: a cell is broken or of another run.
    """
    cells = {label: results.of(method) for label, method in table.rows.items()}
    dataset, eta = results.setting.partition("/")[0], float(results.setting.rpartition("-")[2])
    source, figures = ("", {}) if "/taste/" in results.setting else paper.beside(
        table.paper, dataset, eta, table.stand_in)
    names = [METRIC_NAMES[metric] for metric in table.metrics]
    columns = ["method", *names, "seeds", f"p ({METRIC_NAMES['reward']})",
               *(f"paper's {name}" + ("" if source == dataset else f" ({source})") for name in names if figures)]
    rows = []
    for label, method in table.rows.items():
        found = figures.get(method, ())
        printed = [f"{value:.4f}" for value in found] if found else [NOT_REACHED] * len(names)
        star = "*" if label == table.ours and _above_all(table, cells) else ""
        rows.append([label + star, *_means(cells[label], table.metrics), str(len(cells[label]) or MISSING),
                     _against(table, cells, label), *(printed if figures else [])])
    blank = [NOT_REACHED] * (len(columns) - 1 - len(names))
    bounds = results.bounds()
    rows += [[], *([name, *_means([cell], table.metrics), *blank] for name, cell in bounds.items())]
    return Sheet(_title(table, results.setting), columns, rows, _notes(table, cells, bool(bounds)))


def efficiency_sheet(table: Table, results: Results) -> Sheet:
    """Interactions from which each level of reward is held, in one setting: median over seeds, the paper's beside.

    A level is held from the first of three evaluations in a row at or above it, on the validation users of the curve.
    The levels of the best fixed and the most liked list on the same users are columns, too.
    """
    cells = {label: results.of(method) for label, method in table.rows.items()}
    dataset = results.setting.partition("/")[0]
    source, figures = paper.beside(table.paper, dataset, 0.1, table.stand_in)
    lists = {name: cell.curve[0]["reward"] for name, cell in results.bounds().items() if "list" in name}
    levels = {f"{level:g}": level for level in table.rewards} | {
        f"{name} ({level:.3f})": level for name, level in lists.items()}
    columns = ["method", *levels, "seeds", *([f"paper ({source})"] if figures else [])]
    rows = []
    for label, method in table.rows.items():
        reached = [_reached(cells[label], level) for level in levels.values()]
        printed = " / ".join(f"{millions:.2f}M" for millions in figures.get(method, ())) or NOT_REACHED
        rows.append([label, *reached, str(len(cells[label]) or MISSING), *([printed] if figures else [])])
    notes = ["interactions from which the reward is held (the first of three evaluations in a row), median over seeds "
             f"(of an even number the earlier of the two in the middle); {NOT_REACHED}: not within the run", table.note]
    if figures:
        notes.append("paper: to rewards " + ", ".join(f"{level:g}" for level in table.rewards))
    return Sheet(_title(table, results.setting), columns, rows, [note for note in notes if note])


def sheet(table: Table, results: Results) -> Sheet:
    """The table's sheet in a setting."""
    make: Callable[[Table, Results], Sheet] = efficiency_sheet if table.rewards else score_sheet
    return make(table, results)


def _title(table: Table, setting: str) -> str:
    dataset, _, rest = setting.partition("/")
    world, _, eta = rest.partition("/eta-")
    return f"{table.title}; {dataset}, {world} world, {'α' if world == 'logged' else 'η'} = {eta}"


def _means(cells: Sequence[Cell], metrics: Sequence[str]) -> list[str]:
    """Mean over seeds, and standard deviation where there are several."""
    if not cells:
        return [MISSING] * len(metrics)
    values = [[cell.scores[metric] for cell in cells] for metric in metrics]
    return [f"{statistics.mean(seeds):.4f}" + (f" ± {statistics.stdev(seeds):.4f}" if len(seeds) > 1 else "")
            for seeds in values]


def _p(table: Table, cells: Mapping[str, list[Cell]], label: str, alternative: str) -> float | None:
    """P-value of ours against a row, on the reward; ``None`` where one of them has not been run."""
    if not cells[label] or not cells[table.ours]:
        return None
    mine, theirs = user_means(cells[table.ours], "reward"), user_means(cells[label], "reward")
    return TESTS[table.test](mine, theirs, alternative)


def _against(table: Table, cells: Mapping[str, list[Cell]], label: str) -> str:
    p = None if label == table.ours else _p(table, cells, label, "two-sided")
    return NOT_REACHED if p is None else ("< 1e-300" if p < 1e-300 else f"{p:.2g}")


def _above_all(table: Table, cells: Mapping[str, list[Cell]]) -> bool:
    """By the test and in the mean: a rank test alone can favour the lower mean."""
    means = {label: float(user_means(found, "reward").mean()) for label, found in cells.items() if found}
    others = [label for label in means if label != table.ours]
    if table.ours not in means or not others:
        return False
    p_values = [_p(table, cells, label, "greater") for label in others]
    return all(p is not None and p < table.level for p in p_values) and max(
        means[label] for label in others) < means[table.ours]


def _reached(cells: Sequence[Cell], level: float) -> str:
    """Median over seeds; a seed that does not hold the level counts as later than any that does."""
    if not cells:
        return MISSING
    reached = [held(cell.curve, level) for cell in cells]
    median = statistics.median_low([float("inf") if number is None else number for number in reached])
    return NOT_REACHED if median == float("inf") else f"{median:,.0f}"


def _notes(table: Table, cells: Mapping[str, list[Cell]], bounded: bool) -> list[str]:
    notes = [f"mean ± deviation over seeds; p: {TEST_NAMES[table.test]} over users of {table.ours} against the row; "
             f"*: mean above every row's that has been run, one-sided p < {table.level:g}"]
    missing = [label for label, found in cells.items() if not found]
    if missing:
        notes.append(f"{MISSING}, not run yet: {', '.join(missing)}")
    if not bounded:
        notes.append(f"{MISSING}: the bounds of this setting")
    trained = sorted({cell.training["interactions"] for found in cells.values() for cell in found if cell.training})
    if trained:
        notes.append("interactions of training: " + ", ".join(f"{number:,}" for number in trained))
    remarks = {f"{label}: {cell.note}": None for label, found in cells.items() for cell in found if cell.note}
    return [*notes, *remarks, *([table.note] if table.note else [])]
