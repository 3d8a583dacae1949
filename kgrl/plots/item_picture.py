"""``plot_item``: an item and what is around it in the KG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import checked_graph, distinct_pairs
from kgrl.options import at_least, expected
from kgrl.plots.picture import LINE, PLAIN, axes_for, namer


def plot_item(
    kg: Data, item: int, *, names: Sequence[str] | None = None, most: int = 12, onward: int = 3, ax: Any = None
) -> Any:
    """Draws an item, its neighbours in the KG on a circle around it, and behind these the items that share them.

    A radial drawing (Di Battista et al., 1999, *Graph Drawing*, section 3.1): each neighbour has a sector of the circle
    as wide as it has items behind it, and stands in its middle. Rare entities come first, as they tell more than those
    that everything shares: the neighbours are the ``most`` with the fewest neighbours of their own, counter-clockwise
    from the right, those that the item alone is linked to last; and an item is drawn once, behind the first of them.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        item: an item's id.
        names: ``[≥ E]``, what each node is called, "" for nobody knows: :func:`kgrl.datasets.node_names`. ``None``: by
            ids.
        most: neighbours that are drawn.
        onward: items behind each of them; 0: none.
        ax: Matplotlib's axes; ``None``: new ones.

    Returns:
        The axes: blue circles for items, grey squares for other entities; each of the item's links has its relations'
        names.

    Raises:
        ImportError: Matplotlib is missing.
        TypeError, ValueError: a graph from elsewhere, an unknown item, too few names.
    """
    count = int(checked_graph(kg).num_items)
    if at_least("item", item, 0) >= count:
        raise ValueError(expected("item", f"an item's id, below {count}", item))
    called = namer("names", names, int(kg.num_nodes or 0))
    rings = _rings(kg, item, at_least("most", most, 1), at_least("onward", onward, 0))
    places = {item: (0.0, 0.0)} | _places(rings)
    ax = axes_for(ax, (8, 8))
    for node, behind in rings.items():
        _line(ax, places[item], places[node])
        x, y = (0.55 * each for each in places[node])
        ax.text(x, y, _relations(kg, item, node), ha="center", va="center", fontsize="xx-small", color="0.4")
        for other in behind:
            _line(ax, places[node], places[other])
    for is_item, marker, colour in ((True, "o", PLAIN), (False, "s", "0.4")):
        nodes = [node for node in places if (node < count) == is_item]
        if nodes:
            ax.scatter(*zip(*(places[node] for node in nodes), strict=True), marker=marker, color=colour, zorder=2)
    for node, (x, y) in places.items():
        text = called(node) if names is None or names[node] else ""
        ax.annotate(text, (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize="x-small",
                    fontweight="bold" if node == item else None)
    ax.set_aspect("equal")
    ax.margins(0.15)
    ax.set_axis_off()
    return ax


def _rings(kg: Data, item: int, most: int, onward: int) -> dict[int, list[int]]:
    """The item's rarest neighbours, and the items behind each that are not drawn elsewhere."""
    (ptr, tails), _ = distinct_pairs(kg).get_csr()
    ptr, tails, degree = ptr.cpu(), tails.cpu(), ptr.diff().cpu()

    def rarest(node: int) -> list[int]:
        around: Tensor = tails[ptr[node] : ptr[node + 1]]
        alone = (around >= kg.num_items) & (degree[around] <= 1)  # leads to no other item
        return around[(degree[around] + alone * len(degree)).argsort(stable=True)].tolist()

    ring = rarest(item)[:most]
    taken, rings = {item, *ring}, {}
    for node in ring:
        behind = [other for other in rarest(node) if other < kg.num_items and other not in taken][:onward]
        taken.update(behind)
        rings[node] = behind
    return rings


def _places(rings: dict[int, list[int]]) -> dict[int, tuple[float, float]]:
    """Where each node is: neighbours at distance 1, what is behind them at 2."""
    widths = [max(1, len(behind)) for behind in rings.values()]
    unit, places = 2 * math.pi / max(1, sum(widths)), {}
    for (node, behind), end, width in zip(rings.items(), accumulate(widths), widths, strict=True):
        places[node] = _at(1, unit * (end - width / 2))
        places |= {other: _at(2, unit * (end - width + at + 0.5)) for at, other in enumerate(behind)}
    return places


def _at(far: float, angle: float) -> tuple[float, float]:
    return far * math.cos(angle), far * math.sin(angle)


def _relations(kg: Data, head: int, tail: int) -> str:
    """The names of the relations between two nodes, in either direction."""
    between = (kg.edge_index.cpu() == torch.tensor([[head], [tail]], device="cpu")).all(0)
    kinds = kg.edge_type.cpu()[between] % kg.num_relations
    return ", ".join(kg.relation_names[kind] for kind in kinds.unique().tolist())


def _line(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.plot(*zip(start, end, strict=True), color=LINE, linewidth=0.8, zorder=1)
