"""Two worlds of 24 items in which taste and popularity are planted, and agents over item vectors that play there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kgrl.agents import DDPGKNN, DDPGR, DQNR
from kgrl.agents.q_learning.vector_agent import VectorAgent
from kgrl.datasets import from_frames
from kgrl.factorization import Factors
from kgrl.simulator import PredictedFeedback, RatedFeedback, Simulator

USERS, ITEMS = 30, 24
AGENTS: dict[str, Callable[..., VectorAgent]] = {
    "DQNR": DQNR,
    "DDPGR": DDPGR,
    "DDPGKNN 1": lambda vectors, **options: DDPGKNN(vectors, k=1, **options),
    "DDPGKNN 5": lambda vectors, **options: DDPGKNN(vectors, k=5, **options),
    "DDPGKNN N": lambda vectors, **options: DDPGKNN(vectors, k=1.0, **options),
}


def vectors() -> Tensor:
    """A quarter each of items for one half of the users, for the other half, for everyone and for nobody."""
    kinds = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.6], [0.0, -0.8]])
    return kinds.repeat(ITEMS // 4, 1) + 0.05 * torch.randn(ITEMS, 2, generator=torch.Generator().manual_seed(0))


def predicted(horizon: int = 6) -> Simulator:
    """Predicted feedback; users take turns in the two halves."""
    factors = Factors(USERS, ITEMS, 2, biases=False)
    with torch.no_grad():
        factors.user.copy_(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).repeat(USERS // 2, 1))
        factors.item.copy_(vectors())
    return Simulator(PredictedFeedback(factors, threshold=0.0), eta=0.1, horizon=horizon, first=torch.arange(ITEMS))


def rated(horizon: int = 6) -> Simulator:
    """The same feedback as ratings, two thirds of them there; no item to open with."""
    scores = predicted().feedback.react(
        torch.arange(USERS).repeat_interleave(ITEMS), torch.arange(ITEMS).repeat(USERS))[0].tolist()
    rows = [(place // ITEMS, place % ITEMS, score) for place, score in enumerate(scores)
            if (place // ITEMS + place) % 3]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(-1.0, 1.0, 0.0))
    return Simulator(RatedFeedback(data, 0.0), eta=0.1, horizon=horizon)


WORLDS: dict[str, Callable[..., Simulator]] = {"predicted": predicted, "rated": rated}


def make(name: str, **options: Any) -> VectorAgent:
    """A small agent of that name."""
    given = {"preset": "paper", "average": 0.1, "gamma": 0.5,
             "state_channels": 8, "hidden_channels": 16, "gradient_steps": 3, "batch_size": 32, "seed": 1, "horizon": 6}
    return AGENTS[name](vectors(), **(given | options))
