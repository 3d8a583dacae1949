"""Makes the tables and figures of the cells that have been run.

    python examples/reproduce/render.py                          # every table, wherever half of it has been run
    python examples/reproduce/render.py kgqr-table3              # one of them, wherever it has a cell
    python examples/reproduce/render.py --out tables             # LaTeX, CSV and PNG, too, into a folder
    python examples/reproduce/render.py --results examples/reproduce/RESULTS.md      # into that file
    python examples/reproduce/render.py kgqr-table3 --with examples/your_own_agent.py         # with rows of one's own

A cell that is broken, or of other data or options than those around it, is named and refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.experiments.arguments import known, own_file, whole_from
from kgrl.experiments.figures import plot_curves, plot_rows
from kgrl.experiments.method import methods_in
from kgrl.experiments.page import fill
from kgrl.experiments.pooled import group_of, pooled_sheet
from kgrl.experiments.render import sheet
from kgrl.experiments.result_tables import TABLES, ResultTable, table_of
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from kgrl.experiments.setting import eta_folder
from kgrl.experiments.sheet import MISSING, Sheet, write_sheet

HERE = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("tables", nargs="*", type=known(table_of), metavar="TABLE", help=f"of {', '.join(TABLES)}; default: all")
    add("--cells", type=Path, default=HERE / "cells", help="folder of the cells")
    add("--tuned", type=Path, default=HERE / "tuned.json", help="what tune.py chose")
    add("--out", type=Path, help="folder for a file a table and format; default: print Markdown")
    add("--results", type=own_file, help="a Markdown file; what stands between its marks <!-- TABLE --> and "
        "<!-- end TABLE --> is replaced; figures go into the folder `figures` beside it")
    add("--with", dest="own", type=own_file, help="a Python file that registers methods of one's own: rows of "
        "every table")
    add("--interactions", type=whole_from(32), help="as the cells were run with: --interactions of run.py")
    args = parser.parse_args()
    own = {method.name: method.name for method in methods_in(args.own)} if args.own else {}
    args.share, once = 0.0 if args.tables else 0.5, {table.name: table for table in args.tables or TABLES.values()}
    args.tables = [replace(table, rows={**table.rows, **own}) for table in once.values()]
    args.training = {} if args.interactions is None else {"interactions": args.interactions}
    return args


def asked(table: ResultTable) -> list[str]:
    """The table's own settings."""
    return [f"{world}/{eta_folder(eta)}" for world in table.worlds for eta in table.etas]


def settings(cells: Path, table: ResultTable) -> Iterator[str]:
    """The table's own settings, then the others in which any method has been run in a world of its kind."""
    yield from (own := asked(table))
    kinds = {world.split("/")[1] == "logged" for world in table.worlds}
    there = {folder.relative_to(cells).as_posix() for folder in cells.glob("*/*/eta-*")}
    plain = {name for name in there if "-" not in name.split("/")[1]}  # other splits are for pooled tables
    yield from sorted(name for name in plain - set(own) if (name.split("/")[1] == "logged") in kinds)


def pooled(cells: Path, table: ResultTable) -> dict[str, list[str]]:
    """The groups of settings that a pooled table has a sheet of, its own first; those of other data sets likewise."""
    there = {folder.relative_to(cells).as_posix() for folder in cells.glob("*/*/eta-*")}
    own, kinds = asked(table), {group_of(name).partition("/")[2] for name in asked(table)}
    others = sorted(name for name in there - set(own) if group_of(name).partition("/")[2] in kinds)
    groups: dict[str, list[str]] = {}
    for name in [*own, *others]:
        if name in there:
            groups.setdefault(group_of(name), []).append(name)
    return groups


def main() -> None:
    args = options()
    tuned = Tuned(args.tuned)
    texts: dict[str, str] = dict.fromkeys((table.name for table in args.tables), "")

    @cache
    def results_of(setting: str) -> Results:
        return Results(args.cells, setting, tuned, training=args.training)

    for table in args.tables:
        if table.pooled:
            for group, names in pooled(args.cells, table).items():
                splits = [results_of(name) for name in names]
                if any(results.of(method) for results in splits for method in table.rows.values()):
                    texts[table.name] += f"{written(args, table, group, pooled_sheet(table, group, splits))}\n"
            continue
        missing = []
        for setting in settings(args.cells, table):
            results = results_of(setting)
            own = setting in asked(table)
            run = sum(bool(results.of(method)) for method in table.rows.values())
            if run > 0 and (own or run >= args.share * len(table.rows)):  # cells of other tables are not yet one of it
                texts[table.name] += page(args, table, setting, results)
            elif own:
                missing.append(setting)
        if missing:
            texts[table.name] += f"{table.title}, {MISSING}, not run yet: {', '.join(missing)}\n\n"
    if args.results:
        fill(args.results, texts)
    else:
        print("".join(texts.values()))


def written(args: argparse.Namespace, table: ResultTable, group: str, made: Sheet) -> str:
    """A pooled sheet as Markdown, and as files where they are asked for."""
    if args.out:
        write_sheet(made, args.out / f"{table.name}-{group.replace('/', '-')}")
    return made.markdown()


def page(args: argparse.Namespace, table: ResultTable, setting: str, results: Results) -> str:
    """A table in one setting as Markdown, its figure beside it; files where they are asked for."""
    made = sheet(table, results)
    name, picture = (f"{each}-{setting.replace('/', '-')}" for each in (table.name, table.picture))
    if args.out:
        write_sheet(made, args.out / name)
        draw(table, results, args.out / f"{picture}.png")
    if not (args.results and table.figure):
        return f"{made.markdown()}\n"
    folder = args.results.parent / "figures"
    draw(table, results, folder / f"{picture}.png")
    text = replace(made, figure=f"figures/{picture}.png").markdown()
    if table.curves:
        draw(replace(table, curves=()), results, folder / f"{picture}-all.png")
        text += f"\n[The curves of all rows](figures/{picture}-all.png)\n"
    return f"{text}\n"


def draw(table: ResultTable, results: Results, path: Path) -> None:
    (plot_curves if table.rewards else plot_rows)(table, results, path)


if __name__ == "__main__":
    main()
