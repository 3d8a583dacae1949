"""``Gone``: of the items that are gone, how many lie below each node of a cluster tree, and their scores' sums."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.nn.policy.node_index import NodeIndex


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
