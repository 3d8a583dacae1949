"""Seconds of deciding and training: TPGR's Table 3, and how the time of a decision grows with the number of items.

    python examples/reproduce/timing.py table3                          # MovieLens-10M's and Netflix's numbers of items
    python examples/reproduce/timing.py depth                           # Figure 4, right: by depth of the tree
    python examples/reproduce/timing.py scaling                         # 1,000 to 1,000,000 items
    python examples/reproduce/timing.py scaling --methods TPGR DQN-R --sizes 1000 100000 --threads 2

Plain networks with hidden layers of 32 and 16, synthetic items and states, nothing masked; see
`kgrl.experiments.deciders`. Prints Markdown, and writes timing-table3.json, timing-depth.json, or
timing-scaling.json and .png. Take a machine that does nothing else; on one core table3 takes half an hour, most of it
DDPG-KNN, depth a quarter of an hour, most of it depth 1 (--items 1598: a minute), and scaling 10 minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kgrl.experiments.arguments import device_name, number_from, own_file, whole_from
from kgrl.experiments.deciders import DECIDERS, make_decider
from kgrl.experiments.page import fill, folder_beside, link
from kgrl.experiments.sheet import Sheet, write_sheet
from kgrl.experiments.timing import decision_times, fitted_exponent, plot_decision_times, training_step_seconds
from kgrl.files import whole_file

PAPER_ITEMS = {10_677: "MovieLens", 17_770: "Netflix"}
PAPER = {  # seconds per training step and per 10⁶ decisions, over each of these numbers of items
    "DQN-R": ((13.1, 15.3), (19.6, 34.6)), "DDPG-R": ((44.6, 58.6), (29.4, 49.6)),
    "DDPG-KNN (k=1)": ((1.3, 1.3), (1.8, 1.8)), "DDPG-KNN (k=0.1N)": ((24.2, 40.3), (200.4, 313.0)),
    "DDPG-KNN (k=N)": ((248.4, 323.9), (1_875.0, 3_073.2)), "TPGR": ((3.0, 3.1), (3.4, 3.9)),
}
TREES = ["TPGR (depth 1)", "TPGR", "TPGR (depth 3)", "TPGR (depth 4)"]
TITLES = {"table3": "TPGR Table 3: time comparison", "depth": "TPGR Figure 4, right: seconds by depth; TPGR's is 2",
          "scaling": "Time of a decision against the number of items"}
MARK = "*"

Row = dict[str, Any]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("table3", "depth"):
        add = commands.add_parser(name, help=TITLES[name]).add_argument
        add("--items", nargs="+", type=whole_from(1), default=list(PAPER_ITEMS), help="numbers of items")
        add("--episodes", type=whole_from(1), default=1_000, help="of a training step")
    add = commands.add_parser("scaling", help=TITLES["scaling"]).add_argument
    add("--sizes", nargs="+", type=whole_from(1), default=[1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000])
    for name, command in commands.choices.items():
        add = command.add_argument
        methods = {"table3": list(PAPER), "depth": TREES}.get(name, list(DECIDERS))
        add("--methods", nargs="+", choices=DECIDERS, metavar="METHOD", default=methods)
        add("--batch", type=whole_from(1), default=16_384 if name == "scaling" else 1_000, help="states at once, at "
            "most")
        add("--limit", type=number_from(1e-3), default=2.0 if name == "scaling" else 20.0, help="seconds a repeat may "
            "take; what would take longer is measured on fewer decisions")
        add("--repeats", type=whole_from(1), default=5 if name == "scaling" else 3, help="of which the fastest counts")
        add("--threads", type=whole_from(1), default=1)
        add("--device", type=device_name, default="cpu")
        add("--seed", type=int, default=0)
        add("--out", type=Path, help="folder of the files; default: `figures` beside --results, without it "
            "runs/figures")
        add("--results", type=own_file, help="a Markdown file; what stands between its marks "
            f"<!-- timing-{name} --> is replaced")
        add("--tables", type=Path, help="folder for Markdown, LaTeX and CSV files")
    args = parser.parse_args()
    args.out = args.out or folder_beside(args.results, "figures")
    for name in ("methods", "items", "sizes"):
        if name in args:
            setattr(args, name, list(dict.fromkeys(getattr(args, name))))  # each once
    return args


def main() -> None:
    args = options()
    torch.set_num_threads(args.threads)
    scales = args.command == "scaling"
    rows = decision_times(args.sizes if scales else args.items, args.methods, args.seed, args.device,
                          watch=show, batch=args.batch, limit=args.limit, repeats=args.repeats)
    trained = [] if scales else training_times(args)
    given = {name: value for name, value in vars(args).items() if name not in ("out", "results", "tables")}
    result = {"options": given, "torch": torch.__version__, "decisions": rows, "training": trained}
    with whole_file(args.out / f"timing-{args.command}.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    drawn = args.out / "timing-scaling.png"
    made = scaling(rows, link(drawn, args.results)) if scales else side_by_side(TITLES[args.command], rows, trained)
    note = f"Fastest of {args.repeats}; {args.threads} thread(s), {args.device}. "
    if scales:
        plot_decision_times(rows, drawn)
    made = replace(made, notes=[f"{note}{MARK}: in proportion, from fewer than 10⁶ decisions."])
    print(f"\n{made.markdown()}")
    if args.results:
        fill(args.results, {f"timing-{args.command}": made.markdown()})
    if args.tables:
        file = args.tables / f"timing-{args.command}"
        write_sheet(replace(made, figure=link(drawn, file) if made.figure else made.figure), file)


def training_times(args: argparse.Namespace) -> list[Row]:
    rows = []
    for method in args.methods:
        for size in args.items:
            decider = make_decider(method, size, args.seed).to(args.device)
            timing = training_step_seconds(decider, args.episodes, repeats=args.repeats, seed=args.seed)
            rows.append({"method": method, "items": size, **timing._asdict()})
            show(rows[-1])
    return rows


def show(row: Any) -> None:
    print(f"{row['method']}, {row['items']:,} items: {row['seconds']:.3g} s", flush=True)


def side_by_side(title: str, rows: list[Row], trained: list[Row]) -> Sheet:
    """Ours, and the paper's beside it where it has that number of items."""
    lines = {method: [method] for method in dict.fromkeys(row["method"] for row in rows)}
    head = ["seconds"]
    for place, (what, timed) in enumerate({"training step": trained, "10⁶ decisions": rows}.items()):
        for size in dict.fromkeys(row["items"] for row in rows):
            head += [f"{what}, {size:,} items", *([f"paper, {PAPER_ITEMS[size]}"] if size in PAPER_ITEMS else [])]
            for row in (row for row in timed if row["items"] == size):
                lines[row["method"]].append(cell(row))
                if size in PAPER_ITEMS:
                    paper = PAPER.get(row["method"])
                    lines[row["method"]].append(f"{paper[place][list(PAPER_ITEMS).index(size)]:,}" if paper else "–")
    return Sheet(title, head, list(lines.values()))


def scaling(rows: list[Row], figure: str) -> Sheet:
    """Seconds for 10⁶ decisions by number of items, and the exponent of their growth."""
    sizes, lines = list(dict.fromkeys(row["items"] for row in rows)), []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        exponent, since = fitted_exponent([row["items"] for row in own], [row["seconds"] for row in own])
        grows = "–" if since is None else f"N^{exponent:.2f} from {since:,} on"
        lines.append([method, *map(cell, own), grows])
    return Sheet(TITLES["scaling"],
                 ["seconds for 10⁶ decisions", *(f"{size:,}" for size in sizes), "grows like"], lines, figure=figure)


def cell(row: Row) -> str:
    return f"{row['seconds']:,.3g}{MARK * row['extrapolated']}"


if __name__ == "__main__":
    main()
