"""Chooses each method's options on validation users: a few settings a method, the same for all of a kind.

    python examples/reproduce/tune.py --worlds ml-100k/heldout                 # every method that has a choice
    python examples/reproduce/tune.py --worlds book-crossing/kgqr --source FOLDER --methods KGQR DQN-R

The outcome goes into tuned.json, which run.py and render.py read; what is there already is not searched again. Asked
for a variant, it searches for the method whose options the variant takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.experiments.arguments import add_places, check_source, methods_named, number_from, whole_from, world_name
from kgrl.experiments.data_sets import Unserved
from kgrl.experiments.method import METHODS, methods_in
from kgrl.experiments.search import Tuned, search
from kgrl.experiments.setting import Setting

HERE = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--worlds", nargs="+", type=world_name, metavar="DATASET/WORLD",
        default=["book-crossing/kgqr", "ml-100k/heldout", "ml-100k/logged", "book-crossing/taste"])
    add("--methods", nargs="+", metavar="METHOD", help="default: every method with a search of its own")
    add("--eta", type=number_from(0), default=0.1, help="the search is made at one η, and holds for all")
    add("--interactions", type=whole_from(32), help="of each try; default: half of the method's own")
    add("--again", action="store_true", help="search again where there is a result")
    add_places(parser, HERE)
    args = parser.parse_args()
    check_source(parser, args.source, args.worlds)
    if args.own:
        methods_in(args.own)
    searched = dict.fromkeys(method.search_name for method in methods_named(parser, args.methods or METHODS))
    args.methods = [METHODS[name] for name in searched if len(METHODS[name].grid) > 1]
    return args


def main() -> None:
    args = options()
    tuned = Tuned(args.tuned)
    for world in args.worlds:
        dataset, kind = world.split("/")
        setting = Setting.load(dataset, kind, args.eta, root=args.data, source=args.source, device=args.device)
        for method in args.methods:
            if tuned.searched(world, method) and not args.again:
                continue
            try:
                method.require(setting, f"the search for {method.name}")
            except Unserved as error:
                print(error, flush=True)
                continue
            print(f"{world}: {method.name}", flush=True)
            result = search(setting, method, interactions=args.interactions,
                            watch=lambda row: print(f"  {row}", flush=True))
            tuned.add(world, method, result)
            print(f"  chosen: {result['options']}", flush=True)


if __name__ == "__main__":
    main()
