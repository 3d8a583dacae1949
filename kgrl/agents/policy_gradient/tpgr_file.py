"""What a file holds of a ``TPGR``, made ready for the data set that the agent is loaded with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.catalogue import Match
from kgrl.agents.shared.new_nodes import moved_rows, moved_tastes
from kgrl.agents.shared.warm_start import saved_tastes
from kgrl.graph import distinct_pairs, knowledge_graph
from kgrl.pretrain.items import item_vectors
from kgrl.tree.cluster_tree import ClusterTree

TASTES = "state.taste."
"""What the names of the taste state's tensors begin with."""


def surroundings(data: HeteroData) -> Data:
    """The KG of a data set; one of its items without edges where there is none."""
    if any("user" not in (source, target) for source, _, target in data.edge_types):
        return knowledge_graph(data)
    return knowledge_graph(torch.empty(2, 0, dtype=torch.long), num_items=int(data["item"].num_nodes))


def neighbour_vectors(kg: Data) -> Tensor:
    """``[N, E]``, sparse CSR: which nodes each item is connected to or is itself, rare ones weighted more.

    A node with n neighbours weighs log(1 + N / n), so that who shares a rare entity is nearer than who shares a
    common one.
    """
    (rowptr, columns), _ = distinct_pairs(kg).get_csr()
    items, nodes = int(kg.num_items), int(kg.num_nodes or 0)
    row = torch.arange(items).repeat_interleave(rowptr.cpu().diff()[:items])
    pairs = torch.stack([row, columns.cpu()[: len(row)]])
    pairs = torch.cat([pairs, torch.arange(items).expand(2, -1)], 1)
    weight = torch.log1p(items / torch.bincount(pairs[1], minlength=nodes).clamp(min=1))
    vectors = torch.sparse_coo_tensor(pairs, weight[pairs[1]], (items, nodes), check_invariants=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return vectors.coalesce().to_sparse_csr()


def extended_tree(
    tree: ClusterTree, match: Match, data: HeteroData, users: Tensor, kg: Data, vectors: Tensor | None
) -> ClusterTree:
    """``tree`` for the items of ``data``; new ones are found leaves by ``vectors``, or else by KG or by ratings."""
    if vectors is None:
        vectors = neighbour_vectors(kg) if kg.num_edges else item_vectors(data, users, kind="rating")
    return tree.extend(match.item, vectors)


def moved_tensors(tensors: Mapping[str, Tensor], match: Match, kg: Data, tree: ClusterTree) -> dict[str, Tensor]:
    """A saved agent's tensors, those that have a row per item or node by the numbers of its items now.

    Args:
        tensors: by the numbers of before.
        match: where the items were.
        kg: what new items' rows are made from; without edges they have the mean of all.
        tree: over the items as they are now.
    """
    place = match.node if len(match.node) == kg.num_nodes else F.pad(match.item, (0, kg.num_nodes - len(match.item)),
                                                                     value=-1)
    rows = moved_rows(tensors["items.embedding"], place, kg)[: len(match.node)]
    moved = {**tensors, "items.embedding": rows, "policy.index.leaves": tree.leaves}
    if (start := saved_tastes(tensors, {}, at=TASTES)) is not None:
        moved |= {TASTES + name: part for name, part in moved_tastes(start, match, kg)._asdict().items()}
    last = sum(name.startswith("policy.biases.") for name in tensors) - 1
    kept = _kept_children(tree, tree.positions[match.item >= 0])
    for name in (f"policy.weights.{last}", f"policy.biases.{last}"):
        moved[name] = _with_neutral_children(tensors[name], kept)
    return moved


def _kept_children(tree: ClusterTree, positions: Tensor) -> Tensor:
    """``[nodes, c]``, which children of each node, level by level, have one of the leaves ``positions`` below."""
    kept = torch.zeros(len(tree.leaves), dtype=torch.bool)
    kept[positions] = True
    levels = [kept.view(tree.children ** (level + 1), -1).any(1) for level in range(tree.depth)]
    return torch.cat([level.view(-1, tree.children) for level in levels])


def _with_neutral_children(last: Tensor, kept: Tensor) -> Tensor:
    """The nodes' last layers ``[nodes, …, c]``, where children that are not kept are treated as the others are.

    What was learned of a leaf whose item is gone says nothing of the item that hangs there now.
    """
    kept = kept.view(len(kept), *[1] * (last.dim() - 2), -1)
    mean = (last * kept).sum(-1, keepdim=True) / kept.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(kept | ~kept.any(-1, keepdim=True), last, mean)
