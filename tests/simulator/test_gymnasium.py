"""The ids that Gymnasium knows, and what is said where it is missing."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from kgrl.simulator import PredictedFeedback, Simulator


def test_without_gymnasium_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """That ``import kgrl.simulator`` does without it is in ``test_imports.py``."""
    for name in ("gymnasium", "gymnasium.envs", "gymnasium.envs.registration"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "kgrl.simulator.gymnasium", raising=False)
    with pytest.raises(ImportError, match=r"say pip install 'kgrl\[gym\]'"):
        importlib.import_module("kgrl.simulator.gymnasium")


def test_made_by_id() -> None:
    gymnasium = pytest.importorskip("gymnasium", minversion="1.1")
    from kgrl.simulator.gymnasium import ID, RecommendationEnv, RecommendationVectorEnv

    feedback = PredictedFeedback.from_embeddings(torch.ones(3, 1), torch.ones(20, 1))
    given = {"simulator": Simulator(feedback, horizon=3), "users": torch.arange(3)}
    env, envs = gymnasium.make(ID, **given), gymnasium.make_vec(ID, num_envs=5, **given)
    assert isinstance(env.unwrapped, RecommendationEnv)
    assert isinstance(envs, RecommendationVectorEnv)
    assert envs.num_envs == 5
    assert envs.simulator is given["simulator"]  # a world is large, and not copied
    slow = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="sync", **given)
    assert slow.single_observation_space == envs.single_observation_space
    named = gymnasium.make(f"kgrl.simulator.gymnasium:{ID}", **given)  # imports the module, too
    assert named.spec.id == ID
