"""``JoinedState``: several session states side by side."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from kgrl.agents.state.session_state import SessionState, Step, carry_by_vectors, carry_of, states_over
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
