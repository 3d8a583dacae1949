"""Episode replay: whole sessions are stored, states and candidates are derived when sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from kgrl.options import at_least, expected
from kgrl.seeding import given_or_new
from kgrl.sessions import Sessions

_FIELDS = {"items": -1, "positive": False, "feedback": 0.0, "rewards": 0.0, "streak": 0, "length": 0, "left": False}
"""What is kept of a session, and what stands where a session has not been."""


class Transitions(NamedTuple):
    """A sample of R steps (o_t, i_t, r_t, o_{t+1}).

    Attributes:
        before: the sessions as they were when the item was chosen (o_t).
        items: ``[R]``, the item shown.
        feedback: ``[R]``.
        rewards: ``[R]``.
        after: the sessions after the step (o_{t+1}).
        last: ``[R]``, whether the session ended with the step: nothing follows to bootstrap from.
    """

    before: Sessions
    items: Tensor
    feedback: Tensor
    rewards: Tensor
    after: Sessions
    last: Tensor


class EpisodeReplay:
    """A ring of whole sessions, a few bytes a step (KGQR's D, Algorithm 1).

    The paper stores the tuples (o_t, i_t, r_t, o_{t+1}, I_{t+1}(G)); here o_t, o_{t+1} and the candidates follow from
    the stored session, so that a million steps take some 20 MB rather than a candidate set each.

    Args:
        capacity: how many sessions are kept; the oldest go first.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self.capacity = at_least("capacity", capacity, 1)
        self.size = 0
        self._next = 0
        self._begin = 0
        self._ring: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self.size

    def add(self, sessions: Sessions) -> None:
        """Stores sessions (on their device), over the oldest ones where the ring is full.

        Raises:
            ValueError: sessions of another horizon than those stored, or a past of another length, or in which nothing
                was recommended.
        """
        if not bool(sessions.length.any()):
            raise ValueError(expected("sessions", "sessions in which something was recommended", "none"))
        if len(sessions) > self.capacity:
            sessions = sessions.rows(torch.arange(len(sessions) - self.capacity, len(sessions), device=sessions.device))
        count = len(sessions)
        if self.size and sessions.begin != self._begin:
            raise ValueError(expected("sessions", f"sessions with a past of {self._begin} items", sessions.begin))
        self._begin = sessions.begin
        self._grow(sessions, min(self._next + count, self.capacity))
        slots = (self._next + torch.arange(count, device=sessions.device)) % self.capacity
        for name, column in self._ring.items():
            column[slots] = getattr(sessions, name).to(column.dtype)
        self.size = min(max(self.size, self._next + count), self.capacity)
        self._next = (self._next + count) % self.capacity

    def _grow(self, sessions: Sessions, rows: int) -> None:
        """Makes room for ``rows`` sessions, at least doubling, so that a short run never holds the full ring."""
        for name, blank in _FIELDS.items():
            like = getattr(sessions, name)
            old = self._ring.get(name)
            if old is not None and old.shape[1:] != like.shape[1:]:
                raise ValueError(expected("sessions", f"sessions of horizon {old.size(1) - self._begin}",
                                          sessions.horizon))
            have = 0 if old is None else len(old)
            if old is None or have < rows:
                dtype = torch.int32 if name in ("items", "length") else like.dtype
                shape = (min(max(rows, 2 * have), self.capacity), *like.shape[1:])
                new = torch.full(shape, blank, dtype=dtype, device=like.device)
                if old is not None:
                    new[:have] = old
                self._ring[name] = new

    def sample(self, count: int, generator: torch.Generator | None = None) -> Transitions:
        """Draws ``count`` steps, uniformly over the stored steps, with replacement.

        Raises:
            RuntimeError: nothing is stored yet.
        """
        if not self.size:
            raise RuntimeError("the replay is empty; add the sessions of a rollout before sampling")
        device = self._ring["items"].device
        rows, steps = self._draw(count, given_or_new(generator, device), device)
        stored = {name: column[rows] for name, column in self._ring.items()}
        items, length = stored["items"].long(), stored["length"].long()
        whole = Sessions.empty(torch.full_like(rows, -1), items.size(1) - self._begin, self._begin)
        whole.items, whole.length, whole.left = items, length, stored["left"]
        for name in ("positive", "feedback", "rewards", "streak"):
            setattr(whole, name, stored[name])
        whole.step = items.size(1)
        column = self._begin + steps
        at = column.unsqueeze(1)
        return Transitions(
            before=whole.before(column),
            items=items.gather(1, at).squeeze(1),
            feedback=stored["feedback"].gather(1, at).squeeze(1),
            rewards=stored["rewards"].gather(1, at).squeeze(1),
            after=whole.before(column + 1),
            last=steps + 1 >= length,
        )

    def _draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Rows and steps, uniform over all steps taken: sessions that ended early weigh less."""
        ends = self._ring["length"][: self.size].long().cumsum(0)
        drawn = torch.rand(count, generator=generator, device=device, dtype=torch.double).mul(ends[-1]).long()
        rows = torch.searchsorted(ends, drawn, right=True)
        starts = ends - self._ring["length"][: self.size]
        return rows, drawn - starts[rows]

    def to(self, device: torch.device) -> None:
        """Moves all that is stored."""
        self._ring = {name: column.to(device) for name, column in self._ring.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Everything stored, for a checkpoint."""
        state = {name: column[: self.size].clone() for name, column in self._ring.items()}
        counts = {"next": self._next, "begin": self._begin}
        return state | {name: torch.tensor(count, device="cpu") for name, count in counts.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from :meth:`state_dict`."""
        if "items" in state and "left" not in state:  # files of before know nobody who leaves
            state = {**state, "left": torch.zeros_like(state["length"], dtype=torch.bool)}
        self._ring = {name: state[name].clone() for name in _FIELDS if name in state}
        self._next, self._begin = int(state["next"]), int(state.get("begin", 0))  # files of before have no past
        self.size = len(self._ring["items"]) if self._ring else 0
