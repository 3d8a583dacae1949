"""How long the campaigns run (KGRL_FUZZ=10: ten times as many tries as in the suite), and copies of a process."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as copies")


def tries(count: int) -> int:
    """``count``, as many times as asked for."""
    return round(count * float(os.environ.get("KGRL_FUZZ", "1")))


def forked(work: Callable[[], None]) -> int:
    """The process id of a copy of this process that does ``work``; its exit status is 0 if that ends well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            work()
            status = 0
        finally:
            os._exit(status)
    return pid
