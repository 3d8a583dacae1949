"""What a state is worth in items: the values that an exported policy ranks them by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kgrl.agents.q_learning.ddpg import ActorCritic
from kgrl.agents.q_learning.network import QNetwork
from kgrl.nn.policy.dueling import EXTRAS, ItemTerms, StreakHead
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import expected


class QValues(nn.Module):
    """KGQR's equation 11 for states ``[B, s]`` and every item of a pool, ``[B, P]``; all that items bring is baked in.

    It lays out B·P·h hidden units.

    Args:
        network: on the CPU.
        pool: ``[P]``; ``None``: all items.
    """

    def __init__(self, network: QNetwork, pool: Tensor | None) -> None:
        super().__init__()
        view = network.view()
        self.head, self.columns = network.head, None
        terms = view.head if isinstance(view.head, ItemTerms) else network.head.project(view.head)
        tables = terms._asdict()
        if network.taste is not None:
            self.columns = network.state.columns("taste")
            taste = view.taste if isinstance(view.taste, TasteTerms) else network.taste.project(view.taste)
            tables |= {"expected": taste.expected, "loading": taste.loading}
        for name, table in tables.items():
            self.register_buffer(name, (table if pool is None else table[pool]).detach().clone())

    def forward(self, state: Tensor) -> Tensor:
        hidden = torch.relu(self.get_buffer("advantage") + self.head.from_state(state).unsqueeze(1))
        values = self.get_buffer("value") + hidden @ self.head.advantage.weight[0]
        if isinstance(self.head, StreakHead):
            values = values + self.head.streak(state[:, -EXTRAS:])
        if self.columns is not None:
            values = values + torch.addmm(self.get_buffer("expected"), state[:, self.columns],
                                          self.get_buffer("loading").T)
        return values


class LinearValues(nn.Module):
    """``bias + vectors · answer(state)``.

    Args:
        vectors: ``[P, d]``.
        bias: ``[P]``.
        answer: states ``[B, s]`` to ``[B, d]``; ``None``: as they are.
    """

    def __init__(self, vectors: Tensor, bias: Tensor | None = None, answer: nn.Module | None = None) -> None:
        super().__init__()
        self.answer = nn.Identity() if answer is None else answer
        self.register_buffer("vectors", vectors.detach().clone())
        self.register_buffer("bias", (vectors.new_zeros(len(vectors)) if bias is None else bias).detach().clone())

    def forward(self, state: Tensor) -> Tensor:
        return torch.addmm(self.get_buffer("bias"), self.answer(state), self.get_buffer("vectors").T)


class ActorAnswer(nn.Module):
    """The proto-action of a DDPG actor, ``[B, s]`` to ``[B, d]``."""

    def __init__(self, network: ActorCritic) -> None:
        super().__init__()
        self.actor = network.actor
        self.register_buffer("scale", network.scale.detach().clone())

    def forward(self, state: Tensor) -> Tensor:
        return self.get_buffer("scale") * self.actor(state).tanh()


class OwnScores(nn.Module):
    """``agent.item_scores(items, feedback)`` of an agent of one's own, tried once.

    Raises:
        ValueError: it gives something else than ``[B, N]``.
    """

    def __init__(self, agent: Any) -> None:
        super().__init__()
        self.agent = agent
        with torch.no_grad():
            found = self(torch.tensor([[-1], [-1]]), torch.zeros(2, 1))
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != 2 or not found.is_floating_point():
            came = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(expected("agent.item_scores", "to give scores [B, N] of B histories", came))
        self.num_items = found.size(1)

    def forward(self, items: Tensor, feedback: Tensor) -> Tensor:
        found: Tensor = self.agent.item_scores(items, feedback)
        return found
