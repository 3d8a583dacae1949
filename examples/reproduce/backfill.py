"""What the items that KGQR's candidates are filled up with are worth: bounds within them, beside those of all items.

    python examples/reproduce/backfill.py --worlds ml-100k/heldout
    python examples/reproduce/backfill.py --worlds book-crossing/kgqr --source FOLDER

No agent is asked: the best fixed list of the backfill (its T items of highest mean feedback among training users), the
all-knowing that picks each test user's best T of it, and a random pick of it. Prints Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from kgrl.candidates import FixedCandidates
from kgrl.evaluate import score
from kgrl.experiments.arguments import check_source, number_from, own_file, whole_from, world_name
from kgrl.experiments.methods import BACKFILL
from kgrl.experiments.page import fill
from kgrl.experiments.setting import Setting
from kgrl.experiments.sheet import Sheet, write_sheet
from kgrl.simulator.bounds import distinct_items

HERE = Path(__file__).resolve().parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--worlds", nargs="+", type=world_name, metavar="DATASET/WORLD", default=["ml-100k/heldout"])
    add("--eta", type=number_from(0), default=0.1)
    add("--size", type=whole_from(1), default=BACKFILL, help="how many of the most liked items")
    add("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    add("--source", type=Path, help="folder that already holds the raw files of the one data set asked for")
    add("--results", type=own_file, help="a Markdown file; what stands between its marks "
        "<!-- backfill-DATASET-WORLD --> is replaced")
    add("--tables", type=Path, help="folder for Markdown, LaTeX and CSV files")
    args = parser.parse_args()
    check_source(parser, args.source, args.worlds)
    return args


def main() -> None:
    args = options()
    for world in args.worlds:
        dataset, kind = world.split("/")
        setting = Setting.load(dataset, kind, args.eta, root=args.data, source=args.source)
        name, made = f"backfill-{setting.dataset}-{setting.world}", table(setting, args.size)
        print(made.markdown())
        if args.results:
            fill(args.results, {name: made.markdown()})
        if args.tables:
            write_sheet(made, args.tables / name)


def table(setting: Setting, size: int) -> Sheet:
    """Rewards on the test users."""
    pool = FixedCandidates(setting.data["item"].num_nodes, setting.popular[:size])
    within, without = lines(setting, pool), lines(setting, FixedCandidates(pool.num_items))
    return Sheet(f"What the backfill is worth by itself; {setting.dataset}, {setting.world} world, η = {setting.eta:g}",
                 ["reward of", f"the {pool.size} most liked items", f"all {pool.num_items:,} items"],
                 [[name, f"{within[name]:.4f}", f"{without[name]:.4f}"] for name in within])


def lines(setting: Setting, pool: FixedCandidates) -> dict[str, float]:
    """Name → mean reward of sessions that show items of the pool alone."""
    world, users = setting.simulator, setting.test
    length = min(world.horizon, pool.size)
    best = torch.cat([pool.of(world.feedback.rows(part).T).T.topk(length).indices
                      for part in world.feedback.chunks(users)])
    fixed = pool.of(world.feedback.mean_feedback(setting.train)).topk(length).indices.expand(len(users), -1)
    draws = distinct_items(len(users), length, pool.size, torch.Generator().manual_seed(0))
    places: dict[str, Tensor] = {"all-knowing": best, "best fixed list": fixed, "random pick": draws}
    return {name: score(world.play(users, pool.items(shown)), world.num_relevant(users)).reward
            for name, shown in places.items()}


if __name__ == "__main__":
    main()
