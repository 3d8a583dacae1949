"""``fit``: budget, turns, curve, and what evaluation must not touch; its checkpoints: test_resume.py."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from lightning_fabric.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from kgrl.evaluate import evaluate
from kgrl.sessions import Sessions
from kgrl.simulator import Simulator
from kgrl.train import fit
from kgrl.train.rounds import EVALUATION_SEED
from tests.small_runs import Notebook, small_agent, small_feedback, small_world


@pytest.fixture
def world() -> Simulator:
    return small_world()


class Student(Notebook):
    """Has a pre-training, and says nothing of its gradient steps."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained: list[Tensor] = []

    def pretrain(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.seeds.add(("pre-training", generator.initial_seed()))
        self.pretrained.append(sessions.items)
        return {}


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
    curve = fit(notebook, world, torch.arange(5, 15), **run, callbacks=lambda run: told.append(run.curve[-1]))
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


@pytest.mark.parametrize("given", [{"users": {0, 1}}, {"eval_users": "all"}])
def test_users_are_ids(world, given):
    with pytest.raises(TypeError, match=f"`{next(iter(given))}` must be a LongTensor .M., or a list"):
        fit(Notebook(), world, **{"users": torch.arange(20), "interactions": 6 * 40} | given)


def test_users_may_be_a_list_or_a_mask(world):
    mask = torch.zeros(world.feedback.num_users, dtype=torch.bool).index_fill(0, torch.arange(20), True)
    curves = [fit(Notebook(), world, users, eval_users=[20, 21], interactions=120, evaluate_every=60, sessions=5)
              for users in (torch.arange(20), list(range(20)), mask.numpy())]
    rewards = [[point["reward"] for point in curve] for curve in curves]
    assert rewards[0] == rewards[1] == rewards[2]


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
        trained = small_agent()
        fit(trained, world, torch.arange(20), eval_users=eval_users, interactions=240, evaluate_every=evaluate_every,
            sessions=4)
        weights.append(trained.state_dict())
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], other[name]) for name in weights[0])


class Scripted(Notebook):
    """Counts what it learned, in a weight; is worse after the first time, best after the second and the third."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0.0))

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        return torch.full_like(sessions.users, [0, 20, 4, 4, 12][int(self.count)] + sessions.step)

    def learn(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.count += 1
        return {}


@pytest.mark.parametrize("evaluate_first", [False, True])
def test_the_best_weights_are_those_of_the_first_highest_evaluation(world, evaluate_first):
    agents = {keep: Scripted() for keep in ("last", "best")}
    curves = {keep: fit(agent, world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120,
                        evaluate_every=30, sessions=5, keep=keep, evaluate_first=evaluate_first)
              for keep, agent in agents.items()}
    rewards = [row["reward"] for row in curves["best"]]
    assert rewards == [row["reward"] for row in curves["last"]]
    assert int(agents["last"].count) == 4
    assert [int(agents["best"].count), rewards.count(max(rewards))] == [2, 2]
    again = evaluate(agents["best"], world, torch.arange(20, 30), seed=EVALUATION_SEED)
    assert again.reward == max(rewards)


def test_loggers_and_callbacks_get_the_curve(world, tmp_path):
    rows: list[dict[str, float]] = []
    logger = CSVLogger(tmp_path, name="log")
    curve = fit(Notebook(), world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120,
                evaluate_every=60, sessions=5, loggers=logger, callbacks=lambda run: rows.append(run.curve[-1]))
    assert rows == curve
    written = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = written[0].split(",").index("reward")
    assert [float(line.split(",")[column]) for line in written[1:]] == pytest.approx([row["reward"] for row in curve])
    column = written[0].split(",").index("step")
    assert [int(line.split(",")[column]) for line in written[1:]] == [60, 120]


def test_options_are_logged_as_hyperparameters(world, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    csv, board = CSVLogger(tmp_path, name="csv"), TensorBoardLogger(tmp_path, name="board")
    curve = fit(small_agent(), world, torch.arange(20), eval_users=torch.arange(20, 30), interactions=120,
                evaluate_every=60, sessions=5, loggers=[csv, board], seed=3)
    written = json.loads((Path(csv.log_dir) / "hparams.json").read_text())
    assert (written["agent"], written["agent options"]["gamma"], written["interactions"]) == ("KGQR", 0.5, 120)
    assert {**written, "seed": 3, "sessions": 5, "evaluate_every": 60, "keep": "last"} == written
    events = accumulator.EventAccumulator(board.log_dir).Reload()
    rewards = [(each.step, each.value) for each in events.Scalars("reward")]
    assert rewards == [(row["interactions"], pytest.approx(row["reward"])) for row in curve]
    (data,) = [events.summary_metadata[tag].plugin_data.content for tag in events.summary_metadata
               if tag.endswith("session_start_info")]
    assert b"agent options/gamma" in data


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
    ({"keep": "first"}, "`keep` must be a known name, got 'first'; choose from best, last"),
    ({"keep": "best"}, "`eval_users` must be given for keep='best', got None"),
    ({"users": torch.empty(0, dtype=torch.long)}, "`users` must be at least one (user )?id"),
    ({"eval_users": torch.empty(0, dtype=torch.long)}, "`eval_users` must be at least one (user )?id"),
])
def test_bad_options_are_named(world, change, message):
    given = {"users": torch.arange(20), "interactions": 60} | change
    with pytest.raises(ValueError, match=message):
        fit(Notebook(), world, **given)


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


def test_a_world_without_taste_is_warned_of() -> None:
    feedback = small_feedback()
    with torch.no_grad():
        feedback.factors.user[:] = feedback.factors.user[0]
        feedback.factors.user_bias.zero_()
    with pytest.warns(UserWarning, match="taste share of this world is 0.0%"):
        fit(Notebook(), small_world(feedback), torch.arange(20), interactions=6)


@pytest.mark.parametrize("loggers", [5, True, [None], print])
def test_what_are_no_loggers_is_refused_by_name(world, loggers):
    with pytest.raises(TypeError, match="`loggers` must be an object with `log_hyperparams"):
        fit(Notebook(), world, torch.arange(20), interactions=120, loggers=loggers)
