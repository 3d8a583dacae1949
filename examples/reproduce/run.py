"""Runs the cells of a table: method × setting × seed, one small JSON file each, and nothing twice.

    python examples/reproduce/run.py kgqr-table3                                     # every data set, world, η and seed
    python examples/reproduce/run.py kgqr-table3 --worlds ml-100k/heldout --etas 0.1 --seeds 0 1 --methods KGQR DQN-R
    python examples/reproduce/run.py --methods TPGR --worlds netflix/logged --source FOLDER    # rows of no table
    python examples/reproduce/run.py --with my_agent.py --methods "My agent" --worlds ml-100k/heldout     # one's own

What is cut off goes on where it was when the same command is given again. Several processes or machines may share the
folder of cells if each is given seeds or methods of its own: none looks what another is at. `tune.py` chooses the
options beforehand, `render.py` makes the tables. Raw files come from --source, or for Book-Crossing from the folder
that the variable KGRL_BOOK_CROSSING names, or are downloaded.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.experiments.arguments import (
    add_places,
    check_source,
    known,
    methods_named,
    number_from,
    whole_from,
    world_name,
)
from kgrl.experiments.method import METHODS, methods_in
from kgrl.experiments.result_tables import TABLES, table_of
from kgrl.experiments.search import Tuned
from kgrl.experiments.table_run import SEEDS, run_cells

HERE = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("table", nargs="?", type=known(table_of), help=f"one of {', '.join(TABLES)}; without one, --methods and "
        "--worlds say it all")
    add("--worlds", nargs="+", type=world_name, metavar="DATASET/WORLD", help="default: the table's")
    add("--etas", nargs="+", type=number_from(0), help="default: the table's, or 0.1")
    add("--methods", nargs="+", metavar="METHOD", help=f"default: the table's; known: {', '.join(METHODS)}")
    add("--seeds", nargs="+", type=whole_from(0), default=SEEDS)
    add("--interactions", type=whole_from(32), help="of training, for methods that learn from them, in place of their "
        "own; name another folder of cells then")
    add("--cells", type=Path, default=HERE / "cells", help="folder of the cells")
    add("--checkpoints", type=Path, default=Path("runs/cells"), help="where a run that is cut off leaves its state")
    add_places(parser, HERE)
    args = parser.parse_args()
    if args.table is None and not (args.methods and args.worlds):
        parser.error("name a table, or both --methods and --worlds")
    if args.own:
        methods_in(args.own)
    if table := args.table:
        args.methods, args.worlds = args.methods or dict.fromkeys(table.rows.values()), args.worlds or table.worlds
    args.methods = methods_named(parser, args.methods)
    args.etas = args.etas or (table.etas if table else (0.1,))
    check_source(parser, args.source, args.worlds)
    return args


def main() -> None:
    args = options()
    run_cells(args.worlds, args.etas, args.methods, args.seeds, Tuned(args.tuned), args.cells,
              checkpoints=args.checkpoints, table=args.table.name if args.table else "the table",
              interactions=args.interactions, data=args.data, source=args.source, device=args.device,
              say=partial(print, flush=True))


if __name__ == "__main__":
    main()
