"""What ``kg_tastes`` is worth on items that have ratings: many, or next to none; beside a shuffled KG and no KG.

    python examples/reproduce/priors.py                                       # MovieLens-100K, five splits of the users
    python examples/reproduce/priors.py --dataset book-crossing --source FOLDER --splits 0

No agent learns here. First, sessions in the world of logged ratings (α = 0): the linear-Gaussian recommender over the
training users' ratings alone (``item_tastes``), and over the same through the KG (``kg_tastes``). Then the error of the
ratings that test users gave to items with one to four training ratings, in [−1, 1]: expected of the item by its own
ratings (``factor_tastes``), and by those, how many they are, and the KG (``kg_tastes`` with ``popularity=True`` and
``noise="held-out"``); with the ratio of squared errors to the variance that the model states, which is 1 where that is
honest. Test users choose nothing here. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgrl.agents import LinearGaussian
from kgrl.evaluate import evaluate
from kgrl.experiments.arguments import own_file, whole_from
from kgrl.experiments.page import fill
from kgrl.experiments.setting import Setting
from kgrl.experiments.sheet import Sheet
from kgrl.nn import TasteTerms
from kgrl.pretrain import factor_tastes, item_tastes, kg_tastes
from kgrl.pretrain.items import ratings_of
from kgrl.significance import paired_wilcoxon

HERE = Path(__file__).resolve().parent
FEW, DIM = 5, 12
"""Items of fewer training ratings are looked at apart; length of a taste, as ``LinearGaussian.from_ratings`` has it."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", default="ml-100k", help="one with a KG")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    add("--splits", nargs="+", type=whole_from(0), default=[0, 1, 2, 3, 4], help="seeds of the splits of the users")
    add("--results", type=own_file, help="a Markdown file; what stands between its marks <!-- priors-DATASET --> is "
        "replaced")
    return parser.parse_args()


def main() -> None:
    args = options()
    settings = [Setting.load(args.dataset, f"logged-users-{seed}" if seed else "logged", 0.0, root=args.data,
                             source=args.source) for seed in args.splits]
    text = f"{sessions(settings).markdown()}\n{few_ratings(settings).markdown()}"
    print(text)
    if args.results:
        fill(args.results, {f"priors-{args.dataset}": text})


NEXT: dict[str, Any] = {"noise": "held-out", "popularity": True}
"""Options of terms for people's next ratings."""


def models(
    setting: Setting, alone: Callable[..., TasteTerms], unrated: str, dim: int, **options: Any
) -> dict[str, TasteTerms]:
    """Terms of the items by the training users' ratings, alone and through the KG or one of its controls."""
    def made(control: str) -> TasteTerms:
        return kg_tastes(setting.kg_of(control), setting.data, setting.train, dim, unrated=unrated, **options)

    through = {f"{name} KG": made(control)
               for name, control in (("with the", "real"), ("with a shuffled", "shuffled"), ("with no", "none"))}
    return {"ratings alone": alone(setting.data, setting.train, dim), **through}


def sessions(settings: list[Setting]) -> Sheet:
    """Mean reward of test users' sessions on all items."""
    found: dict[str, list[Tensor]] = {}
    for setting in settings:
        for name, terms in models(setting, item_tastes, "zero", DIM).items():
            scores = evaluate(LinearGaussian(terms), setting.simulator, setting.test)
            found.setdefault(name, []).append(scores.per_user["reward"])
    rows = []
    for name, splits in found.items():
        p = "–" if name == "ratings alone" else test(splits, found["ratings alone"])
        rows.append([name, *(f"{float(each.mean()):.4f}" for each in splits),
                     f"{statistics.mean(float(each.mean()) for each in splits):.4f}", p])
    return Sheet("All items, logged world, α = 0: the linear-Gaussian recommender's start",
                 ["items' terms", *(f"split {at}" for at in range(len(settings))), "mean", "p"], rows,
                 ["p: paired two-sided Wilcoxon test against ratings alone, over the test users of all splits"])


def few_ratings(settings: list[Setting]) -> Sheet:
    """Errors of test users' ratings of items that have few training ratings, or none."""
    rows = []
    for kind, low, high in ((f"1 to {FEW - 1}", 1, FEW), ("none", 0, 1)):
        errors: dict[str, list[Tensor]] = {}
        honest: dict[str, list[float]] = {}
        for setting in settings:
            _, item, _ = ratings_of(setting.data, setting.train)
            count = torch.bincount(item, minlength=setting.data["item"].num_nodes)
            _, asked, value = ratings_of(setting.data, setting.test)
            few = (count[asked] >= low) & (count[asked] < high)
            for name, terms in models(setting, factor_tastes, "unknown", 8, **NEXT).items():
                squared = (value[few] - terms.expected[asked[few]]).square()
                variance = terms.noise + terms.loading.square().sum(1)
                errors.setdefault(name, []).append(squared)
                honest.setdefault(name, []).append(float((squared / variance[asked[few]]).mean()))
        for name, splits in errors.items():
            p = "–" if name == "ratings alone" else test(splits, errors["ratings alone"])
            rows.append([kind, name, str(sum(map(len, splits))), f"{float(torch.cat(splits).mean()):.4f}", p,
                         f"{statistics.mean(honest[name]):.2f}"])
    return Sheet("Held-out ratings of items with few training ratings",
                 ["training ratings", "items' terms", "test ratings", "mean squared error", "p", "error / variance"],
                 rows, ["p: paired two-sided Wilcoxon test against ratings alone, over the ratings of all splits"])


def test(own: list[Tensor], other: list[Tensor]) -> str:
    """P-value over what all splits have."""
    return f"{paired_wilcoxon(torch.cat(own), torch.cat(other)):.2g}"


if __name__ == "__main__":
    main()
