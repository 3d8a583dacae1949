"""What an aggregator's methods are given: what the names of their arguments ask for, as in PyG's ``message``."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from kgrl.options import did_you_mean, expected

_ALL = ("sent_j", "asked_i", "edge_type", "edge_attr", "index", "ptr", "size")
GIVEN = {
    "score": _ALL,
    "message": _ALL,
    "edge_norm": ("edge_type", "edge_attr", "index", "size"),
    "edge_weight": ("edge_type", "edge_attr", "edge_norm"),
}
"""What each method may ask for."""


def asked_for(kind: type) -> dict[str, tuple[str, ...]]:
    """The names that each method of an aggregator's class asks for.

    Raises:
        TypeError: a method has an argument that nobody could give it.
    """
    return {method: _arguments(kind, method) for method in GIVEN}


def _arguments(kind: type, method: str) -> tuple[str, ...]:
    _, *others = inspect.signature(getattr(kind, method)).parameters.values()
    named = [each for each in others if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for each in named:
        if (each.name not in GIVEN[method] and each.default is each.empty) or each.kind is each.POSITIONAL_ONLY:
            what = "a method whose arguments' names say what it is given"
            raise TypeError(expected(f"{kind.__name__}.{method}", what, each.name,
                                     did_you_mean(each.name, GIVEN[method])))
    return tuple(each.name for each in named if each.name in GIVEN[method])


def told(part: Any, method: str, **known: Any) -> Any:
    """What a method of an aggregator makes of those of the ``known`` values that it asks for."""
    return getattr(part, method)(**{name: known[name] for name in part.takes[method]})


def rows_of(part: Any, method: str, out: Any, count: int, each: str, dims: tuple[int, ...] = ()) -> Tensor:
    """``out``, what a method of an aggregator returned, if it has a row for each of ``count`` edges or nodes.

    Args:
        part: the aggregator.
        method: its name.
        out: what was returned.
        count: of rows.
        each: what they are, for the error.
        dims: how many dimensions there may be; none: any number.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(out, Tensor) or not out.dim() or out.size(0) != count or (dims and out.dim() not in dims):
        shape = f"[{count}]" if dims == (1,) else f"[{count}] or [{count}, …]" if dims else f"[{count}, …]"
        raise ValueError(expected(f"{type(part).__name__}.{method}", f"a tensor {shape}, a row for each of the {each}",
                                  list(out.shape) if isinstance(out, Tensor) else type(out).__name__))
    return out
