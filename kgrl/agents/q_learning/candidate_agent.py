"""``CandidateAgent``: decides among candidates that change from step to step."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.q_learning.network import Outlook
from kgrl.agents.shared.picking import (
    check_turn,
    check_values,
    defined,
    list_length,
    of_known_items,
    ragged_argmax,
    ragged_topk,
)
from kgrl.candidates.fixed import FixedCandidates
from kgrl.options import expected
from kgrl.seeding import generator_for, given_or_new
from kgrl.sessions import UNDEFINED, Sessions


class CandidateAgent(OffPolicyAgent):
    """What :class:`kgrl.agents.KGQR` recommends: of each session's candidates the one of the highest Q-value.

    Attributes:
        candidates: a module with ``select(seeds, exclude, generator)``, see :class:`kgrl.candidates.KHopCandidates`.
    """

    candidates: Any

    def restrict(self, items: Tensor | None) -> Self:
        """From now on it recommends ``items [K]`` alone, of its candidates; ``None``: any candidate. Not kept in files.

        Raises:
            TypeError: candidates of your own that have no ``restrict``.
            ValueError: no items, or some that are unknown or repeated.
        """
        if not callable(getattr(self.candidates, "restrict", None)):
            raise TypeError(expected("candidates", "a module with `restrict(items)`", self.candidates,
                                     "see kgrl.candidates.FixedCandidates"))
        self.candidates.restrict(items)
        return self

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Args:
            sessions: the sessions so far.
            explore: ε-greedy rather than greedy.
            generator: of the candidates' sample and of ε, on the sessions' device; default a new one with seed 0.
        """
        check_turn(sessions, explore, generator)
        seen, explores = self._look(sessions), explore and bool(self.epsilons)
        generator = given_or_new(generator, self.device)
        if isinstance(self.candidates, FixedCandidates):
            best = self._highest(seen, sessions.shown, 1).squeeze(1)
            if not explores:
                return best
            stray = self.epsilons.strays(len(sessions), self.device, generator)
            return torch.where(stray, self.candidates.draw(sessions.shown, generator), best)
        items, batch, values = self._values(seen, sessions, generator)
        if explores:
            random = self.epsilons.strays(len(sessions), self.device, generator)
            draws = torch.rand(len(values), generator=generator, device=values.device, dtype=torch.float)
            values = torch.where(random[batch], draws, values)
        return _best(items, batch, values, len(sessions))

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10, seed: int = 0) -> Tensor:
        """``[B, k]``, the k best candidates of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.
            seed: of the candidates' sample.

        Raises:
            ValueError: an item id the agent does not know, or values that are not finite: it has diverged.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        seen = self._look(past)
        if isinstance(self.candidates, FixedCandidates):
            return defined(self._highest(seen, past.shown, list_length(k)))
        items, batch, values = self._values(seen, past, generator_for(self.device, seed))
        check_values(values.abs())  # −∞ would be no mask: what was shown is not among the candidates
        return F.pad(items, (0, 1), value=-1)[ragged_topk(values, batch, len(past), list_length(k))]

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        """Equation 14: the online network picks among the candidates of o_{t+1}, and the target values the pick."""
        if isinstance(self.candidates, FixedCandidates):
            return self._highest(online, sessions.shown, 1).squeeze(1)
        return _best(*self._values(online, sessions, generator), len(sessions))

    def _values(
        self, seen: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each session's candidates (``items [K]``, ``batch [K]``) and their Q-values ``[K]``."""
        items, batch = self.candidates.select(sessions.liked, sessions.shown, generator)
        return items, batch, seen.values(items, batch)

    def _highest(self, seen: Outlook, shown: Tensor, count: int) -> Tensor:
        """``[B, count]``, the items of the highest Q-values where all sessions have the same candidates."""
        return self.candidates.items(seen.highest(self.candidates, self.candidates.places(shown), count))


def _best(items: Tensor, batch: Tensor, values: Tensor, sessions: int) -> Tensor:
    """``[sessions]``, each session's candidate of the highest value; −1 where it has none."""
    best = ragged_argmax(values, batch, sessions)
    # positions −2 and −1 are the padding: no number, no candidate
    return F.pad(F.pad(items, (0, 1), value=UNDEFINED), (0, 1), value=-1)[best]
