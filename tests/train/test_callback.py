"""Callbacks of ``fit``, when each is called and what it sees; ``EarlyStopping`` on made-up curves and a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kgrl.sessions import Sessions
from kgrl.simulator import Simulator
from kgrl.train import Callback, EarlyStopping, Run, fit
from tests.small_runs import Notebook, small_agent, small_world

GIVEN: dict[str, Any] = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "interactions": 120,
                         "evaluate_every": 60, "sessions": 5}


@pytest.fixture
def world() -> Simulator:
    return small_world()


class Noted(Callback):
    """Writes down when it was called, and how far the run had come."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.trace: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def note(self, moment: str, run: Run) -> None:
        self.trace.append((moment, run.interactions, len(run.curve)))

    def on_start(self, run: Run) -> None:
        self.note("start", run)

    def on_rollout(self, run: Run) -> None:
        self.note("rollout", run)
        if self.stop_at is not None and run.interactions >= self.stop_at:
            run.stop("it was asked to")

    def on_evaluation(self, run: Run) -> None:
        self.note("evaluation", run)

    def on_end(self, run: Run) -> None:
        self.note("end", run)


WHOLE = [("start", 0, 0), ("rollout", 30, 0), ("rollout", 60, 0), ("evaluation", 60, 1), ("rollout", 90, 1),
         ("rollout", 120, 1), ("evaluation", 120, 2), ("end", 120, 2)]


def test_the_order_is_that_of_a_trace_by_hand(world) -> None:
    noted = Noted()
    fit(Notebook(), world, callbacks=noted, **GIVEN)
    assert noted.trace == WHOLE


def test_the_first_evaluation_is_told_too(world) -> None:
    noted = Noted()
    fit(Notebook(), world, callbacks=[noted], evaluate_first=True, **GIVEN)
    assert noted.trace[:3] == [("start", 0, 0), ("evaluation", 0, 1), ("rollout", 30, 1)]


def test_any_subset_of_methods_and_any_number_of_callbacks(world) -> None:
    said: list[str] = []

    class Last:
        def on_end(self, run: Run) -> None:
            said.append("end")

    fit(Notebook(), world, callbacks=(Last(), lambda run: said.append("one"), lambda run: said.append("two")), **GIVEN)
    assert said == ["one", "two", "one", "two", "end"]
    fit(Notebook(), world, callbacks=[], **GIVEN)


def test_what_a_run_offers(world) -> None:
    agent, seen = Notebook(), []

    class Looks:
        def on_rollout(self, run: Run) -> None:
            assert run.agent is agent
            assert run.simulator is world
            assert run.rollout is not None
            assert torch.equal(run.rollout.users, agent.learned[-1])
            assert run.report == {"loss": 0.5}
            seen.append(run.gradient_steps)

    fit(agent, world, callbacks=Looks(), **GIVEN)
    assert seen == [2, 4, 6, 8]


@pytest.mark.parametrize(("stop_at", "trace"), [
    (30, [*WHOLE[:2], ("evaluation", 30, 1), ("end", 30, 1)]),
    (60, [*WHOLE[:4], ("end", 60, 1)]),
])
def test_a_stopped_training_ends_with_an_evaluation(world, stop_at, trace) -> None:
    noted, reasons = Noted(stop_at), []

    class Asks:
        def on_end(self, run: Run) -> None:
            reasons.append(run.stopped)

    curve = fit(Notebook(), world, callbacks=[noted, Asks()], **GIVEN)
    assert noted.trace == trace
    assert [row["interactions"] for row in curve] == [stop_at]
    assert reasons == ["it was asked to"]


def test_the_bar_says_why_it_stopped(world, capfd) -> None:
    fit(Notebook(), world, callbacks=Noted(30), progress=True, **GIVEN)
    assert "stopped, as it was asked to" in capfd.readouterr().err


def test_a_stopped_run_goes_on_to_the_very_end_of_an_uninterrupted_one(world, tmp_path: Path) -> None:
    """The callback that stopped it is not there any more."""
    whole, resumed = small_agent(), small_agent()
    fit(whole, world, **GIVEN)
    fit(small_agent(), world, callbacks=Noted(60), checkpoint=tmp_path, **GIVEN)
    noted = Noted()
    curve = fit(resumed, world, callbacks=noted, checkpoint=tmp_path, **GIVEN)
    assert noted.trace == [("start", 60, 1), ("evaluation", 60, 1), *WHOLE[4:]]
    assert [row["interactions"] for row in curve] == [60, 120]
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_a_finished_run_tells_each_evaluation_again_with_the_curve_of_then(world, tmp_path: Path) -> None:
    first: list[list[float]] = []
    again: list[list[float]] = []
    for told in (first, again):
        def rewards(run: Run, told: list[list[float]] = told) -> None:
            told.append([row["reward"] for row in run.curve])

        fit(Notebook(), world, checkpoint=tmp_path, callbacks=rewards, **GIVEN)
    assert first == again
    assert [len(each) for each in first] == [1, 2]


def test_the_end_is_told_with_the_weights_that_are_kept(world) -> None:
    agent, kept = small_agent(), []

    class Saves:
        def on_end(self, run: Run) -> None:
            kept.append({name: value.clone() for name, value in run.agent.state_dict().items()})

    fit(agent, world, callbacks=Saves(), keep="best", **GIVEN)
    assert all(torch.equal(kept[0][name], value) for name, value in agent.state_dict().items())


def test_an_error_of_a_callback_ends_the_training(world) -> None:
    noted = Noted()

    def fails(run: Run) -> None:
        raise RuntimeError("disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        fit(Notebook(), world, callbacks=[noted, fails], **GIVEN)
    assert noted.trace == WHOLE[:4]


@pytest.mark.parametrize(("callbacks", "kind", "message"), [
    ("print", TypeError, "`callbacks` must be functions, or objects with any of on_start, .*, got 'str'"),
    ([3], TypeError, "`callbacks` must be functions, or objects"),
    (Noted, TypeError, r"got 'Noted'; Noted\(…\) makes one of the class"),
    ([object()], TypeError, "got 'object'"),
])
def test_what_is_no_callback_is_named(world, callbacks, kind, message) -> None:
    with pytest.raises(kind, match=message):
        fit(Notebook(), world, callbacks=callbacks, **GIVEN)


def test_a_misspelled_method_is_named(world) -> None:
    class Hopes(Noted):
        def on_evaluate(self, run: Run) -> None: ...

    with pytest.raises(ValueError, match="got 'Hopes.on_evaluate'; .*did you mean 'on_evaluation'"):
        fit(Notebook(), world, callbacks=Hopes(), **GIVEN)


def test_a_reason_is_a_text() -> None:
    with pytest.raises(TypeError, match="`reason` must be a str, got 'int'"):
        Run(Notebook(), torch.Generator()).stop(3)  # type: ignore[arg-type]


FADING = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 30, "sessions": 5}


def stopped_after(rewards: list[float], **options: object) -> int | None:
    """After how many evaluations of a made-up curve it stops."""
    run, early = Run(Notebook(), torch.Generator(), eval_users=torch.arange(2)), EarlyStopping(**options)
    early.on_start(run)
    for count, reward in enumerate(rewards, start=1):
        run.curve.append({"reward": reward, "f1": -reward})
        early.on_evaluation(run)
        if run.stopped:
            return count
    return None


@pytest.mark.parametrize(("rewards", "options", "after"), [
    ([1, 2, 3, 4, 5], {"patience": 1}, None),
    ([1, 0, 2], {"patience": 1}, 2),
    ([1, 0, 2, 1, 1, 3], {"patience": 2}, 5),
    ([1, 0, 2, 1, 1, 3], {"patience": 3}, None),
    ([1, 1, 1], {"patience": 2}, 3),  # as high is no rise
    ([-3, -2, -2.5, -1], {"patience": 2}, None),
    ([1, 1.2, 1.4, 1.6], {"patience": 2, "least": 0.5}, 3),  # 1.4 is 0.4 above the highest that counted
    ([1, 1.2, 1.6, 1.8], {"patience": 2, "least": 0.5}, None),
    ([3, 2, 1], {"patience": 1, "metric": "f1"}, None),
    ([1, 2, 3], {"patience": 2, "metric": "f1"}, 3),
    ([1.0] * 5, {}, None),
    ([1.0] * 6, {}, 6),
])
def test_made_up_curves(rewards, options, after) -> None:
    assert stopped_after(rewards, **options) == after


class Fades(Notebook):
    """Gets better with each of two rounds, then worse and worse: a weight counts the rounds."""

    PICKS = (12, 4, 20, 33, 33, 33, 33, 33)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0))

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        return torch.full_like(sessions.users, self.PICKS[int(self.count)] + sessions.step)

    def learn(self, sessions: Sessions, generator: torch.Generator) -> dict[str, float]:
        self.count += 1
        return {}


def test_the_best_weights_stay_where_a_training_stops_early() -> None:
    agent = Fades()
    curve = fit(agent, small_world(), interactions=210, callbacks=EarlyStopping(2), keep="best", **FADING)
    rewards = [row["reward"] for row in curve]
    best = rewards.index(max(rewards))
    assert len(curve) == best + 3 < 7
    assert int(agent.count) == best + 1


@pytest.mark.parametrize("first", [30, 60, 90])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(tmp_path: Path, first: int) -> None:
    whole = fit(Fades(), small_world(), interactions=210, callbacks=EarlyStopping(2), **FADING)
    fit(Fades(), small_world(), interactions=first, callbacks=EarlyStopping(2), checkpoint=tmp_path, **FADING)
    agent = Fades()
    curve = fit(agent, small_world(), interactions=210, callbacks=EarlyStopping(2), checkpoint=tmp_path, **FADING)
    assert [row["reward"] for row in curve] == [row["reward"] for row in whole]
    assert int(agent.count) == len(whole) < 7


def test_stopped_it_stays_so_and_goes_on_with_more_patience(tmp_path: Path) -> None:
    given = {**FADING, "interactions": 210, "checkpoint": tmp_path}
    curve = fit(Fades(), small_world(), callbacks=EarlyStopping(2), **given)
    again = Fades()
    assert fit(again, small_world(), callbacks=EarlyStopping(2), **given) == curve
    assert int(again.count) == len(curve)
    assert len(fit(Fades(), small_world(), callbacks=EarlyStopping(9), **given)) == 7


def test_without_evaluations_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`eval_users` must be given for EarlyStopping, got None"):
        fit(Notebook(), small_world(), torch.arange(20), interactions=60, callbacks=EarlyStopping(),
            checkpoint=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "message"), [
    ({"patience": 0}, "`patience` must be at least 1"),
    ({"metric": "loss"}, "`metric` must be a known name, got 'loss'; choose from f1, precision, recall, reward"),
    ({"least": -1.0}, "`least` must be"),
])
def test_bad_options_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)
