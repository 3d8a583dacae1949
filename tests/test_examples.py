"""Every example script, run with a tiny budget on small hand-written files."""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import wilcoxon

from tests.example_runs import ROOT, run


def test_kgqr(small_ml100k, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
                 "--world", "taste", "--interactions", "2048", "--backfill", "popular:5", "--set", "gradient_steps=2"]
    said = run(*arguments)
    order = ["before linking: 800 ratings", "after linking: 800 ratings", "taste share", "1,024 interactions",
             "2,048 interactions", "8 test users", "| KGQR |", "| random candidate |", "| all-knowing |",
             "| best fixed list |", "| most liked list |", "| random |", "10 new films, the same test users",
             "| prior alone, KG |", "| prior alone, shuffled KG |", "| prior alone, no KG |", " new films for user",
             "wrote "]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [row["interactions"] for row in metrics["curve"]] == [0, 1024, 2048]
    assert all(row["reward"] <= metrics["test_upper_bound"] for row in metrics["test"].values())
    shown = said[said.index("most liked list"):].split()[3]  # the curve's users are the printed bounds' users
    assert float(shown) == round(metrics["levels"]["most liked list"], 3)
    assert (tmp_path / "out" / "learning_curve.png").stat().st_size > 5_000
    page = (tmp_path / "out" / "recommendations.md").read_text()
    assert "has the same director as Film " in page
    assert "m.d" not in page  # no machine's ids
    assert "Film " in page
    on_new = metrics["new_items"]
    assert list(on_new) == [
        "KGQR", "prior alone, KG", "prior alone, shuffled KG", "prior alone, no KG",
        "list that knows the new items' feedback", "all-knowing", "random"]
    assert (on_new["random"]["way"], on_new["all-knowing"]["way"]) == (0, 1)
    assert on_new["random"]["reward"] < on_new["all-knowing"]["reward"]
    ten = said[said.rindex("## ", 0, said.index(" new films for user")):said.index("wrote ")].strip()
    picks = re.findall(r"^(\d+)\. (Film \d+) \(1990\)(?: \(rated [25] of 5\))?: (.+)", ten, re.MULTILINE)
    assert [int(place) for place, _, _ in picks] == list(range(1, len(picks) + 1))
    assert len({film for _, film, _ in picks}) == len(picks) == int(ten.split()[1])
    assert any(re.match(r"has the same director as Film \d+", why) for _, _, why in picks)
    assert " of 5)" in ten  # whom it is shown for has rated some of them
    assert ten in page
    again = run(*arguments)  # goes on from the checkpoint: nothing is left to train, and the scores are the same
    assert again[again.index("8 test users"):] == said[said.index("8 test users"):]


def test_kgqr_without_new_items(small_ml100k, tmp_path):
    pytest.importorskip("matplotlib")
    said = run("--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
               "--world", "taste", "--interactions", "1024", "--backfill", "popular:5", "--set", "gradient_steps=1",
               "--new", "0")
    assert "new films" not in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "new_items" not in metrics
    assert [row["interactions"] for row in metrics["curve"]] == [1024]  # nothing is known before
    assert (tmp_path / "out" / "recommendations.md").read_text().startswith("# Sessions of test users")


def test_kgqr_in_the_made_world(tmp_path):
    pytest.importorskip("matplotlib")
    said = run("--dataset", "synthetic", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
               "--interactions", "1024", "--set", "gradient_steps=1")
    assert "upper bound          2.550" in said  # 1 for a liked item, and 0.1 · 31 / 2 for those before
    page = (tmp_path / "out" / "recommendations.md").read_text()
    assert re.search(r"has the same attribute as item \d+", page)
    assert "tensor" not in page


def test_tpgr(small_ml100k, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
                 "--interactions", "4096", "--sessions", "16"]
    said = run(*arguments, script="tpgr")
    order = ["40 users (28 training, 4 validation, 8 test), 50 items, 800 ratings", "tree: depth 2, 8 children a node",
             "taste share", "512 interactions", "4,096 interactions", "8 test users", "| TPGR |", "| all-knowing |",
             "| best fixed list |", "| random |", "wrote "]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [row["interactions"] for row in metrics["curve"]] == [512 * k for k in range(1, 9)]
    assert all(row["reward"] <= metrics["test_upper_bound"] for row in metrics["test"].values())
    tree, sessions = ((tmp_path / "out" / name).read_text() for name in ("tree.md", "sessions.md"))
    assert tree.count("## Cluster") == 8
    assert sum(line.startswith("- Film ") for line in tree.splitlines()) == 50
    assert sessions.count("## User") == 3
    again = run(*arguments, script="tpgr")  # finished: the same numbers from the checkpoint
    assert again[again.index("8 test users"):] == said[said.index("8 test users"):]


def test_tpgr_on_a_file_of_ratings_with_kgqrs_state(small_ml100k, tmp_path):
    pytest.importorskip("matplotlib")
    lines = [f"{user}\t{item}\t{(user + item) % 6}" for user in range(20) for item in range(40)]
    (tmp_path / "ratings").write_text("\n".join(lines) + "\n")
    common = ["--interactions", "512", "--sessions", "8", "--data", str(tmp_path / "data")]
    said = run("--ratings", str(tmp_path / "ratings"), "--test-from", "15", "--preset", "paper", "--out",
               str(tmp_path / "a"), *common, script="tpgr")
    assert "20 users (14 training, 1 validation, 5 test), 40 items, 800 ratings" in said
    said = run("--source", str(small_ml100k), "--state", "kg", "--tree", "mf", "--method", "kmeans", "--depth", "3",
               "--out", str(tmp_path / "b"), *common, script="tpgr")
    assert "tree: depth 3, 4 children a node" in said


def test_layers_in_pyg(small_ml100k, tmp_path):
    """Every container and tool is there, or says what it lacks."""
    said = run("--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--epochs", "25", "--no-compile",
               script="layers_in_pyg")
    order = ["50 items of 55 nodes, 100 edges, 2 relations", "Sequential, mean: R²",
             "Sequential, mean, shuffled KG: R²", "Sequential, mean, no KG: R²", "Sequential, gat: R²",
             "Sequential, OwnMatrices: R²", "Sequential, ByRelation: R²",
             "HeteroConv, 2 relations: R²", "to_hetero, 2 relations: R²",
             "RandomNodeLoader: 4 parts", "AttentionExplainer: Film ", "GNNExplainer: Film ", "CaptumExplainer: Film "]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    first, last = re.search(r"RandomNodeLoader: 4 parts, loss (\S+) in the first pass, (\S+) in the", said).groups()
    assert float(last) < float(first)
    assert re.search(r"^  NeighborLoader: (skipped, |\d+ parts)", said, re.MULTILINE)
    # a film's only neighbour is its director, so all of the attention is on him
    assert re.search(r"AttentionExplainer: Film \d+ .* hears most of film.film.directed_by 5\d \(1.000\)", said)


def test_tree_softmax():
    said = run("--classes", "400", "--depth", "2", "--steps", "60", "--batch", "256", script="tree_softmax")
    assert "tree: 2 levels of 20 children: 40 logits a sample in place of 400" in said
    found = [float(share) for share in re.findall(r"(\d+\.\d)% of 512 unseen samples right", said)]
    assert len(found) == 2
    assert min(found) > 50  # chance: 0.25


@pytest.mark.parametrize(("command", "text"), [
    ("kgqr --set gamma", "`--set` must be NAME=VALUE"),
    ("kgqr --set gamma=abc", "`--set gamma` must be a number"),
    ("kgqr --set gamma=1.5", "`gamma` must be"),
    ("kgqr --aggregator foo", "`aggregator` must be a known name, got 'foo'"),
    ("kgqr --set variant=3", "`variant`"),
    ("tpgr --set gamma=1.5", "`gamma` must be"),
    ("tpgr --depth 64", "`children ** depth` must be"),
    ("pool NOWHERE", "NOWHERE/metrics.json cannot be read"),
    ("kgqr --set gama=0.8", "did you mean 'gamma'?"),
    ("kgqr --set seed=3", "does not give the agent itself, got 'seed'"),
    ("kgqr --set candidates=3", "does not give the agent itself, got 'candidates'"),
    ("kgqr --backfill popular", "must be popular:N or random:N with N of at least 1, or none, got 'popular'"),
    ("kgqr --backfill popular:0", "got 'popular:0'"),
    ("kgqr --backfill popula:3", "got 'popula:3'"),
    ("kgqr --backfill=", "got ''"),
    ("kgqr --world planted", "--world must be a world that ml-100k has, got 'planted'"),
    ("kgqr --dataset synthetic --source f", "--source is of no use: synthetic data are made"),
    ("kgqr --dataset netflix", "invalid choice: 'netflix'"),
    ("kgqr --new 1", "`--new` must be a share of the items, below 1, got 1.0"),
    ("kgqr --new=-1", "--new: must be a finite number of at least 0, got '-1'"),
    ("kgqr --start warm", "--start: invalid choice: 'warm'"),
    ("kgqr --interactions 0", "--interactions: must be a whole number of at least 32, got '0'"),
    ("tpgr --set gamma", "`--set` must be NAME=VALUE"),
    ("tpgr --set gama=0.8", "did you mean 'gamma'?"),
    ("tpgr --set eta=1", "does not give the agent itself, got 'eta'"),
    ("tpgr --interactions 0", "--interactions: must be a whole number of at least 32, got '0'"),
    ("tpgr --scale 1,5,3", "--scale is that of the file of --ratings"),
    ("tpgr --ratings f --scale 1,5", "argument --scale: invalid rating_scale value: '1,5'"),
])
def test_a_wrong_argument_ends_the_script_at_once(command, text, tmp_path, monkeypatch, capsys):
    name, *arguments = command.split()
    script = str(ROOT / "examples" / f"{name}.py")
    places = [] if name == "pool" else ["--out", str(tmp_path / "out"), "--data", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [script, *places, *arguments])
    monkeypatch.setattr("kgrl.datasets.base.KGRecDataset.__init__", None)  # no data is to be made
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 2
    assert text in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments", "world", "interactions", "backfill"), [
    ([], "heldout", 15_360, ("popular", 300)),
    (["--new", "0"], "heldout", 30_720, ("popular", 300)),
    (["--backfill", "none", "--interactions", "64"], "heldout", 64, None),
    (["--backfill", "random:7"], "heldout", 15_360, ("random", 7)),
    (["--backfill", "random:7", "--set", 'backfill=["fill", 3]'], "heldout", 15_360, ["fill", 3]),
    (["--dataset", "book-crossing"], "kgqr", 20_480, ("popular", 300)),
    (["--dataset", "ml-20m"], "heldout", 20_480, "default"),
    (["--dataset", "synthetic"], "planted", 20_480, ("popular", 300)),
])
def test_what_kgqr_makes_of_its_arguments(arguments, world, interactions, backfill, monkeypatch):
    script = str(ROOT / "examples" / "kgqr.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    args = runpy.run_path(script)["options"]()
    found = args.agent.get("backfill", "default")
    assert (args.world, args.interactions, found) == (world, interactions, backfill)
    assert args.agent.get("streak_state", True) is True


@pytest.mark.parametrize(("arguments", "new", "start", "lr"), [
    ([], 0.2, "kg", 1e-3),
    (["--new", "0"], 0, "none", None),  # KGQR's own
    (["--new", "0", "--start", "ratings"], 0, "ratings", 1e-3),
    (["--start", "none"], 0.2, "none", None),
    (["--set", "lr=0.01"], 0.2, "kg", 0.01),
    (["--dataset", "ml-1m"], 0.2, "kg", 1e-3),
    (["--dataset", "book-crossing"], 0, "none", None),
    (["--dataset", "synthetic", "--new", "0.5"], 0.5, "kg", 1e-3),
])
def test_how_many_items_are_new_and_what_kgqr_starts_from(arguments, new, start, lr, monkeypatch):
    script = str(ROOT / "examples" / "kgqr.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    args = runpy.run_path(script)["options"]()
    assert (args.new, args.start, args.agent.get("lr")) == (new, start, lr)


@pytest.mark.parametrize(("command", "folder"), [
    ("kgqr", "runs/kgqr"), ("kgqr --aggregator gat", "runs/kgqr-aggregator-gat"),
    ("kgqr --dataset synthetic", "runs/kgqr-dataset-synthetic"), ("kgqr --start ratings", "runs/kgqr-start-ratings"),
    ("kgqr --set gamma=0.8 --seed 1", "runs/kgqr-seed-1-set-gamma=0.8"), ("kgqr --data d", "runs/kgqr"),
    ("kgqr --out o", "o"), ("tpgr", "runs/tpgr"), ("tpgr --state kg", "runs/tpgr-state-kg"), ("tpgr --out o", "o"),
])
def test_a_runs_folder_follows_from_the_options(command, folder, monkeypatch):
    name, *arguments = command.split()
    script = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    assert runpy.run_path(script)["options"]().out == Path(folder)


def test_a_data_sets_test_users_may_be_those_from_an_id_on(small_ml100k, tmp_path, monkeypatch):
    script = str(ROOT / "examples" / "tpgr.py")
    monkeypatch.setattr(sys, "argv", [script, "--source", str(small_ml100k), "--data", str(tmp_path),
                                      "--test-from", "30"])
    tpgr = runpy.run_path(script)
    data, train, valid, test = tpgr["load"](tpgr["options"]())
    assert {int(data["user"].raw_id[user]) for user in test} == set(range(30, 40))
    assert (len(train), len(valid)) == (27, 3)


@pytest.mark.parametrize(("command", "rows"), [
    ("decisions --items 17,40 --sessions 8 --calls 2", 2),
    ("tree --users 100 --items 40 --ratings 2000", 1),  # every item has as many as it may: of half of the users
    ("lookups --users 200 --items 40 --ratings 1000 --pairs 16,64 --calls 2", 2),
])
def test_benchmark(command, rows, tmp_path, monkeypatch, capsys):
    arguments = [*command.split(), "--out", str(tmp_path / "out.json")]
    if command.startswith("decisions"):  # starts processes of its own, which read the script anew
        said = run(*arguments, script="benchmark")
    else:  # here, as the imports would take longer than all the rest
        script = str(ROOT / "examples" / "benchmark.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")
        said = capsys.readouterr().out
    lines, measured = said.splitlines(), json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(measured) == len(lines) - 1 == rows
    for line, row in zip(lines[1:], measured, strict=True):
        assert all(0 < value < math.inf for value in row.values())
        assert [float(cell.replace(",", "")) for cell in line.split()] == pytest.approx(list(row.values()), abs=0.006)
    if command.startswith("decisions"):
        assert [(row["items"], row["children"]) for row in measured] == [(17, 5), (40, 7)]
        assert measured[0]["ratio"] == 1


def test_benchmark_of_files(tmp_path, monkeypatch, capsys):
    script = str(ROOT / "examples" / "benchmark.py")
    monkeypatch.setattr(sys, "argv", [script, "files", "--items", "5,9", "--calls", "1", "--out",
                                      str(tmp_path / "out")])
    runpy.run_path(script, run_name="__main__")
    rows = json.loads((tmp_path / "out").read_text())["rows"]
    assert [(row["items"], row["file"]) for row in rows] == [(n, what) for n in (5, 9) for what in ("written", "read")]
    assert [row["mib"] for row in rows[::2]] == [5 * 1200 / 2**20, 9 * 1200 / 2**20]
    assert all(0 < row[name] < math.inf for row in rows for name in ("ms", "ms_of_safetensors"))
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_benchmark_of_environments(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gymnasium")
    script = str(ROOT / "examples" / "benchmark.py")
    monkeypatch.setattr(sys, "argv", [script, "environments", "--items", "70", "--sessions", "16", "--calls", "1",
                                      "--out", str(tmp_path / "out.json")])
    runpy.run_path(script, run_name="__main__")
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row.pop("environment") for row in rows] == [
        "simulator alone", "history, mask", "history, no mask", "summary, mask", "summary, no mask"]
    assert all(0 < value < math.inf for row in rows for value in row.values())
    assert rows[0]["of_the_simulator"] == 1
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_ppo_through_gymnasium(small_ml100k, tmp_path):
    """Its whole way; that it beats the list is measured on real data, in the script's docstring."""
    pytest.importorskip("stable_baselines3")
    said = run("--source", str(small_ml100k), "--data", str(tmp_path), "--films", "40", "--interactions", "1024",
               "--environments", "16", script="ppo_stable_baselines3")
    order = ["1,024 interactions; validation users", "8 test users", "| PPO |", "| LinearGaussian |", "| all-knowing |",
             "| best fixed list |", "| most liked list |", "| random |", "| best fixed list of the 40 |"]
    places = [said.index(part) for part in order]
    assert places == sorted(places)


def test_pool(tmp_path):
    """Two runs with a user in common: she counts once, with her mean difference."""
    for name, users, ours in (("a", [3, 5], [0.5, 0.75]), ("b", [3, 8], [1.0, 0.5])):
        rows = {"TPGR": {"reward": ours, "f1": ours}, "list": {"reward": [0.25, 0.25], "f1": ours}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"test_users": users, "test_per_user": rows}))
    said = run(str(tmp_path / "a"), str(tmp_path / "b"), script="pool")
    by_user = [(0.25 + 0.75) / 2, 0.5, 0.25]
    p = wilcoxon(by_user, alternative="greater").pvalue
    assert f"| list | 0.2500 | +0.4375 | {p:.2g} | 0.6875 | +0.0000 | 1 |" in said
    assert "2 runs, 3 users" in said


def test_pool_of_another_scripts_run_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "metrics.json").write_text(json.dumps({"test": {}}))  # as examples/kgqr.py writes it
    script = str(ROOT / "examples" / "pool.py")
    monkeypatch.setattr(sys, "argv", [script, str(tmp_path)])
    with pytest.raises(SystemExit):
        runpy.run_path(script, run_name="__main__")
    assert "metrics.json must be of a run of examples/tpgr.py" in capsys.readouterr().err


def test_a_folder_in_use_ends_the_script(tmp_path, monkeypatch):
    held = f"import time\nfrom kgrl.locks import alone_in\nwith alone_in({str(tmp_path)!r}): print(1, flush=True); " \
           "time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}) as other:
        assert other.stdout.readline()
        script = str(ROOT / "examples" / "kgqr.py")
        monkeypatch.setattr(sys, "argv", [script, "--out", str(tmp_path), "--dataset", "synthetic"])
        with pytest.raises(SystemExit, match="is in use by another run"):
            runpy.run_path(script, run_name="__main__")
        other.kill()


@pytest.mark.parametrize("script", ["timing", "data_statistics", "cold_start"])
def test_only_with_results_a_script_writes_beside_the_page(script, tmp_path, monkeypatch):
    page, path = tmp_path / "page.md", str(ROOT / "examples" / "reproduce" / f"{script}.py")
    page.touch()
    table = ["table3"] if script == "timing" else []
    for given, home in (([], Path("runs")), (["--results", str(page)], tmp_path), (["--out", "own"], Path())):
        monkeypatch.setattr(sys, "argv", [path, *table, *given])
        assert runpy.run_path(path)["options"]().out.parent == home
