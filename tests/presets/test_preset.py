"""Every preset: it is read, its options are those of its agent, and it is of its own data set alone."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch

from kgrl import fit
from kgrl.agents import KGQR, TPGR
from kgrl.graph import knowledge_graph
from kgrl.presets import Preset, preset, preset_names
from tests.agents.every_agent import HORIZON, ITEMS, NEW, TRAIN, data, world

AGENTS: dict[str, Any] = {"KGQR": KGQR, "TPGR": TPGR}
NAMES = preset_names()


def small_kg(source: str = "MovieLens100K") -> Any:
    """A small KG that says to have come from a data set."""
    kg = knowledge_graph(data())
    assert kg.source == "frames"
    kg.source = source
    return kg


@pytest.mark.parametrize(("agent", "dataset", "of"), NAMES)
def test_each_is_whole_and_fits_its_agent(agent: str, dataset: str, of: str) -> None:
    found = preset(agent, dataset, of)
    assert found.agent.lower() == agent
    assert found.world == of
    assert min(len(found.chosen), len(found.reached), len(found.command)) > 10
    assert set(found.training) <= set(inspect.signature(fit).parameters)
    assert set(found.training) == {"interactions", "evaluate_every", "sessions"}
    assert set(found.options) <= set(inspect.signature(AGENTS[found.agent]).parameters)
    if agent == "kgqr":
        given = {"popular": torch.arange(ITEMS), "horizon": HORIZON}
        made = KGQR.from_preset(dataset, small_kg(found.dataset), world=of, **given)
        plain = KGQR(small_kg(), popular=torch.arange(ITEMS), horizon=HORIZON, **found.options)
    else:
        own = copy.copy(data())
        own.provenance = {**data().provenance, "name": found.dataset}
        made = TPGR.from_preset(dataset, own, TRAIN, world=of)
        plain = TPGR.from_data(data(), TRAIN, **found.options)
    assert made.options == plain.options
    assert made.schedule == found.training


def test_there_is_one_for_each_data_set_that_the_results_are_of() -> None:
    assert {name[:2] for name in NAMES} >= {("kgqr", "ml-100k"), ("kgqr", "book-crossing"), ("kgqr", "synthetic"),
                                            ("tpgr", "ml-100k")}


def test_what_is_given_comes_before_the_preset() -> None:
    made = KGQR.from_preset("ml-100k", small_kg(), popular=torch.arange(ITEMS), gamma=0.7, horizon=HORIZON)
    assert made.options["gamma"] == 0.7
    assert made.options["epsilon"] == [0.2, 0.2]


def test_fit_goes_by_the_agents_schedule_and_by_what_it_is_told() -> None:
    agent = KGQR.from_preset("ml-100k", small_kg(), popular=torch.arange(ITEMS), horizon=HORIZON, gradient_steps=1)
    agent.restrict(NEW)
    agent.schedule = {"interactions": 100, "evaluate_every": 50, "sessions": 5}
    curve = fit(agent, world(), TRAIN, eval_users=TRAIN[:4], progress=False)
    assert [row["interactions"] for row in curve] == [50, 100]
    curve = fit(agent, world(), TRAIN, eval_users=TRAIN[:4], interactions=60, evaluate_every=60, progress=False)
    assert [row["interactions"] for row in curve] == [60]


def test_what_there_is_none_of_is_named() -> None:
    with pytest.raises(ValueError, match="`agent` must be a known name, got 'kgrq'.*did you mean 'kgqr'"):
        preset("KGRQ", "ml-100k")
    with pytest.raises(ValueError, match="`dataset` must be a known name, got 'ml-1m'; choose from .*ml-100k"):
        preset("KGQR", "ml-1m")
    with pytest.raises(ValueError, match="`world` must be a known name, got 'tast'.*did you mean 'taste'"):
        preset("KGQR", "book-crossing", "tast")


def test_a_preset_of_another_data_set_is_refused() -> None:
    kg = small_kg("BookCrossing")
    with pytest.raises(ValueError, match="`dataset` must be that of the data, 'BookCrossing', got 'MovieLens100K'"):
        KGQR.from_preset("ml-100k", kg, popular=torch.arange(ITEMS))
    with pytest.raises(ValueError, match="`dataset` must be that of the data, 'frames'"):
        TPGR.from_preset("ml-100k", data(), TRAIN)
    assert isinstance(preset("KGQR", "ml-100k"), Preset)
