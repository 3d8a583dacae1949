"""The environment of one session: Gymnasium's checkers, and the vector environment of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kgrl.simulator import PredictedFeedback, Simulator

gymnasium = pytest.importorskip("gymnasium", minversion="1.1")

from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402

from kgrl.simulator.gymnasium import ID, RecommendationEnv, SessionSummary  # noqa: E402

USERS, ITEMS = 9, 1_000


def world(opened: bool = False) -> Simulator:
    generator = torch.Generator().manual_seed(0)
    feedback = PredictedFeedback.from_embeddings(
        torch.randn(USERS, 3, generator=generator), torch.randn(ITEMS, 3, generator=generator) / 2)
    return Simulator(feedback, 0.1, horizon=4, first=torch.arange(50) if opened else None)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("observe", [None, SessionSummary(torch.ones(ITEMS, 2))])
def test_gymnasiums_checker(opened: bool, observe: Any, recwarn: pytest.WarningsRecorder) -> None:
    env = gymnasium.make(ID, simulator=world(opened), users=torch.arange(USERS), observe=observe)
    check_env(env.unwrapped)
    assert not recwarn.list


def test_one_session_by_hand() -> None:
    """User 0 feels 0.5 and −0.25 about items 0 and 1; η = 0.1; two steps."""
    feedback = PredictedFeedback.from_embeddings(torch.ones(1, 1), torch.tensor([[0.5], [-0.25], [0.0]]))
    env = RecommendationEnv(Simulator(feedback, 0.1, horizon=2), torch.tensor([0]))
    seen, info = env.reset(seed=0)
    assert seen["items"].tolist() == [-1, -1]
    assert info["action_mask"].tolist() == [1, 1, 1]
    assert list(info) == ["action_mask"]
    _, reward, terminated, truncated, info = env.step(np.int64(0))
    assert (reward, terminated, truncated) == (0.5, False, False)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    with pytest.raises(ValueError, match="item 0 has been shown"):
        env.step(0)
    seen, reward, terminated, truncated, info = env.step(1)
    assert reward == pytest.approx(-0.15)
    assert (terminated, truncated) == (False, True)
    assert seen["items"].tolist() == [0, 1]
    assert info["action_mask"].tolist() == [0, 0, 1]
    assert env.sessions.items.tolist() == [[0, 1]]
    with pytest.raises(ResetNeeded):
        env.step(2)


def test_its_user_can_be_given_and_its_opening_is_told() -> None:
    env = RecommendationEnv(world(opened=True), torch.arange(USERS), explore=False)
    seen, info = env.reset(options={"users": [7]})
    assert env.sessions.users.tolist() == [7]
    assert seen["items"].tolist() == [0, -1, -1, -1]
    assert info["opening_reward"] == seen["feedback"][0]


def test_the_mask_samples_actions_that_are_allowed() -> None:
    env = RecommendationEnv(world(), torch.arange(USERS))
    _, info = env.reset(seed=0)
    truncated = False
    while not truncated:
        *_, truncated, info = env.step(env.action_space.sample(mask=info["action_mask"]))
    assert env.sessions.items.unique().numel() == 4


def test_nothing_is_drawn() -> None:
    with pytest.raises(ValueError, match="`render_mode` must be None"):
        RecommendationEnv(world(), torch.arange(USERS), render_mode="human")
