"""``Grouping`` against one layer applied to one row at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.nn.policy.grouped import Grouping

INPUTS, OUTPUTS = 3, 2


def slowly(x: Tensor, group: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    rows = [x[row] @ weight[g] + bias[g] for row, g in enumerate(group.tolist())]
    return torch.stack(rows) if rows else x.new_zeros(0, weight.size(2))


def quickly(x: Tensor, group: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    grouping = Grouping(group, len(weight))
    return grouping.collect(grouping.linear(grouping.spread(x), weight, bias))


def make(rows: int, num_groups: int) -> list[Tensor]:
    """``x``, ``weight`` and ``bias``."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(rows, INPUTS), (num_groups, INPUTS, OUTPUTS), (num_groups, OUTPUTS)]
    return [torch.randn(shape, generator=generator, dtype=torch.double, requires_grad=True) for shape in shapes]


def assert_equal_to_the_loop(group: Tensor, num_groups: int) -> None:
    """Outputs and gradients."""
    x, weight, bias = make(len(group), num_groups)
    out, expected = quickly(x, group, weight, bias), slowly(x, group, weight, bias)
    torch.testing.assert_close(out, expected)
    if not len(group):
        return
    factor = torch.linspace(-1, 2, out.numel(), dtype=torch.double).view_as(out)
    ours = torch.autograd.grad((out * factor).sum(), [x, weight, bias])
    theirs = torch.autograd.grad((expected * factor).sum(), [x, weight, bias])
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


GROUPS = [1, 3, 40, 256, 257, 300, 40_000]  # sorted as bytes, as short and as long numbers


@pytest.mark.parametrize("num_groups", GROUPS)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_equals_each_rows_own_layer(rows: int, num_groups: int) -> None:
    generator = torch.Generator().manual_seed(1)
    assert_equal_to_the_loop(torch.randint(num_groups, (rows,), generator=generator), num_groups)


@pytest.mark.parametrize("num_groups", GROUPS)
def test_every_row_in_one_group(num_groups: int) -> None:
    """The first, the last or one between; the others are empty."""
    for only in {0, num_groups // 2, num_groups - 1}:
        assert_equal_to_the_loop(torch.full((20,), only), num_groups)


def test_groups_between_others() -> None:
    """As if the others had no rows, and in as few blocks as if there were none."""
    x, weight, bias = make(40, 300)
    group = 250 + torch.arange(40) % 4
    grouping = Grouping(group, 4, first=250)
    out = grouping.collect(grouping.linear(grouping.spread(x), weight, bias))
    torch.testing.assert_close(out, slowly(x, group, weight, bias))
    assert grouping.shape == Grouping(group - 250, 4).shape


@pytest.mark.parametrize("rows", [15, 16, 17, 100, 1600])
def test_large_blocks(rows: int) -> None:
    """Blocks of 8 to 256 rows: in two groups of like size, and in two of which one has a single row."""
    even = torch.arange(rows) % 2
    assert_equal_to_the_loop(even, 2)
    assert_equal_to_the_loop((torch.arange(rows) == rows // 3).long(), 2)


@given(st.integers(1, 12).flatmap(
    lambda num_groups: st.tuples(st.just(num_groups), st.lists(st.integers(0, num_groups - 1), max_size=70))))
@settings(max_examples=60, deadline=None)
def test_any_groups(case: tuple[int, list[int]]) -> None:
    num_groups, group = case
    assert_equal_to_the_loop(torch.tensor(group, dtype=torch.long), num_groups)


@given(st.integers(1, 9), st.integers(1, 400), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_layout(num_groups: int, rows: int, seed: int) -> None:
    """Rows are spread to blocks of their own group and come back in order; the blocks' number knows only R and G."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(num_groups, (rows,), generator=generator) % int(torch.randint(1, 10, (), generator=generator))
    grouping = Grouping(group, num_groups)
    assert grouping.shape == Grouping(torch.zeros_like(group), num_groups).shape
    row = torch.arange(rows).unsqueeze(1)
    spread = grouping.spread(row.double()).long()
    assert spread.shape == (*grouping.shape, 1)
    assert torch.equal(grouping.collect(spread.double()).long(), row)
    own = grouping.group.unsqueeze(1).expand(grouping.shape).unsqueeze(2)
    assert torch.equal(grouping.collect(own.double()).long().squeeze(1), group)


def test_blocks_follow_from_the_sizes_alone() -> None:
    """On the meta device there are no numbers to look at: whatever waited for some would fail."""
    for rows, num_groups in ((0, 3), (5, 1), (5, 40), (1000, 3), (1000, 300)):
        x, weight, bias = (tensor.to("meta") for tensor in make(rows, num_groups))
        assert quickly(x, torch.empty(rows, dtype=torch.long, device="meta"), weight, bias).shape == (rows, OUTPUTS)


def test_padding_is_bounded() -> None:
    """Fewer than twice the rows where groups are large, a smallest block for each row at most."""
    for rows, num_groups in ((100_000, 32), (10_000, 300), (1000, 1)):
        blocks, size = Grouping(torch.arange(rows) % num_groups, num_groups).shape
        assert rows <= blocks * size <= 2 * rows
    assert Grouping(torch.arange(5), 300).shape == (5, 8)


def test_devices(device: torch.device) -> None:
    (x, weight, bias), group = make(90, 7), torch.randint(7, (90,), generator=torch.Generator().manual_seed(0))
    found = quickly(*(tensor.to(device) for tensor in (x, group, weight, bias)))
    torch.testing.assert_close(found.cpu(), slowly(x, group, weight, bias))


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    """A few large groups, and many small ones."""
    for num_groups in (3, 300):
        x, weight, bias = (tensor.detach().float().requires_grad_() for tensor in make(20_000, num_groups))
        group = torch.randint(num_groups, (20_000,), generator=torch.Generator().manual_seed(0))
        assert_same_bit_for_bit(lambda x=x, group=group, weight=weight, bias=bias: quickly(x, group, weight, bias),
                                [x, weight, bias])
