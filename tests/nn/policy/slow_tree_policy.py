"""The slow tree policy that ``TreePolicy`` is compared with, and cases for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from kgrl.nn import ItemScores, TreePolicy, Walk
from kgrl.tree import ClusterTree

STATE, SCORED = 4, 2
Path = tuple[int, ...]
# depth, children, items; these take any leaves, so that there are nodes without items above the leaves, too
SHAPES = [
    (1, 1, 1), (1, 5, 5), (1, 5, 3), (2, 1, 1), (2, 3, 9), (2, 4, 7), (3, 2, 5), (3, 4, 30), (4, 2, 9), (4, 3, 25),
]
HIDDEN: list[list[int]] = [[], [5], [4, 3]]


class SlowPolicy:
    """One network a node, each with parameters of its own; a distribution is a dictionary from item to log π."""

    def __init__(self, policy: TreePolicy, tree: ClusterTree, scores: ItemScores | None = None) -> None:
        self.depth, self.children, self.scores = tree.depth, tree.children, scores
        self.item_at = {tuple(path): item for item, path in enumerate(tree.paths.tolist())}
        paths = [path[:level] for path in self.item_at for level in range(self.depth + 1)]
        self.below = {path: [item for other, item in self.item_at.items() if other[: len(path)] == path]
                      for path in paths}
        self.networks = {path: self.network(policy, number - 1) for path, number in self.numbered((), 1)}

    def numbered(self, path: Path, number: int) -> Iterator[tuple[Path, int]]:
        """Every inner node below ``path``, by the numbers of Algorithm 2, line 6: both count from 1."""
        yield path, number
        if len(path) + 1 < self.depth:
            for digit in range(1, self.children + 1):
                yield from self.numbered((*path, digit - 1), (number - 1) * self.children + digit + 1)

    def network(self, policy: TreePolicy, number: int) -> torch.nn.Sequential:
        layers: list[torch.nn.Module] = []
        for weight, bias in zip(policy.weights, policy.biases, strict=True):
            layer = torch.nn.Linear(weight.size(1), weight.size(2)).to(weight)
            layer.weight.data.copy_(weight[number].T)
            layer.bias.data.copy_(bias[number])
            layers += [torch.nn.ReLU(), layer]
        return torch.nn.Sequential(*layers[1:])

    def choices(self, path: Path, state: Tensor, gone: set[int]) -> dict[int, Tensor]:
        """Digit → log-probability, of the children below which something is left."""
        logits = self.networks[path](state)
        left = [digit for digit in range(self.children) if set(self.below.get((*path, digit), [])) - gone]
        values = [logits[digit] + self.score((*path, digit), state, gone) for digit in left]
        return dict(zip(left, torch.stack(values).log_softmax(0), strict=True))

    def score(self, path: Path, state: Tensor, gone: set[int]) -> Tensor:
        """a · (mean + κ · standard deviation) over the items below that are left."""
        if self.scores is None:
            return state.new_zeros(())
        weight, bias, sharpness, spread = self.scores
        last = state[len(state) - weight.size(1) :].detach()
        left = set(self.below[path]) - gone
        scores = torch.stack([bias[item] + (weight[item] * last).sum() for item in left]).detach()
        return sharpness * (scores.mean() + spread * scores.std(correction=0))

    def distribution(self, state: Tensor, gone: set[int], path: Path = ()) -> dict[int, Tensor]:
        if len(path) == self.depth:
            return {self.item_at[path]: state.new_zeros(())}
        return {
            item: log_prob + below
            for digit, log_prob in self.choices(path, state, gone).items()
            for item, below in self.distribution(state, gone, (*path, digit)).items()
        }

    def path_of(self, item: int, state: Tensor, gone: set[int]) -> tuple[Tensor, Tensor]:
        """Log-probability of an item, and the sum of the entropies of the nodes on its path."""
        (path,) = (path for path, other in self.item_at.items() if other == item)
        total, entropy = state.new_zeros(()), state.new_zeros(())
        for level, digit in enumerate(path):
            choices = self.choices(path[:level], state, gone)
            total = total + choices[digit]
            entropy = entropy - sum(log_prob.exp() * log_prob for log_prob in choices.values())
        return total, entropy

    def greedy(self, state: Tensor, gone: set[int], path: Path = ()) -> tuple[int, Tensor]:
        if len(path) == self.depth:
            return self.item_at[path], state.new_zeros(())
        choices = self.choices(path, state, gone)
        digit = max(choices, key=choices.__getitem__)
        item, log_prob = self.greedy(state, gone, (*path, digit))
        return item, choices[digit] + log_prob

    def search(self, state: Tensor, gone: set[int], k: int, beam: int) -> list[tuple[float, int]]:
        """The k best items, and log π of each, with ``beam`` nodes a level."""
        ahead: list[tuple[float, Path]] = [(0.0, ())]
        for level in range(self.depth):
            ahead = sorted((
                (total + log_prob.item(), (*path, digit))
                for total, path in ahead
                for digit, log_prob in self.choices(path, state, gone).items()
            ), reverse=True)[: k if level == self.depth - 1 else beam]
        return [(total, self.item_at[path]) for total, path in ahead]

    def gradients(self, loss: Tensor, policy: TreePolicy) -> list[Tensor]:
        """Of the parameters, stacked as the policy has them."""
        loss.backward(retain_graph=True)
        numbers = {number - 1: path for path, number in self.numbered((), 1)}
        assert sorted(numbers) == list(range(len(policy.weights[0])))
        linear = [[layer for layer in self.networks[numbers[number]] if isinstance(layer, torch.nn.Linear)]
                  for number in sorted(numbers)]
        layers = range(len(policy.weights))

        def of(parameter: Tensor) -> Tensor:
            return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

        return [torch.stack([of(node[layer].weight).T for node in linear]) for layer in layers] + [
            torch.stack([of(node[layer].bias) for node in linear]) for layer in layers]


class Case(NamedTuple):
    policy: TreePolicy
    tree: ClusterTree
    slow: SlowPolicy
    scores: ItemScores | None


def make(
    depth: int, children: int, num_items: int, hidden: list[int] | None = None, scored: int | None = None,
    scale: float = 1.0, seed: int = 0,
) -> Case:
    """The larger ``scale``, the more do probabilities differ."""
    torch.manual_seed(seed)
    leaves = torch.randperm(children**depth)[:num_items]
    paths = leaves.unsqueeze(1) // children ** torch.arange(depth - 1, -1, -1) % children
    tree = ClusterTree(paths, children)
    policy = TreePolicy(STATE, tree, hidden or []).double()
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    scores = None if scored is None else ItemScores(
        torch.randn(num_items, scored, dtype=torch.double) * scale, torch.randn(num_items, dtype=torch.double) * scale,
        *(torch.tensor(value, dtype=torch.double, requires_grad=True) for value in (0.8, 1.4)))
    return Case(policy, tree, SlowPolicy(policy, tree, scores), scores)


def states(rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, STATE, generator=generator, dtype=torch.double, requires_grad=True)


def some_gone(rows: int, num_items: int, most: int | None = None, seed: int = 0) -> tuple[Tensor, list[set[int]]]:
    """Up to ``most`` items of each row, −1 in between and last, and the same as sets; something is left."""
    generator = torch.Generator().manual_seed(seed)
    most = num_items - 1 if most is None else most
    gone = torch.full((rows, most + 2), -1)
    for row in gone:
        count = int(torch.randint(most + 1, (), generator=generator))
        places = torch.randperm(most + 1, generator=generator)[:count]
        row[places] = torch.randperm(num_items, generator=generator)[:count]
    return gone, [set(row.tolist()) - {-1} for row in gone]


def learned(scores: ItemScores | None) -> list[Tensor]:
    return [] if scores is None else [part for part in scores[2:] if isinstance(part, Tensor)]


def assert_same_gradients(case: Case, state: Tensor, ours: Tensor, theirs: Tensor) -> None:
    inputs = [state, *learned(case.scores)]
    mine = torch.autograd.grad(ours, [*case.policy.weights, *case.policy.biases, *inputs], retain_graph=True,
                               materialize_grads=True)
    expected = torch.autograd.grad(theirs, inputs, retain_graph=True, materialize_grads=True)
    for one, other in zip(mine, [*case.slow.gradients(theirs, case.policy), *expected], strict=True):
        torch.testing.assert_close(one, other)


def choices(policy: TreePolicy, state: Tensor, gone: Tensor | None, scores: ItemScores | None) -> list[Walk]:
    return [policy.sample(state, gone, torch.Generator(state.device).manual_seed(0), scores),
            policy.greedy(state, gone, scores), policy.topk(state, 1, gone, scores=scores)]
