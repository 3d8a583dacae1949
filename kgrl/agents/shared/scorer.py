"""``Scorer``: what the agents share that score every item and learn nothing from interactions."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from kgrl.agents.shared.picking import best_item, best_items, check_turn, of_known_items
from kgrl.candidates.fixed import checked_pool
from kgrl.precision import full_precision
from kgrl.sessions import Sessions


class Scorer(nn.Module):
    """Recommends the item of the highest score.

    A subclass has :attr:`num_items` and defines :meth:`_scores`. As nothing is learned by gradient that mixed precision
    could make faster, nothing is computed in it.
    """

    _outside: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_outside", None, persistent=False)

    @property
    def num_items(self) -> int:
        """N."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where it keeps what it knows of the items."""
        return next(self.buffers()).device

    def restrict(self, items: Tensor | None) -> Self:
        """From now on it recommends ``items [K]`` alone; ``None``: all items again. Not kept in files.

        Raises:
            ValueError: no items, or some that are unknown or repeated.
        """
        outside = None
        if items is not None:
            pool = checked_pool("items", items, self.num_items).to(self.device)
            outside = torch.ones(self.num_items, dtype=torch.bool, device=self.device).index_fill_(0, pool, False)
        self._outside = outside
        return self

    @torch.no_grad()
    @full_precision
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the item of the highest score; −1 where all have been shown."""
        check_turn(sessions, explore, generator)
        return best_item(self._allowed(self._scores(sessions, explore)))

    @torch.no_grad()
    @full_precision
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Raises:
            ValueError: an item id the agent does not know.
        """
        scores = self._scores(of_known_items(past, self.num_items).to(self.device))
        return best_items(self._allowed(scores), k)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing: what is learned is learned before, or within a session."""
        return {"gradient_steps": 0}

    def _allowed(self, scores: Tensor) -> Tensor:
        """``scores [B, N]``, −∞ for what it is not to recommend."""
        return scores if self._outside is None else scores.masked_fill(self._outside, -torch.inf)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown; whether ``explore`` makes a difference is the subclass's."""
        raise NotImplementedError
