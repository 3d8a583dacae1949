"""``TreePolicy`` in use: what it learns, what it costs, devices, options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kgrl.nn import ItemScores, TreePolicy
from kgrl.tree import ClusterTree
from tests.nn.policy.slow_tree_policy import HIDDEN, SCORED, STATE, learned, make, some_gone, states

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
    assert set(policy.state_dict()) == {"weights.0", "weights.1", "biases.0", "biases.1", "index.leaves"}
    assert [tuple(weight.shape) for weight in policy.weights] == [(4, 16, 4), (4, 4, 3)]
    assert [tuple(bias.shape) for bias in policy.biases] == [(4, 4), (4, 3)]
    before = {name: value.detach().clone() for name, value in policy.named_parameters()}
    policy.reset_parameters()
    assert not any(torch.equal(value, before[name]) for name, value in policy.named_parameters())
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


# ------------------------------------------------------------------------------------------------------ refused input


@pytest.mark.parametrize("depth", [1, 2])
def test_classes_that_are_none_are_refused(depth: int) -> None:
    policy = make(depth, 10, 9).policy
    for items, message in (([3, -1], "items in .0, 9., got -1"), ([9, 0], "items in .0, 9., got 9"),
                           ([1], r"`items` must be a LongTensor \[2\], got")):
        with pytest.raises(ValueError, match=message):
            policy.log_prob(states(2), torch.tensor(items))
    assert policy.log_prob(states(0), torch.empty(0, dtype=torch.long)).shape == (0,)
