"""``Walk``: where walks down a tree ended, what they met on the way, and how one child is chosen.

Over ten children or so, softmax and its kin take several times as long as the arithmetic they do, and a policy gradient
goes through them twice a level and step: log-probability and entropy are made in few passes over the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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
