"""``ClusterTree``: items as the leaves of a balanced tree of clusters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.files import load_tensors, save_tensors
from kgrl.objects import a_data_set, shaped
from kgrl.options import WIDEST, at_least, expected, one_of
from kgrl.seeding import generator_for
from kgrl.tree.k_means import k_means_digits
from kgrl.tree.leaves import ItemRows, Split, hang_new_items, leaf_positions, smallest_root
from kgrl.tree.pca import pca_digits

KIND = "kgrl cluster tree"
SPLITS: dict[str, Split] = {"pca": pca_digits, "kmeans": k_means_digits}
MOST_LEAVES = 1 << 28  # 2 GiB of leaves


class ClusterTree:
    r"""The balanced hierarchical clustering tree: every item at a leaf, similar items under the same nodes.

    From the `"Large-scale Interactive Recommendation with Tree-structured Policy Gradient"
    <https://arxiv.org/abs/1811.05869>`_ paper (TPGR, "Balanced Hierarchical Clustering over Items" and Algorithms 3
    and 4). An item is found by walking from the root, one of c children at each of D levels, where (equation 2)

    .. math:: c^{D-1} < N \le c^D

    A tree comes from :meth:`build`, :meth:`load` or :meth:`from_data`, or from paths of one's own (a taxonomy), which
    need not be balanced.

    Args:
        paths: ``[N, D]``, LongTensor: each item's child digits in [0, c) from the root down, no path twice.
        children: c.

    Attributes:
        paths: ``[N, D]``, item → path.
        leaves: ``[c**D]``, leaf → item, −1 where there is none; a leaf's number is its path read in base c.
        positions: ``[N]``, each item's leaf, the inverse of ``leaves``.
        depth: D.
        children: c.
        num_items: N, also ``len(tree)``.

    Raises:
        TypeError, ValueError: ``paths`` or ``children`` are not that, or ask for more leaves than memory should hold.
    """

    def __init__(self, paths: Tensor, children: int) -> None:
        self.children = at_least("children", children, 1)
        if not isinstance(paths, Tensor) or paths.dtype != torch.long or paths.dim() != 2 or not paths.numel():
            got = f"{paths.dtype} {tuple(paths.shape)}" if isinstance(paths, Tensor) else type(paths).__name__
            raise ValueError(expected("paths", "a LongTensor [N, D] with N and D at least 1", got))
        self.paths = paths
        self.num_items, self.depth = paths.shape
        _check_leaves(self.depth, self.children)
        if int(paths.min()) < 0 or int(paths.max()) >= self.children:
            raise ValueError(expected("paths", f"digits in [0, {children})", [int(paths.min()), int(paths.max())]))
        # no product of matrices, which whole numbers have none of on a GPU
        self.positions = (paths * _radix(self.depth, self.children).to(paths.device)).sum(1)
        self.leaves = paths.new_full((self.children**self.depth,), -1)
        self.leaves[self.positions] = torch.arange(self.num_items, device=paths.device)
        filled = int((self.leaves >= 0).sum())
        if filled < self.num_items:
            raise ValueError(expected("paths", "a path of its own for each item",
                                      f"{filled} paths for {self.num_items} items"))

    @classmethod
    def build(
        cls, vectors: Tensor, depth: int | None = None, children: int | None = None, method: str = "pca", seed: int = 0
    ) -> ClusterTree:
        """Clusters items by their vectors, level by level.

        A node with m > 0 items has min(m, c) children, its first digits, whose numbers of items differ by at most one;
        so do those of all nodes of a level. Where m ≤ c, the j-th item is the j-th child (Algorithms 3 and 4, lines 4
        to 9). An item alone in its cluster before level D goes on down by digit 0, so that every path has D digits.

        ``"pca"`` (Algorithm 4) cuts the items, sorted along the first principal component, into c runs. The component
        comes from a Lanczos iteration on products with the vectors and their transpose; the mean is taken off the
        iteration's vectors, so that sparse vectors stay sparse and no F × F or N × N matrix is formed. All nodes of a
        level go at once.

        ``"kmeans"`` (Algorithm 3) finds c centroids (scikit-learn's KMeans, one start), which take turns in choosing
        the nearest item that is left.

        Paper is silent on the sign of a component (here: the largest absolute score is positive), on ties (here: item
        order, and scores are tied when they differ by no more than rounding), and on several components of the same
        variance (here: ``seed`` decides). Differs from the paper in that c, the D-th root of N rounded up, is computed
        in whole numbers.

        Args:
            vectors: ``[N, F]``, one row an item, floating-point, dense or sparse CSR; the work is done on the CPU.
            depth: D; c is then the smallest whole number with c^D ≥ N. Neither ``depth`` nor ``children``: 2.
            children: c, at least 2 (or 1 for a single item); D is then the smallest with c^D ≥ N.
            method: ``"pca"`` or ``"kmeans"``.
            seed: of the iteration's start, or of k-means.

        Returns:
            The tree, on the device of ``vectors``.

        Raises:
            ValueError: both ``depth`` and ``children``, one of them too small (or so large that the tree has too many
                leaves), an unknown method, or vectors that are not as described, hold NaN or are infinite.
            TypeError: ``depth`` or ``children`` is no whole number, ``vectors`` no tensor.
        """
        split = SPLITS[one_of("method", method.lower() if isinstance(method, str) else method, SPLITS)]
        if depth is not None and children is not None:
            raise ValueError(expected("depth", "None where `children` is given, as one follows from the other", depth))
        rows = ItemRows(vectors)
        if children is None:
            depth = at_least("depth", 2 if depth is None else depth, 1)
            children = smallest_root(rows.num_items, depth)
        else:
            children = at_least("children", children, 2 if rows.num_items > 1 else 1)
            depth = next(level for level in count(1) if children**level >= rows.num_items)
        _check_leaves(depth, children)
        positions = leaf_positions(rows, depth, children, split, generator_for("cpu", seed))
        return cls(_paths(positions, depth, children).to(vectors.device), children)

    def extend(self, known: Tensor, vectors: Tensor) -> ClusterTree:
        """A tree of the same nodes over another catalogue: known items keep their leaves, new ones get free ones.

        A new item hangs beside the items that its vector is most similar to (cosine), as near as there are free leaves.
        Leaves of items that are gone are free.

        Args:
            known: ``[N']``, which of this tree's items each item of the catalogue is; −1: it is new.
            vectors: ``[N', F]``, of the catalogue's items, floating-point, dense or sparse CSR.

        Raises:
            ValueError: vectors of another number of items, or more new items than free leaves. To leave room, build a
                tree and give it more children: ``ClusterTree(tree.paths, children=more)``.
        """
        rows = ItemRows(vectors)
        if rows.num_items != len(shaped("known", known, None, whole=True)):
            raise ValueError(expected("vectors", f"one for each of the {len(known)} items", rows.num_items))
        if not -1 <= int(known.min()) <= int(known.max()) < self.num_items:
            raise ValueError(expected("known", f"ids from 0 to {self.num_items - 1}, or -1", known.tolist()[:10]))
        here = known.to(self.positions.device)
        positions = torch.where(here < 0, here, self.positions[here.clamp(min=0)]).cpu().numpy()
        positions = hang_new_items(rows, positions, len(self.leaves), self.children)
        return ClusterTree(_paths(positions, self.depth, self.children).to(self.paths.device), self.children)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the tree to one safetensors file, whole or not at all."""
        save_tensors(path, {"paths": self.paths}, {"kind": KIND, "children": self.children})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClusterTree:
        """Reads what :meth:`save` wrote, to the CPU.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or holds something else.
        """
        tensors, metadata = load_tensors(path, KIND)
        try:
            return cls(tensors["paths"], metadata["children"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold a valid {KIND} ({error}); build and save it anew") from error

    def attach(self, data: HeteroData) -> ClusterTree:
        """Writes the tree into a data set: ``data['item'].cluster_path [N, D]`` and ``data['item'].cluster_children``.

        Raises:
            ValueError: ``data`` has another number of items.
        """
        self._check_items(data)
        data["item"].cluster_path, data["item"].cluster_children = self.paths, self.children
        return self

    @classmethod
    def from_data(cls, data: HeteroData) -> ClusterTree:
        """The tree that :meth:`attach` wrote into ``data``, or into a data set it was saved as or copied from.

        Raises:
            ValueError: there is none, or it is one of other items.
        """
        if not {"cluster_path", "cluster_children"} <= set(a_data_set("data", data)["item"].keys()):
            raise ValueError(expected("data", "a data set with a tree attached", f"node types {data.node_types}",
                                      "see ClusterTree.attach"))
        tree = cls(data["item"].cluster_path, data["item"].cluster_children)
        tree._check_items(data)
        return tree

    def subtree(self, prefix: Sequence[int] | Tensor) -> Tensor:
        """The items below a node, in the order of their leaves.

        Args:
            prefix: the node's path: up to D digits in [0, c); none: the root.

        Raises:
            ValueError: no such path.
        """
        if not isinstance(prefix, list | tuple):
            shaped("prefix", prefix, None, whole=True)
        digits = [at_least("prefix", digit, -WIDEST) for digit in prefix]
        if len(digits) > self.depth or not all(0 <= digit < self.children for digit in digits):
            raise ValueError(expected("prefix", f"at most {self.depth} digits in [0, {self.children})", digits))
        below = self.leaves
        for digit in digits:
            below = below.view(self.children, -1)[digit]
        return below[below >= 0]

    def to(self, device: torch.device | str) -> ClusterTree:
        """The tree with its tensors on ``device``."""
        return ClusterTree(self.paths.to(device), self.children)

    def __len__(self) -> int:
        return self.num_items

    def __repr__(self) -> str:
        return f"ClusterTree(num_items={self.num_items}, depth={self.depth}, children={self.children})"

    def _check_items(self, data: HeteroData) -> None:
        num_items = a_data_set("data", data)["item"].num_nodes
        if num_items != self.num_items:
            raise ValueError(expected("data", f"a data set of the tree's {self.num_items} items", num_items,
                                      "build the tree on this data set's items"))


def _paths(positions: np.ndarray, depth: int, children: int) -> Tensor:
    """``[N, D]``, the digits of leaves' numbers."""
    return torch.from_numpy(positions)[:, None] // _radix(depth, children) % children


def _radix(depth: int, children: int) -> Tensor:
    """What each digit of a path is worth: c^(D−1), …, c, 1."""
    return children ** torch.arange(depth - 1, -1, -1, device="cpu")


def _check_leaves(depth: int, children: int) -> None:
    if children > 1 and (depth > 64 or children**depth > MOST_LEAVES):
        raise ValueError(expected("children ** depth", f"at most {MOST_LEAVES:,} leaves", f"{children} ** {depth}",
                                  "choose fewer levels or fewer children"))
