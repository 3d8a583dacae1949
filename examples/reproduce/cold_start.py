"""New items in logged ratings, by the recommender's usual figures: recall and NDCG of a list, no interaction.

    python examples/reproduce/cold_start.py                       # MovieLens-100K, relations known at release
    python examples/reproduce/cold_start.py --known-at ever       # awards, too
    python examples/reproduce/cold_start.py --dataset book-crossing --source FOLDER

A fifth of the items is new: their ratings are known to nobody but to the lines that say so. Rows that use the KG stand
beside the same with the KG's tails exchanged. Writes a small JSON file to --out and prints Markdown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from kgrl.datasets.recbole import read_recbole
from kgrl.experiments.arguments import check_source, own_file, whole_from
from kgrl.experiments.cold_results import Case, cold_sheet, measured
from kgrl.experiments.cold_rows import ROWS, Row, plain_row
from kgrl.experiments.cold_start import ColdStart, View
from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.page import fill, folder_beside
from kgrl.experiments.sheet import write_sheet
from kgrl.files import whole_file
from kgrl.version import __version__

HERE = Path(__file__).resolve().parent
PLAIN = "Genres and decade alone"
READERS = Case(
    "New books for readers with a past; Book-Crossing, logged ratings", 32, [View(new=True, past=True)],
    ["KG profile", "Tf-idf profile", "Popularity that knows", "Random"], {"number": 2_000},
    ["Readers are the first 2,000 by number who liked a new book and a linked old one; all others are trained on. The "
     "past is the old books that a reader liked.",
     "Recall is of the at most 32 that could be found. A few best-sellers weigh much: it matters whether they are new.",
     "Popularity that knows ranks the new books by the training users' ratings of them, which no other row sees."])
FILMS = Case(
    "New films; MovieLens-100K, logged ratings", 20,
    [View(new=True, past=True), View(new=True, past=False), View(new=False, past=True), View(new=False, past=False)],
    ["KG prior", "KG profile", "Tf-idf profile", PLAIN, "Popularity that knows", "Warm model that knows half",
     "Random"], {"hidden": 0.2},
    ["Test users who liked a new film. The past is four in five of a user's ratings of old films; the fifth is to be "
     "found among all items, from which her past is left out.",
     "Recall is of the at most 20 that could be found.",
     f"{PLAIN}: the KG prior on the film list's own genres and years. Popularity that knows has the training users' "
     "ratings of new films, the warm model a random half of them, which no other row sees."])
CASES = {"ml-100k": FILMS, "book-crossing": READERS,
         "synthetic": Case("New items; synthetic, logged ratings", 10, READERS.views, READERS.rows)}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=CASES, default="ml-100k")
    add("--splits", nargs="+", type=whole_from(0), default=[0, 1, 2], help="seeds of the items' splits")
    add("--known-at", choices=("release", "ever"), default="release", help="whether to leave out relations that come "
        "after release")
    add("--shufflings", type=whole_from(1), default=3, help="KGs that a control is the mean of")
    add("--data", type=Path, default=HERE.parents[1] / "data", help="where data sets are kept")
    add("--source", type=Path, help="folder that already holds the raw files")
    add("--out", type=Path, help="folder of the JSON files; default: `cold-start` beside --results, without it "
        "runs/cold-start")
    add("--results", type=own_file, help="a Markdown file; what stands between its marks "
        "<!-- cold-start-DATASET-KNOWN --> is replaced")
    add("--tables", type=Path, help="folder for Markdown, LaTeX and CSV files")
    args = parser.parse_args()
    args.out = args.out or folder_beside(args.results, "cold-start")
    check_source(parser, args.source, [args.dataset])
    return args


def main() -> None:
    args = options()
    case, dataset = CASES[args.dataset], DATASETS[args.dataset](args.data / args.dataset, source=args.source)
    rows, splits = rows_of(args.dataset, dataset), {}
    for seed in args.splits:
        split = ColdStart.of(dataset[0], seed, known_at=args.known_at, **case.options)
        splits[seed] = measured(case, split, rows, range(args.shufflings))
    name, sheet = f"cold-start-{args.dataset}-{args.known_at}", cold_sheet(case, args.known_at, splits)
    write(args.out / f"{args.dataset}-{args.known_at}.json", {
        "dataset": args.dataset, "known_at": args.known_at, "k": case.k, "shufflings": args.shufflings,
        "kgrl": __version__, "torch": torch.__version__, "splits": splits})
    print(sheet.markdown())
    if args.results:
        fill(args.results, {name: sheet.markdown()})
    if args.tables:
        write_sheet(sheet, args.tables / name)


def rows_of(name: str, dataset: Any) -> dict[str, Row]:
    """The rows by name; with the film list's genres, where there is one."""
    if name != "ml-100k":
        return ROWS
    raw, *_ = read_recbole(Path(dataset.raw_dir), name)
    assert raw.items is not None, "the reader has read it"
    films = raw.items.frame
    return {**ROWS, PLAIN: plain_row(dict(zip(films["item"], films["class"].str.split(), strict=True)))}


def write(path: Path, found: dict[str, Any]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
