"""``Random``: the agent that picks blindly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.agents.ragged import ragged_argmax
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.sessions import Sessions


class Random(nn.Module):
    """Recommends a uniformly random candidate: what a set of candidates is worth without any learning.

    Args:
        candidates: where it picks from, e.g. ``agent.candidates`` of a trained KGQR.
    """

    def __init__(self, candidates: KHopCandidates) -> None:
        super().__init__()
        self.candidates = candidates

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, a random candidate of every session; −1 where nothing is left."""
        items, batch = self.candidates.select(sessions.liked, sessions.shown, generator)
        draws = torch.rand(len(items), generator=generator, device=items.device)
        best = ragged_argmax(draws, batch, len(sessions))
        return nn.functional.pad(items, (0, 1), value=-1)[best]

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Learns nothing."""
        return {}
