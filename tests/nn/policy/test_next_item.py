"""``NextItem`` against a loop over sessions, steps and items."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kgrl.nn.policy.next_item import NextItem

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
