"""Parts that one swaps, by name, class or instance: what one is made with, and options that have no effect beside it.

An owner (an agent, a simulator) makes a part that comes as a name or a class, with those of its own options that the
part's constructor names; so a class of one's own takes what it needs and no more. An instance is taken as it is.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kgrl.options import resolve

T = TypeVar("T")


class UnusedOption(UserWarning):
    """An option was given that has no effect beside the others."""


def accepted(make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``options`` that a constructor names; all, where it takes any (``**kwargs``)."""
    parameters = inspect.signature(make).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return dict(options)
    return {name: value for name, value in options.items() if name in parameters}


def takes(value: Any, choices: Mapping[str, Callable[..., Any]], option: str) -> bool:
    """Whether a part is made with ``option``: its class or that of its name has it; an instance is made already."""
    make = choices.get(value.lower()) if isinstance(value, str) else value if isinstance(value, type) else None
    return make is not None and bool(accepted(make, {option: None}))


def made_part(
    name: str, value: str | type[T] | T, choices: Mapping[str, Callable[..., T]], base: type[T], **options: Any
) -> T:
    """A part from its name, its class or an instance of it, see :func:`kgrl.options.resolve`.

    Args:
        name: the option's name, for the error.
        value: a name among ``choices``, a subclass of ``base``, or an instance.
        choices: the parts known by name; the name's letter case does not matter.
        base: the class that every such part derives from.
        **options: what the owner has; the constructor is given those that it names.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name nor a ``base``.
    """
    make = choices.get(value.lower()) if isinstance(value, str) else value
    known = isinstance(value, str) or (isinstance(value, type) and issubclass(value, base))
    given = accepted(make, options) if known and callable(make) else {}
    return resolve(name, value, choices, base, **given)


def named_part(value: Any) -> Any:
    """What an agent's options remember of a part: its name, or that it was made by hand and is to be given again."""
    return value.lower() if isinstance(value, str) else {"custom": repr(value)}


def warn_unused(owner: type, why: str, **given: Any) -> None:
    """Warns of each option that is not as it is by default, although it has no effect.

    Args:
        owner: whose constructor has it.
        why: when it has none, to be read after "has no effect".
        **given: the options.
    """
    usual = inspect.signature(owner).parameters
    frame, level = inspect.currentframe(), 0
    # to point at the caller's line
    while frame is not None and frame.f_globals.get("__name__", "").startswith("kgrl."):
        frame, level = frame.f_back, level + 1
    for name, value in given.items():
        if value != usual[name].default:
            text = f"{owner.__name__}: `{name}` has no effect {why}; leave it out"
            warnings.warn(text, UnusedOption, stacklevel=level + 1)
