"""The Python blocks of README and documentation, run one after the other on a small made world."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

# what the reader sees → what is run here; each must occur
SMALLER = {
    "README.md": {
        "from kgrl.datasets import MovieLens100K,": "from kgrl.datasets import SyntheticKGRec,",
        'MovieLens100K("data/ml-100k")': 'SyntheticKGRec("data/synthetic", num_users=60, num_items=240)',
        'model="TransE", dim=50, seed=0': 'model="TransE", dim=50, seed=0, epochs=2',
        "agent = KGQR(kg, embedding=x, popular=popular, seed=0)":
            "agent = KGQR(kg, embedding=x, popular=popular, gradient_steps=4, seed=0)",
        "interactions=20_480, checkpoint": "interactions=256, evaluate_every=256, sessions=8, checkpoint",
    },
    "docs/how-to/leaving.md": {'"film_film_genre"': "kg.relation_names[0]"},
    "docs/how-to/new-items.md": {
        "lr=1e-3, seed=0).restrict(old)": "lr=1e-3, gradient_steps=4, seed=0).restrict(old)",
        "interactions=20_480, seed=0": "interactions=256, sessions=8, seed=0",
    },
    "docs/how-to/tpgr.md": {
        "RatedFeedback(data)": "RatedFeedback(data, relevant_above=0.0)",
        "eval_users=valid, seed=0)      #": "eval_users=valid, interactions=512, sessions=8, seed=0)      #",
    },
}


def blocks(page: Path) -> str:
    """A page's Python, its blocks one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def run(page: Path, names: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a page's names stand for after its last block, which were run in a folder, on a smaller budget."""
    name, source = page.relative_to(ROOT).as_posix(), blocks(page)
    for shown, smaller in SMALLER.get(name, {}).items():
        assert source.count(shown) == 1, f"{name} no longer says {shown!r}"
        source = source.replace(shown, smaller)
    after, before = dict(names), Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(source, name, "exec"), after)
    finally:
        os.chdir(before)
    return after


@functools.cache
def tour() -> tuple[dict[str, Any], Path]:
    """(the names after the README's blocks, the folder they were run in): what other pages go on from."""
    kept = tempfile.TemporaryDirectory(prefix="kgrl-readme-")
    return run(README, {"__name__": "page", "_kept": kept}, Path(kept.name)), Path(kept.name)


@functools.cache
def after(page: str) -> dict[str, Any]:
    """The names after the blocks of a page of ``docs/``, which goes on from the README's."""
    names, folder = tour()
    return run(DOCS / page, names, folder)
