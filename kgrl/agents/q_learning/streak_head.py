"""``StreakHead``: a dueling head that knows what a streak adds to every reward."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kgrl.nn.policy.dueling import DuelingHead, ItemTerms

EXTRAS = 3
"""Length of the optional extras of a state: c_p, c_n and the step."""
RIDGE = 1e-4
"""Keeps the least squares of the extras solvable where one of them never moved."""


class StreakHead(DuelingHead):
    r"""A dueling head for states that end in c_p, c_n and the step.

    .. math:: Q(s, i) = V(i) + A(s, i) + w^\top (c_p, c_n, t)

    The linear term takes up what the streak adds to every item's reward alike (equation 16), exactly and at once, so
    that V and A are left with telling the items apart.
    """

    def __init__(self, state_channels: int, item_channels: int, hidden: int) -> None:
        super().__init__(state_channels, item_channels, hidden)
        self.streak = nn.Linear(EXTRAS, 1, bias=False)

    def silence(self) -> None:
        """Sets the last layers, and what the streak adds, to 0."""
        super().silence()
        nn.init.zeros_(self.streak.weight)

    @torch.no_grad()
    def fit_common(self, state: Tensor, values: Tensor) -> None:
        """Fits what Q has of every item alike, by (slightly ridged) least squares: a constant and the streak's term.

        Args:
            state: ``[R, s]``.
            values: ``[R]``, what Q should be.
        """
        extras = state[:, -EXTRAS:].double()
        ones = torch.ones_like(extras[:, :1])
        inputs = torch.cat([extras, ones], 1)
        ridge = RIDGE * len(inputs) * torch.eye(EXTRAS + 1, dtype=inputs.dtype, device=inputs.device)
        found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ values.double())
        self.streak.weight.copy_(found[:EXTRAS].unsqueeze(0))
        self.last_layers[0].bias.copy_(found[EXTRAS:])

    def forward(self, state: Tensor, items: Tensor | ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        values = super().forward(state, items, index, batch)
        return values + F.embedding(batch, self.streak(state[:, -EXTRAS:])).squeeze(1)
