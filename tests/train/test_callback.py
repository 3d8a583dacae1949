"""Callbacks of ``fit``: when each is called, what it sees, how it stops a training, and after a resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.simulator import Simulator
from kgrl.train import Callback, Run, fit
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
