"""``DuelingHead``: the two networks that make a Q-value; ``StreakHead``: with what a streak adds to every reward."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Linear

from kgrl.objects import shaped
from kgrl.options import at_least

CHUNK = {"cpu": 2_048, "cuda": 2**20}
"""Pairs evaluated at a time where no gradient is wanted: on a CPU their hidden rows then stay in its cache."""
EXTRAS = 3
"""Length of the optional extras of a state: c_p, c_n and the step."""
RIDGE = 1e-4
"""Keeps the least squares of the extras solvable where one of them never moved."""


class ItemTerms(NamedTuple):
    """The items' own part of Q: ``value [N]``, and ``advantage [N, hidden]``, their share of A's first layer."""

    value: Tensor
    advantage: Tensor


class DuelingHead(torch.nn.Module):
    r"""The dueling deep Q-network: how much reward recommending an item to a session is worth.

    From the `"Interactive Recommender System via Knowledge Graph-enhanced Reinforcement Learning"
    <https://arxiv.org/abs/2006.10389>`_ paper (KGQR, equation 11):

    .. math::
        Q(\mathbf{s}, \mathbf{i}) = V(\mathbf{i}) + A(\mathbf{s}, \mathbf{i})

    V sees the item alone, A state and item; both have two fully connected layers with a ReLU between. Differs from
    dueling networks at large (Wang et al. 2016), where V is the state's and the mean advantage is taken away.

    A's first layer acts on :math:`[\mathbf{s} \Vert \mathbf{i}]`, and so falls into a part once a session and a part
    once an item; a pair costs one addition, a ReLU and a scalar product.

    Args:
        state_channels (int): Size s of a state.
        item_channels (int): Size d of an item vector.
        hidden (int): Size of the hidden layers of V and A.

    Shapes:
        - **inputs:** states :math:`(B, s)`, item vectors :math:`(N, d)`, and for K pairs the rows of item and session,
          :math:`(K)` each
        - **outputs:** Q-values :math:`(K)`
    """

    def __init__(self, state_channels: int, item_channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.state_channels = at_least("state_channels", state_channels, 1)
        self.item_channels = at_least("item_channels", item_channels, 1)
        self.hidden = at_least("hidden", hidden, 1)
        self.value = torch.nn.Sequential(Linear(item_channels, hidden), torch.nn.ReLU(), Linear(hidden, 1))
        self.from_state = Linear(state_channels, hidden)
        self.from_item = Linear(item_channels, hidden, bias=False)
        self.advantage = Linear(hidden, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every layer uniformly from ±1/√(its inputs), as PyTorch's linear layers do."""
        joint = 1 / math.sqrt(self.state_channels + self.item_channels)  # one layer on [s ‖ i], kept in two parts
        for part in (*self.value, self.advantage):
            if isinstance(part, Linear):
                part.reset_parameters()
        for parameter in (self.from_state.weight, self.from_state.bias, self.from_item.weight):
            torch.nn.init.uniform_(parameter, -joint, joint)

    def silence(self) -> None:
        """Sets the last layers to 0, so that Q is 0 until something is learned."""
        for last in self.last_layers:
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)

    @property
    def silent(self) -> bool:
        """Whether it has learned nothing since :meth:`silence`."""
        return not any(last.weight.any() for last in self.last_layers)

    @property
    def last_layers(self) -> tuple[Linear, Linear]:
        """Of V and of A."""
        return cast(Linear, self.value[-1]), self.advantage

    @torch.no_grad()
    def fit_common(self, state: Tensor, values: Tensor) -> None:
        """Fits what Q has of every item alike, by least squares: here a constant.

        Args:
            state: ``[R, s]``.
            values: ``[R]``, what Q should be.
        """
        self.last_layers[0].bias.copy_(values.mean())

    def project(self, items: Tensor) -> ItemTerms:
        """The items' part of Q, once per parameter version: ``[N, d]`` → ``[N]`` and ``[N, hidden]``."""
        return ItemTerms(self.value(items).squeeze(1) + self.advantage.bias, self.from_item(items))

    def forward(self, state: Tensor, items: Tensor | ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        """Q of K (session, item) pairs.

        Args:
            state: ``[B, s]``.
            items: ``[N, d]``, or what :meth:`project` made of them.
            index: ``[K]``, each pair's item, a row of ``items``.
            batch: ``[K]``, each pair's session, a row of ``state``.
        """
        shaped("state", state, None, self.state_channels)
        shaped("batch", batch, shaped("index", index, None, whole=True).numel(), whole=True)
        if not isinstance(items, ItemTerms):
            shaped("items", items, None, self.item_channels)
            if index.numel() < items.size(0):  # fewer pairs than items: only theirs are projected
                items, index = F.embedding(index, items), torch.arange(index.numel(), device=index.device)
            items = self.project(items)
        asked = self.from_state(state)
        if torch.is_grad_enabled():
            return self._pairs(asked, items, index, batch)
        size = CHUNK.get(index.device.type, 2**20)
        return torch.cat([
            self._pairs(asked, items, *pairs) for pairs in zip(index.split(size), batch.split(size), strict=True)
        ])

    def _pairs(self, asked: Tensor, terms: ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        # embedding, as its gradient adds in a fixed order, which that of x[index] does not
        hidden = F.embedding(index, terms.advantage).add_(F.embedding(batch, asked)).relu_()
        value = F.embedding(index, terms.value.unsqueeze(1)).squeeze(1)
        weight = self.advantage.weight.squeeze(0)
        # of one type, which mixed precision does not see to on a CPU
        return torch.addmv(value.to(weight), hidden.to(weight), weight)

    def extra_repr(self) -> str:
        return f"{self.state_channels}, {self.item_channels}, hidden={self.hidden}"


class StreakHead(DuelingHead):
    r"""A dueling head for states that end in c_p, c_n and the step.

    .. math:: Q(s, i) = V(i) + A(s, i) + w^\top (c_p, c_n, t)

    The linear term takes up what the streak adds to every item's reward alike (equation 16), exactly and at once, so
    that V and A are left with telling the items apart.
    """

    def __init__(self, state_channels: int, item_channels: int, hidden: int) -> None:
        super().__init__(state_channels, item_channels, hidden)
        self.streak = nn.Linear(EXTRAS, 1, bias=False)

    def silence(self) -> None:
        """Sets the last layers, and what the streak adds, to 0."""
        super().silence()
        nn.init.zeros_(self.streak.weight)

    @torch.no_grad()
    def fit_common(self, state: Tensor, values: Tensor) -> None:
        """Fits what Q has of every item alike, by (slightly ridged) least squares: a constant and the streak's term.

        Args:
            state: ``[R, s]``.
            values: ``[R]``, what Q should be.
        """
        extras = state[:, -EXTRAS:].double()
        ones = torch.ones_like(extras[:, :1])
        inputs = torch.cat([extras, ones], 1)
        ridge = RIDGE * len(inputs) * torch.eye(EXTRAS + 1, dtype=inputs.dtype, device=inputs.device)
        found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ values.double())
        self.streak.weight.copy_(found[:EXTRAS].unsqueeze(0))
        self.last_layers[0].bias.copy_(found[EXTRAS:])

    def forward(self, state: Tensor, items: Tensor | ItemTerms, index: Tensor, batch: Tensor) -> Tensor:
        values = super().forward(state, items, index, batch)
        return values + F.embedding(batch, self.streak(state[:, -EXTRAS:])).squeeze(1)
