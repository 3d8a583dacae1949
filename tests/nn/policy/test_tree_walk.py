"""``log_prob_and_entropy`` against PyTorch's categorical distribution; ``draw`` against its own probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical

from kgrl.nn.policy.tree_walk import draw, log_prob_and_entropy


def some_logits(rows: int = 50, children: int = 7) -> tuple[Tensor, Tensor]:
    """Some are −∞, but never the digit's."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(rows, children, generator=generator, dtype=torch.double)
    digit = torch.randint(children, (rows,), generator=generator)
    away = torch.rand(rows, children, generator=generator) < 0.3
    away[torch.arange(rows), digit] = False
    return logits.masked_fill(away, -torch.inf), digit


def test_equals_the_categorical_distribution_and_its_gradient() -> None:
    logits, digit = some_logits()
    given = logits.clone().requires_grad_()
    weights = torch.randn(2, len(logits), generator=torch.Generator().manual_seed(1), dtype=torch.double)
    found = log_prob_and_entropy(given, digit)
    (mine,) = torch.autograd.grad((found[0] * weights[0] + found[1] * weights[1]).sum(), given)
    for row in range(len(logits)):
        left = logits[row].isfinite()
        alone = logits[row, left].requires_grad_()
        known = Categorical(logits=alone)
        log_prob, entropy = known.log_prob(left[: digit[row]].sum()), known.entropy()
        torch.testing.assert_close(torch.stack([part[row] for part in found]), torch.stack([log_prob, entropy]))
        (gradient,) = torch.autograd.grad(log_prob * weights[0, row] + entropy * weights[1, row], alone)
        torch.testing.assert_close(mine[row, left], gradient)
        assert not mine[row, ~left].any()


def test_gradcheck() -> None:
    logits, digit = some_logits(4, 3)
    logits = logits.clamp(min=-5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_prob_and_entropy(x, digit), logits)


def test_draws_tell_their_log_probability_and_never_hit_what_is_gone() -> None:
    logits, _ = some_logits()
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        digit, log_prob = draw(logits, generator)
        assert log_prob.isfinite().all()
        torch.testing.assert_close(log_prob, log_prob_and_entropy(logits, digit)[0])


def test_draws_in_half_precision_are_as_frequent_as_they_should_be() -> None:
    """Over many children, sums in bfloat16 would miss by half."""
    digit, log_prob = draw(torch.zeros(100_000, 400, dtype=torch.bfloat16), torch.Generator().manual_seed(0))
    assert digit.bincount(minlength=400).min() > 150  # of 250 expected
    torch.testing.assert_close(log_prob, torch.full((100_000,), -math.log(400)), atol=1e-5, rtol=0)
