"""Pools runs of examples/tpgr.py over splits: per-user differences of all of them in one test.

    python examples/pool.py runs/tpgr-ml-0 runs/tpgr-ml-1 runs/tpgr-ml-2

Prints the mean over the test users of all runs, row by row, and TPGR's difference to each row with its one-sided
Wilcoxon test. Every opponent was computed on the same split as the run beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    runs = [json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test_per_user"]
            for run in parser.parse_args().runs]
    print("| | reward | difference | p | F1 | difference | p |\n|---|---|---|---|---|---|---|")
    for name in runs[0]:
        cells = []
        for metric in ("reward", "f1"):
            ours, theirs = (np.concatenate([run[row][metric] for run in runs]) for row in ("TPGR", name))
            difference = ours - theirs
            chance = wilcoxon(difference, alternative="greater").pvalue if difference.any() else 1.0
            cells += [f"{theirs.mean():.4f}", f"{difference.mean():+.4f}", f"{chance:.2g}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{len(runs)} runs, {sum(len(run['TPGR']['f1']) for run in runs)} users; p: TPGR above the row, one-sided")


if __name__ == "__main__":
    main()
