"""``ItemPolicy``: recommends the items of the highest value, all of which it looks at; and those values."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.q_learning.ddpg import ActorCritic
from kgrl.agents.q_learning.network import QNetwork
from kgrl.export.traced_parts import OpenItems
from kgrl.nn.policy.dueling import EXTRAS, ItemTerms, StreakHead
from kgrl.nn.state.taste import TasteTerms
from kgrl.options import expected


class ItemPolicy(nn.Module):
    """From histories to the k best items, for agents that value every item.

    Args:
        values: histories ``[B, L]`` and their feedback to values ``[B, P]``.
        num_items: N.
        k: how many.
        rule: which items are candidates; ``None``: whatever was not shown.
        pool: ``[P]``, which items are valued, in the order in which of equal values the first wins; ``None``: all N.
        threshold: feedback above it is positive.
        sort: whether to sort all values to have it so; ONNX, which has no such sort, promises it of its top k.

    Shapes:
        - **inputs:** items :math:`(B, L)`, −1 anywhere for none, and feedback :math:`(B, L)`
        - **outputs:** items :math:`(B, k)`, best first, −1 where there are fewer, and their values, −∞ there
    """

    def __init__(
        self, values: nn.Module, num_items: int, k: int, rule: OpenItems | None = None, pool: Tensor | None = None,
        threshold: float = 0.0, sort: bool = True,
    ) -> None:
        super().__init__()
        self.values, self.rule, self.num_items = values, rule, num_items
        self.k, self.threshold, self.sort = k, threshold, sort
        self.register_buffer("pool", pool)
        self.size = num_items if pool is None else len(pool)

    def forward(self, items: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
        gone = self._marked(items, items >= 0)
        left = ~gone
        if self.rule is not None:
            left = self.rule(self._marked(items, (items >= 0) & (feedback > self.threshold)).float(), gone)
        pool = self._buffers["pool"]
        if pool is not None:
            left = left.index_select(1, pool)
        values = self.values(items, feedback).masked_fill(~left, -torch.inf)
        count = min(self.k, self.size)
        if self.sort:
            best, place = (x[:, :count] for x in values.sort(dim=1, descending=True, stable=True))
        else:
            best, place = values.topk(count, dim=1)
        found = place if pool is None else F.embedding(place, pool.unsqueeze(1)).squeeze(2)
        found = found.masked_fill(best == -torch.inf, -1)
        more = (0, self.k - count)
        return F.pad(found, more, value=-1), F.pad(best, more, value=-torch.inf)

    def _marked(self, items: Tensor, counts: Tensor) -> Tensor:
        """``[B, N]``, which items occur where it ``counts [B, L]``."""
        # the last one stands for none
        marks = torch.zeros(items.size(0), self.num_items + 1, dtype=torch.bool, device=items.device)
        return marks.scatter(1, torch.where(counts, items, self.num_items), torch.ones_like(counts))[:, :-1]


class Chained(nn.Module):
    """Values of states: ``values(state(items, feedback))``."""

    def __init__(self, state: nn.Module, values: nn.Module) -> None:
        super().__init__()
        self.state, self.values = state, values

    def forward(self, items: Tensor, feedback: Tensor) -> Tensor:
        found: Tensor = self.values(self.state(items, feedback))
        return found


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
            found = self(torch.tensor([[-1], [-1]], device="cpu"), torch.zeros(2, 1, device="cpu", dtype=torch.float))
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != 2 or not found.is_floating_point():
            came = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(expected("agent.item_scores", "to give scores [B, N] of B histories", came))
        self.num_items = found.size(1)

    def forward(self, items: Tensor, feedback: Tensor) -> Tensor:
        found: Tensor = self.agent.item_scores(items, feedback)
        return found
