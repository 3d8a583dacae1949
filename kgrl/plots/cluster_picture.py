"""``plot_tree``: a cluster tree, or a part of it, with the items' titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from kgrl.objects import of_class
from kgrl.options import at_least
from kgrl.plots.picture import LINE, PLAIN, axes_for, namer
from kgrl.tree.cluster_tree import ClusterTree


def plot_tree(
    tree: ClusterTree, *, titles: Sequence[str] | None = None, prefix: Sequence[int] = (), levels: int | None = None,
    named: int = 3, ax: Any = None,
) -> Any:
    """Draws the tree below a node from left to right, as a dendrogram: a leaf is an item, and has its title.

    Children are in the order of their digits, from above; a node stands at the height of the middle between its first
    and its last child. A node that is not drawn further says how many items are below it, and names a few, spread over
    its leaves.

    Args:
        tree: of the items (TPGR, Chen et al., 2019, "Balanced Hierarchical Clustering over Items").
        titles: ``[≥ N]``, what each item is called: ``data["item"].title`` or :func:`kgrl.datasets.node_names`.
            ``None``: by ids.
        prefix: path of the node to begin with; none: the root.
        levels: levels drawn below it; ``None``: all of them where at most 60 items are below it, else one.
        named: items that a node names which is not drawn further.
        ax: Matplotlib's axes; ``None``: new ones.

    Returns:
        The axes.

    Raises:
        ImportError: Matplotlib is missing.
        TypeError, ValueError: no tree, no such path, too few titles.
    """
    of_class("tree", tree, ClusterTree, "ClusterTree.build(vectors) makes one")
    called = namer("titles", titles, len(tree))
    items = tree.subtree(prefix)
    start = tuple(int(digit) for digit in prefix)
    left = tree.depth - len(start)
    if levels is None:
        levels = left if len(items) <= 60 else 1
    levels = min(at_least("levels", levels, 0), left)
    at_least("named", named, 0)
    places: dict[tuple[int, ...], tuple[float, float]] = {}
    labels: dict[tuple[int, ...], str] = {}
    edges: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def place(path: tuple[int, ...]) -> float:
        """Places a node and what is below it; its height."""
        below = tree.subtree(path).tolist()
        children = [(*path, digit) for digit in range(tree.children)] if len(path) - len(start) < levels else []
        children = [child for child in children if len(tree.subtree(child))]
        if children:
            edges.extend((path, child) for child in children)
            heights = [place(child) for child in children]
            height = (heights[0] + heights[-1]) / 2
        else:
            height = -float(len(labels))
            picked = torch.linspace(0, len(below) - 1, min(named, len(below))).long().tolist()
            labels[path] = called(below[0]) if len(path) == tree.depth else "; ".join(
                [f"{len(below)} items", *(called(below[at]) for at in picked)])
        places[path] = (float(len(path)), height)
        return height

    if len(items):
        place(start)
    ax = axes_for(ax, (8, 1 + 0.2 * len(labels)))
    for parent, child in edges:
        (x, y), (right, height) = places[parent], places[child]
        ax.plot([x, x, right], [y, height, height], color=LINE, linewidth=0.8, zorder=1)
    if places:
        ax.scatter(*zip(*places.values(), strict=True), color=PLAIN, s=12, zorder=2)
    for path, text in labels.items():
        ax.annotate(text, places[path], xytext=(6, 0), textcoords="offset points", va="center", fontsize="x-small")
    ax.margins(x=0.4)
    ax.set_axis_off()
    return ax
