"""Session states side by side: counts of the session and the user's taste, beside what a recurrent network keeps."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from kgrl.agents.state.session_state import SessionState, Step, carry_by_vectors, carry_of, states_over
from kgrl.nn.state.recurrent_units import STATUS, initial_status, next_status
from kgrl.nn.state.taste import Belief, TasteTerms
from kgrl.nn.state.taste_state import TasteState
from kgrl.options import at_least
from kgrl.sessions import Sessions


class JoinedState(nn.Module):
    """The parts' states, one after the other; a :class:`kgrl.agents.state.session_state.SessionState` itself.

    Args:
        **parts: by name, in order; one that is ``None`` is left out.
    """

    def __init__(self, **parts: nn.Module | None) -> None:
        super().__init__()
        for name, part in parts.items():
            if part is not None:
                self.add_module(name, part)
        self.channels = sum(part.channels for part in self.parts)

    @property
    def parts(self) -> list[SessionState]:
        """In order."""
        return [cast(SessionState, part) for part in self.children()]

    def part(self, name: str) -> SessionState | None:
        """The part ``name``, if there is one."""
        return cast(SessionState | None, self._modules.get(name))

    def place(self, name: str) -> int:
        """Which of the parts ``name`` is."""
        return list(self._modules).index(name)

    def columns(self, name: str) -> slice:
        """Where in a state the part ``name`` stands."""
        widths = [part.channels for part in self.parts]
        place = self.place(name)
        return slice(sum(widths[:place]), sum(widths[: place + 1]))

    def items(self, vectors: Tensor) -> tuple[Any, ...]:
        return tuple(part.items(vectors) for part in self.parts)

    def initial(self, num_sessions: int, items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(part.initial(num_sessions, own) for part, own in zip(self.parts, items, strict=True))

    def step(self, carry: tuple[Any, ...], items: tuple[Any, ...], step: Step) -> tuple[Any, ...]:
        return tuple(part.step(mine, own, step) for part, mine, own in zip(self.parts, carry, items, strict=True))

    def read(self, carry: tuple[Any, ...]) -> Tensor:
        return torch.cat([part.read(own) for part, own in zip(self.parts, carry, strict=True)], 1)

    def present(self, items: tuple[Any, ...] | Tensor, sessions: Sessions) -> tuple[Any, ...]:
        """Each part in its fastest way; see :class:`kgrl.agents.state.session_state.SessionState`."""
        if isinstance(items, Tensor):
            return tuple(carry_by_vectors(part, items, sessions) for part in self.parts)
        return tuple(carry_of(part, own, sessions) for part, own in zip(self.parts, items, strict=True))

    def over(self, vectors: Tensor, sessions: Sessions) -> Tensor:
        """Each part in its fastest way; see :class:`kgrl.agents.state.session_state.SessionState`."""
        return torch.cat([states_over(part, vectors, sessions) for part in self.parts], 2)


class UserStatus(nn.Module):
    """TPGR's nine counts, divided by the horizon (Chen et al., 2019, Figure 2); a past is not counted.

    Args:
        horizon: T.
    """

    channels = STATUS

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = at_least("horizon", horizon, 1)

    def items(self, vectors: Tensor) -> torch.device:
        return vectors.device

    def initial(self, num_sessions: int, items: torch.device) -> Tensor:
        return initial_status(num_sessions, items)

    def step(self, carry: Tensor, items: torch.device, step: Step) -> Tensor:
        return carry if step.past else next_status(carry, step.streak)

    def read(self, carry: Tensor) -> Tensor:
        return carry / self.horizon


class Counts(NamedTuple):
    """Of B sessions: positive and negative feedback in a row up to now, and steps, ``[B]`` each."""

    up: Tensor
    down: Tensor
    steps: Tensor


class Streak(nn.Module):
    """c_p, c_n and the step, which the reward depends on (KGQR, equation 16) and the paper's state lacks.

    They are divided by √T, so that a step moves the state by little: training's T, as a real user's past is as long as
    it is.

    Args:
        horizon: T.
    """

    channels = 3

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = at_least("horizon", horizon, 1)

    def items(self, vectors: Tensor) -> torch.device:
        return vectors.device

    def initial(self, num_sessions: int, items: torch.device) -> Counts:
        zeros = torch.zeros(num_sessions, dtype=torch.long, device=items)
        return Counts(zeros, zeros, zeros)

    def step(self, carry: Counts, items: torch.device, step: Step) -> Counts:
        if step.past:
            return carry
        taken = step.items >= 0
        up, down = (torch.where(taken, (count + 1) * (step.streak == sign), count)
                    for count, sign in ((carry.up, 1), (carry.down, -1)))
        return Counts(up, down, carry.steps + taken)

    def read(self, carry: Counts) -> Tensor:
        return torch.stack(list(carry), 1).float() / self.horizon**0.5

    def present(self, items: Any, sessions: Sessions) -> Counts:
        """All steps at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        return Counts(*sessions.streak_counts(), sessions.length.clone())  # which a simulator changes in place


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
