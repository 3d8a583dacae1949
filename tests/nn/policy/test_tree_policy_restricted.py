"""A restricted ``TreePolicy`` against one to which all other items are gone, in every state alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.nn.policy.slow_tree_policy import HIDDEN, SCORED, STATE, make, states

ROWS = 6
SHAPES = [(1, 5, 5), (2, 4, 7), (3, 4, 30), (4, 2, 9)]
SOME = pytest.mark.parametrize(("depth", "children", "num_items"), SHAPES)


def allowed(num_items: int) -> Tensor:
    return torch.randperm(num_items, generator=torch.Generator().manual_seed(1))[: max(2, num_items // 3)]


def outside(num_items: int) -> Tensor:
    """``[ROWS, N − K]``, the items that are not allowed."""
    others = [item for item in range(num_items) if item not in allowed(num_items).tolist()]
    return torch.tensor(others).expand(ROWS, -1)


def met(num_items: int) -> Tensor:
    """``[ROWS, 2]``: an item that may not be picked, as of a past, and, in every second row, one that may."""
    shown = torch.stack([outside(num_items)[:, 0], allowed(num_items)[:1].expand(ROWS)], 1).clone()
    shown[::2, 1] = -1
    return shown


def with_others(num_items: int) -> Tensor:
    return torch.cat([met(num_items)[:, 1:], outside(num_items)], 1)


@SOME
@pytest.mark.parametrize("hidden", HIDDEN[:2])
@pytest.mark.parametrize("scored", [None, SCORED])
def test_it_decides_as_if_the_others_were_gone(depth, children, num_items, hidden, scored) -> None:
    case, state = make(depth, children, num_items, hidden, scored), states(ROWS).detach()
    policy, gone, shown = case.policy, with_others(num_items), met(num_items)
    before = policy.state_dict().keys()
    expected = policy.probabilities(state, gone, case.scores)
    walk, best = policy.greedy(state, gone, case.scores), policy.topk(state, 3, gone, scores=case.scores)
    drawn = policy.sample(state, gone, torch.Generator().manual_seed(0), case.scores)
    policy.restrict(allowed(num_items))
    assert policy.state_dict().keys() == before
    torch.testing.assert_close(policy.probabilities(state, shown, case.scores), expected)
    for mine, other in ((policy.greedy(state, shown, case.scores), walk),
                        (policy.topk(state, 3, shown, scores=case.scores), best),
                        (policy.sample(state, shown, torch.Generator().manual_seed(0), case.scores), drawn)):
        assert torch.equal(mine.items, other.items)
        torch.testing.assert_close(mine.log_prob, other.log_prob)
    assert set(policy.greedy(state, None, case.scores).items.tolist()) <= set(allowed(num_items).tolist())
    total = policy.probabilities(state, None, case.scores)
    torch.testing.assert_close(total.sum(1), torch.ones_like(total[:, 0]))
    policy.restrict(None)
    torch.testing.assert_close(policy.probabilities(state, gone, case.scores), expected)


def test_nothing_is_left_when_all_that_may_be_picked_is_gone() -> None:
    case, state = make(3, 4, 30, [], SCORED), states(ROWS).detach()
    case.policy.restrict(torch.tensor([4, 9]))
    gone = torch.tensor([[9, 4, 2]]).expand(ROWS, -1)
    assert case.policy.greedy(state, gone, case.scores).items.tolist() == [-1] * ROWS
    assert case.policy.topk(state, 2, gone, scores=case.scores).items.tolist() == [[-1, -1]] * ROWS
    assert case.policy.greedy(state, gone[:, 1:], case.scores).items.tolist() == [9] * ROWS


@SOME
@pytest.mark.parametrize("scored", [None, SCORED])
def test_sessions_with_a_past_equal_step_by_step(depth, children, num_items, scored) -> None:
    """Log-probability, entropy and gradients; one session ends early, and brings no NaN into the gradient."""
    case, items = make(depth, children, num_items, [], scored), allowed(num_items)
    shown, past = items.expand(ROWS, -1).clone(), outside(num_items)[:, :2]
    shown[-1, 1:] = -1
    state, taken = states(ROWS * len(items)).view(len(items), ROWS, STATE), (shown >= 0).t()
    for restricted in (False, True):
        case.policy.restrict(items if restricted else None)
        found = case.policy.session_log_prob_and_entropy(state, shown, case.scores, None, past)
        stepped = [case.policy.log_prob_and_entropy(
            state[t], shown[:, t].where(shown[:, t] >= 0, items[t]), torch.cat([past, shown[:, :t]], 1), case.scores)
            for t in range(len(items))]
        for mine, other in zip(found, zip(*stepped, strict=True), strict=True):
            torch.testing.assert_close(mine[taken], torch.stack(other)[taken])
        loss = torch.where(taken, found[0] + found[1], 0.0).sum()
        for gradient in torch.autograd.grad(loss, [state, *case.policy.parameters()]):
            assert gradient.isfinite().all()


def test_an_ended_session_brings_no_nan_where_whole_nodes_are_left_out() -> None:
    case = make(2, 4, 16, [], SCORED)
    items = case.policy.index.leaves[4:12]  # below the root's second and third child
    items = items if 0 not in items.tolist() else case.policy.index.leaves[8:16]
    case.policy.restrict(items)
    shown = items[:2].repeat(ROWS, 1)
    shown[-1, 1:] = -1
    state = states(2 * ROWS).view(2, ROWS, STATE)
    found = case.policy.session_log_prob_and_entropy(state, shown, case.scores)
    assert found[0].isfinite().all()
    loss = torch.where((shown >= 0).t(), found[0] + found[1], 0.0).sum()
    assert all(each.isfinite().all() for each in torch.autograd.grad(loss, [state, *case.policy.parameters()]))


@pytest.mark.parametrize(("items", "text"), [([], "at least one id"), ([-1], "ids from 0 to 6, got -1"),
                                             ([7], "ids from 0 to 6, got 7")])
def test_refuses(items: list[int], text: str) -> None:
    with pytest.raises(ValueError, match=f"`items` must be {text}"):
        make(2, 4, 7, [], None).policy.restrict(torch.tensor(items, dtype=torch.long))
