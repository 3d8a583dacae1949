"""How alike the people are who like two items, and items of like popularity in exchanged places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from torch_geometric.data import HeteroData

from kgrl.options import expected

MAX_LIKES = 2_000_000  # of more, those of users drawn at random tell enough
GRAM = 1 << 24  # up to so many pairs of items, all cosines are computed once
CHUNK = 1 << 22
LIKE_POPULARITY = 100  # items in a block


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
