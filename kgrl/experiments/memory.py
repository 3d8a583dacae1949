"""``peak_gib``: the most memory that this process has had."""

from __future__ import annotations

import math
import sys


def peak_gib() -> float:
    """In GiB; NaN on Windows, which does not tell."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
