"""``NextItem`` against a loop over sessions, steps and items; the losses against the formulas, pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kgrl.nn.policy.next_item import LOSSES, NextItem

ITEMS, DIM = 7, 4
SEQUENCES = torch.tensor([[3, 0, 6], [1, 1, 2], [5, 4, 0], [2, 6, 3], [0, 5, -1]])  # [L, B]
FIRST = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], dtype=torch.bool)


def make(tied: bool = True, state: int = DIM, dropout: float = 0.0) -> NextItem:
    torch.manual_seed(0)
    network = NextItem(ITEMS, DIM, state, tied, dropout).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


def one_later(network: NextItem, h: Tensor, item: int) -> Tensor:
    """Equations 1 to 4 of the paper."""
    gru, x = network.gru, network.embedding[item]
    (w_z, w_r, w), (b_z, b_r, b) = gru.weight.chunk(3), gru.bias.chunk(3)
    u_z, u_r = gru.recurrent_gates.chunk(2)
    z = torch.sigmoid(w_z @ x + u_z @ h + b_z)
    r = torch.sigmoid(w_r @ x + u_r @ h + b_r)
    return (1 - z) * h + z * torch.tanh(w @ x + gru.recurrent_candidate @ (r * h) + b)


def slow_states(network: NextItem, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Before each item, and after the last that is there."""
    rows, last = [], []
    for lane in range(SEQUENCES.size(1)):
        h, row = hidden[lane], []
        for item, first in zip(SEQUENCES[:, lane].tolist(), FIRST[:, lane].tolist(), strict=True):
            h = torch.zeros_like(h) if first else h
            row.append(h)
            h = one_later(network, h, item) if item >= 0 else h
        rows.append(torch.stack(row))
        last.append(h)
    return torch.stack(rows, 1), torch.stack(last)


@pytest.mark.parametrize(("tied", "state"), [(True, DIM), (False, 3)])
def test_states_and_scores_equal_a_loop(tied: bool, state: int) -> None:
    """With gradients; the second lane goes on from a session before."""
    network, hidden = make(tied, state), torch.randn(3, state, dtype=torch.double)
    before, after = network(SEQUENCES, FIRST, hidden)
    slow, last = slow_states(network, hidden)
    torch.testing.assert_close(before, slow)
    torch.testing.assert_close(after[:2], last[:2])
    drawn = torch.tensor([6, 0, 3, 0])
    target, negatives, counts = network.against(before, SEQUENCES, drawn)
    weight = network.embedding if tied else network.output
    scores = slow @ weight.T + network.bias
    torch.testing.assert_close(network.scores(before.flatten(0, 1)), scores.flatten(0, 1))
    total, slow_total, row = 0.0, 0.0, 0
    for step in range(5):
        for lane in range(3):
            item = int(SEQUENCES[step, lane])
            others = SEQUENCES[step].tolist() + drawn.tolist()
            assert counts[row].tolist() == [other not in (item, -1) for other in others]
            if item >= 0:
                torch.testing.assert_close(target[row], scores[step, lane, item])
                slow_total = slow_total + scores[step, lane, item] * (row + 1)
                total = total + target[row] * (row + 1)
            for place, other in enumerate(others):
                if counts[row, place]:
                    torch.testing.assert_close(negatives[row, place], scores[step, lane, other])
                    slow_total = slow_total - scores[step, lane, other] * place
                    total = total - negatives[row, place] * place
            row += 1
    ours = torch.autograd.grad(total, list(network.parameters()))
    theirs = torch.autograd.grad(slow_total, list(network.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_one_lane_and_nothing_drawn_leaves_no_negative() -> None:
    network = make()
    before, _ = network(SEQUENCES[:, :1], FIRST[:, :1], network.gru.initial(1))
    target, negatives, counts = network.against(before, SEQUENCES[:, :1], torch.empty(0, dtype=torch.long))
    assert target.shape == (5,)
    assert negatives.shape == counts.shape == (5, 1)
    assert not counts.any()


def test_dropout_is_of_the_scores_and_of_training_alone() -> None:
    network, hidden = make(dropout=0.5), torch.zeros(3, DIM, dtype=torch.double)
    drawn = torch.tensor([1, 2])
    before, after = network(SEQUENCES, FIRST, hidden)
    torch.manual_seed(1)
    dropped = network.against(before, SEQUENCES, drawn)[1]
    again = network.eval()(SEQUENCES, FIRST, hidden)
    assert torch.equal(before, again[0])
    assert torch.equal(after, again[1])
    whole = network.against(before, SEQUENCES, drawn)[1]
    assert not torch.equal(dropped, whole)
    assert torch.equal(whole, make().against(before, SEQUENCES, drawn)[1])
    assert torch.equal(network.scores(hidden + 1), make().scores(hidden + 1))


def test_starts_with_no_item_above_another() -> None:
    network = NextItem(ITEMS, DIM, 3, tied=False)
    assert not network.scores(torch.randn(2, 3)).any()
    assert network.embedding.abs().max() <= DIM**-0.5
    assert network.embedding.unique().numel() == ITEMS * DIM
    tied = NextItem(ITEMS, DIM, DIM)
    assert tied.weight is tied.embedding
    assert not tied.scores(torch.zeros(2, DIM)).any()
    assert repr(tied).startswith("NextItem(\n  7, tied=True, dropout=0.0")


@pytest.mark.parametrize(("given", "message"), [
    ({"num_items": 0}, "`num_items` must be at least 1, got 0"),
    ({"dim": 0}, "`dim` must be at least 1, got 0"),
    ({"state_channels": 0, "tied": False}, "`state_channels` must be at least 1, got 0"),
    ({"state_channels": 3}, "`state_channels` must be dim = 4 where `tied`, got 3"),
    ({"dropout": 1.5}, "`dropout` must be a finite number"),
])  # fmt: skip
def test_bad_options_are_named(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NextItem(**({"num_items": ITEMS, "dim": DIM, "state_channels": DIM} | given))


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
