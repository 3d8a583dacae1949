"""``TreePolicy`` against one ``torch.nn.Sequential`` a node, looked up by its path and walked by recursion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kgrl.nn import ItemScores, TreePolicy, Walk
from kgrl.nn.walk import join_choices
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


# -------------------------------------------------------------------------------------- against one network a node


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("scored", [None, SCORED])
def test_equals_one_network_a_node(
    depth: int, children: int, num_items: int, hidden: list[int], scored: int | None
) -> None:
    """Log-probability, entropy and their gradients, with and without items gone."""
    case, rows = make(depth, children, num_items, hidden, scored), 9
    gone, sets = some_gone(rows, num_items)
    left = [[item for item in range(num_items) if item not in taken] for taken in sets]
    items = torch.tensor([some[row % len(some)] for row, some in enumerate(left)])
    for missing, taken in ((None, [set()] * rows), (gone, sets)):
        state = states(rows)
        found = case.policy.log_prob_and_entropy(state, items, missing, case.scores)
        by_node = [case.slow.path_of(*row) for row in zip(items.tolist(), state, taken, strict=True)]
        log_prob, entropy = (torch.stack(parts) for parts in zip(*by_node, strict=True))
        torch.testing.assert_close(found[0], log_prob)
        torch.testing.assert_close(found[1], entropy)
        assert torch.equal(case.policy.log_prob(state, items, missing, case.scores), found[0])
        first, second = torch.linspace(-1, 2, rows).double(), torch.linspace(2, -1, rows).double()
        for network in case.slow.networks.values():
            network.zero_grad()
        assert_same_gradients(case, state, (found[0] * first + found[1] * second).sum(),
                              (log_prob * first + entropy * second).sum())


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("scored", [None, 0, SCORED, STATE])
def test_probabilities_and_greedy_equal_the_recursion(
    depth: int, children: int, num_items: int, scored: int | None
) -> None:
    for hidden in HIDDEN[:2]:
        case, rows = make(depth, children, num_items, hidden, scored, seed=1), 3
        state, (gone, sets) = states(rows), some_gone(rows, num_items)
        for missing, taken in ((None, [set()] * rows), (gone, sets)):
            expected = torch.zeros(rows, num_items, dtype=torch.double)
            for row, (of_state, away) in enumerate(zip(state, taken, strict=True)):
                for item, log_prob in case.slow.distribution(of_state, away).items():
                    expected[row, item] = log_prob.exp()
            torch.testing.assert_close(case.policy.probabilities(state, missing, case.scores), expected)
            walk = case.policy.greedy(state, missing, case.scores)
            by_hand = [case.slow.greedy(*row) for row in zip(state, taken, strict=True)]
            assert walk.items.tolist() == [item for item, _ in by_hand]
            torch.testing.assert_close(walk.log_prob, torch.stack([log_prob for _, log_prob in by_hand]))


# --------------------------------------------------------------------------------------------------- a distribution

shapes = st.integers(1, 4).flatmap(lambda depth: st.integers(1, 5 if depth < 4 else 3).flatmap(
    lambda children: st.tuples(st.just(depth), st.just(children), st.integers(1, children**depth))))


@given(shapes, st.sampled_from(HIDDEN), st.booleans(), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_left_sums_to_one(
    shape: tuple[int, int, int], hidden: list[int], scored: bool, data: st.DataObject
) -> None:
    """Whatever is gone; ``log_prob`` is the logarithm of that; with nothing left every probability is 0."""
    num_items = shape[2]
    case = make(*shape, hidden, SCORED if scored else None)
    away = data.draw(st.lists(st.integers(0, num_items - 1), unique=True))
    gone = torch.tensor([away + data.draw(st.lists(st.just(-1), max_size=2))], dtype=torch.long)
    state = states(1, data.draw(st.integers(0, 99)))
    found = case.policy.probabilities(state, gone, case.scores)[0]
    assert found.sum().item() == pytest.approx(0 if len(away) == num_items else 1)
    assert not found[away].any()
    left = [item for item in range(num_items) if item not in away]
    assert (found[left] > 0).all()
    every = torch.arange(num_items)
    log_prob, entropy = case.policy.log_prob_and_entropy(
        state.expand(num_items, -1), every, gone.expand(num_items, -1), case.scores)
    if left:
        torch.testing.assert_close(log_prob.exp(), found)
        # chain rule: paths, weighted by their probability, have the entropy of the items on average
        mean = sum(found[left] * entropy[left])
        torch.testing.assert_close(mean, -(found[left] * found[left].log()).sum())
    grads = torch.autograd.grad(log_prob[left].sum() + entropy[left].sum(), list(case.policy.parameters()))
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_no_gradient_is_nan_where_children_are_gone(hidden: list[int]) -> None:
    """Of anything that a loss is made of, with nodes used up, and without items in the first place."""
    case = make(3, 3, 7, hidden, SCORED)
    gone, _ = some_gone(20, 7, seed=3)
    state = states(20)
    walk = case.policy.sample(state, gone, torch.Generator().manual_seed(0), case.scores)
    best = case.policy.topk(state, 1, gone, 9, case.scores)
    everything = (walk.log_prob.sum() + case.policy.greedy(state, gone, case.scores).log_prob.sum()
                  + best.log_prob.sum() + case.policy.probabilities(state, gone, case.scores).square().sum()
                  + sum(case.policy.log_prob_and_entropy(state, walk.items, gone, case.scores)).sum())
    wanted = [state, *case.policy.parameters(), *learned(case.scores)]
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(everything, wanted, materialize_grads=True))


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("case", ["nothing gone", "some gone", "scores"])
def test_sampling_matches_the_probabilities(dtype: torch.dtype, case: str, device: torch.device) -> None:
    """Of two states at once, 20,000 draws each; the walk's log-probability is that of its item."""
    policy, _, _, scores = make(3, 3, 11, scored=SCORED if case == "scores" else None, scale=0.5)
    draws = 20_000
    given = None if scores is None else ItemScores(*(part.detach().to(device, dtype) for part in scores))
    policy.to(device, dtype)
    state = states(2).detach().to(device, dtype)
    gone = torch.tensor([[3, 8, -1, 0], [1, -1, 2, 10]], device=device) if case == "some gone" else None
    expected = policy.probabilities(state, gone, given).detach().double().cpu()
    many = None if gone is None else gone.repeat(draws, 1)
    walk = policy.sample(state.repeat(draws, 1), many, torch.Generator(device).manual_seed(0), given)
    items = walk.items.view(draws, 2).cpu()
    for row in range(2):
        possible = expected[row] > 0
        counts = torch.bincount(items[:, row], minlength=11)
        assert not counts[~possible].any()
        share = expected[row, possible] / expected[row].sum()
        assert (share * draws).min() > 5
        assert chisquare(counts[possible], share * draws).pvalue > 1e-4
    torch.testing.assert_close(walk.log_prob, policy.log_prob(state.repeat(draws, 1), walk.items, many, given))


def test_the_log_probability_of_a_draw_has_the_right_gradient() -> None:
    for choose in ("sample", "greedy", "topk"):
        case, state = make(3, 3, 11, [5], SCORED), states(30)
        gone, _ = some_gone(30, 11, 6)
        options = {"generator": torch.Generator().manual_seed(0)} if choose == "sample" else {}
        walk = getattr(case.policy, choose)(
            state, *([1] if choose == "topk" else []), gone=gone, scores=case.scores, **options)
        items, log_prob = walk.items.view(30), walk.log_prob.view(30)
        wanted = [state, *case.policy.parameters()]
        weight = torch.linspace(-1, 2, 30).double()
        expected = case.policy.log_prob(state, items, gone, case.scores)
        torch.testing.assert_close(log_prob, expected)
        for mine, other in zip(torch.autograd.grad((log_prob * weight).sum(), wanted),
                               torch.autograd.grad((expected * weight).sum(), wanted), strict=True):
            torch.testing.assert_close(mine, other)


def test_the_rarest_and_the_surest_draws() -> None:
    """The smallest and the largest number that is ever drawn never hit a child that is masked."""
    policy = make(2, 4, 16).policy.float()
    state = states(1).detach().float()
    gone = torch.tensor([[item for item in range(16) if item != only] for only in range(16)])
    for drawn in (0.0, 1 - 2**-53):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *size, drawn=drawn, **kwargs: torch.full(
                size, drawn, dtype=torch.double))
            walk = policy.sample(state.expand(16, -1), gone)
        assert walk.items.tolist() == list(range(16))
        torch.testing.assert_close(walk.log_prob, torch.zeros(16))


# ---------------------------------------------------------------------------------------------------- the best items


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("scored", [None, SCORED])
def test_a_wide_beam_finds_the_best(depth: int, children: int, num_items: int, scored: int | None) -> None:
    """All of them, in order, with −1 after the last that is left."""
    case, rows = make(depth, children, num_items, [5], scored, seed=2), 4
    state, (gone, sets) = states(rows), some_gone(rows, num_items)
    every = num_items + 2
    for missing, taken in ((None, [set()] * rows), (gone, sets)):
        probabilities = case.policy.probabilities(state, missing, case.scores)
        order = probabilities.argsort(1, descending=True).tolist()
        for k in {1, 2, every}:
            walk = case.policy.topk(state, k, missing, children ** (depth - 1), case.scores)
            assert walk.items.shape == walk.log_prob.shape == (rows, k)
            for row in range(rows):
                fits = min(k, num_items - len(taken[row]))
                found = walk.items[row, :fits].tolist()
                assert found == order[row][:fits]
                assert (walk.items[row, fits:] == -1).all()
                torch.testing.assert_close(walk.log_prob[row, :fits].exp(), probabilities[row, found])
                assert (walk.log_prob[row, fits:] == -torch.inf).all()


@pytest.mark.parametrize(("k", "beam"), [(1, 1), (1, 2), (1, None), (3, None), (5, 2)])
def test_a_narrow_beam_keeps_that_many_nodes(k: int, beam: int | None) -> None:
    case, rows = make(4, 3, 50, scale=0.2, seed=5), 30
    state, (gone, sets) = states(rows), some_gone(rows, 50, 30)
    walk = case.policy.topk(state, k, gone, beam)
    for row in range(rows):
        expected = case.slow.search(state[row], sets[row], k, max(k, 4 * k if beam is None else beam))
        assert walk.items[row].tolist() == [item for _, item in expected]
        torch.testing.assert_close(walk.log_prob[row], torch.tensor([value for value, _ in expected]).double())
    if (k, beam) == (1, 1):
        assert torch.equal(walk.items[:, 0], case.policy.greedy(state, gone).items)


def test_the_greedy_walk_may_miss_the_best_item() -> None:
    """0.6 · 0.5 against 0.4 · 1: the likeliest item is not below the likeliest child."""
    assert "not always the likeliest item" in str(TreePolicy.greedy.__doc__)
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0]]), 2)
    policy = TreePolicy(1, tree).double()
    with torch.no_grad():
        policy.weights[0].zero_()
        policy.biases[0].zero_()
        policy.biases[0][0] = torch.tensor([0.6, 0.4]).log()
    state = torch.zeros(1, 1, dtype=torch.double)
    torch.testing.assert_close(policy.probabilities(state), torch.tensor([[0.3, 0.3, 0.4]], dtype=torch.double))
    walk = policy.greedy(state)
    assert walk.items.item() in (0, 1)
    assert walk.log_prob.exp().item() == pytest.approx(0.3)
    assert policy.topk(state, 1, beam=1).items.item() in (0, 1)
    wide = policy.topk(state, 1, beam=2)
    assert (wide.items.item(), wide.log_prob.exp().item()) == (2, pytest.approx(0.4))
    # with item 0 gone, item 1 takes all of its node
    assert policy.greedy(state, torch.tensor([[0]])).items.item() == 1


# ------------------------------------------------------------------------------------------------------ nothing left


def choices(policy: TreePolicy, state: Tensor, gone: Tensor | None, scores: ItemScores | None) -> list[Walk]:
    return [policy.sample(state, gone, torch.Generator(state.device).manual_seed(0), scores),
            policy.greedy(state, gone, scores), policy.topk(state, 1, gone, scores=scores)]


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("scored", [None, SCORED])
def test_nothing_left(
    depth: int, children: int, num_items: int, scored: int | None, device: torch.device
) -> None:
    """In one session, in all or in none; the others go on as if alone."""
    policy, tree, _, scores = make(depth, children, num_items, scored=scored)
    policy.to(device)
    given = None if scores is None else ItemScores(*(part.detach().to(device) for part in scores))
    state, every = states(3).detach().to(device), torch.arange(num_items, device=device)
    gone = torch.full((3, num_items + 1), -1, device=device)
    gone[1, :-1], gone[2, 2:] = every, every[: num_items - 1]  # 1: all; 2: all but the last
    for walk in choices(policy, state, gone, given):
        assert walk.items[1].item() == -1
        assert walk.items[2].item() == num_items - 1
        assert walk.log_prob[2].item() == pytest.approx(0, abs=1e-12)
        assert walk.items[0] >= 0
        assert not walk.log_prob.isnan().any()
    for walk in choices(policy, state[1:2], gone[1:2], given):
        assert walk.items.flatten().tolist() == [-1]
    assert (policy.topk(state[1:2], 3, gone[1:2], scores=given).log_prob == -torch.inf).all()
    probabilities = policy.probabilities(state, gone, given)
    torch.testing.assert_close(probabilities.sum(1), torch.tensor([1.0, 0.0, 1.0], device=device).double())
    assert torch.equal(tree.leaves, policy.index.leaves.cpu())


@pytest.mark.parametrize("scored", [None, SCORED])
def test_padding_changes_nothing(scored: int | None) -> None:
    """Up to and beyond the size of the smallest clusters, from which on they may be used up."""
    case, rows = make(3, 3, 20, scored=scored), 30
    state = states(rows)
    for most in range(5):
        gone, _ = some_gone(rows, 20, most, seed=most)
        wide = torch.nn.functional.pad(gone, (3, 20), value=-1)
        narrow = gone.sort(1, descending=True).values[:, :most]
        assert torch.equal(case.policy.probabilities(state, narrow, case.scores),
                           case.policy.probabilities(state, wide, case.scores))
        for one, other in zip(choices(case.policy, state, narrow, case.scores),
                              choices(case.policy, state, wide, case.scores), strict=True):
            assert torch.equal(one.items, other.items)
            assert torch.equal(one.log_prob, other.log_prob)


@pytest.mark.parametrize("scored", [None, SCORED])
def test_no_rows(scored: int | None) -> None:
    for hidden in HIDDEN[:2]:
        policy, _, _, scores = make(3, 2, 7, hidden, scored)
        state, gone = states(0), torch.zeros(0, 5, dtype=torch.long)
        for missing in (None, gone):
            assert policy.sample(state, missing, scores=scores).items.shape == (0,)
            assert policy.greedy(state, missing, scores).log_prob.shape == (0,)
            assert policy.topk(state, 3, missing, scores=scores).items.shape == (0, 3)
            assert policy.probabilities(state, missing, scores).shape == (0, 7)
            found = policy.log_prob_and_entropy(state, torch.zeros(0, dtype=torch.long), missing, scores)
            assert [part.shape for part in found] == [(0,), (0,)]


# ---------------------------------------------------------------------------------------------------- whole sessions


@pytest.mark.parametrize(("depth", "children", "num_items"), [(1, 5, 5), (2, 4, 7), (2, 3, 9), (3, 4, 40), (4, 2, 9)])
@pytest.mark.parametrize("hidden", HIDDEN[:2])
def test_sessions_equal_step_by_step(depth: int, children: int, num_items: int, hidden: list[int]) -> None:
    """Log-probability, entropy and gradients; the last two sessions end early, and bring no NaN into the gradient."""
    case, sessions = make(depth, children, num_items, hidden, SCORED), 6
    generator = torch.Generator().manual_seed(0)
    for horizon in {1, 2, 4, num_items}:
        shown = torch.stack([torch.randperm(num_items, generator=generator)[:horizon] for _ in range(sessions)])
        shown[-1, 2:], shown[-2, 1:] = -1, -1
        state = states(horizon * sessions).view(horizon, sessions, STATE)
        found = case.policy.session_log_prob_and_entropy(state, shown, case.scores)
        taken = (shown >= 0).t()
        stepped = []
        for t in range(horizon):
            stepped.append(case.policy.log_prob_and_entropy(
                state[t], shown[:, t].clamp(min=0), shown[:, :t], case.scores))
        expected = [torch.stack(parts) for parts in zip(*stepped, strict=True)]
        losses = []
        for mine, other in zip(found, expected, strict=True):
            assert mine.shape == (horizon, sessions)
            torch.testing.assert_close(mine[taken], other[taken])
        for log_prob, entropy in (found, expected):
            weight = torch.linspace(-1, 2, taken.numel()).double().view_as(log_prob)
            losses.append(torch.where(taken, log_prob * weight + entropy, 0.0).sum())
        wanted = [state, *case.policy.parameters(), *learned(case.scores)]
        grads = [torch.autograd.grad(loss, wanted, materialize_grads=True) for loss in losses]
        for mine, other in zip(*grads, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("scored", [None, SCORED])
@pytest.mark.parametrize("hidden", HIDDEN[:2])
def test_what_walks_met_saves_finding_it_out_again(hidden: list[int], scored: int | None) -> None:
    """Sessions drawn step by step: with the walks' own choices, log-probability, entropy and gradients are the same."""
    case, sessions, horizon = make(3, 3, 11, hidden, scored), 8, 9
    state, shown, walks = states(horizon * sessions).view(horizon, sessions, STATE), [], []
    for step in range(horizon):
        gone = torch.stack(shown, 1) if shown else None
        walks.append(case.policy.sample(state[step], gone, torch.Generator().manual_seed(step), case.scores))
        shown.append(walks[-1].items)
    choices = [choice.map(torch.Tensor.detach) for choice in join_choices([walk.choices for walk in walks])]
    found, again = (case.policy.session_log_prob_and_entropy(state, torch.stack(shown, 1), case.scores, known)
                    for known in (choices, None))
    torch.testing.assert_close(found[0], torch.stack([walk.log_prob for walk in walks]))
    wanted = [state, *case.policy.parameters(), *learned(case.scores)]
    weight = torch.linspace(-1, 2, horizon * sessions).double().view(horizon, sessions)
    grads = [torch.autograd.grad((log_prob * weight + entropy).sum(), wanted) for log_prob, entropy in (found, again)]
    for mine, other in zip((*found, *grads[0]), (*again, *grads[1]), strict=True):
        torch.testing.assert_close(mine, other)


# ------------------------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("hidden", HIDDEN)
def test_prepared_scores_are_the_same(hidden: list[int]) -> None:
    case, state = make(3, 3, 11, hidden, SCORED), states(20)
    gone, _ = some_gone(20, 11, 6)
    levels, items = case.policy.prepare(case.scores), torch.arange(20) % 11
    for missing in (None, gone):
        for one, other in zip(choices(case.policy, state, missing, levels),
                              choices(case.policy, state, missing, case.scores), strict=True):
            assert torch.equal(one.items, other.items)
            assert torch.equal(one.log_prob, other.log_prob)
        assert torch.equal(case.policy.probabilities(state, missing, levels),
                           case.policy.probabilities(state, missing, case.scores))
        assert torch.equal(case.policy.log_prob(state, items, missing, levels),
                           case.policy.log_prob(state, items, missing, case.scores))
        with torch.no_grad():  # here the last layer takes the scores in
            merged = case.policy.probabilities(state, missing, case.policy.prepare(case.scores))
        torch.testing.assert_close(merged, case.policy.probabilities(state, missing, levels))


def test_scores_alone_are_a_softmax_over_items_where_the_tree_is_flat() -> None:
    policy = make(1, 6, 6).policy
    for parameter in policy.parameters():
        torch.nn.init.zeros_(parameter)
    state, weight, bias = states(3), torch.randn(6, 2).double(), torch.randn(6).double()
    expected = (state[:, -2:] @ weight.T + bias).softmax(1)
    torch.testing.assert_close(policy.probabilities(state, scores=ItemScores(weight, bias)), expected)


# ----------------------------------------------------------------------------------------------------------- learning


def test_learns_a_classification() -> None:
    """By cross entropy, over classes spread on any leaves: linear nodes most of it, hidden layers more."""
    torch.manual_seed(0)
    centres = torch.randn(20, STATE) * 3
    labels = torch.arange(20).repeat(30)
    inputs = centres[labels] + torch.randn(600, STATE) * 0.3
    tree = ClusterTree.build(centres, depth=2)
    for hidden, accuracy in (([], 0.8), ([16], 0.95)):
        policy = TreePolicy(STATE, tree, hidden)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
        for _ in range(120):
            loss = -policy.log_prob(inputs, labels).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert (policy.topk(inputs, 1, beam=5).items[:, 0] == labels).double().mean() > accuracy
        assert loss < 0.6


REWARDS = torch.tensor([0.9, -0.4, 0.1, 0.5], dtype=torch.double)  # of the first item
FOLLOWING = torch.tensor([[0.0, 1.0, -0.5, 0.2], [0.3, 0.0, 0.8, -1.0], [-0.6, 0.4, 0.0, 0.7], [1.0, -0.2, 0.1, 0.0]],
                         dtype=torch.double)  # [first, second]
GAMMA = 0.7


def after(first: Tensor) -> Tensor:
    """``[R, 3]``, the state after the first item: it tells which that was, and how it was received."""
    numbers = torch.stack([torch.ones_like(first), first - 1.5], 1).double()
    return torch.cat([numbers, REWARDS[first].unsqueeze(1)], 1)


def test_the_reinforce_gradient_equals_the_exact_one() -> None:
    """Algorithm 1 in a world of two steps and four items, none shown twice, averaged over 100,000 sessions.

    Exact: equation 3 summed over all twelve sessions. Of a hundred batches' mean, every entry is at most 4.5 of its
    standard errors away (24 entries, half of them minus the others: by chance one seed in 4,000), and all together are
    at most 5 % off.
    """
    torch.manual_seed(0)
    policy = TreePolicy(3, ClusterTree(torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]), 2)).double()
    wanted = list(policy.parameters())
    start = torch.tensor([[0.5, -1.0, 0.3]], dtype=torch.double)

    first = policy.probabilities(start)[0]
    second = policy.probabilities(after(torch.arange(4)), torch.arange(4).unsqueeze(1))
    exact = torch.autograd.grad((first * (REWARDS + GAMMA * (second * FOLLOWING).sum(1))).sum(), wanted)

    generator, sessions, sampled = torch.Generator().manual_seed(0), 1000, []
    for _ in range(100):
        begin = start.expand(sessions, -1)
        with torch.no_grad():
            a1 = policy.sample(begin, None, generator).items
            a2 = policy.sample(after(a1), a1.unsqueeze(1), generator).items
        assert (a1 != a2).all()
        r1, r2 = REWARDS[a1], FOLLOWING[a1, a2]
        # line 13's returns; the factor γ^(t−1), which line 15 leaves out, makes it the gradient of equation 3
        gain = policy.log_prob(begin, a1) * (r1 + GAMMA * r2)
        gain = gain + GAMMA * policy.log_prob(after(a1), a2, a1.unsqueeze(1)) * r2
        sampled.append(torch.cat([grad.flatten() for grad in torch.autograd.grad(gain.mean(), wanted)]))
    batches, flat = torch.stack(sampled), torch.cat([grad.flatten() for grad in exact])
    error = batches.std(0) / math.sqrt(len(batches))
    off = batches.mean(0) - flat
    assert len(flat) == 24
    assert (off.abs() <= 4.5 * error + 1e-12).all()
    assert off.norm() < 0.05 * flat.norm()


# --------------------------------------------------------------------------------------------- cost, devices, options


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that any operation makes, those that only look at others aside."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@pytest.mark.parametrize("hidden", HIDDEN[:2])
def test_no_tensor_of_rows_times_items(hidden: list[int]) -> None:
    """A decision and a gradient step: far less than rows × items, and no more with nine times the items."""
    rows, largest = 2048, []
    for children in (16, 48):
        items = torch.arange(children**2)
        tree = ClusterTree(torch.stack([items // children, items % children], 1), children)
        policy, state = TreePolicy(STATE, tree, hidden), torch.randn(rows, STATE)
        gone = torch.stack([torch.randperm(len(items))[:32] for _ in range(rows)])
        scores = ItemScores(torch.randn(len(items), SCORED), torch.randn(len(items)))
        with Largest() as seen:
            walk = policy.sample(state, gone, torch.Generator().manual_seed(0), scores)
            policy.greedy(state, gone, scores)
            policy.log_prob(state, walk.items, gone, scores).sum().backward()
        largest.append(seen.numbers / rows)
    assert largest[1] < 200  # of 2,304 items
    assert largest[1] < 4 * largest[0]


@pytest.mark.parametrize("hidden", HIDDEN[:2])
def test_nothing_waits_for_the_device(hidden: list[int]) -> None:
    """On the meta device there are no numbers to look at: whatever waited for some would fail."""
    policy, _, _, scores = make(2, 3, 7, hidden, SCORED)
    policy.to("meta")
    given = ItemScores(*(part.detach().to("meta") for part in scores))
    state = torch.randn(50, STATE, dtype=torch.double, device="meta")
    gone = torch.empty(50, 10, dtype=torch.long, device="meta")
    for missing in (None, gone):
        assert policy.sample(state, missing, scores=given).items.shape == (50,)
        assert policy.greedy(state, missing, given).items.shape == (50,)
        assert policy.topk(state, 4, missing, scores=given).items.shape == (50, 4)
        policy.log_prob(state, gone[:, 0], missing, given).sum().backward()
    found = policy.session_log_prob_and_entropy(state.view(10, 5, STATE), gone[:5], given)
    assert [part.shape for part in found] == [(10, 5)] * 2


def test_devices(device: torch.device) -> None:
    case, state = make(3, 3, 20, [5], SCORED), states(40).detach()
    gone, _ = some_gone(40, 20)
    policy = TreePolicy(STATE, case.tree.to(device), [5]).double()
    policy.load_state_dict(case.policy.state_dict())
    policy.to(device)
    scores = ItemScores(*(part.to(device) for part in case.scores))
    there = state.to(device), gone.to(device)
    torch.testing.assert_close(policy.probabilities(*there, scores).cpu(),
                               case.policy.probabilities(state, gone, case.scores))
    assert torch.equal(policy.greedy(*there, scores).items.cpu(), case.policy.greedy(state, gone, case.scores).items)
    assert torch.equal(policy.topk(there[0], 3, there[1], scores=scores).items.cpu(),
                       case.policy.topk(state, 3, gone, scores=case.scores).items)


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    leaves = torch.arange(900)
    tree = ClusterTree(torch.stack([leaves // 30, leaves % 30], 1), 30)
    state, items = torch.randn(3000, 16, requires_grad=True), torch.randint(900, (3000,))
    scores = ItemScores(torch.randn(900, 8), torch.randn(900), *torch.tensor([0.5, 1.5], requires_grad=True))
    gone = torch.stack([torch.randperm(900)[:32] for _ in range(3000)])
    gone = gone.masked_fill(gone == items.unsqueeze(1), -1)
    for hidden in HIDDEN[:2]:
        policy = TreePolicy(16, tree, hidden)
        assert_same_bit_for_bit(
            lambda policy=policy: sum(policy.log_prob_and_entropy(state, items, gone, scores)),
            [state, *policy.parameters(), *learned(scores)])
        assert_same_bit_for_bit(
            lambda policy=policy: sum(policy.session_log_prob_and_entropy(
                state[:, :16].unflatten(0, (30, 100)), gone[:100, :30].clamp(min=0), scores)),
            [state, *policy.parameters(), *learned(scores)])


def test_draws_follow_the_generator_and_leave_the_global_one_alone() -> None:
    policy, state = make(3, 3, 20).policy, states(50)
    before = torch.get_rng_state()
    one, other, third = (
        policy.sample(state, generator=torch.Generator().manual_seed(seed)).items for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_reset_repr_and_options() -> None:
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [2, 2]]), 3)
    policy = TreePolicy(16, tree, [4])
    assert repr(policy).startswith("TreePolicy(\n  3 items, depth=2, children=3, 16-4-3 a node")
    assert set(policy.state_dict()) == {"weights.0", "weights.1", "biases.0", "biases.1"}
    assert [tuple(weight.shape) for weight in policy.weights] == [(4, 16, 4), (4, 4, 3)]
    assert [tuple(bias.shape) for bias in policy.biases] == [(4, 4), (4, 3)]
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    policy.reset_parameters()
    assert not any(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    for weight, bias, most in zip(policy.weights, policy.biases, (0.25, 0.5), strict=True):
        assert max(weight.abs().max(), bias.abs().max()) <= most
    for name, sizes in (("state_channels", (0, [])), ("hidden", (3, [0])), ("hidden", (3, [4, -1]))):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got"):
            TreePolicy(sizes[0], tree, sizes[1])
    with pytest.raises(TypeError, match="`hidden` must be a whole number"):
        TreePolicy(3, tree, [2.5])
    state = torch.randn(2, 16)
    for name, options in (("k", {"k": 0}), ("beam", {"k": 1, "beam": 0})):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
            policy.topk(state, **options)
    for shape in ((4, 2), (3, 17)):  # other items, more than the state has
        with pytest.raises(ValueError, match=r"`scores.weight` must be \[3, at most 16\], got"):
            policy.greedy(state, scores=ItemScores(torch.zeros(shape), torch.zeros(shape[0])))
