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
import time
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
from kgrl.experiments.data_sets import Unserved
from kgrl.experiments.method import METHODS, Method, methods_in
from kgrl.experiments.result_tables import TABLES, table_of
from kgrl.experiments.runner import run_bounds, run_cell
from kgrl.experiments.search import Tuned, world_of
from kgrl.experiments.setting import Setting

HERE = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("table", nargs="?", type=known(table_of), help=f"one of {', '.join(TABLES)}; without one, --methods and "
        "--worlds say it all")
    add("--worlds", nargs="+", type=world_name, metavar="DATASET/WORLD", help="default: the table's")
    add("--etas", nargs="+", type=number_from(0), help="default: the table's, or 0.1")
    add("--methods", nargs="+", metavar="METHOD", help=f"default: the table's; known: {', '.join(METHODS)}")
    add("--seeds", nargs="+", type=whole_from(0), default=[0, 1, 2, 3, 4])
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
    tuned = Tuned(args.tuned)
    for world in args.worlds:
        dataset, kind = world.split("/")
        setting = Setting.load(dataset, kind, root=args.data, source=args.source, device=args.device)
        methods = served(args, setting)
        for at in [setting.with_eta(eta) for eta in args.etas]:
            bounds = {cell.method: round(cell.scores["reward"], 4) for cell in run_bounds(at, args.cells)}
            print(f"{at.name}  {bounds}", flush=True)
            for seed in args.seeds:
                for method in methods:
                    run(args, at, method, seed, tuned)


def served(args: argparse.Namespace, setting: Setting) -> list[Method]:
    """The methods asked for that the data set can serve; of the others it is said which table lacks them."""
    found = []
    for method in args.methods:
        try:
            method.require(setting, f"{args.table.name if args.table else 'the table'}: the row {method.name}")
            found.append(method)
        except Unserved as error:
            print(error, flush=True)
    return found


def run(args: argparse.Namespace, setting: Setting, method: Method, seed: int, tuned: Tuned) -> None:
    started = time.perf_counter()
    training = method.training_with({} if args.interactions is None else {"interactions": args.interactions})
    cell = run_cell(setting, method, seed, args.cells, options=tuned.options(world_of(setting.name), method),
                    training=training, checkpoints=args.checkpoints)
    print(f"  {method.name}, seed {seed}: reward {cell.scores['reward']:.4f}, precision "
          f"{cell.scores['precision']:.4f}  ({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
