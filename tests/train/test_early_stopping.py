"""``EarlyStopping``: where it stops made-up curves and a training, and that a resumed run stops there, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from kgrl.sessions import Sessions
from kgrl.train import EarlyStopping, Run, fit
from tests.small_runs import Notebook, small_world

GIVEN = {"users": torch.arange(20), "eval_users": torch.arange(20, 30), "evaluate_every": 30, "sessions": 5}


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
    curve = fit(agent, small_world(), interactions=210, callbacks=EarlyStopping(2), keep="best", **GIVEN)
    rewards = [row["reward"] for row in curve]
    best = rewards.index(max(rewards))
    assert len(curve) == best + 3 < 7
    assert int(agent.count) == best + 1


@pytest.mark.parametrize("first", [30, 60, 90])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(tmp_path: Path, first: int) -> None:
    whole = fit(Fades(), small_world(), interactions=210, callbacks=EarlyStopping(2), **GIVEN)
    fit(Fades(), small_world(), interactions=first, callbacks=EarlyStopping(2), checkpoint=tmp_path, **GIVEN)
    agent = Fades()
    curve = fit(agent, small_world(), interactions=210, callbacks=EarlyStopping(2), checkpoint=tmp_path, **GIVEN)
    assert [row["reward"] for row in curve] == [row["reward"] for row in whole]
    assert int(agent.count) == len(whole) < 7


def test_stopped_it_stays_so_and_goes_on_with_more_patience(tmp_path: Path) -> None:
    given = {**GIVEN, "interactions": 210, "checkpoint": tmp_path}
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
