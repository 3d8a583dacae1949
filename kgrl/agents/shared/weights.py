"""What goes along with an agent's weights as they change: their version, copies that follow, the optimiser's state."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Versioned(nn.Module):
    """A module with a ``version``, which is another one whenever its parameters or buffers may be.

    Loading weights and moving to a device or type count by themselves; whoever writes parameters (a gradient step)
    adds one. What is computed from the parameters once and kept is good as long as the version is the same.
    """

    version = 0

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What ``make()`` gave under this name at the present version: made once, and anew when the version changes."""
        known: dict[str, tuple[int, Any]] = self.__dict__.setdefault("_kept", {})
        if name not in known or known[name][0] != self.version:
            known[name] = self.version, make()
        return cast(T, known[name][1])

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins with nothing kept."""
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.version += 1
        return super()._apply(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`torch.nn.Module.load_state_dict`."""
        self.version += 1
        return super().load_state_dict(*args, **kwargs)


def frozen_copy(module: nn.Module) -> Any:
    """A copy that does not learn; what does not learn in ``module`` either is shared, not copied."""
    fixed: dict[int, Any] = {id(p): p for p in module.parameters() if not p.requires_grad}
    return copy.deepcopy(module, fixed).requires_grad_(False)


def moved_towards(target: nn.Module, online: nn.Module, share: float) -> None:
    """Moves every parameter of ``target`` the given share of the way to ``online``'s (KGQR, equation 15)."""
    pairs = zip(target.parameters(), online.parameters(), strict=True)
    learned = [(theirs, own) for theirs, own in pairs if own.requires_grad]
    torch._foreach_lerp_([theirs for theirs, _ in learned], [own for _, own in learned], share)


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
