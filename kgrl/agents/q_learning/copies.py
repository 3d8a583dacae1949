"""Copies of a network that follow it: the target and the running average."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def frozen_copy(module: nn.Module) -> Any:
    """A copy that does not learn; what does not learn in ``module`` either is shared, not copied."""
    fixed: dict[int, Any] = {id(p): p for p in module.parameters() if not p.requires_grad}
    return copy.deepcopy(module, fixed).requires_grad_(False)


def moved_towards(target: nn.Module, online: nn.Module, share: float) -> None:
    """Moves every parameter of ``target`` the given share of the way to ``online``'s (KGQR, equation 15)."""
    pairs = zip(target.parameters(), online.parameters(), strict=True)
    learned = [(theirs, own) for theirs, own in pairs if own.requires_grad]
    torch._foreach_lerp_([theirs for theirs, _ in learned], [own for _, own in learned], share)
