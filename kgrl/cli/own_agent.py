"""``own_method``: an agent of one's own for ``kgrl train``, by the place of its class or of an instance."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from kgrl.experiments.method import Method
from kgrl.experiments.methods import Q_TRAINING
from kgrl.experiments.setting import Setting
from kgrl.options import did_you_mean, expected

GIVEN: dict[str, Callable[[Setting, int], Any]] = {
    "kg": lambda setting, seed: setting.kg, "data": lambda setting, seed: setting.data,
    "users": lambda setting, seed: setting.train, "popular": lambda setting, seed: setting.popular,
    "num_items": lambda setting, seed: setting.data["item"].num_nodes, "vectors": lambda setting, seed: setting.vectors,
    "embedding": lambda setting, seed: setting.entities, "tastes": lambda setting, seed: setting.tastes,
    "ids": lambda setting, seed: setting.data["item"].get("raw_id"),
    "horizon": lambda setting, seed: setting.horizon, "seed": lambda setting, seed: seed,
}
"""What a class is called with, as far as its constructor names it. Nothing is made that is not asked for."""


def own_method(place: str) -> Method:
    """The agent of one's own at ``module:name``, which is found from the folder that the command runs in.

    A class is called with those of :data:`GIVEN` that its constructor names, and with what ``--set`` gives; an instance
    is taken as it is. With ``learn`` it is trained as the tables' deep baselines are.

    Raises:
        ImportError: there is no such module, or it cannot be loaded.
        ValueError: the module has nothing of that name.
        TypeError: it is no agent, and no class of one.
    """
    module, _, name = place.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(expected("agent", "module:name, as in my_module:MyAgent", place))
    if "" not in sys.path:  # the folder that the command runs in, as `python -m` has it; the agent may import later
        sys.path.insert(0, "")
    try:
        found: Any = (source := import_module(module))
    except (ImportError, SyntaxError) as error:
        raise ImportError(f"{module}, of the agent {place}, cannot be imported from this folder: {error}") from error
    if not hasattr(found, name):
        agents = [each for each, value in vars(found).items() if callable(getattr(value, "act", None))]
        raise ValueError(expected("agent", f"a name in {module}", name, did_you_mean(name, agents)))
    found = getattr(found, name)
    of_modules = isinstance(found, type) and issubclass(found, nn.Module)
    if not (of_modules or isinstance(found, nn.Module)) or not callable(getattr(found, "act", None)):
        raise TypeError(expected(place, "a torch.nn.Module with `act`, or a class of such", found))

    def build(setting: Setting, seed: int, **options: Any) -> nn.Module:
        if isinstance(found, nn.Module):
            if options:
                raise ValueError(expected("--set", f"left out, as {place} is an instance", [*options]))
            return found
        wanted = inspect.signature(found).parameters
        given = {name: make(setting, seed) for name, make in GIVEN.items() if name in wanted and name not in options}
        lacking = [name for name, each in wanted.items() if each.default is each.empty and name not in given | options
                   and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        if lacking:
            raise ValueError(expected(place, f"made from {', '.join(GIVEN)}, and from what --set gives", lacking))
        agent: nn.Module = found(**given, **options)
        return agent

    file = Path(source.__file__) if source.__file__ else None
    return Method(place, build, training=Q_TRAINING if callable(getattr(found, "learn", None)) else {}, file=file)
