"""Run the cells of a table of the papers, and print it as Markdown.

    kgrl tables                                                        # which tables there are
    kgrl tables kgqr-table3 --worlds ml-100k/heldout --methods KGQR DQN-R --seeds 0 1
    kgrl tables kgqr-table3 --worlds synthetic/planted --show          # what has been run, and nothing else

A cell (method × data set × world × η × seed) is one small JSON file in --cells. It is run once; what is cut off goes on
where it was. The scripts in examples/reproduce do more: search, figures, pages, methods of one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.cli.shared_options import add_data_places, command_parser
from kgrl.experiments.arguments import (
    check_source,
    device_name,
    known,
    methods_named,
    number_from,
    whole_from,
    world_name,
)
from kgrl.experiments.pooled import group_of, pooled_sheet
from kgrl.experiments.render import sheet
from kgrl.experiments.result_tables import TABLES, ResultTable, table_of
from kgrl.experiments.results import Results
from kgrl.experiments.search import Tuned
from kgrl.experiments.setting import eta_folder
from kgrl.experiments.table_run import SEEDS, run_cells


def make_tables(argv: Sequence[str]) -> int:
    """The command ``kgrl tables``; returns its exit code."""
    parser = command_parser("tables", __doc__ or "")
    add = parser.add_argument
    add("table", nargs="?", type=known(table_of), metavar="TABLE", help="its name; without one: a list of them")
    add("--worlds", nargs="+", type=world_name, metavar="DATASET/WORLD", help="default: the table's")
    add("--etas", nargs="+", type=number_from(0), help="default: the table's")
    add("--methods", nargs="+", metavar="METHOD", help="rows to run; default: all of the table's")
    add("--seeds", nargs="+", type=whole_from(0), default=SEEDS, help="default: 0 1 2 3 4")
    add("--interactions", type=whole_from(32), help="of training, in place of the methods' own; name another folder of "
        "cells then")
    add("--cells", type=Path, default=Path("runs/tables"), help="folder of the cells (default: runs/tables)")
    add("--tuned", type=Path, default=Path("tuned.json"), help="what tune.py chose (default: tuned.json)")
    add("--show", action="store_true", help="run nothing: print what has been run")
    add("--device", type=device_name, default="cpu", help="cpu or cuda (default: cpu)")
    add_data_places(parser)
    args = parser.parse_args(argv)
    table: ResultTable | None = args.table
    if table is None:
        print("\n".join(f"{each.name:<16} {each.title}" for each in TABLES.values()))
        return 0
    methods = methods_named(parser, args.methods or dict.fromkeys(table.rows.values()))
    worlds, etas = args.worlds or table.worlds, args.etas or table.etas
    check_source(parser, args.source, worlds)
    tuned = Tuned(args.tuned)
    if not args.show:
        run_cells(worlds, etas, methods, args.seeds, tuned, args.cells, checkpoints=args.cells / "checkpoints",
                  table=table.name, interactions=args.interactions, data=args.data, source=args.source,
                  device=args.device, say=partial(print, flush=True))
    training = {} if args.interactions is None else {"interactions": args.interactions}
    results = [Results(args.cells, f"{world}/{eta_folder(eta)}", tuned, training=training)
               for world in worlds for eta in etas]
    for text in _printed(table, results):
        print(text)
    return 0


def _printed(table: ResultTable, results: list[Results]) -> list[str]:
    """The table's sheets as Markdown: one for each setting, or where it pools splits one for each group of them."""
    if not table.pooled:
        return [sheet(table, each).markdown() for each in results]
    groups: dict[str, list[Results]] = {}
    for each in results:
        groups.setdefault(group_of(each.setting), []).append(each)
    return [pooled_sheet(table, group, splits).markdown() for group, splits in groups.items()]
