"""Cells → the documentation's pages: one for each agent, and a summary of all worlds."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kgrl.experiments.cell import Cell
from kgrl.experiments.method import METHODS
from kgrl.experiments.pooled import group_of, pooled_sheet
from kgrl.experiments.render import score_sheet
from kgrl.experiments.result_tables import TABLES, ResultTable
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from kgrl.experiments.sheet import Sheet
from kgrl.experiments.variant import Variant
from kgrl.options import one_of
from kgrl.simulator.bounds import ALL_KNOWING, BEST_FIXED, RANDOM

AGENTS: dict[str, tuple[str, ...]] = {
    "KGQR": ("KGQR",), "TPGR": ("TPGR",), "DQNR": ("DQN-R", "KGQR-KG"), "DDPGKNN": ("DDPG-KNN",), "DDPGR": ("DDPG-R",),
    "GRU4Rec": ("GRU4Rec",), "LinearUCB": ("LinearUCB",), "HLinearUCB": ("HLinearUCB",),
    "KGProfile": ("KG profile",), "GreedySVD": ("GreedySVD",), "LinearGaussian": ("Linear-Gaussian", "KG prior"),
    "FixedList": ("Popularity", "Most rated", "Fixed list by KG"), "Random": ("Random",)}
"""Class → what the names of its methods begin with; of several beginnings the longest holds."""
STRONG = ("Popularity (shrunken)", "GreedySVD", "Linear-Gaussian", "DQN-R")
"""Simple or strong opponents that stand on every agent's page."""
MADE = "<!-- Made from the cells by `python examples/reproduce/pages.py`: change those, not this. -->"
NEW_FILMS = {"GreedySVD": "", "linear-Gaussian": "KG prior", "DQN-R": "DQN-R (KG vectors)",
             "ours": "KGQR with prior (cross-fitted)", "shuffled KG": "KGQR with prior (cross-fitted) (shuffled KG)",
             "no KG": "KGQR with prior (no KG)"}
"""Who stands in the summary's columns where items are new: a model of ratings has nothing to say there."""


@dataclass(frozen=True)
class SummaryRow:
    """A row of the summary: what it is called, the group of settings it is measured in, and the method that is ours."""

    name: str
    group: str
    ours: str = "KGQR"


SUMMARY = (
    SummaryRow("Book-Crossing, the paper's world, η = 0.1", "book-crossing/kgqr/eta-0.1"),
    SummaryRow("Book-Crossing, taste world, η = 0.1", "book-crossing/taste/eta-0.1"),
    SummaryRow("MovieLens-100K, predicted ratings, η = 0.1", "ml-100k/heldout/eta-0.1"),
    SummaryRow("**new films**, MovieLens-100K, predicted ratings, η = 0", "ml-100k/heldout-new/eta-0"),
    SummaryRow("made world whose tastes follow the KG, η = 0.1", "synthetic/planted/eta-0.1"),
    SummaryRow("MovieLens-100K, logged ratings, α = 0", "ml-100k/logged/eta-0", "TPGR"),
)


def agent_of(method: str) -> str:
    """The class in :data:`AGENTS` that makes a method's rows; "" for a method of one's own."""
    found = {start: agent for agent, starts in AGENTS.items() for start in starts if method.startswith(start)}
    return found[max(found, key=len)] if found else ""


class Pages:
    """The pages that a folder of cells gives.

    Args:
        cells: the folder.
        tuned: what the search chose.
    """

    def __init__(self, cells: Path, tuned: Tuned) -> None:
        self.cells, self.tuned = cells, tuned
        self._results: dict[str, Results] = {}

    def results(self, setting: str) -> Results:
        """Of one setting, read once for all pages."""
        return self._results.setdefault(setting, Results(self.cells, setting, self.tuned))

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Group → its settings; several where they differ in nothing but the split of users or items."""
        groups: dict[str, list[str]] = {}
        for name in sorted(path.relative_to(self.cells).as_posix() for path in self.cells.glob("*/*/eta-*")):
            groups.setdefault(group_of(name), []).append(name)
        return groups

    def agent(self, name: str) -> str:
        """Markdown: every world that an agent was measured in.

        Args:
            name: a class of :data:`AGENTS`.

        Raises:
            ValueError: an unknown agent; a cell is broken or of another run.
        """
        rows = [method for method in METHODS if agent_of(method) == one_of("agent", name, AGENTS)]
        parts = [f"# {name}", MADE, f"{{py:class}}`kgrl.agents.{name}` says what it is and where it differs from its "
                 "paper. Here is what it scored. How to read the tables: {doc}`/results/index`."]
        parts += [part for group, settings in self.groups.items() for part in self._parts(name, rows, group, settings)]
        return "\n\n".join(part.strip() for part in parts) + "\n"

    def summary(self) -> Sheet:
        """One row for each world: its bounds, simple and strong opponents, ours and its controls."""
        columns = ["world", "random", "best fixed list", "GreedySVD", "linear-Gaussian", "DQN-R", "ours",
                   "shuffled KG", "no KG", "all-knowing"]
        notes = ["mean reward per step over a test user's session (32 steps); ± is the deviation over seeds",
                 "new films: three splits; the linear-Gaussian model starts from the KG prior, DQN-R has the KG's "
                 "vectors, and the best fixed list knows the new films' ratings, which no agent does",
                 "shuffled KG, no KG: ours, with the KG's tails exchanged at random or without its edges; one seed "
                 "where no deviation stands"]
        return Sheet("Summary", columns, [self._summary_row(world) for world in SUMMARY], notes)

    def _parts(self, agent: str, rows: list[str], group: str, settings: list[str]) -> Iterator[str]:
        """A world's sheets: each with its command and its digests."""
        if group in settings:
            results = self.results(group)
            if there := [row for row in rows if results.of(row)]:
                made = score_sheet(_table(agent, group, there, results), results)
                cells = [cell for row in there for cell in results.of(row)]
                yield f"{_page_part(made)}\n\n{_origin(group, [group], cells, there)}"
        if settings != [group]:
            splits = [self.results(name) for name in settings]
            if there := [row for row in rows if any(each.of(row) for each in splits)]:
                base = TABLES["kgqr-splits" if group in settings else "new-items"]
                table = replace(base, title=agent, rows={row: row for row in there})
                cells = [cell for row in there for each in splits for cell in each.of(row)]
                made = pooled_sheet(table, group, splits)
                yield f"{_page_part(made)}\n\n{_origin(group, settings, cells, there)}"

    def _summary_row(self, world: SummaryRow) -> list[str]:
        settings = self.groups.get(world.group, [])
        settings = [world.group] if world.group in settings else settings
        new = Variant.read(world.group.split("/")[1].replace("-new", "-new-0"))[1].items is not None
        who = NEW_FILMS if new else {
            "GreedySVD": "GreedySVD", "linear-Gaussian": "Linear-Gaussian", "DQN-R": "DQN-R", "ours": world.ours,
            "shuffled KG": f"{world.ours} (shuffled KG)", "no KG": f"{world.ours} (no KG)"}
        splits = [self.results(name) for name in settings]
        score = {column: _mean([each.of(method) if method in METHODS else [] for each in splits])
                 for column, method in who.items()}
        bound = {line: _mean([[each.bounds()[line]] if line in each.bounds() else [] for each in splits])
                 for line in (RANDOM, BEST_FIXED, ALL_KNOWING)}
        return [world.name, bound[RANDOM], bound[BEST_FIXED], score["GreedySVD"], score["linear-Gaussian"],
                score["DQN-R"], f"**{world.ours} {score['ours']}**", score["shuffled KG"], score["no KG"],
                bound[ALL_KNOWING]]


def _table(agent: str, setting: str, there: Sequence[str], results: Results) -> ResultTable:
    """The agent's rows that have cells, and below them its opponents."""
    base = TABLES["tpgr-table2" if "/logged/" in setting else "kgqr-table3"]
    rows = [*there, *(row for row in STRONG if row not in there and results.of(row))]
    return replace(base, title=agent, rows={row: row for row in rows}, ours=there[0], note="")


def _page_part(made: Sheet) -> str:
    """As a section of a page; Markdown's tables have no rule, so the bounds follow the rows."""
    return made.markdown().replace("### ", "## ", 1)


def _origin(group: str, settings: Sequence[str], cells: Sequence[Cell], rows: Sequence[str]) -> str:
    """The command that makes the cells again, and what they were made with."""
    worlds, eta = [name.rpartition("/")[0] for name in settings], group.rpartition("eta-")[2]
    seeds = sorted({cell.seed for cell in cells})
    command = shlex.join(["python", "examples/reproduce/run.py", "--worlds", *worlds, "--etas", eta, "--seeds",
                          *map(str, seeds), "--methods", *rows])
    digests = sorted({cell.data[:12] for cell in cells})
    made = {name: sorted({str(cell.made[name]) for cell in cells if name in cell.made})
            for name in ("commit", "torch", "device")}
    return (f"```sh\n{command}\n```\n\n"
            f"Digest of the data (ratings, KG with its links, split): {', '.join(f'`{each}`' for each in digests)}. "
            f"Made at commit {', '.join(made['commit'])} with torch {', '.join(made['torch'])} on "
            f"{', '.join(made['device'])}.")


def _mean(splits: Sequence[Sequence[Cell]]) -> str:
    """Mean over splits of the means over seeds; with the deviation where there is one split of several seeds."""
    rewards = [[cell.scores["reward"] for cell in cells] for cells in splits if cells]
    if not rewards:
        return "–"
    mean = statistics.mean(statistics.mean(seeds) for seeds in rewards)
    spread = f" ± {statistics.stdev(rewards[0]):.3f}" if len(rewards) == 1 and len(rewards[0]) > 1 else ""
    return f"{mean:.3f}{spread}"


def out_of_date(pages: Mapping[Path, str]) -> list[Path]:
    """The pages whose file does not hold the text that it must hold."""
    return [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
