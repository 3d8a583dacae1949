"""``GRUState`` against equations 7 and 8 written out for one session at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kgrl.nn import GRUState

ITEMS, CHANNELS, STATE = 9, 4, 3
SEQUENCES = torch.tensor([
    [3, -1, 3, 8, -1, 0],
    [-1, -1, -1, -1, -1, -1],
    [-1, 2, -1, -1, -1, -1],
    [5, 4, 3, 2, 1, 0],
    [-1, -1, -1, -1, -1, 7],
])


def slowly(state: GRUState, items: Tensor, sequences: Tensor) -> Tensor:
    w_z, w_r, w_h = state.weight.chunk(3)
    b_z, b_r, b_h = state.bias.chunk(3)
    u_z, u_r = state.recurrent_gates.chunk(2)
    u_h = state.recurrent_candidate
    rows = []
    for sequence in sequences.tolist():
        h = torch.zeros(STATE, dtype=items.dtype)
        for item in sequence:
            if item >= 0:
                i = items[item]
                z = torch.sigmoid(w_z @ i + u_z @ h + b_z)
                r = torch.sigmoid(w_r @ i + u_r @ h + b_r)
                candidate = torch.tanh(w_h @ i + u_h @ (r * h) + b_h)
                h = (1 - z) * h + z * candidate
        rows.append(h)
    return torch.stack(rows)


def make() -> tuple[GRUState, Tensor]:
    torch.manual_seed(0)
    return GRUState(CHANNELS, STATE).double(), torch.randn(ITEMS, CHANNELS, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(1, 2), slice(1, 3), slice(0, 0)])
def test_equals_the_formulas(rows: slice) -> None:
    """Outputs and gradients; −1 anywhere, empty sessions, and both ways round of projecting (few and many items)."""
    state, items = make()
    sequences = SEQUENCES[rows]
    expected = slowly(state, items, sequences) if len(sequences) else items.new_zeros(0, STATE)
    out = state(items, sequences)
    torch.testing.assert_close(out, expected)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    inputs = [items, *state.parameters()]
    if expected.requires_grad:
        ours = torch.autograd.grad((out * weight).sum(), inputs)
        for mine, theirs in zip(ours, torch.autograd.grad((expected * weight).sum(), inputs), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_nothing_liked_is_the_initial_state(device: torch.device) -> None:
    state = GRUState(CHANNELS, STATE).to(device)
    items = torch.randn(ITEMS, CHANNELS, device=device)
    for length in (0, 3):
        out = state(items, torch.full((2, length), -1, device=device))
        assert torch.equal(out, state.initial(2))
        assert out.tolist() == [[0.0] * STATE] * 2


def test_step_by_step_is_the_same() -> None:
    """A rollout: the projection once, then a step wherever an item was liked."""
    state, items = make()
    inputs, hidden = state.project(items), state.initial(len(SEQUENCES))
    for column in SEQUENCES.t():
        after = state.step(hidden, inputs[column.clamp(min=0)])
        hidden = torch.where(column[:, None] >= 0, after, hidden)
    torch.testing.assert_close(hidden, state(items, SEQUENCES))


def test_is_not_torchs_gru() -> None:
    """The reset gate comes before the product; one step from zero cannot tell, two can."""
    state, items = make()
    gru = torch.nn.GRU(CHANNELS, STATE).double()
    with torch.no_grad():  # torch's order is r, z, n; its z keeps what ours replaces
        w_z, w_r, w_h = state.weight.chunk(3)
        b_z, b_r, b_h = state.bias.chunk(3)
        u_z, u_r = state.recurrent_gates.chunk(2)
        gru.weight_ih_l0.copy_(torch.cat([w_r, -w_z, w_h]))
        gru.weight_hh_l0.copy_(torch.cat([u_r, -u_z, state.recurrent_candidate]))
        gru.bias_ih_l0.copy_(torch.cat([b_r, -b_z, b_h]))
        gru.bias_hh_l0.zero_()
    torch.testing.assert_close(gru(items[:1])[1][0], state(items, torch.tensor([[0]]))[0])
    assert not torch.allclose(gru(items[:2])[1][0], state(items, torch.tensor([[0, 1]]))[0])


def test_finished_sessions_cost_nothing() -> None:
    """Each item of each session is one row of one step, no more."""
    state, items = make()
    rows: list[int] = []
    step = state.step
    state.step = lambda hidden, inputs: rows.append(len(inputs)) or step(hidden, inputs)  # type: ignore[method-assign]
    state(items, torch.nn.functional.pad(SEQUENCES, (2, 1), value=-1))
    assert rows == [4, 2, 2, 2, 1, 1]
    assert sum(rows) == int((SEQUENCES >= 0).sum())


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    """With fewer liked items than items, and with more."""
    state = GRUState(16, 16)
    sequences = torch.randint(-1, 500, (400, 20))
    for num_items in (500, 20_000):
        items = torch.randn(num_items, 16, requires_grad=True)
        assert_same_bit_for_bit(lambda items=items: state(items, sequences), [items, *state.parameters()])


def test_reset_repr_and_options() -> None:
    state = GRUState(4, 16)
    assert repr(state) == "GRUState(4, 16)"
    before = state.weight.clone()
    state.reset_parameters()
    assert not torch.equal(state.weight, before)
    assert max(parameter.abs().max() for parameter in state.parameters()) <= 0.25
    with pytest.raises(ValueError, match="`state_channels` must be at least 1, got 0"):
        GRUState(4, 0)
