"""Pools runs of examples/tpgr.py over splits: per-user differences of all of them in one test.

    python examples/pool.py runs/tpgr-ml-0 runs/tpgr-ml-1 runs/tpgr-ml-2

Prints the mean over the test users of all runs, row by row, and TPGR's difference to each row with its one-sided
Wilcoxon test: over users, each with her mean difference, as one may be a test user of several runs. Every opponent was
computed on the same split as the run beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from kgrl.significance import paired_wilcoxon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    runs = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in parser.parse_args().runs]
    users, row = np.unique(np.concatenate([run["test_users"] for run in runs]), return_inverse=True)
    print("| | reward | difference | p | F1 | difference | p |\n|---|---|---|---|---|---|---|")
    for name in runs[0]["test_per_user"]:
        cells = []
        for metric in ("reward", "f1"):
            ours, theirs = (np.concatenate([run["test_per_user"][agent][metric] for run in runs])
                            for agent in ("TPGR", name))
            by_user = torch.from_numpy(np.bincount(row, ours - theirs) / np.bincount(row))
            chance = paired_wilcoxon(by_user, torch.zeros_like(by_user), "greater")
            cells += [f"{theirs.mean():.4f}", f"{(ours - theirs).mean():+.4f}", f"{chance:.2g}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{len(runs)} runs, {len(users)} users; p: TPGR above the row, one-sided")


if __name__ == "__main__":
    main()
