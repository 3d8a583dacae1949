"""Keeps the three global random states as they are, whatever a library inside does with them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from kgrl.objects import a_device, a_generator
from kgrl.options import WIDEST, expected, whole_number


def a_seed(name: str, value: int) -> int:
    """``value`` if a ``torch.Generator`` can start from it: a whole number of 64 bits.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is too large.
    """
    value = whole_number(name, value)
    if not -WIDEST <= int(value) <= 2 * WIDEST:
        raise ValueError(expected(name, "a whole number of 64 bits", value))
    return int(value)


@contextmanager
def fenced(seed: int | None = None) -> Iterator[None]:
    """Runs a block whose global randomness starts from ``seed`` and leaves no trace.

    Python's, NumPy's and PyTorch's (every device's) global states are the same before and after the block; inside, they
    are seeded with ``seed``. Weight initialisation and libraries that take no generator run in here.

    Args:
        seed: where the block's randomness starts; ``None`` goes on from the present states (and still restores them).
    """
    if seed is not None:
        a_seed("seed", seed)
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed % 2**32)
                torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def generator_for(device: torch.device | str, seed: int) -> torch.Generator:
    """A new ``torch.Generator`` on ``device``, seeded."""
    return torch.Generator(a_device("device", device)).manual_seed(a_seed("seed", seed))


def given_or_new(generator: torch.Generator | None, device: torch.device | str, seed: int = 0) -> torch.Generator:
    """``generator``; where there is none, a new one: nothing is ever drawn from the global random states."""
    given = a_generator("generator", generator)
    return generator_for(device, seed) if given is None else given
