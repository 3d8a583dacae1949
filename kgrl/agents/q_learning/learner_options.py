"""The options that every learner of a Q-function has, checked, and the ε that each session explores by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from kgrl.options import at_least, between, expected, flag, one_of

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"streak_state": True, "taste_channels": 8, "average": 0.1},
    "paper": {"streak_state": False, "taste_channels": 0, "average": 0.0},
}
"""What an option is by preset, where it is not given."""


class Epsilons:
    """ε-greedy exploration; with (low, high), ε is spread geometrically over a rollout's sessions.

    (Horgan et al., 2018, equation 1): so some sessions discover items, and others see long streaks.

    Args:
        epsilon: a number, or (low, high).

    Raises:
        ValueError: outside [0, 1], or no pair; low must be above 0 where it is below high.
    """

    def __init__(self, epsilon: float | Sequence[float]) -> None:
        pair = list(epsilon) if isinstance(epsilon, Sequence) else [epsilon, epsilon]
        if len(pair) != 2:
            raise ValueError(expected("epsilon", "a number or (low, high)", epsilon))
        self.high = between("epsilon", pair[1], 0, 1)
        self.low = between("epsilon", pair[0], 0 if pair[0] == self.high else 1e-6, self.high)

    def __bool__(self) -> bool:
        """Whether it explores at all."""
        return self.high > 0

    def __call__(self, sessions: int, device: torch.device) -> torch.Tensor:
        """``[sessions]``, each session's ε."""
        if self.low == self.high:
            return torch.full((sessions,), self.low, device=device, dtype=torch.float)
        return torch.logspace(math.log10(self.low), math.log10(self.high), sessions, device=device, dtype=torch.float)

    def strays(self, sessions: int, device: torch.device, generator: torch.Generator | None) -> torch.Tensor:
        """``[sessions]``, whether each takes a random item at this step."""
        return torch.rand(sessions, generator=generator, device=device, dtype=torch.float) < self(sessions, device)


def learner_options(
    preset: str, state_channels: int, hidden_channels: int, streak_state: bool | None, horizon: int,
    taste_channels: int | None, gamma: float, lr: float, weight_decay: float, epsilons: Epsilons, batch_size: int,
    gradient_steps: int, tau: float, target: str, average: float | None, replay_size: int, seed: int,
) -> dict[str, Any]:
    """Those of :class:`kgrl.agents.q_learning.learner.OffPolicyAgent`, by name; what is ``None`` is the preset's.

    Raises:
        ValueError: one outside its range.
    """
    chosen = PRESETS[one_of("preset", preset, PRESETS)]
    given = {"streak_state": streak_state, "taste_channels": taste_channels, "average": average}
    chosen = chosen | {name: value for name, value in given.items() if value is not None}
    return {
        "preset": preset,
        "state_channels": at_least("state_channels", state_channels, 1),
        "hidden_channels": at_least("hidden_channels", hidden_channels, 1),
        "streak_state": flag("streak_state", chosen["streak_state"]), "horizon": at_least("horizon", horizon, 1),
        "taste_channels": at_least("taste_channels", chosen["taste_channels"], 0),
        "gamma": between("gamma", gamma, 0, 1), "lr": between("lr", lr, 0, 1),
        "weight_decay": between("weight_decay", weight_decay, 0, 1), "epsilon": [epsilons.low, epsilons.high],
        "batch_size": at_least("batch_size", batch_size, 1),
        "gradient_steps": at_least("gradient_steps", gradient_steps, 0), "tau": between("tau", tau, 0, 1),
        "target": one_of("target", target, ("head", "all")), "average": between("average", chosen["average"], 0, 1),
        "replay_size": at_least("replay_size", replay_size, 1), "seed": at_least("seed", seed, 0),
    }
