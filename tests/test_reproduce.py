"""The scripts of examples/reproduce and the agent of one's own, one after the other, on the synthetic data set."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kgrl.experiments.data_sets import DATASETS
from kgrl.experiments.method import METHODS
from kgrl.experiments.result_tables import TABLES
from kgrl.experiments.setting import Setting, has
from kgrl.presets import preset
from kgrl.rollout import rollout
from kgrl.simulator import PredictedFeedback, Simulator

SHRUNKEN = "Popularity (shrunken)"
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
    said = script("reproduce/tune", *where, "--methods", SHRUNKEN, "Random")
    assert said.count("'shrinkage'") == 7  # six tries and the choice; Random has none
    chosen = json.loads((tmp_path / "tuned.json").read_text())["synthetic/logged"][SHRUNKEN]
    assert script("reproduce/tune", *where, "--methods", SHRUNKEN) == ""  # not again

    run = ["reproduce/run", "tpgr-table2", *where, "--cells", tmp_path / "cells", "--etas", 0, 0.1, "--seeds", 0, 1]
    said = script(*run, "--methods", SHRUNKEN, "Random")
    assert said.count("Random, seed") == 4
    cell = tmp_path / "cells/synthetic/logged/eta-0/popularity-shrunken/seed-1.json"
    assert json.loads(cell.read_text())["options"] == chosen["options"]
    before = cell.stat().st_mtime_ns
    script(*run, "--methods", SHRUNKEN)
    assert cell.stat().st_mtime_ns == before

    render = ["reproduce/render", "--cells", tmp_path / "cells", "--tuned", tmp_path / "tuned.json"]
    said = script(*render, "tpgr-table2", "kgqr-table3", "--out", tmp_path / "tables")
    assert said.count("### TPGR Table 2") == 2
    assert "TPGR Table 2: overall performance, missing, not run yet: ml-100k/logged/eta-0, " in said
    assert "### KGQR Table 3" not in said  # there is no predicted world among the cells
    assert "| TPGR | missing |" in said
    made = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert made == [f"tpgr-table2-synthetic-logged-eta-{eta}.{form}" for eta in ("0.1", "0")
                    for form in ("csv", "md", "png", "tex")]
    page = tmp_path / "RESULTS.md"
    page.write_text("before\n<!-- tpgr-table2 -->\nold\n<!-- end tpgr-table2 -->\nafter\n"
                    "<!-- tpgr-figure4-right -->\n<!-- end tpgr-figure4-right -->\n")
    script(*render, "tpgr-table2", "tpgr-figure4-right", "--results", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- tpgr-table2 -->\n### TPGR Table 2")
    assert "<!-- end tpgr-table2 -->\nafter\n" in text
    assert not (tmp_path / "figures").exists()  # none of the methods run is in a table that has one
    assert "old" not in text
    monkeypatch.setitem(TABLES, "tpgr-table2", replace(TABLES["tpgr-table2"], figure="Bars"))
    script(*render, "tpgr-table2", "--results", page)
    assert ", logged world, α = 0](figures/bars-synthetic-logged-eta-0.png)\n" in page.read_text()
    assert (tmp_path / "figures" / "bars-synthetic-logged-eta-0.png").read_bytes()[1:4] == b"PNG"
    assert "synthetic" not in script(*render)  # two rows are not yet half of a table that nobody named
    rows = {name: TABLES["tpgr-table2"].rows[name] for name in (SHRUNKEN, "Random", "TPGR", "DQN-R")}
    monkeypatch.setitem(TABLES, "tpgr-table2", replace(TABLES["tpgr-table2"], rows=rows))
    assert script(*render).count("### TPGR Table 2: overall performance; synthetic") == 2

    fields = json.loads(cell.read_text().replace('"shrinkage": ', '"shrinkage": 7'))
    cell.write_text(json.dumps(fields | {"sha256": None}))
    with pytest.raises(ValueError, match=r"popularity-shrunken/seed-1\.json is of another run"):
        script(*render, "tpgr-table2")


def test_what_the_backfill_is_worth(script, tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text("<!-- backfill-synthetic-kgqr -->\n<!-- end backfill-synthetic-kgqr -->\n")

    def rewards(size):
        said = script("reproduce/backfill", "--worlds", "synthetic/kgqr", "--data", tmp_path / "data", "--size", size,
                      "--results", page)
        rows = (line.strip("| ").split(" | ") for line in said.splitlines() if line.startswith("| "))
        return {name: tuple(map(float, values)) for name, *values in rows if not name.startswith("reward")}

    setting = Setting.load("synthetic", "kgqr", 0.1, root=tmp_path / "data")
    bounds = setting.simulator.bounds(setting.test, setting.train)
    some, every = rewards(40), rewards(3_000)
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
    assert "| the 3000 most liked items | all 3,000 items |" in page.read_text()


@pytest.mark.parametrize(("script_name", "arguments", "text"), [
    ("run", ["kgqr-tabel3"], "did you mean 'kgqr-table3'?"),
    ("run", ["--methods", "Random"], "name a table, or both --methods and --worlds"),
    ("run", ["--worlds", "synthetic/logged", "--methods", "Popularty"], "did you mean 'Popularity'?"),
    ("run", ["kgqr-table3", "--etas", "-1"], "argument --etas: must be a finite number of at least 0, got '-1'"),
    ("run", ["kgqr-table3", "--with", "no_such.py"], "argument --with: must be a file, got 'no_such.py'"),
    ("run", ["kgqr-table3", "--device", "abacus"], "argument --device: must be a device of this machine, got 'abacus'"),
    ("render", ["kgqr-tabel3"], "did you mean 'kgqr-table3'?"),
    ("render", ["kgqr-table3", "--results", "no_such.md"], "argument --results: must be a file, got 'no_such.md'"),
    ("tune", ["--methods", "Popularty"], "did you mean 'Popularity'?"),
    ("data_statistics", ["--longest", "-1"], "argument --longest: must be a whole number of at least 0, got '-1'"),
])
def test_what_is_not_known_is_said(script_name, arguments, text, script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script(f"reproduce/{script_name}", *arguments, *([] if script_name == "render" else ["--data", tmp_path]))
    assert text in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["run", "tune", "backfill"])
def test_a_world_is_a_data_sets(name, script, tmp_path, capsys):
    for world, text in (("ml-100k", "must be DATASET/WORLD"), ("ml-100k/tast", "did you mean 'taste'?")):
        with pytest.raises(SystemExit):
            script(f"reproduce/{name}", *(["--methods", "Random"] if name != "backfill" else []), "--data", tmp_path,
                   "--worlds", world)
        message = capsys.readouterr().err.splitlines()[-1]
        assert "argument --worlds: " in message
        assert text in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("agent", "world", "sessions", "searched"), [
    ("KGQR", "synthetic/planted", 32, ("backfill", ("popular", 300))),
    ("KGQR", "book-crossing/taste", 32, ("backfill", ("popular", 300))),
    ("TPGR", "ml-100k/logged", 2_048, ("lr", 3e-3))])
def test_defaults_stand_beside_the_best_settings_known(monkeypatch, capsys, agent, world, sessions, searched):
    """What is compared, on a world that scores by how many options it is given."""
    given = []

    def score(name, setting, seed, options, training):
        assert name == agent
        given.append((options, training))
        return 1.0 + len(options)

    path = Path(__file__).resolve().parents[1] / "examples" / "reproduce" / "defaults.py"
    main = runpy.run_path(str(path))["main"]
    main.__globals__["score"] = score
    monkeypatch.setattr(Setting, "load", lambda *args, **kwargs: None)
    monkeypatch.setattr(sys, "argv", ["defaults.py", "--worlds", world])
    main()
    (preset_options, preset_training), (options, training), plain = given
    assert plain == ({}, {})
    assert (preset_options, preset_training) == (preset(agent, *world.split("/")).options,
                                                 preset(agent, *world.split("/")).training)
    assert training["sessions"] == sessions
    assert options[searched[0]] == searched[1]
    which, of, longest = ("preset", preset_options, preset_training["interactions"])
    if len(options) > len(preset_options):
        which, of, longest = ("search", options, training["interactions"])
    best = 1.0 + len(of)
    shown = {"KGQR": "40,960", "TPGR": "1,310,720"}[agent]
    assert (f"| {agent}, {world} | 1.000 ({shown}) | {best:.3f} ({which}, {longest:,}) | {1 / best:.1%} |"
            in capsys.readouterr().out)


@pytest.mark.parametrize("name", ["run", "tune"])
def test_no_interactions_are_none(name, script, tmp_path, capsys):
    kept = ["--data", tmp_path / "data", "--tuned", tmp_path / "tuned.json"]
    kept += ["--cells", tmp_path / "cells"] if name == "run" else []
    with pytest.raises(SystemExit):
        script(f"reproduce/{name}", "--worlds", "synthetic/logged", "--methods", "Random", "--interactions", 0, *kept)
    assert "--interactions: must be a whole number of at least 32, got '0'" in capsys.readouterr().err


@pytest.fixture
def none_of_ones_own():
    """Methods that a script registers are unknown again afterwards."""
    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


def rows_of(said):
    return {line.split(" | ")[0].strip("|* "): line.split(" | ") for line in said.splitlines() if line.startswith("| ")}


@pytest.mark.usefixtures("none_of_ones_own")
def test_an_agent_of_ones_own_enters_the_table(script, tmp_path):
    said = script("your_own_agent", "--world", "synthetic/kgqr", "--data", tmp_path / "data", "--cells",
                  tmp_path / "cells")
    rows = rows_of(said)
    assert "missing" not in rows["More of the same"]
    assert float(rows["More of the same"][1]) > float(rows["Random"][1])
    assert "missing" in rows["KGQR"]  # a row, but none that is quick to run


@pytest.mark.usefixtures("none_of_ones_own")
def test_the_agent_of_ones_own_ends_where_nothing_is_left():
    made = runpy.run_path(str(EXAMPLES / "your_own_agent.py"))["MoreOfTheSame"]
    agent = made(torch.eye(5), torch.tensor([3, 1, 0, 2, 4]))
    world = Simulator(PredictedFeedback.from_embeddings(torch.rand(4, 5), torch.eye(5)), horizon=8)
    sessions = rollout(agent, world, torch.arange(4))
    assert sessions.items[:, :5].sort(1).values.tolist() == [list(range(5))] * 4
    assert sessions.items[:, 5:].eq(-1).all()


@pytest.mark.usefixtures("none_of_ones_own")
def test_the_scripts_know_an_agent_of_ones_own(script, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("from kgrl.agents import LinearUCB\nfrom kgrl.experiments.method import Method, register\n"
                    "register(Method('Mine', lambda setting, seed, alpha: LinearUCB(setting.vectors, alpha=alpha), "
                    "grid=({'alpha': 0.5}, {'alpha': 1.0})))\n")
    where = ["--worlds", "synthetic/kgqr", "--data", tmp_path / "data", "--tuned", tmp_path / "tuned.json", "--methods",
             "Mine", "--with", mine]
    before = dict(METHODS)

    def anew(name, *arguments):
        METHODS.clear()
        METHODS.update(before)
        return script(f"reproduce/{name}", *arguments)

    assert "chosen: {'alpha': " in anew("tune", *where)
    assert "Mine, seed 1" in anew("run", *where, "--cells", tmp_path / "cells", "--seeds", 0, 1)
    said = anew("render", "kgqr-table3", "--cells", tmp_path / "cells", "--tuned", tmp_path / "tuned.json", "--with",
                mine)
    assert rows_of(said)["Mine"][4] == "2"
    mine.write_text(f"{mine.read_text()}# changed\n")
    for again in (("run", *where, "--cells", tmp_path / "cells"), ("render", "kgqr-table3", "--cells",
                  tmp_path / "cells", "--tuned", tmp_path / "tuned.json", "--with", mine)):
        with pytest.raises(ValueError, match=r"mine/seed-0\.json is of another run(.|\n)*code: the file"):
            anew(*again)
    empty = tmp_path / "empty.py"
    empty.write_text("")
    with pytest.raises(ValueError, match=r"empty.py` must be a file that calls .*register, got 'no new method'"):
        anew("tune", "--with", empty)


def test_other_budgets_and_what_a_data_set_lacks(script, tmp_path, monkeypatch):
    where = ["--worlds", "synthetic/kgqr", "--data", tmp_path / "data", "--cells", tmp_path / "cells", "--tuned",
             tmp_path / "tuned.json", "--methods", "HLinearUCB", "Random", "--seeds", 0]
    script("reproduce/run", *where, "--interactions", 2_048)
    render = ["reproduce/render", "kgqr-table3", "--cells", tmp_path / "cells", "--tuned", tmp_path / "tuned.json"]
    with pytest.raises(ValueError, match="'interactions': 2048"):
        script(*render)
    assert "- interactions of training: 2,048\n" in script(*render, "--interactions", 2_048)
    monkeypatch.setattr("kgrl.experiments.setting.has", lambda data, what: what != "kg" and has(data, what))
    said = script("reproduce/run", "kgqr-table6", *where[:-5], "--methods", "KGQR", "KGQR-CS", "--seeds", 0)
    assert "kgqr-table6: the row KGQR needs a knowledge graph, and synthetic has none" in said
    assert "KGQR, seed" not in said
    assert "the search for KGQR needs a knowledge graph" in script(
        "reproduce/tune", *where[:4], "--tuned", tmp_path / "tuned.json", "--methods", "KGQR-CS")


@pytest.mark.parametrize("name", ["tune", "run", "backfill"])
def test_one_source_is_of_one_data_set(name, script, tmp_path, capsys):
    more = ["--methods", "Random"] if name == "run" else []
    with pytest.raises(SystemExit):
        script(f"reproduce/{name}", "--worlds", "ml-100k/heldout", "book-crossing/kgqr", "--source", tmp_path, *more)
    assert "one data set at a time" in capsys.readouterr().err


SOURCED = [
    ("reproduce/tune", ["--worlds", "{}/logged"]),
    ("reproduce/run", ["--worlds", "{}/logged", "--methods", "Random"]),
    ("reproduce/backfill", ["--worlds", "{}/logged"]),
    ("reproduce/data_statistics", ["--dataset", "{}"]),
    ("your_own_agent", ["--world", "{}/logged"]),
]
"""Scripts whose data may have a source, and what they need to be told."""


@pytest.mark.usefixtures("none_of_ones_own")
@pytest.mark.parametrize(("name", "given"), SOURCED)
def test_the_source_is_where_raw_files_are_read(name, given, script, tmp_path, monkeypatch):
    class Reached(Exception):
        pass

    def read(root, source):
        assert (root, source) == (tmp_path / "data" / "ml-1m", tmp_path / "raw")
        raise Reached

    monkeypatch.setitem(DATASETS, "ml-1m", read)
    with pytest.raises(Reached):
        script(name, *[part.format("ml-1m") for part in given], "--data", tmp_path / "data",
               "--source", tmp_path / "raw")


@pytest.mark.usefixtures("none_of_ones_own")
@pytest.mark.parametrize(("name", "given"), SOURCED)
def test_made_data_have_no_source(name, given, script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script(name, *[part.format("synthetic") for part in given], "--source", tmp_path)
    assert "--source is of no use: synthetic data are made" in capsys.readouterr().err
