"""``Epsilons``: how often the sessions of a rollout take a random item."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from kgrl.options import between, expected


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
            return torch.full((sessions,), self.low, device=device)
        return torch.logspace(math.log10(self.low), math.log10(self.high), sessions, device=device)

    def strays(self, sessions: int, device: torch.device, generator: torch.Generator | None) -> torch.Tensor:
        """``[sessions]``, whether each takes a random item at this step."""
        return torch.rand(sessions, generator=generator, device=device) < self(sessions, device)
