"""What TPGR's constructor wants, made of a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.warm_start import checked_start
from kgrl.graph import checked_graph, knowledge_graph
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import a_data_set, of_class
from kgrl.options import at_least, expected, ids, one_of
from kgrl.pretrain.items import item_vectors
from kgrl.pretrain.tastes import item_tastes
from kgrl.tree.cluster_tree import SPLITS, ClusterTree

TASTE_CHANNELS = 12
"""Length of TPGR's taste state where nothing else is said."""


def tpgr_parts(
    data: HeteroData, users: Tensor, tree: Any, state: Any, embedding: Tensor | None,
    tastes: TasteTerms | None, taste_channels: int | None, preset: str, item_channels: int, seed: int,
) -> dict[str, Any]:
    """Arguments of :class:`kgrl.agents.TPGR`; those of :meth:`kgrl.agents.TPGR.from_data`.

    Raises:
        ValueError: see there.
    """
    users = ids("users", users, a_data_set("data", data, "user")["user"].num_nodes)
    items = int(a_data_set("data", data)["item"].num_nodes)
    kg = knowledge_graph(data) if isinstance(state, str) and state.lower() == "kg" else None
    tree = _tree(data, users, tree, items)
    start, count = _tastes(tastes, taste_channels, items, preset)
    if embedding is None and kg is None:
        embedding = item_vectors(data, users, kind="mf", dim=item_channels, seed=seed)
    if start is None and count:
        start = item_tastes(data, users, dim=count)
    return {"tree": tree, "embedding": embedding, "kg": kg, "ids": data["item"].get("raw_id"),
            "state": "gru" if kg is not None else state, "tastes": start}


def _tastes(
    tastes: TasteTerms | None, taste_channels: int | None, items: int, preset: str
) -> tuple[TasteTerms | None, int]:
    """What the taste state goes by, where it is given, and its length.

    Raises:
        ValueError: tastes of another length than was asked for, of other items, that are none, or where there is no
            taste state.
    """
    if tastes is None:
        usual = 0 if preset == "paper" else TASTE_CHANNELS
        return None, usual if taste_channels is None else at_least("taste_channels", taste_channels, 0)
    start, length = checked_start(tastes, taste_channels, items)
    return start, length or 0


def made_tree(
    tree: str | type[ClusterTree] | ClusterTree, vectors: Callable[[], Tensor | None], hint: str = ""
) -> ClusterTree:
    """The tree.

    Args:
        tree: how to cluster, a name among :data:`kgrl.tree.cluster_tree.SPLITS`; a class, made by its
            ``build(vectors)``; or an instance.
        vectors: gives ``[N, F]``, of the items, for a name or a class.
        hint: for the error, what to do where it gives ``None``.

    Raises:
        TypeError: it is none of these.
        ValueError: an unknown name, or no vectors for it.
    """
    by_class = isinstance(tree, type) and issubclass(tree, ClusterTree)
    if not isinstance(tree, str) and not by_class:
        return of_class("tree", tree, ClusterTree, f"a name ({', '.join(SPLITS)}) or a class will do, too")
    method = one_of("tree", tree.lower(), SPLITS) if isinstance(tree, str) else None
    if (found := vectors()) is None:
        raise ValueError(expected("tree", "an instance", tree, hint))
    return ClusterTree.build(found, method=method, seed=0) if method else tree.build(found)  # type: ignore[union-attr]


def tree_over(tree: Any, embedding: Tensor | None, kg: Data | None) -> ClusterTree:
    """The tree of a ``TPGR``; where it is no instance, over its items' embeddings."""
    own = embedding if embedding is None or kg is None else embedding[: int(checked_graph(kg).num_items)]
    return made_tree(tree, lambda: own, "give `embedding`, too, or take TPGR.from_data(data, users)")


def _tree(
    data: HeteroData, users: Tensor, tree: str | type[ClusterTree] | ClusterTree | None, items: int
) -> ClusterTree:
    attached = tree is None and "cluster_path" in data["item"]
    tree = ClusterTree.from_data(data) if attached else made_tree(
        "pca" if tree is None else tree, lambda: item_vectors(data, users, kind="rating"))
    if len(tree) != items:
        raise ValueError(expected("tree", f"over the data set's {items} items", len(tree)))
    return tree
