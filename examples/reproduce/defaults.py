"""KGQR by its defaults beside the best settings we know, on each data set.

    python examples/reproduce/defaults.py --worlds ml-100k/heldout synthetic/planted
    python examples/reproduce/defaults.py --source FOLDER      # all of them; FOLDER holds Book-Crossing's raw files

Both are trained on the training users, by one seed, and scored on validation users: test users are for the tables. The
best settings are those of ``kgrl.presets`` and those that the search of ``tune.py`` chose for the tables, whichever is
better here.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from kgrl.agents import KGQR
from kgrl.evaluate import evaluate
from kgrl.experiments.methods import BACKFILL, Q_TRAINING, STATE
from kgrl.experiments.setting import Setting
from kgrl.presets import preset, preset_names
from kgrl.train import fit

HERE = Path(__file__).resolve().parent
WORLDS = [f"{dataset}/{world}" for agent, dataset, world in preset_names() if agent == "kgqr"]


def score(setting: Setting, seed: int, options: dict[str, Any], training: dict[str, Any]) -> float:
    """The reward of validation users after training; without options and training, by defaults alone."""
    started = time.perf_counter()
    agent = KGQR(setting.kg, embedding=setting.entities, popular=setting.popular, seed=seed, **options)
    fit(agent, setting.simulator, setting.train, seed=seed, progress=False, **training)
    reward = evaluate(agent, setting.simulator, setting.curve_users).reward
    print(f"  {options or 'defaults'}: {reward:.4f}  ({time.perf_counter() - started:.0f} s)", flush=True)
    return reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS, metavar="DATASET/WORLD")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    parser.add_argument("--source", type=Path, help="folder that already holds the raw files")
    args = parser.parse_args()
    tuned, rows = json.loads((HERE / "tuned.json").read_text(encoding="utf-8")), []
    for name in args.worlds:
        print(name, flush=True)
        dataset, world = name.split("/")
        found = preset("KGQR", dataset, world)
        setting = Setting.load(dataset, world, found.eta, root=args.data, source=args.source)
        searched = {**STATE, "backfill": ("popular", BACKFILL), **tuned[name]["KGQR"]["options"]}
        known = {"preset": score(setting, args.seed, found.options, found.training),
                 "search": score(setting, args.seed, searched, Q_TRAINING)}
        plain, best = score(setting, args.seed, {}, {}), max(known, key=lambda which: known[which])
        rows.append(f"| {name} | {plain:.3f} | {known[best]:.3f} ({best}) | {plain / known[best]:.1%} |")
    print("\n| world | defaults | best settings known | share |\n|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
