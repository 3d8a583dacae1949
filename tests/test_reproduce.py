"""The scripts of examples/reproduce and the agent of one's own, one after the other, on the synthetic data set."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kgrl.experiments.method import METHODS
from kgrl.experiments.setting import Setting
from kgrl.experiments.tables import TABLES

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def script(monkeypatch, capsys):
    """Runs a script here, as the imports would take longer than all the rest; gives what it printed."""

    def run(name, *arguments):
        path = str(EXAMPLES / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_tune_run_render(script, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    where = ["--worlds", "synthetic/logged", "--data", tmp_path / "data", "--tuned", tmp_path / "tuned.json"]
    said = script("reproduce/tune", *where, "--methods", "Popularity", "Random")
    assert said.count("'shrinkage'") == 7  # six tries and the choice; Random has none
    chosen = json.loads((tmp_path / "tuned.json").read_text())["synthetic/logged"]["Popularity"]
    assert script("reproduce/tune", *where, "--methods", "Popularity") == ""  # not again

    run = ["reproduce/run", "tpgr-table2", *where, "--cells", tmp_path / "cells", "--etas", 0, 0.1, "--seeds", 0, 1]
    said = script(*run, "--methods", "Popularity", "Random")
    assert said.count("Random, seed") == 4
    cell = tmp_path / "cells/synthetic/logged/eta-0/popularity/seed-1.json"
    assert json.loads(cell.read_text())["options"] == chosen["options"]
    before = cell.stat().st_mtime_ns
    script(*run, "--methods", "Popularity")
    assert cell.stat().st_mtime_ns == before

    render = ["reproduce/render", "--cells", tmp_path / "cells", "--tuned", tmp_path / "tuned.json"]
    said = script(*render, "tpgr-table2", "kgqr-table3", "--out", tmp_path / "tables")
    assert said.count("### TPGR Table 2") == 2
    assert "KGQR Table 3" not in said  # there is no predicted world among the cells
    assert "| TPGR | missing |" in said
    made = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert made == [f"tpgr-table2-synthetic-logged-eta-{eta}.{form}" for eta in ("0.1", "0")
                    for form in ("csv", "md", "png", "tex")]
    page = tmp_path / "RESULTS.md"
    page.write_text("before\n<!-- tpgr-table2 -->\nold\n<!-- end tpgr-table2 -->\nafter\n"
                    "<!-- tpgr-figure4-right -->\n<!-- end tpgr-figure4-right -->\n")
    script(*render, "--results", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- tpgr-table2 -->\n### TPGR Table 2")
    assert "<!-- end tpgr-table2 -->\nafter\n" in text
    assert not (tmp_path / "figures").exists()  # none of the methods run is in a table that has one
    assert "old" not in text
    monkeypatch.setitem(TABLES, "tpgr-table2", replace(TABLES["tpgr-table2"], figure="Bars"))
    script(*render, "--results", page)
    assert "\n![Bars](figures/tpgr-table2-synthetic-logged-eta-0.png)\n" in page.read_text()
    assert (tmp_path / "figures" / "tpgr-table2-synthetic-logged-eta-0.png").read_bytes()[1:4] == b"PNG"

    cell.write_text(cell.read_text().replace('"shrinkage": ', '"shrinkage": 7'))
    with pytest.raises(ValueError, match=r"popularity/seed-1\.json is of another run"):
        script(*render, "tpgr-table2")


def test_what_the_backfill_is_worth(script, tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text("<!-- backfill-synthetic -->\n<!-- end backfill-synthetic -->\n")

    def rewards(size):
        said = script("reproduce/backfill", "--worlds", "synthetic/kgqr", "--data", tmp_path / "data", "--size", size,
                      "--results", page)
        rows = (line.strip("| ").split(" | ") for line in said.splitlines() if line.startswith("| "))
        return {name: tuple(map(float, values)) for name, *values in rows if not name.startswith("reward")}

    setting = Setting.load("synthetic", "kgqr", 0.1, root=tmp_path / "data")
    bounds = setting.simulator.bounds(setting.test, setting.train)
    some, every = rewards(40), rewards(500)
    for name in ("all-knowing", "best fixed list"):
        assert some[name][0] < some[name][1] == pytest.approx(bounds.metrics(name)["reward"], abs=1e-4)
        assert every[name][0] == every[name][1] == some[name][1]
    # by hand: each test user's best 32 of the 40 that the training users like most often, best first
    pool, total = setting.popular[:40], 0.0
    for user in setting.test.tolist():
        user = torch.tensor([user])
        ranked = pool[setting.feedback.rows(user)[0, pool].argsort(descending=True)]
        total += float(setting.simulator.play(user, ranked[None, :32]).rewards.mean())
    assert some["all-knowing"][0] == pytest.approx(total / len(setting.test), abs=1e-4)
    assert "| the 500 most liked items | all 500 items |" in page.read_text()


def test_what_is_not_known_is_said(script, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'kgqr-table3'"):
        script("reproduce/run", "kgqr-tabel3")
    with pytest.raises(SystemExit):
        script("reproduce/run", "--methods", "Random")
    with pytest.raises(ValueError, match="did you mean 'Popularity'"):
        script("reproduce/run", "--worlds", "synthetic/logged", "--methods", "Popularty")


def test_an_agent_of_ones_own_enters_the_table(script, tmp_path, monkeypatch):
    monkeypatch.setattr("kgrl.experiments.method.METHODS", known := dict(METHODS))
    monkeypatch.setattr("kgrl.experiments.results.METHODS", known)
    said = script("your_own_agent", "--world", "synthetic/kgqr", "--data", tmp_path / "data", "--cells",
                  tmp_path / "cells")
    rows = {line.split(" | ")[0].strip("|* "): line for line in said.splitlines() if line.startswith("| ")}
    assert "missing" not in rows["More of the same"]
    assert float(rows["More of the same"].split(" | ")[1]) > float(rows["Random"].split(" | ")[1])
    assert "all-knowing" in rows
