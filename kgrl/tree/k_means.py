"""Algorithm 3: k-means centroids that take turns in choosing their items."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

from kgrl.tree.leaves import ROUNDING, ItemRows, order_with_ties

Distances = Callable[[slice, np.ndarray], np.ndarray]

CELLS = 1 << 24  # entries of the table of each cluster's nearest items, and distances at a time


def k_means_digits(
    rows: ItemRows, items: np.ndarray, sizes: np.ndarray, children: int, generator: torch.Generator
) -> np.ndarray:
    """Splits every node by k-means and turn-taking (TPGR, Algorithm 3); arguments as :func:`pca_digits` has them."""
    parts = []
    for below in np.split(items, sizes.cumsum()[:-1]):
        x = rows.take(below)
        centroids = _centroids(x, children, int(torch.randint(2**31 - 1, (), generator=generator, device="cpu")))
        parts.append(take_turns(_distances(x, centroids), len(below), children))
    return np.concatenate(parts)


def _centroids(x: np.ndarray | csr_matrix, children: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        return KMeans(children, n_init=1, random_state=seed).fit(x).cluster_centers_


def _distances(x: np.ndarray | csr_matrix, centroids: np.ndarray) -> Distances:
    """What orders the items (columns) by distance from each of some clusters (rows)."""
    if isinstance(x, np.ndarray):
        return lambda clusters, some: cdist(centroids[clusters], x[some], "sqeuclidean")
    squares = np.asarray(x.multiply(x).sum(1)).ravel()  # the centroid's own length changes no order
    return lambda clusters, some: squares[some] - 2 * (x[some] @ centroids[clusters].T).T


def take_turns(distances: Distances, num_items: int, children: int) -> np.ndarray:
    """Lines 11 to 18: clusters take turns, each takes the nearest item that is left (the first, if several are).

    A round, every cluster's turn once, is settled at once: all ask for their nearest item, an item goes to the earliest
    cluster that asks, and the others, among them those who lose what they held, ask for their next. That ends with what
    the turns give: whatever a cluster is refused has been taken by an earlier one.

    Args:
        distances: (clusters, items ``[n]``) → ``[clusters, n]``, of any monotone measure.
        num_items: m.
        children: c.

    Returns:
        ``[m]``, each item's cluster in [0, c).
    """
    digits = np.empty(num_items, dtype=np.int64)
    holder = np.full(num_items, children)  # who has the item: nobody yet, a cluster of this round, or gone (−1)
    held = np.empty(children, dtype=np.int64)
    nearest, place, left_then = _nearest(distances, holder, children)
    for left in range(num_items, 0, -children):
        if left <= left_then // 2:  # skipping what is gone would take ever longer
            nearest, place, left_then = _nearest(distances, holder, children)
        asking = playing = np.arange(min(children, left))
        while len(asking):
            if place.max() == nearest.shape[1]:
                nearest, place, left_then = _nearest(distances, holder, children)
            item = nearest[asking, place[asking]]
            free = holder[item] > asking
            place[asking[~free]] += 1
            item, asker = item[free], asking[free]
            before = holder[item]
            np.minimum.at(holder, item, asker)
            won = holder[item] == asker
            held[asker[won]] = item[won]
            ousted = before[won & (before < children)]
            asking = np.concatenate([asking[~free], asker[~won], ousted])
        digits[held[playing]] = playing
        holder[held[playing]] = -1
    return digits


def _nearest(distances: Distances, holder: np.ndarray, children: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Every cluster's nearest items that are not gone, the nearest first; where it stands in them; how many are left.

    Where there are very many, only so many of the nearest that the table stays small: it is made anew when used up.
    No fewer than c, or all of a row might be held by other clusters of the round.
    """
    left = np.flatnonzero(holder >= 0)
    step, most = max(1, CELLS // len(left)), min(len(left), max(children, CELLS // children))
    nearest = np.empty((children, most), dtype=np.int64)
    for first in range(0, children, step):
        clusters = slice(first, first + step)
        apart = distances(clusters, left)
        # ties are no accident: the two items of a cluster of k-means are equally far from their centroid
        nearest[clusters] = left[order_with_ties(apart, ROUNDING * np.abs(apart))[:, :most]]
    return nearest, np.zeros(children, dtype=np.int64), len(left)
