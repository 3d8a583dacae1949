"""``Random``: the agent that picks blindly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.agents.shared.picking import check_turn, list_length, of_known_items, ragged_argmax, ragged_topk
from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.objects import of_class, with_methods
from kgrl.options import at_least, expected
from kgrl.seeding import generator_for, given_or_new
from kgrl.sessions import Sessions


class Random(nn.Module):
    """Recommends uniformly at random: a candidate, or any item.

    From candidates it tells what these are worth without any learning. From all items it is the Random of the papers'
    simulators, the floor of every table; a decision costs O(T log T) there, whatever N.

    Args:
        candidates: where it picks from, e.g. ``agent.candidates`` of a trained KGQR.
        num_items: instead, N: it picks from all items that were not shown.

    Raises:
        ValueError: both or neither are given, or ``num_items`` is below 1.
    """

    def __init__(self, candidates: KHopCandidates | None = None, *, num_items: int | None = None) -> None:
        super().__init__()
        if (candidates is None) == (num_items is None):
            came = "neither" if candidates is None else "both"
            raise ValueError(expected("candidates", "given, or `num_items` instead, one of the two", came))
        if candidates is not None:
            with_methods("candidates", candidates, "select", hint="see kgrl.candidates.FixedCandidates")
            of_class("candidates", candidates, nn.Module)
        self.candidates = candidates
        self.num_items = None if num_items is None else at_least("num_items", num_items, 1)
        self.pool = None if num_items is None else FixedCandidates(num_items)

    def restrict(self, items: Tensor | None) -> Random:
        """From now on it recommends ``items [K]`` alone; ``None``: all items, or candidates, again.

        Raises:
            ValueError: no items, or some that are unknown or repeated.
        """
        for part in (self.candidates, self.pool):
            if part is not None:
                part.restrict(items)
        return self

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, a random candidate or item of every session, exploring or not; −1 where nothing is left.

        Args:
            sessions: the sessions so far.
            explore: makes no difference.
            generator: on the sessions' device; default a new one with seed 0.
        """
        check_turn(sessions, explore, generator)
        generator = given_or_new(generator, sessions.device)
        if self.pool is not None:
            return self.pool.draw(sessions.shown, generator)
        items, batch, draws = self._draws(sessions, generator)
        return nn.functional.pad(items, (0, 1), value=-1)[ragged_argmax(draws, batch, len(sessions))]

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10, seed: int = 0) -> Tensor:
        """``[B, k]``, distinct random items for each real user, padded with −1 where there are fewer.

        Args:
            past: what was shown.
            k: how many.
            seed: of the draws.

        Raises:
            ValueError: an item id the agent does not know.
        """
        list_length(k)
        past = of_class("past", past, Sessions).to(next((buffer.device for buffer in self.buffers()), past.device))
        generator = generator_for(past.device, seed)
        if self.num_items is None or self.pool is None:  # candidates check the ids themselves
            items, batch, draws = self._draws(past, generator)
            return nn.functional.pad(items, (0, 1), value=-1)[ragged_topk(draws, batch, len(past), k)]
        drawn = of_known_items(past, self.num_items).shown
        before = drawn.size(1)
        for _ in range(min(k, self.num_items)):
            drawn = torch.cat([drawn, self.pool.draw(drawn, generator).unsqueeze(1)], dim=1)
        return nn.functional.pad(drawn[:, before:], (0, max(k - self.num_items, 0)), value=-1)

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing."""
        return {"gradient_steps": 0}

    def _draws(self, sessions: Sessions, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The candidates (``items [K]``, ``batch [K]``) and a random number for each, ``[K]``."""
        assert self.candidates is not None
        items, batch = self.candidates.select(sessions.liked, sessions.shown, generator)
        return items, batch, torch.rand(len(items), generator=generator, device=items.device, dtype=torch.float)
