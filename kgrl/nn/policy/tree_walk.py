"""``Walk``: where walks down a tree ended, and what they met on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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
