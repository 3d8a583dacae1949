"""``Decider``: a plain decision network whose time is measured, and what its kinds have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STATE, HIDDEN, GAMMA = 36, (32, 16), 0.6
"""Length of a state, widths of the hidden layers, discount: the paper has the second, its authors' code the others."""
BLOCK, CELLS = 2**12, 2**18
"""Items, and numbers of states × items, that a decision looks at together: as many as a cache takes, never B × N."""


class Decider(nn.Module):
    """A method's decision network: it decides for a batch of states, and learns from finished episodes."""

    optimizer: torch.optim.Optimizer

    @abstractmethod
    def decide(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, an item for each state.

        Args:
            state: ``[B, s]``.
            generator: given, the method explores as in training; ``None``: its best item.
        """

    @abstractmethod
    def loss(self, state: Tensor, items: Tensor, rewards: Tensor) -> Tensor:
        """What :meth:`update` takes the gradient of; same arguments."""

    def update(self, state: Tensor, items: Tensor, rewards: Tensor) -> None:
        """One gradient step (Adam) on B finished episodes of T steps.

        Args:
            state: ``[T, B, s]``, before each step; nothing is bootstrapped from beyond the last.
            items: ``[T, B]``, what was decided.
            rewards: ``[T, B]``.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(state, items, rewards).backward()
        self.optimizer.step()


def network(*sizes: int) -> list[nn.Module]:
    """Fully connected layers with a ReLU between."""
    layers = [(nn.ReLU(inplace=True), nn.Linear(*pair)) for pair in pairwise(sizes)]
    return list(chain.from_iterable(layers))[1:]


def highest(scores: Tensor) -> Tensor:
    """``[R]``, the place of the highest of each row's ``scores [R, K]``."""
    if scores.device.type == "cpu":
        return torch.from_numpy(scores.numpy().argmax(1))  # NumPy's is several times as fast as PyTorch's there
    return scores.argmax(1)


def highest_item(score: Callable[..., Tensor], num_items: int, *tensors: Tensor, width: int = 1) -> Tensor:
    """``[B]``, the item of the highest score; what it is made of passes through a cache in blocks.

    Args:
        score: of some items (a slice) and some rows of the tensors, ``[rows, items]``.
        num_items: N.
        tensors: ``[B, …]`` each.
        width: numbers that the score of one item is made of.
    """
    block, found = min(num_items, BLOCK), []
    for part in few_rows(block * width, *tensors):
        tops, places = [], []
        for start in range(0, num_items, block):
            scores = score(slice(start, start + block), *part)
            place = highest(scores).unsqueeze(1)
            tops.append(scores.gather(1, place))
            places.append(place + start)
        best = highest(torch.cat(tops, 1)).unsqueeze(1)
        found.append(torch.cat(places, 1).gather(1, best).squeeze(1))
    return torch.cat(found)


def few_rows(numbers: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors, so many rows at a time as a cache takes; ``numbers``: what is made of each row."""
    rows = max(1, CELLS // numbers)
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


@torch.no_grad()
def bootstrapped(rewards: Tensor, state: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """``[T, B]``, r + γ · the ``value`` of the state after it; of the last step, r."""
    if len(state) == 1:
        return rewards
    following = value(state[1:].flatten(0, 1)).view_as(rewards[1:])
    return rewards + GAMMA * F.pad(following, (0, 0, 0, 1))
