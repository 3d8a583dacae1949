"""What an audit of links compares: the pairs of items that share an entity, and how alike those are who like them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from torch_geometric.data import HeteroData

from kgrl.options import expected

MAX_LIKES = 2_000_000  # of more, those of users drawn at random tell enough
GRAM = 1 << 24  # up to so many pairs of items, all cosines are computed once
CHUNK = 1 << 22
LIKE_POPULARITY = 100  # items in a block


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


def likers_of_items(data: HeteroData, rng: np.random.Generator) -> sp.csr_matrix:
    """``[N, U]``: row i is the unit vector of who likes item i, or empty.

    Raises:
        ValueError: no ratings, ratings without a scale, or a rating of a user or item that is not there.
    """
    if ("user", "rates", "item") not in data.edge_types or "edge_index" not in data["user", "rates", "item"]:
        raise ValueError(expected("data", "a HeteroData with the edge type ('user', 'rates', 'item')", data.edge_types,
                                  "links are compared with who likes the items"))
    rates = data["user", "rates", "item"]
    shape = int(data["user"].num_nodes or 0), int(data["item"].num_nodes or 0)
    user, item = rates.edge_index.cpu().numpy()
    for name, ids, size in zip(("user", "item"), (user, item), shape, strict=True):
        if len(ids) and not 0 <= ids.min() <= ids.max() < size:
            what, wrong = f"{name} numbers from 0 to {size - 1}", int(ids.min() if ids.min() < 0 else ids.max())
            raise ValueError(expected("data['user', 'rates', 'item'].edge_index", what, wrong))
    if "rating" in rates:
        if "rating_scale" not in data:
            raise ValueError(expected("data.rating_scale", "(low, high, threshold) where there are ratings", None,
                                      "set it, e.g. data.rating_scale = (1, 5, 3.5)"))
        liked = rates.rating.cpu().numpy() > data.rating_scale[2]
        user, item = user[liked], item[liked]
    if len(user) > MAX_LIKES:
        drawn = (rng.random(shape[0]) < MAX_LIKES / len(user))[user]
        user, item = user[drawn], item[drawn]
    likers = sp.csr_matrix((np.ones(len(user), np.float32), (item, user)), shape=shape[::-1])
    popularity = np.diff(likers.indptr)
    likers.data = (1 / np.sqrt(np.repeat(popularity, popularity))).astype(np.float32)  # however often someone rated it
    return likers


def likeness_of(likers: sp.csr_matrix) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function that gives the cosines ``[P]`` of items ``first [P]`` and ``second [P]``."""
    num_items = likers.shape[0]
    if num_items**2 <= GRAM:
        every = (likers @ likers.T).toarray()
        return lambda first, second: every[first, second]
    size = max(1, CHUNK * num_items // max(1, likers.nnz))  # bounds the memory where items have many likers

    def by_rows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        parts = [likers[first[start : start + size]].multiply(likers[second[start : start + size]]).sum(1)
                 for start in range(0, len(first), size)]
        return np.asarray(np.concatenate(parts)).ravel()

    return by_rows


class Exchange:
    """Puts items in each other's places at random, among those of like popularity.

    Args:
        popularity: ``[N]``.
        items: those that change places.
        rng: of everything.
    """

    def __init__(self, popularity: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> None:
        self.num_items, self.rng = len(popularity), rng
        self.order = items[np.argsort(popularity[items] + rng.random(len(items)))]  # equally popular ones at random
        size = min(LIKE_POPULARITY, max(10, len(items) // 10))
        self.block = np.arange(len(items)) * max(1, len(items) // size) // max(1, len(items))

    def draw(self) -> np.ndarray:
        """``[N]``: the item that takes the place of each."""
        other = np.arange(self.num_items)
        other[self.order] = self.order[np.argsort(self.block + self.rng.random(len(self.block)))]
        return other
