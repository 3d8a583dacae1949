"""``fit``: budget, turns, curve, what evaluation must not touch, and resuming after SIGKILL."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric.loggers import CSVLogger
from torch import Tensor, nn

from kgrl.agents import KGQR
from kgrl.checkpoint import Run
from kgrl.factorization import Factors
from kgrl.files import load_tensors
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import EVALUATION_SEED, fit

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def world() -> Simulator:
    return Simulator(PredictedFeedback(Factors(30, 40, 3, seed=1), threshold=0.0), eta=0.1, horizon=6)


class Notebook(nn.Module):
    """Recommends the first items in order, and writes down whom it was asked to learn from, and what it drew from."""

    def __init__(self, items: int = 6) -> None:
        super().__init__()
        self.items = items
        self.learned: list[Tensor] = []
        self.seeds: set[tuple[str, int]] = set()
        self.types: set[torch.dtype] = set()

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        self.seeds.add(("exploring" if explore else "greedy", generator.initial_seed()))
        self.note_type()
        return torch.full_like(sessions.users, sessions.step if sessions.step < self.items else -1)

    def learn(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.seeds.add(("learning", generator.initial_seed()))
        self.note_type()
        self.learned.append(sessions.users)
        return {"gradient_steps": 2, "loss": 0.5}

    def note_type(self) -> None:
        self.types.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)


class Student(Notebook):
    """Has a pre-training, and says nothing of its gradient steps."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained: list[Tensor] = []

    def pretrain(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.seeds.add(("pre-training", generator.initial_seed()))
        self.pretrained.append(sessions.items)
        return {}


def agent(edges: int = 40, kind: type[KGQR] = KGQR, **options) -> KGQR:
    graph = torch.stack([torch.arange(edges), 40 + torch.arange(edges) % 4])
    given = {"dim": 6, "state_channels": 6, "hidden_channels": 6, "gradient_steps": 2, "batch_size": 16,
             "backfill": ("random", 10)}
    return kind(knowledge_graph(graph, num_nodes=44, num_items=40), **(given | options))


def test_budget_turns_and_evaluations(world, monkeypatch):
    monkeypatch.setattr("time.perf_counter", itertools.count().__next__)  # looked at before and after whatever is timed
    notebook, users = Notebook(), torch.arange(5, 15)
    curve = fit(notebook, world, users, eval_users=torch.arange(5), interactions=200, evaluate_every=60, sessions=4)
    assert [len(part) for part in notebook.learned] == [4] * 8 + [1]  # 33 sessions of 6 steps: 198 of 200 interactions
    assert [row["interactions"] for row in curve] == [72, 120, 192, 198]
    assert [row["gradient_steps"] for row in curve] == [6, 10, 16, 18]
    order = torch.cat(notebook.learned)
    for epoch in order.split(10)[:3]:
        assert sorted(epoch.tolist()) == users.tolist()  # everyone has a turn before anyone has a second
    assert order[:10].tolist() != order[10:20].tolist()
    assert all(row["loss"] == 0.5 for row in curve)
    assert [row["seconds"] for row in curve] == [4, 7, 11, 13]  # 1 a round, 1 an evaluation
    assert [row["evaluation_seconds"] for row in curve] == [1, 2, 3, 4]


def test_a_curve_may_begin_before_the_first_interaction(world, monkeypatch, tmp_path):
    monkeypatch.setattr("time.perf_counter", itertools.count().__next__)
    told, notebook = [], Notebook()
    run = {"eval_users": torch.arange(5), "interactions": 48, "evaluate_every": 24, "sessions": 4,
           "evaluate_first": True, "checkpoint": tmp_path, "loggers": CSVLogger(tmp_path)}
    curve = fit(notebook, world, torch.arange(5, 15), **run, watch=told.append)
    counters = ("interactions", "gradient_steps", "seconds", "evaluation_seconds")
    counts = [[row[name] for row in curve] for name in counters]
    assert counts == [[0, 24, 48], [0, 2, 4], [1, 3, 5], [1, 2, 3]]
    assert "loss" not in curve[0]
    assert curve[0]["reward"] == curve[1]["reward"] == curve[2]["reward"]  # it learns nothing
    assert told == curve
    assert fit(Notebook(), world, torch.arange(5, 15), **run) == curve  # goes on, rather than begin anew
    without = fit(Notebook(), world, torch.arange(5, 15), interactions=48, evaluate_first=True)
    assert without == []


def test_the_defaults_are_rollouts_of_32_sessions_and_no_evaluation(world):
    notebook = Notebook()
    assert fit(notebook, world, torch.arange(20), interactions=6 * 40) == []
    assert [len(part) for part in notebook.learned] == [32, 8]


def test_an_agent_with_nothing_to_recommend_is_stopped(world):
    nothing = Notebook(items=0)
    with pytest.raises(ValueError, match="`agent` must be one that has something to recommend, got 'a rollout without"):
        fit(nothing, world, torch.arange(20), interactions=240)
    assert not nothing.learned


@pytest.mark.parametrize("given", [{"users": [0, 1]}, {"eval_users": [0, 1]}])
def test_users_are_a_tensor(world, given):
    with pytest.raises(TypeError, match=f"`{next(iter(given))}` must be a tensor, got 'list'"):
        fit(Notebook(), world, **{"users": torch.arange(20), "interactions": 6 * 40} | given)


def test_only_items_that_were_shown_count(world):
    notebook = Notebook(items=4)
    curve = fit(notebook, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120, evaluate_every=60,
                sessions=5)
    assert [len(part) for part in notebook.learned] == [5] * 5 + [3, 1]  # as many as full sessions would fit in
    assert [row["interactions"] for row in curve] == [60, 116]


def test_each_seed_and_epoch_has_its_order(world):
    orders = []
    for seed in (0, 1):
        notebook = Notebook()
        fit(notebook, world, torch.arange(20), interactions=6 * 40, sessions=10, seed=seed)
        orders += [tuple(epoch.tolist()) for epoch in torch.cat(notebook.learned).split(20)]
    assert len(set(orders)) == 4


def test_evaluations_draw_from_a_generator_of_their_own(world):
    notebook = Notebook()
    fit(notebook, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120, sessions=5, seed=4)
    assert notebook.seeds == {("exploring", 4), ("learning", 4), ("greedy", 4 + EVALUATION_SEED)}
    assert EVALUATION_SEED


def test_pretraining_is_on_random_items_and_ends_with_a_rollout(world):
    student = Student()
    curve = fit(student, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120, evaluate_every=30,
                pretrain_interactions=60, sessions=5, seed=4)
    assert [len(student.pretrained), len(student.learned)] == [2, 2]
    shown = torch.cat(student.pretrained)
    assert len(shown.unique()) > 6  # as against the agent's own
    assert student.seeds == {("pre-training", 4), ("exploring", 4), ("learning", 4), ("greedy", 4 + EVALUATION_SEED)}
    assert [row["gradient_steps"] for row in curve] == [0, 0, 2, 4]


def test_precision_is_that_of_rollouts_and_learning(world):
    notebook = Notebook()
    fit(notebook, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=60, precision="bf16-mixed")
    assert notebook.types == {torch.bfloat16}


def test_evaluations_leave_training_alone(world):
    weights = []
    for evaluate_every, eval_users in ((24, torch.arange(20, 30)), (200, torch.arange(20, 25)), (24, None)):
        trained = agent()
        fit(trained, world, torch.arange(20), eval_users=eval_users, interactions=240, evaluate_every=evaluate_every,
            sessions=4)
        weights.append(trained.state_dict())
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], other[name]) for name in weights[0])


def test_loggers_and_watch_get_the_curve(world, tmp_path):
    rows: list[dict[str, float]] = []
    logger = CSVLogger(tmp_path, name="log", flush_logs_every_n_steps=1)
    curve = fit(Notebook(), world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120,
                evaluate_every=60, sessions=5, loggers=logger, watch=rows.append)
    assert rows == curve
    written = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = written[0].split(",").index("reward")
    assert [float(line.split(",")[column]) for line in written[1:]] == pytest.approx([row["reward"] for row in curve])
    column = written[0].split(",").index("step")
    assert [int(line.split(",")[column]) for line in written[1:]] == [60, 120]


def test_quiet_when_asked(world, capfd):
    given = {"interactions": 60, "sessions": 5, "eval_users": torch.arange(20, 30)}
    fit(Notebook(), world, torch.arange(20), progress=False, **given)
    fit(Notebook(), world, torch.arange(20), **given)  # not a terminal
    assert capfd.readouterr().err == ""
    fit(Notebook(), world, torch.arange(20), progress=True, **given)
    shown = capfd.readouterr().err
    assert "reward" in shown
    assert "60/60" in shown


def test_the_bar_goes_on_where_the_run_did(world, tmp_path, capfd):
    given = {"interactions": 120, "sessions": 5, "eval_users": torch.arange(20, 30), "checkpoint": tmp_path}
    fit(Notebook(), world, torch.arange(20), progress=True, **given)
    assert "120/120" in capfd.readouterr().err
    fit(Notebook(), world, torch.arange(20), progress=True, **given)
    assert "120/120" in capfd.readouterr().err


@pytest.mark.parametrize(("change", "message"), [
    ({"interactions": 5}, "`interactions` must be at least 6"),
    ({"evaluate_every": 0}, "`evaluate_every` must be at least 1"),
    ({"sessions": 0}, "`sessions` must be at least 1"),
    ({"pretrain_interactions": -1}, "`pretrain_interactions` must be at least 0"),
    ({"pretrain_interactions": 6}, "`pretrain_interactions` must be 0 for an agent without `pretrain`"),
    ({"users": torch.empty(0, dtype=torch.long)}, "`users` must be at least one user id"),
    ({"eval_users": torch.empty(0, dtype=torch.long)}, "`eval_users` must be at least one user id"),
])
def test_bad_options_are_named(world, change, message):
    given = {"users": torch.arange(20), "interactions": 60} | change
    with pytest.raises(ValueError, match=message):
        fit(Notebook(), world, **given)


class Other(KGQR):
    """Another agent with the same options."""


def with_pretraining() -> KGQR:
    made = agent()
    made.pretrain = made.learn
    return made


class Plain(PredictedFeedback):
    """The fixture's world by another class."""

    def __init__(self, sign: float) -> None:
        super().__init__(Factors(30, 40, 3, seed=1), threshold=0.0)
        self.table = torch.ones(3) * sign


CHANGES = {
    "agent": lambda world: {"agent": agent(kind=Other)},
    "agent options": lambda world: {"agent": agent(gamma=0.25)},
    "agent data": lambda world: {"agent": agent(edges=39)},
    "world": lambda world: {"simulator": Simulator(world.feedback, eta=0.2, horizon=6)},
    "world ": lambda world: {"simulator": Simulator(world.feedback, eta=0.1, horizon=5)},
    "world  ": lambda world: {
        "simulator": Simulator(PredictedFeedback(Factors(30, 40, 3, seed=2), threshold=0.0), eta=0.1, horizon=6)},
    "world   ": lambda world: {
        "simulator": Simulator(PredictedFeedback(Factors(30, 40, 3, seed=1), threshold=0.3), eta=0.1, horizon=6)},
    "world    ": lambda world: {"simulator": Simulator(Plain(1.0), eta=0.1, horizon=6)},
    "training users": lambda world: {"users": torch.arange(1, 21)},
    "evaluation users": lambda world: {"eval_users": torch.arange(21, 26)},
    "evaluate_every": lambda world: {"evaluate_every": 31},
    "sessions": lambda world: {"sessions": 4},
    "precision": lambda world: {"precision": "bf16-mixed"},
    "pretrain_interactions": lambda world: {"agent": with_pretraining(), "pretrain_interactions": 30},
    "seed": lambda world: {"seed": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_something_else_is_refused(world, tmp_path, change):
    def run(**other) -> None:
        simulator = other.pop("simulator", world)
        fit(other.pop("agent", agent()), simulator, **({
            "users": torch.arange(20), "eval_users": torch.arange(20, 25), "interactions": 30, "evaluate_every": 30,
            "sessions": 5, "checkpoint": tmp_path} | other))

    run()
    with pytest.raises(ValueError, match="belongs to another run") as error:
        run(**CHANGES[change](world))
    lines = str(error.value).splitlines()[1:-1]
    assert [line.partition(":")[0].strip() for line in lines] == [change.strip()]  # and nothing else


def test_a_finished_run_is_not_trained_again(world, tmp_path):
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 60, "sessions": 5,
                 "evaluate_every": 30, "checkpoint": tmp_path}
    first = fit(Notebook(), world, **given)
    again, rows = Notebook(), []
    assert fit(again, world, watch=rows.append, **given) == rows == first
    assert not again.learned


def test_a_checkpoint_that_is_further_on_is_refused(world, tmp_path):
    given = {"users": torch.arange(20), "sessions": 5, "checkpoint": tmp_path}
    fit(Notebook(), world, interactions=60, **given)
    with pytest.raises(ValueError, match=r"`interactions` must be at least 60, .*, got 30; use another folder"):
        fit(Notebook(), world, interactions=30, **given)


def test_learn_may_return_nothing_or_tensors(world, tmp_path):
    class Terse(Notebook):
        report = None

        def learn(self, sessions, generator=None):
            return self.report

    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 25), "interactions": 60, "sessions": 5}
    assert "loss" not in fit(Terse(), world, **given)[-1]
    agent = Terse()
    agent.report = {"loss": torch.tensor(2.5), "gradient_steps": torch.tensor(3)}
    row = fit(agent, world, checkpoint=tmp_path, **given)[-1]
    assert (row["loss"], row["gradient_steps"]) == (2.5, 6)
    assert fit(agent, world, checkpoint=tmp_path, **given)[-1] == row


def test_a_checkpoint_is_written_after_every_evaluation(world, tmp_path, monkeypatch):
    save, saved = Run.save, []

    def noted(run, *given):
        saved.append(run.interactions)
        save(run, *given)

    monkeypatch.setattr(Run, "save", noted)
    fit(Notebook(), world, torch.arange(20), interactions=150, evaluate_every=60, sessions=5, checkpoint=tmp_path)
    assert saved == [60, 120, 150]


def test_a_longer_run_goes_on_from_a_shorter_one(world, tmp_path):
    """As the weights of a run do not depend on how long it is to be."""
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 60, "sessions": 5}
    once, twice = agent(), agent()
    whole = fit(once, world, interactions=120, **given)
    fit(agent(), world, interactions=60, checkpoint=tmp_path, **given)
    resumed = fit(twice, world, interactions=120, checkpoint=tmp_path, **given)
    assert [row["reward"] for row in resumed] == [row["reward"] for row in whole]
    assert all(torch.equal(twice.state_dict()[name], value) for name, value in once.state_dict().items())


def run_process(folder: Path, where: str = "learn", count: int = 0) -> int:
    command = [sys.executable, str(ROOT / "tests" / "killed_run.py"), str(folder), where, str(count)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, check=False).returncode


def test_killed_at_any_moment_the_end_is_the_same(tmp_path):
    assert run_process(tmp_path / "whole") == 0
    folder = tmp_path / "killed"
    # between saves, in the midst of the second save's writing, and right after the next one's renaming
    for where, count in (("learn", 4), ("write", 3), ("replace", 2)):
        assert run_process(folder, where, count) == -signal.SIGKILL
    assert run_process(folder) == 0
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*.tmp"))  # what the killed save had begun
    whole, killed = (load_tensors(tmp_path / name / "end.safetensors", "end") for name in ("whole", "killed"))
    assert whole[1]["curve"] == killed[1]["curve"]
    assert whole[0].keys() == killed[0].keys()
    for name, value in whole[0].items():
        assert torch.equal(value, killed[0][name]), name


def test_a_tensor_that_is_no_buffer_tells_worlds_apart_too(tmp_path):
    given = {"users": torch.arange(20), "interactions": 30, "sessions": 5, "checkpoint": tmp_path}
    fit(Notebook(), Simulator(Plain(1.0), horizon=6), **given)
    fit(Notebook(), Simulator(Plain(1.0), horizon=6), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*world"):
        fit(Notebook(), Simulator(Plain(-1.0), horizon=6), **given)


def test_options_that_are_no_json_are_told_apart_by_their_text(world, tmp_path):
    def run(rate):
        trained = Notebook()
        trained.options = {"rates": {rate}}
        fit(trained, world, torch.arange(20), interactions=30, sessions=5, checkpoint=tmp_path)

    run(1)
    run(1)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*agent options"):
        run(2)
