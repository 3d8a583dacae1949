"""The table of docs/how-to/lightgcn.md: examples/lightgcn.py with the KG, with a shuffled one and without, many times.

    python examples/reproduce/lightgcn_table.py                                # MovieLens-100K, 45 runs of some seconds
    python examples/reproduce/lightgcn_table.py --splits 0 --seeds 0 1

Each run is a small JSON file in --out; a run that is there with the same settings is not made again. Prints Markdown:
mean ± deviation over the runs, and two tests of the difference that the real KG makes, both paired and one-sided:
Wilcoxon's over all runs, and Student's over the splits, whose seeds are averaged first, as runs of one split share
their new items.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from scipy.stats import ttest_rel
from torch import Tensor

from kgrl.datasets import MovieLens100K, SyntheticKGRec
from kgrl.experiments.arguments import whole_from
from kgrl.files import whole_file
from kgrl.significance import paired_wilcoxon

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import lightgcn  # noqa: E402  # the example beside this folder

PLACES = ("data", "source")
KGS = {"real": "KG", "shuffled": "shuffled KG", "none": "no KG"}
COLUMNS = [(items, metric) for items in ("new", "old") for metric in ("recall", "NDCG")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--splits", nargs="+", type=whole_from(0), default=[0, 1, 2])
    add("--seeds", nargs="+", type=whole_from(0), default=[0, 1, 2, 3, 4])
    add("--out", type=Path, default=Path("runs/lightgcn"), help="folder of the runs' files")
    args, others = parser.parse_known_args()            # the others are the example's own
    own = lightgcn.options(others)
    dataset = (MovieLens100K(own.data / "ml-100k", source=own.source) if own.dataset == "ml-100k"
               else SyntheticKGRec(own.data / "synthetic"))
    found = torch.tensor([[[_scores(own, dataset, kg, split, seed, args.out) for seed in args.seeds]
                           for split in args.splits] for kg in KGS], dtype=torch.double)     # [KG, split, seed, column]
    print("\n" + table(found))


def _scores(own: argparse.Namespace, dataset: object, kg: str, split: int, seed: int, out: Path) -> list[float]:
    """One run's, from its file or made."""
    asked = argparse.Namespace(**{**vars(own), "kg": kg, "split": split, "seed": seed})
    settings = {name: value for name, value in vars(asked).items() if name not in PLACES}
    file = out / f"{own.dataset}-{kg}-{split}-{seed}.json"
    if file.is_file() and (kept := json.loads(file.read_text(encoding="utf-8")))["settings"] == settings:
        scores = kept["scores"]
    else:
        scores = lightgcn.run(asked, dataset[0])        # type: ignore[index]
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps({"settings": settings, "scores": scores}) + "\n", encoding="utf-8")
    print(f"{KGS[kg]}, split {split}, seed {seed}: {scores}", flush=True)
    return [scores[items][metric] for items, metric in COLUMNS]


def table(found: Tensor) -> str:
    """Markdown of the runs' scores, [KG, split, seed, column]."""
    lines = ["| | " + " | ".join(f"{items} items, {metric}@{lightgcn.K}" for items, metric in COLUMNS) + " |",
             "|---" * (len(COLUMNS) + 1) + "|"]
    for name, scores in zip(KGS.values(), found.flatten(1, 2), strict=True):
        spreads = [f"{spread:.4f}" for spread in scores.std(0)] if len(scores) > 1 else ["–"] * len(COLUMNS)
        cells = [f"{mean:.4f} ± {spread}" for mean, spread in zip(scores.mean(0), spreads, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, other in zip(list(KGS.values())[1:], found[1:], strict=True):
        cells = []
        for real, control in zip(found[0].unbind(-1), other.unbind(-1), strict=True):
            if torch.equal(real, control):
                cells.append("the same")
                continue
            runs = paired_wilcoxon(real.flatten(), control.flatten(), "greater")
            splits = "–"                                # a single split has nothing to be compared with
            if len(real) > 1:
                splits = f"{ttest_rel(real.mean(1), control.mean(1), alternative='greater').pvalue:.1g}"
            cells.append(f"{(real - control).mean():+.4f}, p {runs:.1g}; {splits}")
        lines.append(f"| KG − {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
