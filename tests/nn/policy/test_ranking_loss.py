"""The ranking losses against the papers' formulas, one pair of scores at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kgrl.nn.policy.ranking_loss import LOSSES

LAMBDA = 0.3


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def slowly(name: str, target: Tensor, others: list[Tensor]) -> Tensor:
    """Of one target, as printed: Hidasi et al. (2016), section 3.1.3, and Hidasi and Karatzoglou (2018), section 3."""
    total, softmax = torch.zeros_like(target), sum(torch.exp(r) for r in others)
    for r in others:
        share = torch.exp(r) / softmax
        if name == "bpr":
            total = total - torch.log(sigma(target - r)) / len(others)
        elif name == "top1":
            total = total + (sigma(r - target) + sigma(r * r)) / len(others)
        elif name == "top1-max":
            total = total + share * (sigma(r - target) + sigma(r * r))
        elif name == "bpr-max":
            total = total + share * sigma(target - r)
    if name == "bpr-max":
        return -torch.log(total) + LAMBDA * sum(torch.exp(r) / softmax * r * r for r in others)
    if name == "cross-entropy":
        return -torch.log(torch.exp(target) / (torch.exp(target) + softmax))
    return total


def scores(spread: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target, negatives = (torch.randn(shape, generator=generator, dtype=torch.double) * spread for shape in (6, (6, 5)))
    counts = torch.rand(6, 5, generator=generator) < 0.6
    counts[0], counts[1] = True, False
    return target.requires_grad_(), negatives.requires_grad_(), counts


@pytest.mark.parametrize("name", LOSSES)
def test_equals_the_formula(name: str) -> None:
    """Value and gradient; row 1 has no negative, whose loss is 0."""
    target, negatives, counts = scores()
    assert counts.sum(1).unique().numel() > 2
    found = LOSSES[name](target, negatives, counts, LAMBDA)
    rows = [slowly(name, r, [s for s, known in zip(row, mask, strict=True) if known]) if mask.any() else r * 0
            for r, row, mask in zip(target, negatives, counts, strict=True)]
    torch.testing.assert_close(found, torch.stack(rows))
    weight = torch.linspace(-1, 2, 6, dtype=torch.double)
    ours = torch.autograd.grad((found * weight).sum(), [target, negatives])
    theirs = torch.autograd.grad((torch.stack(rows) * weight).sum(), [target, negatives])
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_count_may_be_anything(name: str) -> None:
    target, negatives, counts = scores()
    wild = torch.where(counts, negatives, 1e8)
    assert torch.equal(LOSSES[name](target, wild, counts, 0.0), LOSSES[name](target, negatives, counts, 0.0))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_no_score_is_too_large(name: str, dtype: torch.dtype) -> None:
    """Loss and gradient are finite where the formula as printed is log 0 or ∞ / ∞."""
    for high, low in [(500.0, -500.0), (-500.0, 500.0)]:
        target = torch.tensor([high, high], dtype=dtype, requires_grad=True)
        negatives = torch.tensor([[low, low, high], [0, 0, 0]], dtype=dtype, requires_grad=True)
        counts = torch.tensor([[True, True, False], [False, False, False]])
        loss = LOSSES[name](target, negatives, counts, 1e-3)
        gradients = torch.autograd.grad(loss.sum(), [target, negatives])
        assert all(part.isfinite().all() for part in (loss, *gradients))
        assert loss[1] == 0
