"""``SRU`` against equations 3 to 7 of its paper, one number at a time; the user status by hand and by counting."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.nn import SRU, SRUCarry
from kgrl.nn.state.recurrent_units import STATUS, initial_status, next_status

BATCH, STEPS = 3, 5
SIZES = [(4, 4), (3, 5), (5, 3), (1, 1)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(layer: SRU, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x [T, d]`` → (cells, hidden vectors), ``[T, h]`` each."""
    d, h = layer.in_channels, layer.state_channels
    weight = layer.weight.detach().numpy()
    w, w_f, w_r = weight[:h], weight[h : 2 * h], weight[2 * h : 3 * h]
    skip = np.eye(d) if d == h else weight[3 * h :]
    assert len(weight) == (3 if d == h else 4) * h
    b_f, b_r = layer.bias.detach().numpy().reshape(2, h)
    cells, outputs = np.zeros((len(x) + 1, h)), np.zeros((len(x), h))
    for t, x_t in enumerate(x):
        for i in range(h):
            x_tilde = sum(w[i, j] * x_t[j] for j in range(d))
            f = sigmoid(sum(w_f[i, j] * x_t[j] for j in range(d)) + b_f[i])
            r = sigmoid(sum(w_r[i, j] * x_t[j] for j in range(d)) + b_r[i])
            cells[t + 1, i] = f * cells[t, i] + (1 - f) * x_tilde
            outputs[t, i] = r * math.tanh(cells[t + 1, i]) + (1 - r) * sum(skip[i, j] * x_t[j] for j in range(d))
    return cells[1:], outputs


def make(d: int, h: int) -> tuple[SRU, Tensor]:
    torch.manual_seed(0)
    layer = SRU(d, h).double()
    torch.nn.init.normal_(layer.bias)
    return layer, torch.randn(BATCH, STEPS, d, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize(("d", "h"), SIZES)
def test_equals_the_formulas(d: int, h: int) -> None:
    layer, inputs = make(d, h)
    expected = np.stack([by_hand(layer, row)[1] for row in inputs.detach().numpy()])
    np.testing.assert_allclose(layer(inputs).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("d", "h"), SIZES)
def test_step_by_step_equals_the_whole_sequence(d: int, h: int) -> None:
    """Cells, hidden vectors and gradients."""
    layer, inputs = make(d, h)
    carry, outputs = layer.initial(BATCH), []
    assert isinstance(carry, SRUCarry)
    assert [part.shape for part in carry] == [(BATCH, h)] * 2
    assert not any(part.any() for part in carry)
    cells = np.stack([by_hand(layer, row)[0] for row in inputs.detach().numpy()])
    for t in range(STEPS):
        carry = layer.step(carry, layer.project(inputs[:, t]))
        np.testing.assert_allclose(carry.cell.detach().numpy(), cells[:, t], rtol=1e-10, atol=1e-12)
        outputs.append(carry.output)
    stepped, whole = torch.stack(outputs, 1), layer(inputs)
    torch.testing.assert_close(stepped, whole)
    weight = torch.linspace(-1, 2, whole.numel(), dtype=torch.double).view_as(whole)
    wanted = [inputs, *layer.parameters()]
    ours = torch.autograd.grad((whole * weight).sum(), wanted)
    theirs = torch.autograd.grad((stepped * weight).sum(), wanted)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("d", "h"), SIZES)
def test_projecting_many_inputs_at_once(d: int, h: int) -> None:
    layer, inputs = make(d, h)
    whole = layer.project(inputs)
    assert whole.shape == (BATCH, STEPS, 4 * h)
    torch.testing.assert_close(whole[:, 2], layer.project(inputs[:, 2]))


@pytest.mark.parametrize(("d", "h"), [(2, 2), (2, 3)])
def test_gradients_by_finite_differences(d: int, h: int) -> None:
    layer, inputs = make(d, h)
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in (layer.weight, layer.bias))

    def compute(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (inputs,))

    assert torch.autograd.gradcheck(compute, (inputs[:2, :3].detach().requires_grad_(), weight, bias))


def test_a_forget_gate_that_is_open_or_shut() -> None:
    """Kept for ever, the cell stays 0 and the output is the skipped input; forgotten at once, nothing is remembered."""
    layer, inputs = make(4, 4)
    with torch.no_grad():
        layer.weight[4:] = 0
        layer.bias[:4], layer.bias[4:] = 50, 0
    torch.testing.assert_close(layer(inputs), inputs / 2)
    with torch.no_grad():
        layer.bias[:4] = -50
    torch.testing.assert_close(layer(inputs), (inputs + torch.tanh(inputs @ layer.weight[:4].T)) / 2)


@pytest.mark.parametrize(("d", "h"), [(4, 4), (3, 5)])
def test_no_steps_and_no_sessions(d: int, h: int) -> None:
    layer, inputs = make(d, h)
    assert layer(inputs[:, :0]).shape == (BATCH, 0, h)
    assert layer(inputs[:, :0]).dtype == torch.double
    assert layer(inputs[:0]).shape == (0, STEPS, h)
    assert layer.step(layer.initial(0), layer.project(inputs[:0, 0])).output.shape == (0, h)


def test_devices(device: torch.device) -> None:
    layer, inputs = make(3, 5)
    expected = layer(inputs)
    layer.to(device)
    torch.testing.assert_close(layer(inputs.to(device)).cpu(), expected)
    carry = layer.step(layer.initial(BATCH), layer.project(inputs[:, 0].to(device)))
    torch.testing.assert_close(carry.output.cpu(), expected[:, 0])


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    layer, inputs = SRU(16, 32), torch.randn(500, 10, 16, requires_grad=True)
    assert_same_bit_for_bit(lambda: layer(inputs), [inputs, *layer.parameters()])


def test_initial_weights_keep_the_variance() -> None:
    torch.manual_seed(0)
    layer = SRU(50, 200)
    assert layer.weight.abs().max() <= math.sqrt(3 / 50)
    assert not layer.bias.any()
    x = torch.randn(2000, 50)
    assert float((x @ layer.weight.T).detach().var()) == pytest.approx(1, rel=0.05)


def test_reset_repr_and_options() -> None:
    layer = SRU(12, 4)
    assert repr(layer) == "SRU(12, 4)"
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    for name, sizes in (("in_channels", (0, 4)), ("state_channels", (4, 0))):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
            SRU(*sizes)
    with pytest.raises(TypeError, match="`in_channels` must be a whole number"):
        SRU(1.5, 4)


# ------------------------------------------------------------------------------------------------------ the user status

# sign of the feedback, then: positive, negative, zero feedbacks, steps; and in a row, up to now: positive, negative,
# zero, not negative, not positive
BY_HAND = [
    (0, [0, 0, 1, 1, 0, 0, 1, 1, 1]),
    (+1, [1, 0, 1, 2, 1, 0, 0, 2, 0]),
    (+1, [2, 0, 1, 3, 2, 0, 0, 3, 0]),
    (-1, [2, 1, 1, 4, 0, 1, 0, 0, 1]),
    (0, [2, 1, 2, 5, 0, 0, 1, 1, 2]),
    (0, [2, 1, 3, 6, 0, 0, 2, 2, 3]),
    (-1, [2, 2, 3, 7, 0, 1, 0, 0, 4]),
    (-1, [2, 3, 3, 8, 0, 2, 0, 0, 5]),
    (+1, [3, 3, 3, 9, 1, 0, 0, 1, 0]),
    (0, [3, 3, 4, 10, 0, 0, 1, 2, 1]),
]


@pytest.mark.parametrize("dtype", [torch.int8, torch.long, torch.float])
def test_a_session_by_hand(dtype: torch.dtype, device: torch.device) -> None:
    """Beside one that sees the opposite: what counts positive and negative feedbacks changes places."""
    status = initial_status(2, device)
    assert torch.equal(status.cpu(), torch.zeros(2, STATUS))
    for sign, numbers in BY_HAND:
        status = next_status(status, torch.tensor([sign, -sign], dtype=dtype, device=device))
        positive, negative, zero, steps, ups, downs, zeros, not_down, not_up = numbers
        mirrored = [negative, positive, zero, steps, downs, ups, zeros, not_up, not_down]
        assert status.tolist() == [numbers, mirrored]
        assert status.dtype == torch.float


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_equals_counting(signs: list[int]) -> None:
    status = initial_status(1)
    for sign in signs:
        status = next_status(status, torch.tensor([sign]))
    kinds = [{1}, {-1}, {0}, {0, 1}, {0, -1}]
    runs = [next((i for i, sign in enumerate(reversed(signs)) if sign not in kind), len(signs)) for kind in kinds]
    assert status[0].tolist() == [signs.count(1), signs.count(-1), signs.count(0), len(signs), *runs]


def test_size_of_the_feedback_does_not_matter() -> None:
    before = torch.arange(3.0 * STATUS).view(3, STATUS)
    found = next_status(before, torch.tensor([0.2, -7.0, 0.0]))
    assert torch.equal(found, next_status(before, torch.tensor([1, -1, 0])))
    assert torch.equal(before, torch.arange(3.0 * STATUS).view(3, STATUS))  # is left as it was


def test_no_sessions() -> None:
    assert next_status(initial_status(0), torch.zeros(0)).shape == (0, STATUS)
