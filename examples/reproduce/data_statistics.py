"""What the papers tell of their data: KGQR's Table 2, TPGR's Table 1 and its Figure 3, for any data set.

    python examples/reproduce/data_statistics.py                                              # MovieLens-100K
    python examples/reproduce/data_statistics.py --dataset book-crossing --source FOLDER
    python examples/reproduce/data_statistics.py --dataset netflix --source FOLDER --longest 30

Prints a row beside the papers' own, as Markdown, and draws tpgr-figure3-<data set>.png. What the data set
cannot serve, without a KG or time stamps, is said. (Not called statistics.py: it would hide Python's module of that
name from every script in this folder.)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch_geometric.data import HeteroData

from kgrl.experiments.arguments import check_source, own_file, whole_from
from kgrl.experiments.data_sets import DATASETS, Unserved
from kgrl.experiments.page import fill, folder_beside, link
from kgrl.experiments.sheet import Sheet, write_sheet
from kgrl.experiments.statistics import (
    CountAverages,
    consecutive_count_averages,
    kgqr_statistics,
    plot_consecutive_counts,
    tpgr_statistics,
)

HERE = Path(__file__).resolve().parent
KGQR = ("users", "linked_items", "interactions", "entities", "relations", "triples")
KGQR_PAPER = {"Book-Crossing": (17_860, 14_910, 139_746, 77_903, 25, 151_500),
              "MovieLens-20M": (16_525, 16_426, 6_711_013, 101_769, 32, 489_758)}
TPGR = ("users", "items", "ratings", "ratings_per_user", "ratings_per_item")
TPGR_PAPER = {"MovieLens-10M": (69_878, 10_677, 10_000_054, 143, 936),
              "Netflix": (480_189, 17_770, 100_498_277, 209, 5_655)}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    add("--above", type=float, default=3.0, help="Figure 3: a rating above it is positive")
    add("--longest", type=whole_from(0), default=20, help="Figure 3: counts up to it")
    add("--out", type=Path, help="folder of the figure; default: `figures` beside --results, "
        "without it runs/figures")
    add("--results", type=own_file, help="a Markdown file; what stands between its marks "
        "<!-- statistics-DATASET --> is replaced")
    add("--tables", type=Path, help="folder for Markdown, LaTeX and CSV files")
    args = parser.parse_args()
    args.out = args.out or folder_beside(args.results, "figures")
    check_source(parser, args.source, [args.dataset])
    return args


def main() -> None:
    args = options()
    data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
    text = "\n".join([
        served(args, "kgqr-table2", lambda: table("KGQR Table 2", args, kgqr_statistics(data), KGQR, KGQR_PAPER)),
        served(args, "tpgr-table1", lambda: table("TPGR Table 1", args, tpgr_statistics(data), TPGR, TPGR_PAPER)),
        served(args, "tpgr-figure3", lambda: figure3(args, data))])
    print(text)
    if args.results:
        fill(args.results, {f"statistics-{args.dataset}": text})


def served(args: argparse.Namespace, name: str, make: Callable[[], Sheet]) -> str:
    """A sheet as Markdown, in files where they are asked for; or why it cannot be made."""
    try:
        made = make()
    except Unserved as error:
        return f"{error}\n"
    except ValueError as error:  # of an option: nothing is written
        raise SystemExit(f"{Path(__file__).name}: error: {error}") from None
    if args.tables:
        file = args.tables / f"{name}-{args.dataset}"
        write_sheet(replace(made, figure=link(drawn(args), file) if made.figure else made.figure), file)
    return made.markdown()


def table(title: str, args: argparse.Namespace, counts: Mapping[str, int], columns: tuple[str, ...],
          paper: Mapping[str, tuple[int, ...]]) -> Sheet:
    rows = {args.dataset: [counts[column] for column in columns]}
    rows |= {f"paper: {other}": list(row) for other, row in paper.items()}
    return Sheet(f"{title}: {args.dataset}", ["data set", *(column.replace("_", " ") for column in columns)],
                 [[name, *(f"{count:,}" for count in row)] for name, row in rows.items()])


def figure3(args: argparse.Namespace, data: HeteroData) -> Sheet:
    found, shuffled = (consecutive_count_averages(data, args.above, args.longest, seed) for seed in (None, 0))
    plot_consecutive_counts(found, drawn(args), shuffled)
    rows = [[str(count), *(cell(each[sign], count) for sign in ("positive", "negative") for each in (found, shuffled))]
            for count in range(args.longest + 1)]
    return Sheet("TPGR Figure 3: average rating after so many positive (negative) ratings in a row",
                 ["count", "after positive", "shuffled", "after negative", "shuffled"], rows,
                 ["average ± standard error (ratings); shuffled: each user's ratings in a random order"],
                 link(drawn(args), args.results))


def drawn(args: argparse.Namespace) -> Path:
    """Where Figure 3 is drawn."""
    return args.out / f"tpgr-figure3-{args.dataset}.png"


def cell(averages: CountAverages, count: int) -> str:
    average, error, ratings = (float(part[count]) for part in averages)
    return f"{average:.3f} ± {error:.3f} ({ratings:,.0f})" if ratings else "–"


if __name__ == "__main__":
    main()
