"""``fit``: budget, turns, curve, what evaluation must not touch, and resuming after SIGKILL."""

from __future__ import annotations

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
from kgrl.factorization import Factors
from kgrl.files import load_tensors
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import fit

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def world() -> Simulator:
    return Simulator(PredictedFeedback(Factors(30, 40, 3, seed=1), threshold=0.0), eta=0.1, horizon=6)


class Notebook(nn.Module):
    """Recommends the items in order, and writes down whom it was asked to learn from."""

    def __init__(self) -> None:
        super().__init__()
        self.learned: list[Tensor] = []

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        return torch.full_like(sessions.users, sessions.step)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        self.learned.append(sessions.users)
        return {"gradient_steps": 2, "loss": 0.5}


def agent(edges: int = 40, **options) -> KGQR:
    graph = torch.stack([torch.arange(edges), 40 + torch.arange(edges) % 4])
    given = {"dim": 6, "state_channels": 6, "hidden_channels": 6, "gradient_steps": 2, "batch_size": 16,
             "backfill": ("random", 10)}
    return KGQR(knowledge_graph(graph, num_nodes=44, num_items=40), **(given | options))


def test_budget_turns_and_evaluations(world):
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
    seconds = [row["seconds"] for row in curve]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert all(0 < row["evaluation_seconds"] < row["seconds"] for row in curve)


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


def test_quiet_when_asked(world, capfd):
    given = {"interactions": 60, "sessions": 5, "eval_users": torch.arange(20, 30)}
    fit(Notebook(), world, torch.arange(20), progress=False, **given)
    fit(Notebook(), world, torch.arange(20), **given)  # not a terminal
    assert capfd.readouterr().err == ""
    fit(Notebook(), world, torch.arange(20), progress=True, **given)
    assert "reward" in capfd.readouterr().err


@pytest.mark.parametrize(("change", "message"), [
    ({"interactions": 5}, "`interactions` must be at least 6"),
    ({"sessions": 0}, "`sessions` must be at least 1"),
    ({"users": torch.empty(0, dtype=torch.long)}, "`users` must be at least one user id"),
    ({"eval_users": torch.empty(0, dtype=torch.long)}, "`eval_users` must be at least one user id"),
])
def test_bad_options_are_named(world, change, message):
    given = {"users": torch.arange(20), "interactions": 60} | change
    with pytest.raises(ValueError, match=message):
        fit(Notebook(), world, **given)


@pytest.mark.parametrize("change", ["agent option", "seed", "users", "world", "graph"])
def test_a_checkpoint_of_something_else_is_refused(world, tmp_path, change):
    def run(**other) -> None:
        simulator = other.pop("simulator", world)
        fit(other.pop("agent", agent()), simulator, **({
            "users": torch.arange(20), "interactions": 60, "sessions": 5, "checkpoint": tmp_path} | other))

    run()
    changed = {
        "agent option": {"agent": agent(gamma=0.25)},
        "seed": {"seed": 1},
        "users": {"users": torch.arange(19)},
        "world": {"simulator": Simulator(world.feedback, eta=0.2, horizon=6)},
        "graph": {"agent": agent(edges=39)},
    }[change]
    named = {"agent option": "gamma", "seed": "seed", "users": "training users", "world": "world",
             "graph": "agent data"}[change]
    with pytest.raises(ValueError, match=f"belongs to another run(.|\n)*{named}"):
        run(**changed)


def test_a_finished_run_is_not_trained_again(world, tmp_path):
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 60, "sessions": 5,
                 "checkpoint": tmp_path}
    first = fit(Notebook(), world, **given)
    again = Notebook()
    assert fit(again, world, **given) == first
    assert not again.learned


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
