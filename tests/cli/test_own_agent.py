"""``kgrl train`` with an agent of one's own: a class, an instance, and what is neither."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from kgrl.agents import FixedList
from kgrl.cli.own_agent import GIVEN
from kgrl.evaluate import evaluate
from kgrl.experiments.methods import Q_TRAINING
from kgrl.experiments.setting import Setting
from tests.cli.conftest import Said

MODULE = '''
import torch
from kgrl.agents import FixedList
from kgrl.cli.own_agent import GIVEN


class Listed(torch.nn.Module):
    """The most liked items, the first `late` of them last; counts its lessons."""

    def __init__(self, popular, late=0):
        super().__init__()
        self.register_buffer("order", popular.roll(-late))
        self.lessons = 0

    def act(self, sessions, explore=False, generator=None):
        return self.order[sessions.unshown(len(self.order))[:, self.order].int().argmax(1)]

    def learn(self, sessions, generator=None):
        self.lessons += 1
        return {"gradient_steps": 1}


class Least(FixedList):
    def __init__(self, popular):
        super().__init__(popular.flip(0))


class Taught(Listed):
    learn = None


class Demanding(Listed):
    def __init__(self, popular, horoscope):
        super().__init__(popular)


fixed = FixedList(torch.arange(80))
nothing = 3
'''
RUN = ("--dataset", "synthetic", "--out", "out")


@pytest.fixture
def own(said: Said, monkeypatch: pytest.MonkeyPatch) -> Said:
    """``said``, in a folder that has ``own_listed.py``."""
    Path("own_listed.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_listed", raising=False)
    return said


def test_a_class_is_made_from_what_it_names_trained_and_scored(own: Said) -> None:
    code, out, err = own("train", "own_listed:Listed", *RUN, "--interactions", "256", "--sessions", "4",
                         "--evaluate-every", "128", "--set", "late=7")
    assert (code, err) == (0, "")
    assert len(json.loads(Path("out/curve.json").read_text())) == 2
    setting = Setting.load("synthetic", "planted", 0.1, root="data")
    scores = evaluate(FixedList(setting.popular.roll(-7)), setting.test_simulator, setting.test)
    assert f"| own_listed:Listed | {scores.reward:.4f} |" in out
    assert out.splitlines()[-1] == "wrote the curve to out/; the agent itself has no save_pretrained"
    assert not Path("out/config.json").exists()


def test_without_more_options_it_trains_as_the_baselines_do(own: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}
    monkeypatch.setattr("kgrl.cli.train_agent.fit", lambda *args, **options: given.update(options) or [
        {"interactions": 1, "seconds": 1.0}])
    assert own("train", "own_listed:Listed", *RUN)[0] == 0
    assert given.items() >= Q_TRAINING.items()


def test_an_instance_is_taken_as_it_is(own: Said) -> None:
    code, out, err = own("train", "own_listed:fixed", *RUN)
    assert (code, err) == (0, "")
    setting = Setting.load("synthetic", "planted", 0.1, root="data")
    scores = evaluate(FixedList(setting.popular.sort().values), setting.test_simulator, setting.test)
    assert f"| own_listed:fixed | {scores.reward:.4f} |" in out
    assert "wrote the agent and its model card to out/" in out


def test_a_class_that_can_be_saved_is(own: Said) -> None:
    assert own("train", "own_listed:Least", *RUN)[0] == 0
    assert json.loads(Path("out/config.json").read_text())["architectures"] == ["Least"]


@pytest.mark.parametrize(("words", "message"), [
    (("own_lsted:Listed",), "own_lsted, of the agent own_lsted:Listed, cannot be imported from this folder: No module"),
    (("own_listed:Lsted",), "`agent` must be a name in own_listed, got 'Lsted'; choose from"),
    (("own_listed:nothing",), "`own_listed:nothing` must be a torch.nn.Module with `act`, or a class of such, got 3"),
    (("torch.nn:Linear",), "`torch.nn:Linear` must be a torch.nn.Module with `act`, or a class of such"),
    (("own_listed:Demanding",), "`own_listed:Demanding` must be made from kg, data, users, popular, num_items, vec"),
    (("own_listed:Demanding",), "horizon, seed, and from what --set gives, got ['horoscope']"),
    (("own_listed:Listed", "--set", "lat=3"), "`--set` must be options of own_listed:Listed, got \"'lat'\""),
    (("own_listed:fixed", "--set", "k=3"), "`--set` must be left out, as own_listed:fixed is an instance, got ['k']"),
    (("own_listed:Taught", "--patience", "3"), "own_listed:Taught learns nothing from interactions"),
    (("own_listed:Listed", "--world", "planted-new-0"), "`own_listed:Listed` must be an object with `restrict(…)`"),
])
def test_what_is_wrong_is_said_in_one_line(own: Said, words: tuple[str, ...], message: str) -> None:
    code, out, err = own("train", *words, *RUN)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "reward" not in out


def test_the_page_tells_what_a_class_is_called_with() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "swap-a-part.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("A class is called with those of")]
    assert re.findall(r"`(\w+)`", line.partition(" that its ")[0]) == [*GIVEN]


def test_another_code_is_another_run(own: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that the agent's file has outlived is not gone on from; the same file's is."""
    budget = ("--interactions", "128", "--sessions", "4", "--evaluate-every", "128")
    assert own("train", "own_listed:Listed", *RUN, *budget)[0] == 0
    first = json.loads(Path("out/curve.json").read_text())
    assert own("train", "own_listed:Listed", *RUN, *budget)[0] == 0
    assert json.loads(Path("out/curve.json").read_text()) == first  # not trained again: the seconds are the same
    Path("own_listed.py").write_text(MODULE.replace('"gradient_steps": 1', '"gradient_steps": 17'))
    monkeypatch.delitem(sys.modules, "own_listed")
    assert own("train", "own_listed:Listed", *RUN, *budget)[0] == 0
    (row,) = json.loads(Path("out/curve.json").read_text())
    assert (first[0]["gradient_steps"], row["gradient_steps"]) == (1, 17)


def test_an_agent_may_import_what_stands_beside_it_later(own: Said) -> None:
    Path("beside_listed.py").write_text("LATE = 1\n")
    late = "        from beside_listed import LATE\n        self.lessons = LATE\n"
    Path("own_listed.py").write_text(MODULE.replace("        self.lessons = 0\n", late))
    assert own("train", "own_listed:Listed", *RUN, "--interactions", "32", "--sessions", "1")[0] == 0


@pytest.mark.parametrize(("place", "told"), [
    (":Listed", "module:name, as in my_module:MyAgent"), (".own:Listed", "module:name"), ("a..b:Listed", "module:name"),
    ("own_broken:Listed", "own_broken, of the agent own_broken:Listed, cannot be imported")])
def test_places_that_are_none(own: Said, place: str, told: str) -> None:
    Path("own_broken.py").write_text("def (\n")
    code, _, err = own("train", place, *RUN)
    assert code == 2
    assert told in err
    assert "Traceback" not in err
