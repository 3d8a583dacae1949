"""``canvas``: a figure that is a whole PNG file at the end, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kgrl.files import whole_file


@contextmanager
def canvas(
    path: str | os.PathLike[str], title: str = "", *, panels: int = 1, size: tuple[float, float] = (8, 5),
    legend: str = "",
) -> Iterator[list[Any]]:
    """Gives the axes to draw on, and writes the file if the block ends well.

    Args:
        path: the file.
        title: above the figure.
        panels: axes side by side.
        size: width and height of one of them, in inches.
        legend: where in each panel the legend is, in Matplotlib's words; "beside": to the right of the panels, for more
            lines than a panel has room to name; "": none.
    """
    from matplotlib.figure import Figure  # an extra; not pyplot, whose backend and open figures are the caller's

    figure = Figure(figsize=(size[0] * panels, size[1]), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    yield list(axes)
    for each in axes:
        each.grid(alpha=0.3)
        if legend not in ("", "beside") and each.get_legend_handles_labels()[0]:
            each.legend(loc=legend, fontsize="small")
    if legend == "beside":
        figure.legend(loc="outside right upper", fontsize="small")
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
