"""``NodeNetworks``: the networks of a cluster tree's nodes, and what each says of its children."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from kgrl.nn.policy.grouped import Grouping, layer_of, linear
from kgrl.nn.policy.item_scores import ItemScores, Levels, exactly, node_score, pairs
from kgrl.nn.policy.node_index import Gone, GoneBefore, NodeIndex
from kgrl.objects import of_class, shaped
from kgrl.options import at_least, expected, ids, sizes_of
from kgrl.tree.cluster_tree import ClusterTree


class NodeNetworks(torch.nn.Module):
    """A fully connected network a node, all nodes' weights stacked, with a logit for each child.

    Children without items are masked out, and so are items that are gone and nodes all of whose items are. Who walks
    from node to node, and how, is :class:`kgrl.nn.TreePolicy`.

    Args:
        state_channels (int): Size s of a state.
        tree (ClusterTree): The tree over the items.
        hidden (list of int): Sizes of each node's hidden layers; none: one linear layer.
    """

    def __init__(self, state_channels: int, tree: ClusterTree, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.index = NodeIndex(of_class("tree", tree, ClusterTree, "ClusterTree.build(vectors) makes one"))
        self.depth, self.num_children, self.num_items = tree.depth, tree.children, len(tree.paths)
        sizes = [at_least("state_channels", state_channels, 1), *sizes_of("hidden", hidden),
                 tree.children]
        nodes = sum(self.num_children**level for level in range(self.depth))
        self.weights = torch.nn.ParameterList(
            Parameter(torch.empty(nodes, *pair)) for pair in pairwise(sizes))
        self.biases = torch.nn.ParameterList(Parameter(torch.empty(nodes, size)) for size in sizes[1:])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws every layer uniformly from ±1/√(its inputs), as PyTorch's linear layers do."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            for parameter in (weight, bias):
                torch.nn.init.uniform_(parameter, -1 / math.sqrt(weight.size(1)), 1 / math.sqrt(weight.size(1)))

    def restrict(self, items: Tensor | None) -> None:
        """From now on only ``items [K]`` can be picked, as if no other hung in the tree; ``None``: all again.

        What :meth:`prepare` made before no longer holds. A ``state_dict`` does not hold it.

        Raises:
            ValueError: no items, or unknown ones.
        """
        outside = None
        if items is not None:
            items = ids("items", items, self.num_items)
            outside = torch.ones(self.num_items, dtype=torch.bool, device=self.index.leaves.device)
            outside = outside.index_fill_(0, items.to(outside.device), False)
        self.index.restrict(outside)

    def prepare(self, scores: ItemScores | None = None, merge: bool = False) -> Levels:
        """The networks with ``scores`` taken in, which any method takes in their place: made once for many calls.

        Args:
            scores: see :class:`kgrl.nn.ItemScores`.
            merge: whether one layer a node takes the leaves' scores into its weights: faster, but a walk does not know
                the scores by themselves then, and their gradient reaches the state.
        """
        if scores is not None:
            self._check(scores)
        layers, first = [], 0
        for level in range(self.depth):
            nodes = self.num_children**level
            layers.append([(weight[first : first + nodes], bias[first : first + nodes])
                           for weight, bias in zip(self.weights, self.biases, strict=True)])
            first += nodes
        return Levels.of(self.index, layers, scores, merge)

    def _check(self, scores: ItemScores) -> None:
        if scores.weight.size(0) != self.num_items or scores.weight.size(1) > self.weights[0].size(1):
            raise ValueError(expected("scores.weight", f"[{self.num_items}, at most {self.weights[0].size(1)}]",
                                      tuple(scores.weight.shape)))

    def _levels(self, scores: ItemScores | Levels | None) -> Levels:
        return scores if isinstance(scores, Levels) else self.prepare(scores)

    def _checked(self, state: Tensor, gone: Tensor | None) -> None:
        """What walks begin with, whose numbers :meth:`_gone` looks at."""
        shaped("state", state, None, self.weights[0].size(1))
        if gone is not None:
            shaped("gone", gone, len(state), None, whole=True)

    def _gone(self, state: Tensor, gone: Tensor, levels: Levels) -> Gone:
        if gone.device.type == "cpu" and gone.numel() and not -1 <= int(gone.min()) <= int(gone.max()) < self.num_items:
            raise ValueError(expected("gone", f"item ids below {self.num_items}, or -1 for none",
                                      [int(gone.min()), int(gone.max())]))
        gone = self.index.left(gone)
        scores = self._scores_of(gone, state.unsqueeze(1), levels)
        return Gone(self.index, gone, None if scores is None else scores.squeeze(1))

    def _scores_of(self, items: Tensor, states: Tensor, levels: Levels) -> Tensor | None:
        """``[B, T, L]``, each state's (``[B, T, s]``) scores of ``items [B, L]``, where a node needs them."""
        if not levels.moments or levels.scores is None:
            return None
        with exactly(states):
            return torch.bmm(levels.scores.seen(states), F.embedding(items.clamp(min=0), levels.scores.rows).mT)

    def _none_left(self, gone: Tensor) -> Tensor:
        """``[R, 1]``, whether all items are ``gone [R, L]``."""
        return (self.index.left(gone) >= 0).sum(1, keepdim=True) >= self.index.num_left

    def _grouping(self, level: int, node: Tensor) -> Grouping | None:
        return Grouping(node, self.num_children**level) if level else None

    def _meet(
        self, level: int, node: Tensor, grouping: Grouping | None, state: Tensor,
        past: Gone | GoneBefore | None, levels: Levels, anywhere: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(left, mean, deviation), see :class:`kgrl.nn.Choice`; all children of a node with nothing left count.

        Args:
            anywhere: whether ``node`` may be one without items: a wide search comes by such.
        """
        moments = level < len(levels.moments)
        used_up = past is not None and past.most >= self.index.fewest[level + 1]
        gone = past.tally(level, node, moments) if past is not None and (moments or used_up) else None
        below = self.index.below(level)
        below = F.embedding(node, below) if level else below.expand(len(node), -1)
        left = (below if gone is None else below - gone.number) > 0.5
        if anywhere or (past is not None and past.most >= self.index.fewest[level]):  # no softmax of nothing
            left |= ~left.any(1, keepdim=True)
        if levels.scores is None or not (moments or levels.leaf is not None):
            return left, None, None
        with exactly(state):
            seen = levels.scores.seen(state)
            if not moments:
                return left, None if levels.leaf is None else linear(grouping, seen, levels.leaf), None
            first, second = (linear(grouping, x, table)
                             for x, table in zip((seen, pairs(seen)), levels.moments[level], strict=True))
            return left, *node_score(first, second, below, gone)

    def _logits(
        self, level: int, grouping: Grouping | None, state: Tensor, met: Sequence[Tensor | None], levels: Levels
    ) -> Tensor:
        """``[R, c]``, what the nodes' networks say, and the scores; −∞ where nothing is left."""
        x = state if grouping is None else grouping.spread(state)
        for depth, layer in enumerate(levels.layers[level]):
            x = layer_of(grouping, torch.relu(x) if depth else x, *layer)
        x = x if grouping is None else grouping.collect(x)
        left, mean, deviation = met
        assert left is not None
        if levels.scores is not None and mean is not None:
            score = mean if deviation is None else mean + levels.scores.spread * deviation
            x = x + levels.scores.sharpness * score
        return x.masked_fill(~left, -torch.inf)

    def extra_repr(self) -> str:
        sizes = "-".join(str(size) for size in (self.weights[0].size(1), *(weight.size(2) for weight in self.weights)))
        return f"{self.num_items} items, depth={self.depth}, children={self.num_children}, {sizes} a node"
