"""What the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor


def operations(out: Tensor) -> set[str]:
    """The names of the operations that ``out`` will go back through."""
    seen, ahead = set(), [out.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [parent for parent, _ in node.next_functions]
    return {node.name() for node in seen}


@pytest.fixture
def assert_same_bit_for_bit() -> Iterator[Callable[[Callable[[], Tensor], Sequence[Tensor]], None]]:
    """Checks that a computation's gradients are the same each time, with several threads.

    Chance may hide that they are not, on a busy machine above all; so no operation may be among them whose gradient is
    known to add in whatever order the threads come.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(4)

    def check(compute: Callable[[], Tensor], inputs: Sequence[Tensor]) -> None:
        assert "IndexBackward0" not in operations(compute())
        first, *later = [torch.autograd.grad(compute().sum(), inputs) for _ in range(4)]
        assert all(torch.equal(one, two) for again in later for one, two in zip(first, again, strict=True))

    yield check
    torch.set_num_threads(threads)
