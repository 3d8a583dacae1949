"""Keeps global states out of what must not depend on them: the three random states, defaults, and mixed precision."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from kgrl.objects import a_device, a_generator
from kgrl.options import WIDEST, expected, whole_number

P = ParamSpec("P")
R = TypeVar("R")
DEVICES = ("cpu", "cuda", "mps", "xpu")
"""The kinds of devices that can be in mixed precision."""


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

    What is made in the block is on the CPU and in single precision where nothing else is said, whatever
    ``torch.set_default_device`` and ``torch.set_default_dtype`` say: the same seed gives the same numbers, and they can
    be moved afterwards.

    Args:
        seed: where the block's randomness starts; ``None`` goes on from the present states (and still restores them).
    """
    if seed is not None:
        a_seed("seed", seed)
    python, numpy, precision = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float)
        with torch.random.fork_rng(), _made_on_cpu():
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed % 2**32)
                torch.manual_seed(seed)
            yield
    finally:
        torch.set_default_dtype(precision)
        random.setstate(python)
        np.random.set_state(numpy)


def _made_on_cpu() -> AbstractContextManager[object]:
    # a device as a context looks at every call of torch: only where it is needed
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


def generator_for(device: torch.device | str, seed: int) -> torch.Generator:
    """A new ``torch.Generator`` on ``device``, seeded."""
    return torch.Generator(a_device("device", device)).manual_seed(a_seed("seed", seed))


def given_or_new(generator: torch.Generator | None, device: torch.device | str, seed: int = 0) -> torch.Generator:
    """``generator``; where there is none, a new one: nothing is ever drawn from the global random states."""
    given = a_generator("generator", generator)
    return generator_for(device, seed) if given is None else given


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, computed as if nobody had asked for mixed precision (``torch.autocast``).

    For what is no network: worlds, bounds, regressions in closed form. Products rounded to eight bits would be another
    world, whose items are liked or not by other users. Where there is no mixed precision, it costs next to nothing.
    """

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        mixed = [device for device in DEVICES if torch.is_autocast_enabled(device)]
        if not mixed:
            return function(*args, **kwargs)
        with ExitStack() as stack:
            for device in mixed:
                stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **kwargs)

    return exact
