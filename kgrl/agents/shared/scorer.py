"""``Scorer``: what the agents share that score every item and learn nothing from interactions."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from kgrl.agents.shared.catalogue import Catalogued
from kgrl.agents.shared.picking import best_item, best_items, check_turn, of_known_items
from kgrl.candidates.fixed import checked_pool
from kgrl.seeding import full_precision
from kgrl.sessions import Sessions


class Scorer(Catalogued, nn.Module):
    """Recommends the item of the highest score.

    A subclass has :attr:`num_items` and defines :meth:`_scores`. As nothing is learned by gradient that mixed precision
    could make faster, nothing is computed in it.
    """

    _outside: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_outside", None, persistent=False)
        self._restricted_to: int | None = None

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
        outside, self._restricted_to = None, None
        if items is not None:
            pool = checked_pool("items", items, self.num_items).to(self.device)
            self._restricted_to = len(pool)
            outside = torch.ones(self.num_items, dtype=torch.bool, device=self.device).index_fill_(0, pool, False)
        self._outside = outside
        return self

    @torch.no_grad()
    @full_precision
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the item of the highest score; −1 where all have been shown, ``UNDEFINED`` where it is infinite."""
        check_turn(sessions, explore, generator)
        shown, size = sessions.shown, self._num_allowed()
        gone = shown if shown.size(1) < size else self._gone(shown)  # of fewer it does not matter which
        return best_item(self._allowed(self._scores(sessions, explore)), gone, size)

    @torch.no_grad()
    @full_precision
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Raises:
            ValueError: an item id the agent does not know, or scores that are not finite.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        return best_items(self._allowed(self._scores(past)), k, self._gone(past.shown), self._num_allowed())

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing: what is learned is learned before, or within a session."""
        return {"gradient_steps": 0}

    def _allowed(self, scores: Tensor) -> Tensor:
        """``scores [B, N]``, −∞ for what it is not to recommend."""
        return scores if self._outside is None else scores.masked_fill(self._outside, -torch.inf)

    def _num_allowed(self) -> int:
        """How many items it may recommend."""
        return self.num_items if self._restricted_to is None else self._restricted_to

    def _gone(self, shown: Tensor) -> Tensor:
        """Which of them were ``shown [B, L]``; −1 for none."""
        return shown if self._outside is None else shown.masked_fill(self._outside[shown.clamp(min=0)], -1)

    def _scores(self, sessions: Sessions, explore: bool = False) -> Tensor:
        """``[B, N]``, −∞ for what was shown; whether ``explore`` makes a difference is the subclass's."""
        raise NotImplementedError
