"""``DuelingHead`` against equation 11 with the networks applied to one pair at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kgrl.nn import DuelingHead
from kgrl.nn.policy import dueling

STATE, CHANNELS, HIDDEN = 3, 4, 5


def slowly(head: DuelingHead, state: Tensor, items: Tensor, index: Tensor, batch: Tensor) -> Tensor:
    joint = torch.cat([head.from_state.weight, head.from_item.weight], dim=1)  # acts on [s ‖ i]
    values = []
    for item, session in zip(index.tolist(), batch.tolist(), strict=True):
        s, i = state[session], items[item]
        hidden = (joint @ torch.cat([s, i]) + head.from_state.bias).relu()
        advantage = head.advantage.weight[0] @ hidden + head.advantage.bias[0]
        first, last = head.value[0], head.value[2]
        value = last.weight[0] @ (first.weight @ i + first.bias).relu() + last.bias[0]
        values.append(value + advantage)
    return torch.stack(values)


def make(num_pairs: int) -> tuple[DuelingHead, list[Tensor]]:
    torch.manual_seed(0)
    head = DuelingHead(STATE, CHANNELS, HIDDEN).double()
    state = torch.randn(3, STATE, dtype=torch.double, requires_grad=True)
    items = torch.randn(7, CHANNELS, dtype=torch.double, requires_grad=True)
    return head, [state, items, torch.randint(7, (num_pairs,)), torch.randint(3, (num_pairs,))]


@pytest.mark.parametrize("num_pairs", [1, 5, 20])
@pytest.mark.parametrize("projected", [False, True])
def test_equals_the_formula(num_pairs: int, projected: bool) -> None:
    """Outputs and gradients, with fewer and more pairs than items."""
    head, (state, items, index, batch) = make(num_pairs)
    expected = slowly(head, state, items, index, batch)
    out = head(state, head.project(items) if projected else items, index, batch)
    torch.testing.assert_close(out, expected)
    weight = torch.linspace(-1, 2, num_pairs, dtype=torch.double)
    inputs = [state, items, *head.parameters()]
    ours = torch.autograd.grad((out * weight).sum(), inputs)
    for mine, theirs in zip(ours, torch.autograd.grad((expected * weight).sum(), inputs), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("chunk", [1, 3, 20, 100])
def test_chunks_change_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head, (state, items, index, batch) = make(20)
    monkeypatch.setitem(dueling.CHUNK, "cpu", chunk)
    seen: list[int] = []
    pairs = head._pairs
    monkeypatch.setattr(head, "_pairs", lambda *args: seen.append(len(args[2])) or pairs(*args))
    with torch.no_grad():
        out = head(state, items, index, batch)
    assert max(seen) == min(chunk, 20)
    torch.testing.assert_close(out, slowly(head, state, items, index, batch))


def test_no_pairs(device: torch.device) -> None:
    head, (state, items, index, batch) = make(0)
    inputs = [tensor.to(device) for tensor in (state, items, index, batch)]
    head.to(device)
    assert head(*inputs).shape == (0,)
    with torch.no_grad():
        assert head(*inputs).shape == (0,)


def test_devices(device: torch.device) -> None:
    head, inputs = make(20)
    expected = head(*inputs)
    torch.testing.assert_close(head.to(device)(*(tensor.to(device) for tensor in inputs)).cpu(), expected)


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    """With more pairs than items, and with fewer."""
    head = DuelingHead(16, 16, 32)
    state, items = torch.randn(50, 16, requires_grad=True), torch.randn(300, 16, requires_grad=True)
    for num_pairs in (20_000, 200):
        index, batch = torch.randint(300, (num_pairs,)), torch.randint(50, (num_pairs,))
        assert_same_bit_for_bit(lambda index=index, batch=batch: head(state, items, index, batch),
                                [state, items, *head.parameters()])


def test_reset_repr_and_options() -> None:
    head = DuelingHead(12, 4, 64)
    assert repr(head).splitlines()[0] == "DuelingHead("
    assert "12, 4, hidden=64" in repr(head)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.reset_parameters()
    assert not any(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert max(part.weight.abs().max() for part in (head.from_state, head.from_item)) <= 0.25  # one layer of 16 inputs
    with pytest.raises(ValueError, match="`hidden` must be at least 1, got 0"):
        DuelingHead(3, 4, 0)


def test_silent_until_something_is_learned() -> None:
    head, given = make(5)
    assert not head.silent
    head.silence()
    assert head.silent
    values = head(*given)
    assert torch.equal(values, torch.zeros_like(values))
    for last in (head.value[-1], head.advantage):
        optimizer = torch.optim.SGD(last.parameters(), lr=0.1)
        (head(*given) - 1).square().mean().backward()
        optimizer.step()
        assert not head.silent
        head.silence()


def test_what_all_items_have_in_common_is_a_constant() -> None:
    head, given = make(5)
    head.silence()
    head.fit_common(given[0], torch.tensor([1.0, 2.0, 6.0], dtype=torch.double))
    torch.testing.assert_close(head(*given), torch.full((5,), 3.0, dtype=torch.double))
