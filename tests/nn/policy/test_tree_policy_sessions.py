"""``TreePolicy`` over whole sessions against one step at a time."""

from __future__ import annotations

import pytest
import torch

from kgrl.nn.policy.tree_walk import join_choices
from tests.nn.policy.slow_tree_policy import HIDDEN, SCORED, STATE, learned, make, states

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
