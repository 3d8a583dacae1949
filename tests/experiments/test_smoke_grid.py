"""Every method in every kind of world, with next to no training: does it run, and is its cell sound?"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401
from kgrl.datasets.kgcn import from_kgcn
from kgrl.experiments.method import METHODS
from kgrl.experiments.render import sheet
from kgrl.experiments.result_tables import TABLES
from kgrl.experiments.results import Results
from kgrl.experiments.runner import run_bounds, run_cell
from kgrl.experiments.search import Tuned
from kgrl.experiments.setting import Setting

BUDGET = {"interactions": 96, "sessions": 8, "evaluate_every": 48}
SMALL = {"gradient_steps": 2, "batch_size": 16}
NAMES = list(METHODS)


def small(name):
    """The first setting of a method's grid, with less work in it."""
    first = METHODS[name].grid[0]
    return {**first, **(SMALL if "epsilon" in first else {}), **({"epochs": 1} if name == "GRU4Rec" else {})}


@pytest.fixture(scope="module")
def kgcn(tmp_path_factory):
    """Hand-written files in KGCN's raw form: 30 users, 24 films by 4 directors."""
    folder, rng = tmp_path_factory.mktemp("kgcn"), random.Random(0)
    (folder / "item_index2entity_id.txt").write_text("".join(f"{film}\te{film}\n" for film in range(24)))
    (folder / "kg.txt").write_text("".join(f"e{film}\tfilm.director\td{film % 4}\n" for film in range(24)))
    ratings = [f"{user},{film},{5 if film % 4 == user % 4 else rng.choice([1, 2, 4])},{at}\n"
               for user in range(30) for at, film in enumerate(rng.sample(range(24), 14))]
    (folder / "ratings.csv").write_text("".join(ratings))
    return from_kgcn(folder, "ratings.csv", ",", rating_scale=(1, 5, 3.5))


@pytest.fixture(scope="module")
def worlds(synthetic, kgcn):
    return {"predicted": Setting(synthetic, "kgqr", 0.1, dataset="synthetic", horizon=6),
            "logged": Setting(synthetic, "logged", 0.1, dataset="synthetic", horizon=6),
            "files": Setting(kgcn, "taste", 0.1, dataset="files", horizon=6),
            "new": Setting(synthetic, "taste-new-0-past-4", 0.1, dataset="synthetic", horizon=6)}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.mark.parametrize("world", ["predicted", "logged", "files", "new"])
@pytest.mark.parametrize("name", NAMES)
def test_every_method_everywhere(worlds, cells, name, world):
    setting, method = worlds[world], METHODS[name]
    cell = run_cell(setting, method, 0, cells, options=small(name), training=BUDGET if method.training else {})
    upper = next(bound for bound in run_bounds(setting, cells) if bound.method == "bound: upper")
    assert -1 - setting.eta * 5 <= cell.scores["reward"] <= upper.scores["reward"] + 1e-6
    assert all(0 <= float(cell.per_user[metric].min()) <= float(cell.per_user[metric].max()) <= 1
               for metric in ("precision", "recall", "f1"))
    assert len(cell.per_user["reward"]) == len(setting.test)
    assert [row["interactions"] for row in cell.curve] == ([48, 96] if method.training else [])
    assert bool(cell.note) == (name == "GRU4Rec" and not setting.has_time)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_table_renders(worlds, tmp_path, table):
    """With the bounds and one row run, every other row is marked as missing."""
    logged = table.worlds[0].endswith("logged")
    setting = worlds["logged" if logged else "predicted"]
    run_bounds(setting, tmp_path)
    label, name = next((label, name) for label, name in table.rows.items() if METHODS[name].training)
    run = run_cell(setting, METHODS[name], 0, tmp_path / "run", training=BUDGET, options=small(name))
    replace(run, options=METHODS[name].grid[0]).write(tmp_path)
    made = sheet(table, Results(tmp_path, setting.name, Tuned(tmp_path / "none.json"), setting.digest, BUDGET))
    rows = {row[0].rstrip("*"): row for row in made.rows if row}
    assert set(table.rows) <= set(rows)
    assert "missing" not in rows[label][1]
    assert all("missing" in rows[other] for other in table.rows if other != label)
