"""The options that every learner of a Q-function has, checked."""

from __future__ import annotations

from typing import Any

from kgrl.agents.q_learning.exploration import Epsilons
from kgrl.options import at_least, between, flag, one_of

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"streak_state": True, "taste_channels": 8, "average": 0.1},
    "paper": {"streak_state": False, "taste_channels": 0, "average": 0.0},
}
"""What an option is by preset, where it is not given."""


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
