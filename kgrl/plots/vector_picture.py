"""Where items lie: by their vectors, in two dimensions and coloured by groups; in a cluster tree, with their titles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import checked_graph, forward_triples
from kgrl.objects import of_class
from kgrl.options import at_least, dense_vectors, expected, one_of
from kgrl.plots.picture import LINE, PLAIN, axes_for, namer, short
from kgrl.tree.cluster_tree import ClusterTree


def plot_vectors(vectors: Tensor, *, groups: Sequence[str] | None = None, most: int = 9, ax: Any = None) -> Any:
    r"""Draws vectors by their first two principal components (Pearson, 1901).

    .. math:: (\mathbf X - \bar{\mathbf x}) = \mathbf U \mathbf S \mathbf V^\top, \qquad
        \mathbf P = (\mathbf X - \bar{\mathbf x})\, \mathbf V_{:, 1:2}

    The sign of a component, which is free, is such that its largest score is positive. The axes tell what share of the
    variance each component has: where both are small, the picture shows little of the vectors.

    Args:
        vectors: ``[N, d]``, e.g. item vectors or embeddings.
        groups: ``[N]``, what each belongs to, "" for none: e.g. :func:`shared_entities`. ``None``: one colour for all.
        most: groups that have a colour, the largest ones; what is left is grey.
        ax: Matplotlib's axes; ``None``: new ones.

    Returns:
        The axes.

    Raises:
        ImportError: Matplotlib is missing.
        TypeError, ValueError: vectors that are not dense or not finite, fewer than two, or not one group each.
    """
    points = dense_vectors("vectors", vectors).detach().double().cpu()
    if len(points) < 2:
        raise ValueError(expected("vectors", "at least two", len(points)))
    labels = [""] * len(points) if groups is None else groups
    if not isinstance(labels, list | tuple):
        raise TypeError(expected("groups", f"a list of {len(points)} texts", type(labels).__name__))
    if len(labels) != len(points) or not all(isinstance(each, str) for each in labels):
        raise ValueError(expected("groups", f"{len(points)} texts, one per vector", f"{len(labels)} of them"))
    scores, shares = _components(points)
    ax = axes_for(ax, (8, 7))
    known = [name for name, _ in Counter(each for each in labels if each).most_common(at_least("most", most, 1))]
    for number, name in enumerate([None, *known]):  # the rest below the others
        inside = [(each not in known) if name is None else each == name for each in labels]
        if any(inside):
            text = ("other" if known else None) if name is None else f"{short(name)} ({sum(inside)})"
            part = scores[inside]
            colour = "0.8" if name is None and known else f"C{number}"
            ax.scatter(part[:, 0], part[:, 1], s=10, color=colour, label=text)
    if known:
        ax.legend(fontsize="x-small")
    first, second = (f"{place} component ({share:.0%} of the variance)"
                     for place, share in zip(("first", "second"), shares, strict=True))
    ax.set(xlabel=first, ylabel=second)
    return ax


def _components(points: Tensor) -> tuple[Tensor, list[float]]:
    """``[N, 2]``, the scores, and each component's share of the variance."""
    centred = points - points.mean(0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    scores = points.new_zeros(len(points), 2)
    scores[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    largest = scores.gather(0, scores.abs().argmax(0, keepdim=True))
    scores = scores * torch.where(largest < 0, -1.0, 1.0).to(scores)
    shares = scores.square().sum(0) / centred.square().sum().clamp(min=1e-300)
    return scores, shares.tolist()


def shared_entities(kg: Data, relation: str, names: Sequence[str] | None = None) -> list[str]:
    """For each item, the entity it is linked to by a relation that most items are linked to: a group to colour by.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        relation: one of ``kg.relation_names``, e.g. the one of genres; either direction counts.
        names: ``[≥ E]``, what each node is called; ``None``: by ids.

    Returns:
        N texts, "" where an item has no such link. Of equally common entities the lowest id.

    Raises:
        ValueError: a graph from elsewhere, an unknown relation, too few names.
    """
    count = int(checked_graph(kg).num_items)
    kind = list(kg.relation_names).index(one_of("relation", relation, kg.relation_names))
    called = namer("names", names, int(kg.num_nodes or 0))
    triples = forward_triples(kg).cpu()
    pairs = triples[triples[:, 1] == kind][:, [0, 2]]
    pairs = torch.cat([pairs, pairs.flip(1)])
    pairs = pairs[pairs[:, 0] < count].unique(dim=0)
    common = torch.bincount(pairs[:, 1], minlength=int(kg.num_nodes or 0))
    best: dict[int, int] = {}
    for item, entity in pairs.tolist():
        if item not in best or common[entity] > common[best[item]]:
            best[item] = entity
    return [called(best[item]) if item in best else "" for item in range(count)]


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
            picked = torch.linspace(
                0, len(below) - 1, min(named, len(below)), device="cpu", dtype=torch.float).long().tolist()
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
