"""Cells → sheets: the papers' tables of scores, and of interactions to reach a reward."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import torch

from kgrl.experiments import paper
from kgrl.experiments.cell import Cell
from kgrl.experiments.method import METHODS
from kgrl.experiments.report import held
from kgrl.experiments.result_tables import METRIC_NAMES, ResultTable
from kgrl.experiments.results import Results, user_means
from kgrl.experiments.sheet import MISSING, Sheet
from kgrl.significance import TESTS, welch

TEST_NAMES = {"wilcoxon": "paired two-sided Wilcoxon test", "welch": "Welch's t-test"}
NOT_REACHED = "–"
SEED_LEVEL = 0.05
"""Of significance over seeds, for a star."""


def score_sheet(table: ResultTable, results: Results) -> Sheet:
    """A table's scores in one setting: means and deviations over seeds, significance, the paper's figures, bounds.

    The paper's test is over users, each with her mean over the seeds: it takes the trained agents for given, and where
    users are many it tells two seeds of one method apart. So there is a test over seeds, too: Welch's t-test on their
    mean rewards, where both rows have several. ``ours``, once it has several, has a star where its mean is above that
    of every other row that has been run, significantly by both.

    Raises:
        ValueError: a cell is broken or of another run.
    """
    cells = {label: results.of(method) for label, method in table.rows.items()}
    source, figures = _figures(table, results.setting)
    names = [METRIC_NAMES[metric] for metric in table.metrics]
    columns = ["method", *names, "seeds", *_tests(table),
               *(f"paper's {name}" + _of(source, results.setting) for name in names if figures)]
    rows = []
    for label in table.rows:
        star = "*" if label == table.ours and _above_all(table, cells) else ""
        p_values = [_p_text(table, cells, label, test) for test in _tests(table).values()]
        printed = [f"{value:.4f}" for value in figures.get(label, ())[: len(names)]] or [NOT_REACHED] * len(names)
        rows.append([label + star, *_means(cells[label], table.metrics), str(len(cells[label]) or MISSING), *p_values,
                     *(printed if figures else [])])
    blank = [NOT_REACHED] * (len(columns) - 1 - len(names))
    bounds = results.bounds()
    rows += [[], *([name, *_means([cell], table.metrics), *blank] for name, cell in bounds.items())]
    return Sheet(_title(table, results.setting), columns, rows, _notes(table, cells, bool(bounds)))


def efficiency_sheet(table: ResultTable, results: Results) -> Sheet:
    """Interactions from which each level of reward is held, in one setting: median over seeds, the paper's beside.

    A level is held from the first of three evaluations in a row at or above it, on the validation users of the curve.
    The levels of the best fixed and the most liked list on the same users are columns, too.
    """
    cells = {label: results.of(method) for label, method in table.rows.items()}
    source, figures = _figures(table, results.setting)
    lists = {name: cell.curve[0]["reward"] for name, cell in results.bounds().items() if "list" in name}
    levels = {f"{level:g}": level for level in table.rewards} | {
        f"{name} ({level:.3f})": level for name, level in lists.items()}
    columns = ["method", *levels, "seeds", *([f"paper ({source})"] if figures else [])]
    rows = []
    for label in table.rows:
        reached = [_reached(cells[label], level) for level in levels.values()]
        printed = [f"{millions:.2f}M" for millions in figures.get(label, ())]
        printed += [NOT_REACHED] * (len(table.rewards) - len(printed) if printed else 1)
        rows.append([label, *reached, str(len(cells[label]) or MISSING), *([" / ".join(printed)] if figures else [])])
    notes = ["interactions from which the reward is held (the first of three evaluations in a row), median over seeds "
             f"(of an even number the two in the middle); {NOT_REACHED}: not within the run", *_budgets(cells),
             table.note]
    if figures:
        notes.append("paper: to rewards " + ", ".join(f"{level:g}" for level in table.rewards))
    return Sheet(_title(table, results.setting), columns, rows, [note for note in notes if note])


def sheet(table: ResultTable, results: Results) -> Sheet:
    """The table's sheet in a setting."""
    make: Callable[[ResultTable, Results], Sheet] = efficiency_sheet if table.rewards else score_sheet
    return make(table, results)


def _title(table: ResultTable, setting: str) -> str:
    dataset, _, rest = setting.partition("/")
    world, _, eta = rest.partition("/eta-")
    return f"{table.title}; {dataset}, {world} world, {'α' if world == 'logged' else 'η'} = {eta}"


def _figures(table: ResultTable, setting: str) -> tuple[str, paper.Figures]:
    """(data set, its figures by label) of the paper, for this setting; ("", {}) where the paper has nothing like it."""
    dataset, eta = setting.partition("/")[0], float(setting.rpartition("-")[2])
    source, figures = ("", {}) if "/taste/" in setting else paper.beside(table.paper, dataset, eta, table.stand_in)
    return source, {label: figures[METHODS[method].paper_name] for label, method in table.rows.items()
                    if METHODS[method].paper_name in figures}


def _of(source: str, setting: str) -> str:
    return "" if source == setting.partition("/")[0] else f" ({source})"


def _means(cells: Sequence[Cell], metrics: Sequence[str]) -> list[str]:
    """Mean over seeds, and standard deviation where there are several."""
    if not cells:
        return [MISSING] * len(metrics)
    values = [[cell.scores[metric] for cell in cells] for metric in metrics]
    return [f"{statistics.mean(seeds):.4f}" + (f" ± {statistics.stdev(seeds):.4f}" if len(seeds) > 1 else "")
            for seeds in values]


def _tests(table: ResultTable) -> dict[str, str]:
    """Column → test: the paper's, a paired one where the paper's is not, and that over seeds."""
    paired = {"p (paired)": "wilcoxon"} if table.test != "wilcoxon" else {}
    return {f"p ({METRIC_NAMES['reward']})": table.test, **paired, "p (seeds)": "seeds"}


def _p(table: ResultTable, cells: Mapping[str, list[Cell]], label: str, test: str, alternative: str) -> float | None:
    """P-value of ours against a row, on the reward; ``None`` where there is nothing to test."""
    ours, theirs = cells[table.ours], cells[label]
    if test == "seeds":
        own, other = (torch.tensor([cell.scores["reward"] for cell in found]).double() for found in (ours, theirs))
        return welch(own, other, alternative) if min(len(own), len(other)) > 1 else None
    if not ours or not theirs:
        return None
    own, other = user_means(ours, "reward"), user_means(theirs, "reward")
    return TESTS[test](own, other, alternative) if len(own) > 1 else None  # of a single user nothing can be said


def _p_text(table: ResultTable, cells: Mapping[str, list[Cell]], label: str, test: str) -> str:
    p = None if label == table.ours else _p(table, cells, label, test, "two-sided")
    return NOT_REACHED if p is None else ("< 1e-300" if p < 1e-300 else f"{p:.2g}")


def _above_all(table: ResultTable, cells: Mapping[str, list[Cell]]) -> bool:
    """By the tests and in the mean: a rank test alone can favour the lower mean."""
    means = {label: float(user_means(found, "reward").mean()) for label, found in cells.items() if found}
    others = [label for label in means if label != table.ours]
    if len(cells[table.ours]) < 2 or not others:
        return False
    over_users = [_p(table, cells, label, table.test, "greater") for label in others]
    over_seeds = [_p(table, cells, label, "seeds", "greater") for label in others]
    return (all(p is not None and p < table.level for p in over_users)
            and all(p is None or p < SEED_LEVEL for p in over_seeds)
            and max(means[label] for label in others) < means[table.ours])


def _reached(cells: Sequence[Cell], level: float) -> str:
    """Median over seeds; a seed that does not hold the level counts as later than any that does."""
    if not cells:
        return MISSING
    reached = [held(cell.curve, level) for cell in cells]
    numbers = [float("inf") if number is None else number for number in reached]
    middle = dict.fromkeys([statistics.median_low(numbers), statistics.median_high(numbers)])
    return " to ".join(NOT_REACHED if number == float("inf") else f"{number:,.0f}" for number in middle)


def _notes(table: ResultTable, cells: Mapping[str, list[Cell]], bounded: bool) -> list[str]:
    paired = "; p (paired): the paired Wilcoxon test over the same users" if table.test != "wilcoxon" else ""
    notes = [f"mean ± deviation over seeds; p: {TEST_NAMES[table.test]} over users of {table.ours} against the row"
             f"{paired}; p (seeds): Welch's t-test over the seeds' means; *: of several seeds, mean above every row's "
             f"that has been run, one-sided p < {table.level:g}, and < {SEED_LEVEL:g} over seeds where the row has "
             "several"]
    missing = [label for label, found in cells.items() if not found]
    if missing:
        notes.append(f"{MISSING}, not run yet: {', '.join(missing)}")
    if not bounded:
        notes.append(f"{MISSING}: the bounds of this setting")
    remarks = {f"{label}: {cell.note}": None for label, found in cells.items() for cell in found if cell.note}
    return [*notes, *_budgets(cells), *remarks, *([table.note] if table.note else [])]


def _budgets(cells: Mapping[str, list[Cell]]) -> list[str]:
    """Interactions of training: of all rows that train, or of which rows."""
    budgets: dict[int, dict[str, None]] = {}
    for label, found in cells.items():
        for cell in found:
            if cell.training:
                budgets.setdefault(cell.training["interactions"], {})[label] = None
    told = [f"{number:,}" + (f" ({', '.join(labels)})" if len(budgets) > 1 else "")
            for number, labels in sorted(budgets.items())]
    return [f"interactions of training: {'; '.join(told)}"] if told else []
