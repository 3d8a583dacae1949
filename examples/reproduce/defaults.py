"""KGQR and TPGR by their defaults beside the best settings we know, on each data set.

    python examples/reproduce/defaults.py --worlds ml-100k/heldout ml-100k/logged synthetic/planted
    python examples/reproduce/defaults.py --source FOLDER      # all of them; FOLDER holds Book-Crossing's raw files

TPGR is for the world of logged ratings, KGQR for the others. All are trained on the training users, by one seed, and
scored on validation users: test users are for the tables. The best settings are those of ``kgrl.presets`` and those
that the search of ``tune.py`` chose for the tables, whichever is better here, trained for as long as they say.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from kgrl.agents import KGQR, TPGR
from kgrl.evaluate import evaluate
from kgrl.experiments.methods import BACKFILL, Q_TRAINING, STATE, TREE_SIZES, TREE_TRAINING
from kgrl.experiments.setting import Setting
from kgrl.presets import preset, preset_names
from kgrl.train import fit

SCHEDULES = {"KGQR": KGQR.schedule, "TPGR": TPGR.schedule}
HERE = Path(__file__).resolve().parent
AGENTS = {f"{dataset}/{world}": agent.upper() for agent, dataset, world in preset_names()}
# what a table's agent has beside what the search chose, and how it is trained
SEARCHED = {"KGQR": ({**STATE, "backfill": ("popular", BACKFILL)}, Q_TRAINING), "TPGR": (TREE_SIZES, TREE_TRAINING)}


def made(name: str, setting: Setting, seed: int, options: dict[str, Any]) -> KGQR | TPGR:
    if name == "TPGR":
        return TPGR.from_data(setting.data, setting.train, seed=seed, **options)
    return KGQR(setting.kg, embedding=setting.entities, popular=setting.popular, seed=seed, **options)


def score(name: str, setting: Setting, seed: int, options: dict[str, Any], training: dict[str, Any]) -> float:
    """The reward of validation users after training; without options and training, by defaults alone."""
    started = time.perf_counter()
    agent = made(name, setting, seed, options)
    fit(agent, setting.simulator, setting.train, seed=seed, progress=False, **training)
    reward = evaluate(agent, setting.simulator, setting.curve_users).reward
    print(f"  {options or 'defaults'}: {reward:.4f}  ({time.perf_counter() - started:.0f} s)", flush=True)
    return reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", choices=AGENTS, default=list(AGENTS), metavar="DATASET/WORLD")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    parser.add_argument("--source", type=Path, help="folder that already holds the raw files")
    args = parser.parse_args()
    tuned, rows = json.loads((HERE / "tuned.json").read_text(encoding="utf-8")), []
    for world in args.worlds:
        print(world, flush=True)
        name, (dataset, kind) = AGENTS[world], world.split("/")
        found, (fixed, training) = preset(name, dataset, kind), SEARCHED[name]
        setting = Setting.load(dataset, kind, found.eta, root=args.data, source=args.source)
        searched = fixed | tuned[world][name]["options"]
        known = {"preset": score(name, setting, args.seed, found.options, found.training),
                 "search": score(name, setting, args.seed, searched, training)}
        plain, best = score(name, setting, args.seed, {}, {}), max(known, key=lambda which: known[which])
        longest = (found.training if best == "preset" else training)["interactions"]
        rows.append(f"| {name}, {world} | {plain:.3f} ({SCHEDULES[name]['interactions']:,}) | "
                    f"{known[best]:.3f} ({best}, {longest:,}) | {plain / known[best]:.1%} |")
    print("\n| agent and world | defaults (interactions) | best settings known | share |", "|---|---|---|---|",
          *rows, sep="\n")


if __name__ == "__main__":
    main()
