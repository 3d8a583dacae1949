import json
import multiprocessing
import os
import shutil
import subprocess

import pytest
import torch
from torch import nn

from kgrl.agents import Random
from kgrl.evaluate import evaluate
from kgrl.experiments import runner
from kgrl.experiments.cell import Cell
from kgrl.experiments.method import Method
from kgrl.experiments.runner import BOUND, run_bounds, run_cell
from kgrl.experiments.setting import Setting
from kgrl.train.rounds import EVALUATION_SEED
from kgrl.version import __version__
from tests.fuzzing import FORKS, forked

TRAINING = {"interactions": 64, "sessions": 4, "evaluate_every": 32}


class Counting(Random):
    """Random, and says how often it was asked to learn, and last of whom."""

    learned, users = 0, None
    options = {"pool": None, "epsilon": (0.1, 0.2)}  # noqa: RUF012

    def learn(self, sessions, generator=None):
        type(self).learned += 1
        type(self).users = sessions.users
        return {"gradient_steps": 2}


class Cheat(nn.Module):
    """Reads the world and recommends each user's best items."""

    def __init__(self, feedback):
        super().__init__()
        self.feedback = feedback

    def act(self, sessions, explore=False, generator=None):
        scores = self.feedback.rows(sessions.users)
        scores = torch.cat([scores, scores.new_zeros(len(scores), 1)], 1).scatter(1, sessions.shown, -2.0)[:, :-1]
        return scores.argmax(1)

    def learn(self, sessions, generator=None):
        return {"gradient_steps": 0}


class Stubborn(Cheat):
    def act(self, sessions, explore=False, generator=None):
        return torch.full_like(sessions.users, 7)


COUNTING = Method("Counting", lambda setting, seed, **_: Counting(num_items=40), training=TRAINING,
                  note=lambda setting: f"counted in {setting.dataset}")


def test_a_cell_holds_what_was_measured_and_is_not_run_twice(setting, tmp_path, capfd):
    Counting.learned = 0
    cell = run_cell(setting, COUNTING, 2, tmp_path, checkpoints=tmp_path / "checkpoints")
    assert Counting.learned == 2
    scores = evaluate(Random(num_items=40), setting.simulator, setting.test, seed=2)
    assert cell.scores["reward"] == pytest.approx(scores.reward)
    assert torch.allclose(cell.per_user["f1"], scores.per_user["f1"])
    assert [row["interactions"] for row in cell.curve] == [32, 64]
    level = evaluate(Random(num_items=40), setting.simulator, setting.curve_users, seed=2 + EVALUATION_SEED).reward
    assert [row["reward"] for row in cell.curve] == [level] * 2  # it learns nothing
    assert torch.isin(Counting.users, setting.train).all()
    assert cell.setting == "synthetic/kgqr/eta-0.1"
    assert cell.note == "counted in synthetic"
    seconds = cell.made["seconds"]
    assert list(seconds) == ["building", "training", "test users"]
    assert min(seconds.values()) > 0
    assert seconds["training"] == cell.curve[-1]["seconds"]
    assert (cell.made["kgrl"], cell.made["threads"]) == (__version__, torch.get_num_threads())
    assert cell.made["agent"] == {"pool": None, "epsilon": [0.1, 0.2]}  # as JSON has it
    assert not list((tmp_path / "checkpoints").iterdir())
    again = run_cell(setting, COUNTING, 2, tmp_path)
    assert Counting.learned == 2
    assert again.scores == cell.scores
    assert capfd.readouterr().err == ""


def test_options_are_the_first_of_the_grid_unless_given(setting, tmp_path):
    asked = []

    def build(setting, seed, **options):
        asked.append((seed, options))
        agent = Random(num_items=40)
        agent.options = {"of": torch.float16}
        return agent

    method = Method("Noted", build, grid=({"lr": 1}, {"lr": 2}))
    cells = [run_cell(setting, method, 0, tmp_path), run_cell(setting, method, 5, tmp_path, options={"lr": 3})]
    assert asked == [(0, {"lr": 1}), (5, {"lr": 3})]
    assert [cell.options for cell in cells] == [{"lr": 1}, {"lr": 3}]
    assert cells[0].made["agent"] == {"of": "torch.float16"}  # what JSON cannot hold, as text


def test_seeds_differ(setting, tmp_path):
    cells = [run_cell(setting, COUNTING, seed, tmp_path) for seed in (0, 1)]
    assert cells[0].scores != cells[1].scores


def test_a_cell_of_other_options_or_broken_is_not_taken_for_this_run(setting, tmp_path):
    run_cell(setting, COUNTING, 0, tmp_path)
    with pytest.raises(ValueError, match="training: in the cell"):
        run_cell(setting, COUNTING, 0, tmp_path, training=TRAINING | {"interactions": 96})
    with pytest.raises(ValueError, match="options: in the cell"):
        run_cell(setting, Method("Counting", COUNTING.build, grid=({"seeds": 1},), training=TRAINING), 0, tmp_path)
    path = tmp_path / "synthetic/kgqr/eta-0.1/counting/seed-0.json"
    fields = json.loads(path.read_text())
    del fields["sha256"]  # as cells of earlier versions have none
    path.write_text(json.dumps(fields | {"data": "of another set"}))
    with pytest.raises(ValueError, match="data: in the cell 'of another set'"):
        run_cell(setting, COUNTING, 0, tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"seed-0\.json is not a whole cell"):
        run_cell(setting, COUNTING, 0, tmp_path)


class Stopped(Exception):
    pass


def cut_off(setting, folder):
    """A run of 160 interactions that does not get beyond the checkpoint of the 64th."""
    def stop(run):
        if run.interactions > 64:
            raise Stopped

    with pytest.raises(Stopped):
        run_cell(setting, COUNTING, 0, folder, training=TRAINING | {"interactions": 160},
                 checkpoints=folder / "checkpoints", callbacks=stop)
    assert not list(folder.rglob("*.json"))


def test_a_run_that_is_cut_off_goes_on(setting, tmp_path):
    cut_off(setting, tmp_path)
    learned = Counting.learned
    cell = run_cell(setting, COUNTING, 0, tmp_path, training=TRAINING | {"interactions": 160},
                    checkpoints=tmp_path / "checkpoints")
    assert Counting.learned - learned == 3  # the third rollout again, as its checkpoint was not written, and two more
    assert [row["interactions"] for row in cell.curve] == [32, 64, 96, 128, 160]


@pytest.mark.parametrize("other", [{"seed": 1}, {"options": {"lr": 1}}, {"training": TRAINING | {"interactions": 192}}])
def test_another_run_does_not_go_on_from_its_checkpoint(setting, tmp_path, other):
    cut_off(setting, tmp_path)
    Counting.learned = 0
    run = {"seed": 0, "training": TRAINING | {"interactions": 160}} | other
    run_cell(setting, COUNTING, folder=tmp_path, checkpoints=tmp_path / "checkpoints", **run)
    assert Counting.learned == run["training"]["interactions"] // 32
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # of the run that was cut off


def test_who_reads_the_world_reaches_the_all_knowing_line_and_nobody_passes_the_upper(setting, tmp_path):
    open_world = setting.with_eta(0.0)
    open_world.simulator.register_buffer("first", torch.empty(0, dtype=torch.long))  # no item is prescribed
    bounds = {cell.method.removeprefix(BOUND): cell for cell in run_bounds(open_world, tmp_path)}
    cheat = run_cell(open_world, Method("Cheat", lambda setting, seed: Cheat(setting.feedback)), 0, tmp_path)
    assert cheat.scores["reward"] == pytest.approx(bounds["all-knowing"].scores["reward"])
    assert all(cell.scores["reward"] <= bounds["upper"].scores["reward"] + 1e-6 for cell in [*bounds.values(), cheat])
    assert bounds["random"].scores["reward"] < bounds["best fixed list"].scores["reward"]


def test_bounds_are_measured_once(setting, tmp_path, monkeypatch):
    first = run_bounds(setting, tmp_path)
    assert {cell.method for cell in first} == {
        f"{BOUND}{name}" for name in ("all-knowing", "best fixed list", "most liked list", "random", "upper")}
    measured = setting.simulator.bounds(setting.test, setting.train)
    by_name = {cell.method.removeprefix(BOUND): cell for cell in first}
    assert by_name["best fixed list"].scores == pytest.approx(measured.metrics("best fixed list"))
    curve = setting.simulator.bounds(setting.curve_users, setting.train).metrics("most liked list")
    assert by_name["most liked list"].curve[0]["reward"] == pytest.approx(curve["reward"])
    assert by_name["random"].made["kgrl"] == __version__
    upper, hits = by_name["upper"], measured.metrics("all-knowing")
    assert upper.per_user["reward"].tolist() == pytest.approx([measured.upper] * len(setting.test))
    for name in ("precision", "recall"):
        assert upper.scores[name] == pytest.approx(hits[name])
    assert upper.made["taste share"] == measured.taste_share
    monkeypatch.setattr(type(setting.simulator), "bounds", None)
    assert {cell.method: cell.scores for cell in run_bounds(setting, tmp_path)} == {
        cell.method: cell.scores for cell in first}


def test_bounds_that_were_cut_off_are_measured_again(setting, tmp_path, monkeypatch):
    write, left = Cell.write, iter([True, True])

    def cut_off(cell, folder):
        next(left)  # the third is not written
        write(cell, folder)

    with monkeypatch.context() as patch, pytest.raises(StopIteration):
        patch.setattr(Cell, "write", cut_off)
        run_bounds(setting, tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert len(run_bounds(setting, tmp_path)) == len(list(tmp_path.rglob("*.json"))) == 5


def test_bounds_of_other_data_are_refused(setting, tmp_path):
    run_bounds(setting, tmp_path)
    path = tmp_path / "synthetic/kgqr/eta-0.1/bound-random/seed-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": "of another set", "sha256": None}))
    with pytest.raises(ValueError, match="data: in the cell 'of another set'"):
        run_bounds(setting, tmp_path)


def test_the_most_liked_list_is_a_bound_where_the_agent_opens_too(synthetic, tmp_path):
    logged = Setting(synthetic, "logged", dataset="synthetic", horizon=8)
    assert f"{BOUND}most liked list" in [cell.method for cell in run_bounds(logged, tmp_path)]


def test_an_item_shown_twice_stops_the_run(setting, tmp_path):
    stubborn = Method("Stubborn", lambda setting, seed: Stubborn(setting.feedback))
    with pytest.raises(ValueError, match=r"not yet shown in its session, got 7; session 0 \(user \d+\), step 2"):
        run_cell(setting, stubborn, 0, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_missing_knowledge_graph_is_said_before_anything_runs(setting, tmp_path, monkeypatch):
    monkeypatch.setattr("kgrl.experiments.setting.has", lambda data, what: what != "kg")
    with pytest.raises(ValueError, match="Needy needs a knowledge graph, and synthetic has none"):
        run_cell(setting, Method("Needy", COUNTING.build, needs=("kg",)), 0, tmp_path)


def test_a_cell_is_read_as_it_was_run(setting, tmp_path):
    cell = run_cell(setting, COUNTING, 1, tmp_path)
    assert Cell.read(tmp_path / cell.path).scores == cell.scores


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_source_tree(tmp_path, monkeypatch):
    def git(*words):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True,
                              capture_output=True, text=True).stdout.strip()

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setattr(runner, "__file__", str(tmp_path / "runner.py"))
    assert runner._commit() is None  # no checkout
    git("init")
    (tmp_path / "runner.py").write_text("1")
    git("add", "runner.py")
    git("commit", "-m", "first")
    git("tag", "-a", "v9", "-m", "v9")
    assert runner._commit() == git("rev-parse", "--short", "HEAD")
    (tmp_path / "runner.py").write_text("2")
    assert runner._commit() == git("rev-parse", "--short", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert runner._commit() is None  # no git


@FORKS
def test_of_four_processes_one_runs_the_cell(setting, tmp_path):
    ran = multiprocessing.get_context("fork").SimpleQueue()

    def build(setting, seed):
        ran.put("built")
        return Counting(num_items=40)

    method = Method("Counting", build, training=TRAINING)
    outcomes = multiprocessing.get_context("fork").SimpleQueue()

    def work():
        outcomes.put(run_cell(setting, method, 0, tmp_path).scores["reward"])

    for pid in [forked(work) for _ in range(4)]:
        assert os.waitpid(pid, 0)[1] == 0
    assert len({outcomes.get() for _ in range(4)}) == 1
    assert ran.get() == "built"
    assert ran.empty()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["seed-0.json"]
