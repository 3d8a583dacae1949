"""Where items lie in a cluster tree, and of those that are gone, how many lie below each node."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.tree.cluster_tree import ClusterTree


class NodeIndex(torch.nn.Module):
    """The items of a tree, seen from its nodes. Nodes are counted from the left on their level, the root's being 0.

    Args:
        tree (ClusterTree): D levels of nodes with c children each, over N items.
    """

    leaves: Tensor
    ancestors: Tensor
    digits: Tensor
    outside: Tensor | None

    def __init__(self, tree: ClusterTree) -> None:
        super().__init__()
        self.depth, self.num_children = tree.depth, tree.children  # Module.children is taken
        self.num_items = len(tree.paths)
        position = tree.positions.cpu()
        self.register_buffer("leaves", tree.leaves.cpu().clone())  # in a state_dict, for that to tell its tree
        # [D + 1, 1 + N]: the node above each item on each level; first, above "none", −1
        widths = self.num_children ** torch.arange(self.depth, -1, -1, device="cpu")
        above = torch.cat([widths.new_full((self.depth + 1, 1), -1), position // widths.unsqueeze(1)], 1)
        self.register_buffer("ancestors", above, persistent=False)
        # [D, 1 + N]: which child of that node the item lies below; "none": the first
        self.register_buffer("digits", above[1:] % self.num_children * (above[1:] >= 0), persistent=False)
        self.restrict(None)

    def restrict(self, outside: Tensor | None) -> None:
        """Leaves items out, as if nothing hung on their leaves; a ``state_dict`` does not hold it.

        Args:
            outside: ``[N]``, whether an item is left out, not so of all; ``None``: none is.
        """
        self.register_buffer("outside", outside, persistent=False)
        below = self.leaves >= 0
        if outside is not None:
            below = below.index_fill(0, self.position[outside], False)
        self.num_left = int(below.sum())
        self.first = 0 if outside is None else int((~outside).nonzero()[0])  # an item that is not left out
        below = below.float()
        self.fewest = [self.num_left]  # items below the smallest node of each level, at least
        for level in range(self.depth, 0, -1):
            self.register_buffer(f"below{level}", below.view(-1, self.num_children), persistent=False)
            self.fewest.insert(1, int(below[below > 0].min()))
            below = below.view(-1, self.num_children).sum(1)

    def left(self, items: Tensor) -> Tensor:
        """``items``, of any shape, with −1 in place of those that are left out."""
        if self.outside is None:
            return items
        return items.masked_fill((items >= 0) & self.outside[items.clamp(min=0)], -1)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:
        """Refuses weights that were trained for the nodes of another tree; the message is part of PyTorch's."""
        given = state_dict.get(f"{prefix}leaves")
        if given is not None and not torch.equal(given.to(self.leaves), self.leaves):
            items = int((given >= 0).sum())
            error_msgs.append(f"{prefix}leaves: weights of another tree (over {items} items, this one over "
                              f"{self.num_items}): make the policy with the tree that they were trained with")
            state_dict[f"{prefix}leaves"] = self.leaves  # one message is enough
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)

    @property
    def position(self) -> Tensor:
        """``[N]``, each item's leaf."""
        return self.ancestors[-1, 1:]

    def above(self, items: Tensor, level: int) -> Tensor:
        """The node above each of ``items``, of any shape; −1 above −1."""
        return self.ancestors[level].index_select(0, (items + 1).flatten()).view_as(items)

    def digit(self, items: Tensor, level: int) -> Tensor:
        """Which child of that node each of ``items`` lies below; 0 for −1."""
        return self.digits[level].index_select(0, (items + 1).flatten()).view_as(items)

    def below(self, level: int) -> Tensor:
        """``[nodes, c]``, how many items lie below each child of each node of this level."""
        return self.get_buffer(f"below{level + 1}")

    def sums(self, x: Tensor) -> list[Tensor]:
        """``x [N, F]`` added up below each child of each node: ``[nodes, F, c]`` of every level."""
        x = x if self.outside is None else x.masked_fill(self.outside.unsqueeze(1), 0)
        total = x.new_zeros(len(self.leaves), x.size(1)).index_copy(0, self.position, x)
        found: list[Tensor] = []
        for _ in range(self.depth):
            children = total.view(-1, self.num_children, x.size(1))
            found.insert(0, children.mT)
            total = children.sum(1)
        return found


class Tally(NamedTuple):
    """Of the items gone below each child of R nodes, ``[R, c]`` each: how many, and sums of their scores and squares.

    The last two are ``None`` where nobody asked for them.
    """

    number: Tensor
    total: Tensor | None
    squares: Tensor | None


class Gone:
    """Items that are gone, row by row.

    Args:
        index: of the items.
        items: ``[R, L]``, none twice in a row; −1 for none.
        scores: ``[R, L]``, of each.
    """

    def __init__(self, index: NodeIndex, items: Tensor, scores: Tensor | None = None) -> None:
        self.index, self.items, self.scores, self.most = index, items, scores, items.size(1)

    def rows(self, rows: Tensor) -> Gone:
        """Of these rows alone."""
        return Gone(self.index, self.items[rows], None if self.scores is None else self.scores[rows])

    def tally(self, level: int, node: Tensor, moments: bool) -> Tally:
        """Below each child of ``node [R]``."""
        digit = self.index.digit(self.items, level)
        here = self.index.above(self.items, level) == node.unsqueeze(1) if level else self.items >= 0
        here = here.to(torch.float if self.scores is None else self.scores.dtype)
        empty = here.new_zeros(len(here), self.index.num_children)

        def add(values: Tensor) -> Tensor:
            return empty.scatter_add(1, digit, values)

        if not moments or self.scores is None:
            return Tally(add(here), None, None)
        scores = here * self.scores
        return Tally(add(here), add(scores), add(scores * self.scores))


class GoneBefore:
    """Items that are gone because they were shown before, in sessions of T steps; R is T · B, step by step.

    Args:
        index: of the items.
        shown: ``[B, T]``, none twice in a session; −1 for none.
        scores: ``[B, T, T]``: (step, item) → the score that the item shown at this later step has at that step.
    """

    def __init__(self, index: NodeIndex, shown: Tensor, scores: Tensor | None = None) -> None:
        self.index, self.shown, self.scores, self.most = index, shown, scores, shown.size(1)
        self._before = torch.ones(self.most, self.most, dtype=torch.bool, device=shown.device).tril(-1)

    def tally(self, level: int, node: Tensor, moments: bool) -> Tally:
        """Below each child of the nodes on the way to what was shown, whichever ``node`` is."""
        parent = self.index.above(self.shown, level)
        same = (parent.unsqueeze(2) == parent.unsqueeze(1)) & self._before
        same = same.to(torch.float if self.scores is None else self.scores.dtype)
        marks = F.one_hot(self.index.digit(self.shown, level), self.index.num_children).to(same.dtype)  # [B, T, c]

        def add(values: Tensor) -> Tensor:
            return torch.bmm(values, marks).transpose(0, 1).flatten(0, 1)

        if not moments or self.scores is None:
            return Tally(add(same), None, None)
        scores = same * self.scores
        return Tally(add(same), add(scores), add(scores * self.scores))
