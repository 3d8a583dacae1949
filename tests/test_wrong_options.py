"""Wrong options, one at a time: each is refused by the name of its argument, or accepted; none hangs.

In the suite a part of all tries, drawn by a fixed seed; ``make fuzz`` (``KGRL_FUZZ``) makes all of them.
"""

from __future__ import annotations

import random
import signal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kgrl.candidates import FixedCandidates
from tests import wrong_calls, wrong_uses
from tests.fuzzing import tries
from tests.wrong_values import FINE, Call, kind_of, outcome, wrong_values

NAMED = 0.95
"""The share of tries that must end well."""
ROOMS = ("datasets", "graph", "pretrain", "nn", "candidates", "tree", "simulator", "sessions", "agents", "train",
         "evaluate", *(["plots"] if find_spec("matplotlib") else []),
         *(["simulator.gymnasium"] if find_spec("gymnasium") else []))
HELD = {"LinkAudit", "ItemFactors", "ItemFeatures", "LinkScores", "Belief", "Choice", "ItemScores", "ItemTerms",
        "SRUCarry", "SparseTasteTerms", "Walk", "Path", "PathStep", "Role", "Bounds", "Reaction", "Aggregator",
        "Scores", "Comparison", "EvaluationWorld", "Run", "Callback", "Leaving", "Drift", "ID", "session_history"}
"""What kgrl makes and hands out, and what one derives from."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    folder = tmp_path_factory.mktemp("wrong")
    return {**wrong_calls.reader_calls(folder), **wrong_calls.data_calls(), **wrong_calls.graph_calls(),
            **wrong_calls.pretrain_calls(), **wrong_calls.choosing_calls(), **wrong_uses.layer_calls(),
            **wrong_uses.world_calls(), **wrong_uses.environment_calls(), **wrong_uses.agent_calls(),
            **wrong_uses.use_calls(folder), **(wrong_uses.plot_calls() if "plots" in ROOMS else {})}


def public_names(room: str) -> set[str]:
    module = import_module(f"kgrl.{room}")
    own = {name for name, value in vars(module).items()
           if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")}
    return set(getattr(module, "__all__", own))


def test_every_public_callable_is_tried(calls: dict[str, Call]) -> None:
    names = set.union(*map(public_names, ROOMS)) - HELD
    assert names == {title.split(" ")[0].split(".")[0].rstrip(",") for title in calls}


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs an alarm")
def test_wrong_options_are_named(
    calls: dict[str, Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a wrong path may be a right one
    every = [(title, name, place) for title, made in calls.items() for name, value in made.options.items()
             for place in range(len(wrong_values(name, kind_of(value))))]
    assert len(every) >= 7_000
    random.Random(0).shuffle(every)
    for title, made in calls.items():
        assert outcome(made) == "accepted", title
    chosen, misses = every[: tries(4_000)], []
    for title, name, place in chosen:
        wrong = wrong_values(name, kind_of(calls[title].options[name]))[place]
        if (found := outcome(calls[title], name, wrong)) not in FINE:
            misses.append(f"{title}({name}={str(wrong)[:30]}): {found[:90]}")
    print(f"{1 - len(misses) / len(chosen):.2%} of {len(chosen):,} wrong options named")
    assert not [miss for miss in misses if miss.endswith("hangs")]
    assert len(misses) <= (1 - NAMED) * len(chosen), "\n".join(misses)


@pytest.mark.parametrize("given", [[2, 0], (2, 0), np.array([2, 0]), torch.tensor([2, 0], dtype=torch.int32),
                                   pd.Series([2, 0])])
def test_ids_come_as_they_are(given: object) -> None:
    assert FixedCandidates(4, given).pool.tolist() == [2, 0]


@pytest.mark.parametrize("given", [[True, False, True, False], np.array([True, False, True, False])])
def test_a_mask_is_its_places(given: object) -> None:
    assert FixedCandidates(4, given).pool.tolist() == [0, 2]
