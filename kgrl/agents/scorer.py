"""``Scorer``: what the agents share that score every item and learn nothing from interactions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.agents.picking import best_item, best_items, of_known_items
from kgrl.sessions import Sessions


class Scorer(nn.Module):
    """Recommends the item of the highest score.

    A subclass has :attr:`num_items` and defines :meth:`_scores`.
    """

    @property
    def num_items(self) -> int:
        """N."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where it keeps what it knows of the items."""
        return next(self.buffers()).device

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the item of the highest score; −1 where all have been shown."""
        return best_item(self._scores(sessions, explore))

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Raises:
            ValueError: an item id the agent does not know.
        """
        return best_items(self._scores(of_known_items(past, self.num_items).to(self.device)), k)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing: what is learned is learned before, or within a session."""
        return {"gradient_steps": 0}

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown; whether ``explore`` makes a difference is the subclass's."""
        raise NotImplementedError
