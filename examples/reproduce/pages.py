"""Makes the documentation's pages of agents, and the summary in README.md and docs/results/index.md, from the cells.

    python examples/reproduce/pages.py
    python examples/reproduce/pages.py --check      # writes nothing; ends with 1 where a page is out of date
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.experiments.page import filled
from kgrl.experiments.pages import AGENTS, Pages, out_of_date
from kgrl.experiments.search import Tuned
from kgrl.files import whole_file

ROOT = Path(__file__).resolve().parents[2]


def pages(root: Path, cells: Path, tuned: Path) -> dict[Path, str]:
    """File → what must stand in it."""
    made = Pages(cells, Tuned(tuned))
    table = {"summary": made.summary().markdown().partition("\n")[2]}  # the page has a heading of its own
    with_summary = [root / "README.md", root / "docs" / "results" / "index.md"]
    return {**{root / "docs" / "agents" / f"{name}.md": made.agent(name) for name in AGENTS},
            **{path: filled(path, table) for path in with_summary}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell which pages are out of date")
    args, here = parser.parse_args(), ROOT / "examples" / "reproduce"
    made = pages(ROOT, here / "cells", here / "tuned.json")
    changed = out_of_date(made)
    for path in changed:
        print(path.relative_to(ROOT))
        if not args.check:
            with whole_file(path) as temporary:
                temporary.write_text(made[path], encoding="utf-8")
    if args.check and changed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
