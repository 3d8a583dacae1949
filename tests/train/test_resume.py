"""``fit`` with a checkpoint: what it goes on from, what it refuses, and the same end after SIGKILL."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from kgrl.agents import KGQR
from kgrl.factorization import Factors
from kgrl.files import load_tensors
from kgrl.simulator import PredictedFeedback, Simulator
from kgrl.train import Run, fit
from tests.killed_run import killed_run
from tests.processes import exit_code
from tests.small_runs import Notebook, small_agent, small_feedback, small_world


@pytest.fixture
def world() -> Simulator:
    return small_world()


class Other(KGQR):
    """Another agent with the same options."""


def with_pretraining() -> KGQR:
    made = small_agent()
    made.pretrain = made.learn
    return made


class Plain(PredictedFeedback):
    """The fixture's world by another class."""

    def __init__(self, sign: float) -> None:
        super().__init__(Factors(30, 40, 3, seed=1), threshold=0.0)
        self.table = torch.ones(3) * sign


CHANGES = {
    "agent": lambda: {"agent": small_agent(kind=Other)},
    "agent options": lambda: {"agent": small_agent(gamma=0.25)},
    "agent data": lambda: {"agent": small_agent(edges=39)},
    "world": lambda: {"simulator": small_world(eta=0.2)},
    "world ": lambda: {"simulator": small_world(horizon=5)},
    "world  ": lambda: {"simulator": small_world(small_feedback(seed=2))},
    "world   ": lambda: {"simulator": small_world(small_feedback(threshold=0.3))},
    "world    ": lambda: {"simulator": small_world(Plain(1.0))},
    "training users": lambda: {"users": torch.arange(1, 21)},
    "evaluation users": lambda: {"eval_users": torch.arange(21, 26)},
    "evaluate_every": lambda: {"evaluate_every": 31},
    "sessions": lambda: {"sessions": 4},
    "precision": lambda: {"precision": "bf16-mixed"},
    "pretrain_interactions": lambda: {"agent": with_pretraining(), "pretrain_interactions": 30},
    "keep": lambda: {"keep": "best"},
    "seed": lambda: {"seed": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_something_else_is_refused(world, tmp_path, change):
    def run(**other) -> None:
        simulator = other.pop("simulator", world)
        fit(other.pop("agent", small_agent()), simulator, **({
            "users": torch.arange(20), "eval_users": torch.arange(20, 25), "interactions": 30, "evaluate_every": 30,
            "sessions": 5, "checkpoint": tmp_path} | other))

    run()
    with pytest.raises(ValueError, match="belongs to another run") as error:
        run(**CHANGES[change]())
    lines = str(error.value).splitlines()[1:-1]
    assert [line.partition(":")[0].strip() for line in lines] == [change.strip()]  # and nothing else


def test_a_finished_run_is_not_trained_again(world, tmp_path):
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 60, "sessions": 5,
             "evaluate_every": 30, "checkpoint": tmp_path}
    first = fit(Notebook(), world, **given)
    again, rows = Notebook(), []
    assert fit(again, world, callbacks=lambda run: rows.append(run.curve[-1]), **given) == rows == first
    assert not again.learned


def test_a_checkpoint_of_other_items_is_refused(world, tmp_path):
    """Of as many items in the same graph, one of them another one: a weight would be of what it was not learned for."""
    given = {"users": torch.arange(20), "interactions": 60, "sessions": 5, "checkpoint": tmp_path}
    ids = [f"film {number}" for number in range(40)]
    fit(small_agent(ids=ids), world, **given)
    with pytest.raises(ValueError, match="belongs to another run; these differ:\n  agent items: checkpoint '.*\nUse"):
        fit(small_agent(ids=[*ids[:-1], "another film"]), world, **given)
    fit(small_agent(ids=ids), world, **given)


def test_a_checkpoint_that_does_not_know_its_items_goes_on(world, tmp_path, monkeypatch):
    """Those written before they were in it."""
    given = {"users": torch.arange(20), "interactions": 60, "sessions": 5, "checkpoint": tmp_path}
    with monkeypatch.context() as patch:
        save = Run.save
        patch.setattr(Run, "save", lambda run, folder, options: save(
            run, folder, {name: value for name, value in options.items() if name != "agent items"}))
        fit(small_agent(ids=[f"film {number}" for number in range(40)]), world, **given)
    fit(small_agent(ids=[f"film {number}" for number in range(40)]), world, **given)


def test_a_checkpoint_that_is_further_on_is_refused(world, tmp_path):
    given = {"users": torch.arange(20), "sessions": 5, "checkpoint": tmp_path}
    fit(Notebook(), world, interactions=60, **given)
    with pytest.raises(ValueError, match=r"`interactions` must be at least 60, .*, got 30; use another folder"):
        fit(Notebook(), world, interactions=30, **given)


def test_a_checkpoint_is_written_after_every_evaluation(world, tmp_path, monkeypatch):
    save, saved = Run.save, []

    def noted(run, *given):
        saved.append(run.interactions)
        save(run, *given)

    monkeypatch.setattr(Run, "save", noted)
    fit(Notebook(), world, torch.arange(20), interactions=150, evaluate_every=60, sessions=5, checkpoint=tmp_path)
    assert saved == [0, 60, 120, 150]


def test_interrupted_before_its_first_evaluation_the_same_agent_begins_anew(world, tmp_path):
    """What it has learned by then is in no checkpoint: it goes on from what it began with, to the same end."""
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 60, "sessions": 5,
             "interactions": 120}
    agent, other, learn, calls = small_agent(), small_agent(), KGQR.learn, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return learn(agent, *args)

    agent.learn = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(agent, world, checkpoint=tmp_path, **given)
    del agent.learn
    assert any(not torch.equal(agent.state_dict()[name], value) for name, value in other.state_dict().items())
    assert rewards(fit(agent, world, checkpoint=tmp_path, **given)) == rewards(fit(other, world, **given))
    assert all(torch.equal(agent.state_dict()[name], value) for name, value in other.state_dict().items())


@pytest.mark.parametrize("first", [True, False])
def test_the_evaluation_before_training_is_made_once(world, tmp_path, first):
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 60, "sessions": 5,
             "evaluate_every": 30, "evaluate_first": first, "checkpoint": tmp_path}
    whole = [row["interactions"] for row in fit(Notebook(), world, **given)]
    assert whole == [0] * first + [30, 60]
    assert [row["interactions"] for row in fit(Notebook(), world, **given)] == whole


def test_a_longer_run_goes_on_from_a_shorter_one(world, tmp_path):
    """As the weights of a run do not depend on how long it is to be."""
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 60, "sessions": 5}
    once, twice = small_agent(), small_agent()
    whole = fit(once, world, interactions=120, **given)
    fit(small_agent(), world, interactions=60, checkpoint=tmp_path, **given)
    resumed = fit(twice, world, interactions=120, checkpoint=tmp_path, **given)
    assert [row["reward"] for row in resumed] == [row["reward"] for row in whole]
    assert all(torch.equal(twice.state_dict()[name], value) for name, value in once.state_dict().items())


def test_the_best_are_kept_over_a_resumption_that_trains_on_from_the_last(world, tmp_path):
    """The best evaluation is before the interruption, the longer run has the curve of one that keeps the last."""
    given = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 30, "sessions": 5}
    whole, last, first, resumed = small_agent(), small_agent(), small_agent(), small_agent()
    curve = rewards(fit(whole, world, interactions=300, keep="best", **given))
    assert rewards(fit(last, world, interactions=300, **given)) == curve
    best = curve.index(max(curve))
    assert best < len(curve) - 2
    interactions = 30 * (best + 2)  # the last evaluation of the short run is not its best
    fit(first, world, interactions=interactions, keep="best", checkpoint=tmp_path, **given)
    assert rewards(fit(resumed, world, interactions=300, keep="best", checkpoint=tmp_path, **given)) == curve
    assert same_weights(first, whole)
    assert same_weights(resumed, whole)
    assert not same_weights(last, whole)


def test_a_checkpoint_from_before_there_was_a_choice_keeps_the_last(world, tmp_path, monkeypatch):
    given = {"users": torch.arange(20), "sessions": 5, "checkpoint": tmp_path}
    save = Run.save
    monkeypatch.setattr(Run, "save", lambda run, folder, options: save(
        run, folder, {name: value for name, value in options.items() if name != "keep"}))
    fit(Notebook(), world, interactions=30, **given)
    fit(Notebook(), world, interactions=60, **given)
    with pytest.raises(ValueError, match="keep: checkpoint 'last', now 'best'"):
        fit(Notebook(), world, interactions=60, keep="best", **given | {"eval_users": torch.arange(20, 30)})


def rewards(curve: list[dict[str, float]]) -> list[float]:
    return [row["reward"] for row in curve]


def same_weights(one: KGQR, two: KGQR) -> bool:
    return all(torch.equal(one.state_dict()[name], value) for name, value in two.state_dict().items())


def run_process(folder: Path, where: str = "learn", count: int = 0, keep: str = "last") -> int:
    return exit_code(killed_run, folder, where, count, keep)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_killed_at_any_moment_the_end_is_the_same(tmp_path, keep):
    assert run_process(tmp_path / "whole", keep=keep) == 0
    folder = tmp_path / "killed"
    # between saves, in the midst of the second save's writing, and right after the next one's renaming
    for where, count in (("learn", 4), ("write", 3), ("replace", 2)):
        assert run_process(folder, where, count, keep) == -signal.SIGKILL
    assert run_process(folder, keep=keep) == 0
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*.tmp"))  # what the killed save had begun
    whole, killed = (load_tensors(tmp_path / name / "end.safetensors", "end") for name in ("whole", "killed"))
    assert whole[1]["curve"] == killed[1]["curve"]
    rewards = [row["reward"] for row in whole[1]["curve"]]
    assert max(rewards) > rewards[-1]  # so that the best are not the last
    assert whole[0].keys() == killed[0].keys()
    for name, value in whole[0].items():
        assert torch.equal(value, killed[0][name]), name


def test_a_tensor_that_is_no_buffer_tells_worlds_apart_too(tmp_path):
    given = {"users": torch.arange(20), "interactions": 30, "sessions": 5, "checkpoint": tmp_path}
    fit(Notebook(), small_world(Plain(1.0)), **given)
    fit(Notebook(), small_world(Plain(1.0)), **given)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*world"):
        fit(Notebook(), small_world(Plain(-1.0)), **given)


def test_options_that_are_no_json_are_told_apart_by_their_text(world, tmp_path):
    def run(rate):
        trained = Notebook()
        trained.options = {"rates": {rate}}
        fit(trained, world, torch.arange(20), interactions=30, sessions=5, checkpoint=tmp_path)

    run(1)
    run(1)
    with pytest.raises(ValueError, match="belongs to another run(.|\n)*agent options"):
        run(2)
