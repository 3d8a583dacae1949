"""Keeps what must not depend on mixed precision out of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""The kinds of devices that can be in mixed precision."""


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
