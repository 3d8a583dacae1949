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
from typing import Any

import numpy as np
import torch

from kgrl.significance import paired_wilcoxon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    runs = [metrics_of(parser, run) for run in parser.parse_args().runs]
    users, row = np.unique(np.concatenate([run["test_users"] for run in runs]), return_inverse=True)
    print("| | reward | difference | p | F1 | difference | p |\n|---|---|---|---|---|---|---|")
    for name in [name for name in runs[0]["test_per_user"] if all(name in run["test_per_user"] for run in runs)]:
        cells = []
        for metric in ("reward", "f1"):
            ours, theirs = (np.concatenate([run["test_per_user"][agent][metric] for run in runs])
                            for agent in ("TPGR", name))
            by_user = torch.from_numpy(np.bincount(row, ours - theirs) / np.bincount(row))
            chance = paired_wilcoxon(by_user, torch.zeros_like(by_user), "greater")
            cells += [f"{theirs.mean():.4f}", f"{(ours - theirs).mean():+.4f}", f"{chance:.2g}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{len(runs)} runs, {len(users)} users; p: TPGR above the row, one-sided")


def metrics_of(parser: argparse.ArgumentParser, folder: Path) -> dict[str, Any]:
    """What a run wrote; ends the script where it is no run of examples/tpgr.py."""
    file = folder / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{file} cannot be read ({error}); name folders of finished runs")
    if not isinstance(metrics, dict) or "test_users" not in metrics or "TPGR" not in metrics.get("test_per_user", {}):
        parser.error(f"{file} must be of a run of examples/tpgr.py, which writes every test user's scores, and is not")
    return metrics


if __name__ == "__main__":
    main()
