"""Ids of users and of items, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from kgrl.options import a_tensor, expected


def check_ids(name: str, ids: Tensor, count: int) -> None:
    """Refuses ids that are none, of the wrong type or out of range."""
    if a_tensor(name, ids).dim() != 1 or ids.dtype != torch.long or not len(ids):
        raise ValueError(expected(name, "a non-empty int64 tensor of ids", f"{ids.dtype} {list(ids.shape)}"))
    bad = (ids < 0) | (ids >= count)
    if bad.any():
        raise ValueError(expected(name, f"ids from 0 to {count - 1}", int(ids[bad][0])))
