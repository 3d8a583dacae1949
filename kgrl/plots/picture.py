"""What every picture begins with: axes to draw on, and what a node is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kgrl.objects import with_methods
from kgrl.options import expected

LIKED, DISLIKED, PLAIN, LINE = "tab:green", "tab:red", "tab:blue", "0.7"
"""Colours that mean the same in every picture."""
LONGEST = 32
"""Characters of a label; what is longer is cut."""


def axes_for(ax: Any, size: tuple[float, float]) -> Any:
    """``ax``, or the axes of a new figure of ``size`` inches.

    Raises:
        ImportError: Matplotlib is missing.
        TypeError: ``ax`` is none of Matplotlib's axes.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot, whose backend and open figures are the caller's
    except ImportError as error:
        raise ImportError("pictures need Matplotlib: pip install 'kgrl[examples]'") from error
    if ax is None:
        return Figure(figsize=size, layout="constrained").subplots()
    return with_methods("ax", ax, "plot", "scatter", "text", hint="Matplotlib's axes: figure.subplots() makes them")


def namer(name: str, names: Sequence[str] | None, count: int) -> Callable[[int], str]:
    """What a node is called in a picture, a function of its id: a short name, or its id where it has none.

    Args:
        name: what ``names`` is called in an error.
        names: one per node, "" where it has none; ``None``: none has.
        count: how many there must be at least.

    Raises:
        TypeError: no list of texts.
        ValueError: fewer than ``count``.
    """
    if names is None:
        return str
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        hint = "kgrl.datasets.node_names(data) makes it"
        raise TypeError(expected(name, "a list of texts", type(names).__name__, hint))
    if len(names) < count:
        raise ValueError(expected(name, f"at least {count} texts, one per node", len(names)))
    return lambda node: short(names[node]) or str(node)


def short(text: str) -> str:
    """``text``, cut to the length of a label."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
