"""``Levels``: the networks of a tree policy's nodes, level by level, with the items' scores taken in."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from kgrl.nn.policy.item_scores import ItemScores, Moments, level_moments
from kgrl.nn.policy.node_index import NodeIndex

Layers = list[list[tuple[Tensor, Tensor]]]
"""Weights and biases of a level's nodes, stacked: each level's layers, from first to last."""


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
