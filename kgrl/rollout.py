"""The one loop in which an agent meets a simulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from kgrl.objects import with_methods
from kgrl.options import expected
from kgrl.seeding import given_or_new
from kgrl.sessions import Sessions


class Agent(Protocol):
    """What :func:`rollout` needs of an agent; a :class:`torch.nn.Module` with ``act`` is one.

    One that learns, for :func:`kgrl.fit`, has ``learn(sessions, generator)``, too.
    """

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator | None, /) -> Tensor:
        """``[B]``, the next item of every session; −1 where it has nothing left to recommend."""

    def modules(self) -> Iterator[nn.Module]: ...


class RolloutWorld(Protocol):
    """What :func:`rollout` needs of a simulator."""

    horizon: int

    def reset(self, users: Tensor) -> Sessions: ...
    def opening(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor | None: ...
    def step(self, sessions: Sessions, items: Tensor) -> Sessions: ...


def rollout(
    agent: Agent, simulator: RolloutWorld, users: Tensor, explore: bool = False,
    generator: torch.Generator | None = None,
) -> Sessions:
    """One session of every user: T batched steps, without gradients and with the agent in evaluation mode.

    Args:
        agent: has ``act(sessions, explore, generator) → items [B]``, −1 where it has nothing left to recommend.
        simulator: gives the opening item, where its cold-start protocol has one, and the feedback.
        users: ``[B]``, user ids.
        explore: training (the agent may explore) or evaluation (greedy).
        generator: of all randomness, on the simulator's device; default a new one with seed 0.

    Returns:
        The finished sessions.

    Raises:
        TypeError: ``agent`` has no ``act``, or is a class and not made yet.
        ValueError: agent and simulator both say ``num_items``, and differ.
    """
    with_methods("agent", agent, "act", "modules")
    known, there = getattr(agent, "num_items", None), getattr(simulator, "num_items", None)
    if None not in (known, there) and known != there:
        raise ValueError(expected("agent", f"one over the simulator's {there} items", f"{known} items",
                                  "make both from the same data"))
    with evaluating(agent), torch.no_grad():
        sessions = simulator.reset(users)
        generator = given_or_new(generator, sessions.device)
        for _ in range(simulator.horizon):
            items = simulator.opening(sessions, explore, generator)
            if items is None:
                items = agent.act(sessions, explore, generator)
            sessions = simulator.step(sessions, items)
    if not explore:  # nobody learns from them, and they may be kept for long
        sessions.carry.clear()
    return sessions


def num_users(simulator: object) -> int | None:
    """How many users a world has, where it says so."""
    return getattr(getattr(simulator, "feedback", None), "num_users", None)


@contextmanager
def evaluating(agent: Agent) -> Iterator[None]:
    """Puts every part of ``agent`` in evaluation mode, and each back into its own mode at the end."""
    training = [part for part in agent.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True
