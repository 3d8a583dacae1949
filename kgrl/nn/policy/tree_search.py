"""``TreeSearch``: what a tree policy says of many items at once: the probability of each, and the likeliest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.nn.policy.item_scores import ItemScores, Levels
from kgrl.nn.policy.node_networks import NodeNetworks
from kgrl.nn.policy.tree_walk import Walk
from kgrl.options import at_least


class TreeSearch(NodeNetworks):
    """The part of :class:`kgrl.nn.TreePolicy` that visits several nodes of a level for each state.

    A walk visits one. Arguments are those of :class:`kgrl.nn.TreePolicy`.
    """

    def probabilities(
        self, state: Tensor, gone: Tensor | None = None, scores: ItemScores | Levels | None = None
    ) -> Tensor:
        """``[R, N]``, of every item: every node is visited, for looking into small trees."""
        self._checked(state, gone)
        rows, levels = len(state), self._levels(scores)
        total = state.new_zeros(rows, 1)
        for level in range(self.depth):
            nodes = self.num_children**level
            node = torch.arange(nodes, device=state.device).repeat(rows)
            spread = None if gone is None else gone.repeat_interleave(nodes, 0)
            log_prob = self._node(level, node, state.repeat_interleave(nodes, 0), spread, levels)
            total = (total.unsqueeze(2) + log_prob.view(rows, nodes, self.num_children)).flatten(1)
        found = total[:, self.index.position].exp()
        found = found if self.index.outside is None else found.masked_fill(self.index.outside, 0.0)
        return found.masked_fill(self._is_gone(gone, rows), 0.0) if gone is not None else found

    def topk(
        self, state: Tensor, k: int, gone: Tensor | None = None, beam: int | None = None,
        scores: ItemScores | Levels | None = None,
    ) -> Walk:
        """The k likeliest items of each state, ``[R, k]`` each, best first; −1 where fewer are left.

        Args:
            state: ``[R, s]``.
            k: how many.
            gone: ``[R, L]``, items that are not asked for.
            beam: nodes kept at each level, at least k (default 4·k): with c^(D−1) the result is exact.
        """
        beam = max(at_least("k", k, 1), 4 * k if beam is None else at_least("beam", beam, 1))
        self._checked(state, gone)
        rows, levels = len(state), self._levels(scores)
        node = torch.zeros(rows, 1, dtype=torch.long, device=state.device)
        total = state.new_zeros(rows, 1)
        for level in range(self.depth):
            width = node.size(1)
            spread = None if gone is None else gone.repeat_interleave(width, 0)
            log_prob = self._node(level, node.flatten(), state.repeat_interleave(width, 0), spread, levels)
            total = (total.unsqueeze(2) + log_prob.view(rows, width, self.num_children)).flatten(1)
            digit = torch.arange(self.num_children, device=state.device)
            node = (node.unsqueeze(2) * self.num_children + digit).flatten(1)
            keep = min(beam if level < self.depth - 1 else k, total.size(1))
            total, best = total.topk(keep, dim=1)
            node = node.gather(1, best)
        if gone is not None:
            total = total.masked_fill(self._none_left(gone), -torch.inf)
        items = self.index.leaves[node].masked_fill(total == -torch.inf, -1)
        items, total = (F.pad(x, (0, k - x.size(1)), value=fill) for x, fill in ((items, -1), (total, -torch.inf)))
        return Walk(items, total)

    def _is_gone(self, gone: Tensor, rows: int) -> Tensor:
        marks = torch.zeros(rows, self.num_items + 1, dtype=torch.bool, device=gone.device)
        return marks.scatter_(1, torch.where(gone >= 0, gone, self.num_items), True)[:, :-1]

    def _node(self, level: int, node: Tensor, state: Tensor, gone: Tensor | None, levels: Levels) -> Tensor:
        """``[R, c]``, log-probabilities of the children of each row's ``node`` (counted from the left on its level)."""
        past = None if gone is None else self._gone(state, gone, levels)
        grouping = self._grouping(level, node)
        met = self._meet(level, node, grouping, state, past, levels, anywhere=True)
        return self._logits(level, grouping, state, met, levels).log_softmax(1)
