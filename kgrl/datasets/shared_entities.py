"""The pairs of items that share an entity, and by which relations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch_geometric.data import HeteroData

from kgrl.options import expected


@dataclass(frozen=True)
class ItemPairs:
    """Pairs of items that are joined with the same node of the KG, each pair once.

    Args:
        first: ``[P]``, items.
        second: ``[P]``, items; higher than ``first``.
        pair: ``[Q]``, numbers of pairs, and
        relation: ``[Q]``, numbers of ``names``: both items of the pair have this relation to a node they share.
        names: of the relations.
        linked: ``[L]``, the items that have any triple, sorted.
    """

    first: np.ndarray
    second: np.ndarray
    pair: np.ndarray
    relation: np.ndarray
    names: list[str]
    linked: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def item_pairs(data: HeteroData, max_items: int, max_pairs: int, rng: np.random.Generator) -> ItemPairs:
    """Finds the pairs by the nodes that at least two and at most ``max_items`` items have.

    A genre that a thousand films have tells little of any two of them, a director of five does. Where no node is that
    rare, ``max_items`` is doubled until some are. A relation counts in both directions, and an item can be the node
    that two others share, as a film is of its two sequels.

    Args:
        data: node type ``item``, and edge types between it and others; those with a ``user`` at an end do not count.
        max_items: see above.
        max_pairs: of more (pair, node), this many are drawn.
        rng: for that.

    Raises:
        ValueError: there is no such edge type, or an edge that points nowhere.
    """
    names, num_items, triple = _triples_of_items(data)
    # triple = (node, item, relation) as one number, sorted; link = (node, item), by some relations
    first_of_link = np.flatnonzero(np.diff(triple // len(names), prepend=-1))
    relations_of_link = np.diff(first_of_link, append=len(triple))
    node, item = np.divmod(triple[first_of_link] // len(names), max(1, num_items))
    first_of_node = np.flatnonzero(np.diff(node, prepend=-1))
    left, right = _two_of_each(first_of_node, np.diff(first_of_node, append=len(node)), max_items, max_pairs, rng)
    pairs, pair = np.unique(item[left] * num_items + item[right], return_inverse=True)

    # a relation that the left item has to the node: has the right one it, too?
    each, place = _counted(relations_of_link[left])
    relation = triple[first_of_link[left[each]] + place] % len(names)
    wanted = (node[right[each]] * num_items + item[right[each]]) * len(names) + relation
    both = triple[np.minimum(np.searchsorted(triple, wanted), len(triple) - 1)] == wanted
    of_pair, of_relation = np.divmod(_distinct(pair[each[both]] * len(names) + relation[both]), len(names))
    first, second = np.divmod(pairs, max(1, num_items))
    return ItemPairs(first, second, of_pair, of_relation, names, _distinct(item))


def _triples_of_items(data: HeteroData) -> tuple[list[str], int, np.ndarray]:
    """(relations' names, N, sorted distinct numbers (node · N + item) · R + relation), from either end of a triple."""
    kinds = [kind for kind in data.edge_types if "user" not in (kind[0], kind[2])]
    if not kinds:
        raise ValueError(expected("data", "a HeteroData with edge types between items and entities", data.edge_types,
                                  "it has no KG whose links could be checked: give from_frames `triples` and `links`"))
    types = ["item", *(each for each in data.node_types if each not in ("item", "user"))]
    sizes = [int(data[each].num_nodes or 0) for each in types]
    offset = dict(zip(types, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    names = list(dict.fromkeys(kind[1] for kind in kinds))
    found = [np.empty(0, np.int64)]
    for kind in kinds:
        ends = data[kind].edge_index.cpu().numpy().astype(np.int64, copy=False)
        for end, which in zip(ends, (kind[0], kind[2]), strict=True):
            if len(end) and not 0 <= end.min() <= end.max() < sizes[types.index(which)]:
                wrong = int(end.min() if end.min() < 0 else end.max())
                raise ValueError(expected(f"data[{kind}].edge_index", f"{which} numbers from 0 to "
                                          f"{sizes[types.index(which)] - 1}", wrong, "an edge points nowhere"))
        for own, other in ((0, 2), (2, 0)):
            if kind[own] == "item":
                node, item = ends[other // 2] + offset[kind[other]], ends[own // 2]
                number = (node * sizes[0] + item) * len(names) + names.index(kind[1])
                found.append(number[node != item])
    return names, sizes[0], _distinct(np.concatenate(found))


def _counted(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([0]·sizes[0] + [1]·sizes[1] + …, 0 … sizes[0] − 1, 0 … sizes[1] − 1, …)."""
    each = np.repeat(np.arange(len(sizes)), sizes)
    return each, np.arange(len(each)) - (np.cumsum(sizes) - sizes)[each]


def _distinct(numbers: np.ndarray) -> np.ndarray:
    """Sorted; ``np.unique`` takes ten times as long for millions."""
    numbers = np.sort(numbers)
    return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]


def _two_of_each(
    first: np.ndarray, size: np.ndarray, max_size: int, max_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Every two members of every group of 2 to ``max_size``; group g has the members ``first[g] … + size[g] − 1``."""
    shared = size[size > 1]
    while len(shared) and shared.min() > max_size:
        max_size *= 2
    kept = (size > 1) & (size <= max_size)
    first, size = first[kept], size[kept]
    end = np.cumsum(size * (size - 1) // 2)
    total = int(end[-1]) if len(end) else 0
    number = np.arange(total) if total <= max_pairs else np.unique(rng.integers(total, size=max_pairs))
    group = np.searchsorted(end, number, side="right")
    number -= np.concatenate([[0], end])[group]
    high = ((1 + np.sqrt(1 + 8 * number)) // 2).astype(np.int64)  # the pairs (low, high) in the order 01 02 12 03 13 …
    return first[group] + number - high * (high - 1) // 2, first[group] + high
