"""Finds leaves for items that come to a tree later: beside the items that they are most similar to."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, issparse

from kgrl.options import expected
from kgrl.tree.levels import ItemRows

_CELLS = 2**24  # similarities that are laid out at once


def hang_new_items(rows: ItemRows, positions: np.ndarray, num_leaves: int, children: int) -> np.ndarray:
    """``positions [N]`` with a free leaf for every item that has none, −1.

    A new item wants a leaf at the node of the most similar item, by the cosine of their vectors. Where more items want
    a node than it has free leaves, the most similar ones get them, and the others look on among the items at nodes
    with free leaves. When no such node has any item to be similar to, the first free leaves are taken.

    Args:
        rows: the N items' vectors.
        positions: each item's leaf, −1 for none.
        num_leaves: of the tree.
        children: of a node.

    Raises:
        ValueError: there are fewer free leaves than new items.
    """
    positions, known = positions.copy(), np.flatnonzero(positions >= 0)
    new = np.flatnonzero(positions < 0)
    free = np.ones(num_leaves, bool)
    free[positions[known]] = False
    if free.sum() < len(new):
        raise ValueError(expected("the tree", f"one with a free leaf for each of {len(new)} new items",
                                  f"one with {int(free.sum())} of {num_leaves} leaves free",
                                  "leave room when it is built: ClusterTree(tree.paths, children=more) has free leaves "
                                  "at every node; or build one over all the items, and train anew"))
    while len(new):
        room = free.reshape(-1, children).sum(1)
        hosts = known[room[positions[known] // children] > 0]
        if not len(hosts):
            break
        nearest, similarity = _most_similar(rows, new, hosts)
        node = positions[nearest] // children
        rank = _rank(node, -similarity)
        placed = rank < room[node]
        leaves = np.flatnonzero(free)
        first = np.searchsorted(leaves, node[placed] * children)
        positions[new[placed]] = leaves[first + rank[placed]]
        free[positions[new[placed]]] = False
        new = new[~placed]
    positions[new] = np.flatnonzero(free)[: len(new)]
    return positions


def _rank(group: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Each row's place in its group, by ``key``, from 0."""
    order = np.lexsort((key, group))
    _, first, sizes = np.unique(group[order], return_index=True, return_counts=True)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - first.repeat(sizes)
    return rank


def _most_similar(rows: ItemRows, asked: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of the items ``asked``, the most similar one ``among`` others, and how similar it is."""
    theirs, best, similarity = _of_unit_length(rows.take(among)), [], []
    for part in np.array_split(asked, -(-len(asked) * len(among) // _CELLS)):
        cosine = _of_unit_length(rows.take(part)) @ theirs.T
        cosine = cosine.toarray() if issparse(cosine) else cosine
        best.append(cosine.argmax(1))
        similarity.append(cosine.max(1))
    return among[np.concatenate(best)], np.concatenate(similarity)


def _of_unit_length(vectors: np.ndarray | csr_matrix) -> np.ndarray | csr_matrix:
    squares = vectors.power(2) if isinstance(vectors, csr_matrix) else vectors**2
    length = np.sqrt(np.asarray(squares.sum(1))).reshape(-1, 1)
    length[length == 0] = 1
    return csr_matrix(vectors.multiply(1 / length)) if isinstance(vectors, csr_matrix) else vectors / length
