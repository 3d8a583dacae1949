"""Ways down a cluster tree: one node per level to one item, or several nodes per level to the likeliest items.

Over ten children or so, softmax and its kin take several times as long as the arithmetic they do, and a policy gradient
goes through them twice a level and step: log-probability and entropy are made in few passes over the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrl.nn.policy.item_scores import ItemScores, Levels
from kgrl.nn.policy.node_networks import NodeNetworks
from kgrl.options import at_least

LOWEST = -1e4
"""Stands for −∞, so that 0 · −∞ is 0: its exponential is 0, too."""


class Choice(NamedTuple):
    """What R walks met on a level.

    ``node [R]``, the ``digit [R]`` of the child taken, which children had something ``left [R, c]``, and of the item
    scores left below each child ``mean`` and ``deviation`` (``None`` of leaves), ``[R, c]``, where there are scores.
    """

    node: Tensor
    digit: Tensor
    left: Tensor
    mean: Tensor | None
    deviation: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Choice:
        """The same of every tensor in it."""
        mean, deviation = (None if x is None else change(x) for x in (self.mean, self.deviation))
        return Choice(change(self.node), change(self.digit), change(self.left), mean, deviation)


class Walk(NamedTuple):
    """Where R walks ended: ``items [R]`` (−1 where all are gone) and the log-probability of each, ``log_prob [R]``.

    ``choices``: level by level, what a drawn walk met on its way; greedy walks and searches keep none.
    """

    items: Tensor
    log_prob: Tensor
    choices: tuple[Choice, ...] = ()


def join_choices(walks: Sequence[tuple[Choice, ...]]) -> list[Choice]:
    """The choices of T steps of R walks, ``[T, R, …]``, level by level."""
    def stack(parts: Sequence[Tensor | None]) -> Tensor | None:
        given = [part for part in parts if part is not None]
        return torch.stack(given) if given else None

    return [Choice(*(stack(parts) for parts in zip(*level, strict=True)))  # type: ignore[arg-type]
            for level in zip(*walks, strict=True)]


def draw(logits: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """(digit, its log-probability), ``[R]`` each, drawn by ``logits [R, c]``; one of −∞ is never drawn."""
    logits = _wide(logits)
    weights = (logits - logits.amax(1, keepdim=True)).exp_()
    edges = weights.cumsum(1)  # a masked child has no width to hit
    drawn = torch.rand(len(edges), 1, generator=generator, device=edges.device, dtype=edges.dtype)
    # just below 1, or rounding could put the largest draw past the last edge
    digit = (edges <= drawn * edges[:, -1:] * (1 - 1e-6)).sum(1, keepdim=True)
    return digit.squeeze(1), (weights.gather(1, digit) / edges[:, -1:]).log().squeeze(1)


def log_prob_and_entropy(logits: Tensor, digit: Tensor) -> tuple[Tensor, Tensor]:
    r"""(:math:`\log \pi_d`, H), ``[R]`` each, of ``digit [R]`` and of the softmax of ``logits [R, c]``.

    With :math:`\log \pi_k = z_k - \log \sum_j e^{z_j}` and :math:`H = -\sum_k \pi_k \log \pi_k`, the gradients are

    .. math:: \partial \log \pi_d / \partial z_k = [k = d] - \pi_k, \qquad
        \partial H / \partial z_k = -\pi_k (\log \pi_k + H)
    """
    found: tuple[Tensor, Tensor] = _LogProbAndEntropy.apply(logits, digit)
    return found


class _LogProbAndEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, digit: Tensor) -> tuple[Tensor, Tensor]:
        ctx.dtype, logits = logits.dtype, _wide(logits)
        log_prob = (logits - logits.amax(1, keepdim=True)).clamp_(min=LOWEST)
        prob = log_prob.exp()
        total = prob.sum(1, keepdim=True)
        log_prob -= total.log()
        prob /= total
        entropy = -torch.linalg.vecdot(prob, log_prob)
        ctx.save_for_backward(log_prob, prob, entropy, digit)
        return log_prob.gather(1, digit.unsqueeze(1)).squeeze(1), entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor, of_entropy: Tensor) -> tuple[Tensor, None]:
        log_prob, prob, entropy, digit = ctx.saved_tensors
        weight = torch.addcmul((of_log_prob + of_entropy * entropy).unsqueeze(1), of_entropy.unsqueeze(1), log_prob)
        grad = weight.mul_(prob).neg_()
        return grad.scatter_add_(1, digit.unsqueeze(1), of_log_prob.unsqueeze(1)).to(ctx.dtype), None


def _wide(logits: Tensor) -> Tensor:
    """At least single precision: sums over many children are too coarse in half."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


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
