"""``LearnedTaste`` and ``KnownTaste``: what feedback so far tells of a user's taste."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kgrl.agents.state.session_state import Step
from kgrl.nn.state.taste import Belief, TasteTerms
from kgrl.nn.state.taste_state import TasteState
from kgrl.sessions import Sessions


class Received(NamedTuple):
    """The items' ``terms`` (or their vectors), and what B sessions ``shown [B, t]`` received as ``feedback [B, t]``."""

    terms: TasteTerms | Tensor
    shown: Tensor
    feedback: Tensor


class LearnedTaste(nn.Module):
    """The posterior mean of a taste whose model is learned along, see :class:`kgrl.nn.TasteState`.

    Args:
        model: of the feedback.
    """

    def __init__(self, model: TasteState) -> None:
        super().__init__()
        self.model, self.channels = model, model.taste_channels

    def items(self, vectors: Tensor) -> TasteTerms:
        return self.model.project(vectors)

    def initial(self, num_sessions: int, items: TasteTerms) -> Received:
        nothing = items.expected.new_zeros(num_sessions, 0)
        return Received(items, nothing.long(), nothing)

    def step(self, carry: Received, items: TasteTerms, step: Step) -> Received:
        parts = ((carry.shown, step.items), (carry.feedback, step.feedback))
        return Received(items, *(torch.cat([before, now.unsqueeze(1)], 1) for before, now in parts))

    def read(self, carry: Received) -> Tensor:
        found: Tensor = self.model(carry.terms, carry.shown, carry.feedback)
        return found

    def present(self, items: TasteTerms | Tensor, sessions: Sessions) -> Received:
        """All steps at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        return Received(items, sessions.shown, sessions.feedback[:, : sessions.step])

    def over(self, vectors: Tensor, sessions: Sessions) -> Tensor:
        """Each step from the start; see :class:`kgrl.agents.state.session_state.SessionState`."""
        terms, shown = self.items(vectors), sessions.shown
        return torch.stack([self.read(Received(terms, shown[:, :step], sessions.feedback[:, :step]))
                            for step in range(sessions.step + 1)])


class KnownTaste(nn.Module):
    """The posterior mean of a taste whose model stays as it is, see :class:`kgrl.nn.TasteTerms`.

    Args:
        terms: of the items.
    """

    def __init__(self, terms: TasteTerms) -> None:
        super().__init__()
        self.channels = terms.loading.size(1)
        for name, part in terms._asdict().items():
            self.register_buffer(name, part.clone())

    @property
    def terms(self) -> TasteTerms:
        """Of the items."""
        return TasteTerms(*(self.get_buffer(name) for name in TasteTerms._fields))

    def items(self, vectors: Tensor) -> TasteTerms:
        return self.terms

    def initial(self, num_sessions: int, items: TasteTerms) -> Belief:
        return items.prior(num_sessions)

    @torch.no_grad()
    def step(self, carry: Belief, items: TasteTerms, step: Step) -> Belief:
        return items.update(carry, step.items, step.feedback)

    def read(self, carry: Belief) -> Tensor:
        return carry.mean
