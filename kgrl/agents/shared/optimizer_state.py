"""An optimiser's state: as a flat dictionary of tensors for a safetensors checkpoint, and where its module is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """``{"<parameter>.<name>": tensor}`` for every tensor the optimiser keeps of its parameters."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, kept in state.items() for name, value in kept.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Goes on from :func:`optimizer_tensors`; learning rates and the like stay as constructed."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def moved_along(module: nn.Module, optimizers: Iterable[torch.optim.Optimizer], move: Callable[[], Any]) -> Any:
    """``move()``, which puts ``module`` elsewhere; what ``optimizers`` know of its parameters goes along.

    PyTorch moves the parameters alone: the next step would meet averages on the device that they left. (Where it makes
    new parameters, as for ``meta``, an optimiser would go on changing the old ones.)
    """
    before = _parameters(module)
    found = move()
    now: dict[Tensor, Tensor] = dict(zip(before, _parameters(module), strict=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [now.get(parameter, parameter) for parameter in group["params"]]
        optimizer.state = defaultdict(dict, {now.get(key, key): kept for key, kept in optimizer.state.items()})
        optimizer.load_state_dict(optimizer.state_dict())  # which puts what it keeps beside each parameter
    return found


def _parameters(module: nn.Module) -> list[Tensor]:
    """One for each name: those that two names share may be two afterwards."""
    return [parameter for _, parameter in module.named_parameters(remove_duplicate=False)]
