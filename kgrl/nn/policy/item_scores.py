"""``ItemScores``: what is known of every item, and what that adds to the networks of a tree's nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.amp import is_autocast_available

from kgrl.nn.policy.node_index import NodeIndex, Tally

Layers = list[list[tuple[Tensor, Tensor]]]
"""Weights and biases of a level's nodes, stacked: each level's layers, from first to last."""


class ItemScores(NamedTuple):
    r"""A score of every item that is linear in the last k numbers of a state, and into which no gradient flows.

    .. math:: q_i = \mathbf w_i^\top \mathbf m + b_i

    What it adds to the logit of a leaf is :math:`a\,q_i`; to that of a node, with mean and standard deviation over
    the items that are left below it,

    .. math:: a\,(\operatorname{mean} q_i + \kappa \operatorname{std} q_i)

    which estimates the best of them (the highest of n normal numbers lies about :math:`\sqrt{2 \ln n}` deviations
    above their mean): a node is worth what one would pick there, not its average.

    Args:
        weight: **w**, ``[N, k]``.
        bias: b, ``[N]``.
        sharpness: a, a number or a learned one.
        spread: κ, a number or a learned one.
    """

    weight: Tensor
    bias: Tensor
    sharpness: Tensor | float = 1.0
    spread: Tensor | float = 1.0

    @property
    def rows(self) -> Tensor:
        """``[N, k + 1]``, weight and bias, this less its mean.

        No softmax notices a constant, but the small variance of large scores would drown in rounding.
        """
        return torch.cat([self.weight, (self.bias - self.bias.mean()).unsqueeze(1)], 1).detach()

    def seen(self, state: Tensor) -> Tensor:
        """``[…, k + 1]``: what, times :attr:`rows`, gives the scores (less the mean bias)."""
        taken = state[..., state.size(-1) - self.weight.size(1) :].detach()
        return torch.cat([taken, taken.new_ones(*taken.shape[:-1], 1)], -1)


class Moments(NamedTuple):
    """Sums of the scores below every child of the nodes of a level, and of their squares.

    ``first [nodes, k + 1, c]`` goes with :meth:`ItemScores.seen`, ``second [nodes, P, c]`` with :func:`pairs` of it.
    """

    first: Tensor
    second: Tensor


@torch.no_grad()
def level_moments(index: NodeIndex, scores: ItemScores) -> list[Moments]:
    """Of every level but the last, whose children are items."""
    if index.depth == 1:
        return []
    rows = scores.rows
    across = torch.triu_indices(rows.size(1), rows.size(1), device=rows.device)
    twice = torch.where(across[0] == across[1], 1.0, 2.0).to(rows)
    products = rows[:, across[0]] * rows[:, across[1]] * twice
    return [Moments(*both) for both in zip(index.sums(rows), index.sums(products), strict=True)][:-1]


def pairs(seen: Tensor) -> Tensor:
    """``[…, d]`` → ``[…, d (d + 1) / 2]``, the products of all pairs."""
    across = torch.triu_indices(seen.size(-1), seen.size(-1), device=seen.device)
    return seen.index_select(-1, across[0]) * seen.index_select(-1, across[1])


@contextmanager
def exactly(state: Tensor) -> Iterator[None]:
    """Without gradient, and in the state's own precision: a variance is the small difference of large numbers."""
    kind = state.device.type
    with torch.no_grad(), torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext():
        yield


def node_score(first: Tensor, second: Tensor, below: Tensor, gone: Tally | None) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of the scores of the items left, ``[R, c]`` each.

    Args:
        first, second: sums of the scores and of their squares over all items below.
        below: how many these are.
        gone: what to take off.
    """
    if gone is not None and gone.total is not None and gone.squares is not None:
        first, second, below = first - gone.total, second - gone.squares, below - gone.number
    below = below.clamp(min=1)
    mean = first / below
    spread = (second / below - mean * mean).clamp_(min=0).masked_fill_(below < 2, 0)  # one item has none
    return mean, spread.sqrt_()


class Levels(NamedTuple):
    """What a parameter version and the scores say of all sessions alike; see :meth:`kgrl.nn.TreePolicy.prepare`.

    Attributes:
        layers: of every level.
        scores: of the items, where there are any.
        leaf: ``[nodes, k + 1, c]``, the items' own scores, below the nodes of the last level, where its networks could
            not take them in.
        moments: of every level but the last.
    """

    layers: Layers
    scores: ItemScores | None
    leaf: Tensor | None
    moments: list[Moments]

    @classmethod
    def of(cls, index: NodeIndex, layers: Layers, scores: ItemScores | None, merge: bool) -> Levels:
        """Takes ``scores`` in.

        Args:
            index: of the tree.
            layers: of every level.
            scores: of the items.
            merge: whether networks of one layer take the leaves' scores into their weights.
        """
        if scores is None:
            return cls(layers, None, None, [])
        own = index.sums(scores.rows)[-1]  # of one item, the sum is its score
        moments = level_moments(index, scores)
        if not merge or len(layers[-1]) > 1:
            return cls(layers, scores, own, moments)
        weight, bias = layers[-1][0]
        own = own * scores.sharpness
        last = [(weight + F.pad(own[:, :-1], (0, 0, weight.size(1) - own.size(1) + 1, 0)), bias + own[:, -1])]
        return cls([*layers[:-1], last], scores, None, moments)
