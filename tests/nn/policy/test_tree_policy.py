"""``TreePolicy`` against one ``torch.nn.Sequential`` a node, looked up by its path and walked by recursion."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from kgrl.nn import ItemScores
from kgrl.nn.policy.tree_policy import CELLS
from tests.nn.policy.slow_tree_policy import (
    HIDDEN,
    SCORED,
    SHAPES,
    STATE,
    assert_same_gradients,
    choices,
    learned,
    make,
    some_gone,
    states,
)

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


@pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)
@pytest.mark.parametrize("scored", [None, SCORED])
@pytest.mark.parametrize("rows_at_once", [1, 2, 5])
def test_a_greedy_walk_of_some_rows_at_a_time(
    depth: int, children: int, num_items: int, scored: int | None, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS, "cpu", rows_at_once * children)
    case, rows = make(depth, children, num_items, [4], scored, seed=1), 9
    state, (gone, sets) = states(rows), some_gone(rows, num_items)
    for missing, taken in ((None, [set()] * rows), (gone, sets)):
        walk = case.policy.greedy(state, missing, case.scores)
        by_hand = [case.slow.greedy(*row) for row in zip(state, taken, strict=True)]
        assert walk.items.tolist() == [item for item, _ in by_hand]
        log_prob = torch.stack([log_prob for _, log_prob in by_hand])
        torch.testing.assert_close(walk.log_prob, log_prob)
        factor = torch.linspace(-1, 2, rows).double()
        for network in case.slow.networks.values():
            network.zero_grad()
        assert_same_gradients(case, state, (walk.log_prob * factor).sum(), (log_prob * factor).sum())


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


# ------------------------------------------------------------------------------------------------------ nothing left


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
