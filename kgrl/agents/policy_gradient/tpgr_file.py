"""What a file holds of a ``TPGR``, made ready for the data set that the agent is loaded with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data, HeteroData

from kgrl.agents.shared.catalogue import UNTRAINED, Catalogue, Match, matched
from kgrl.agents.shared.item_vectors import ItemVectors
from kgrl.agents.shared.warm_start import heard_graph, moved_rows, moved_tastes, saved_tastes
from kgrl.files import load_tensors
from kgrl.graph import distinct_pairs, kg_digest, knowledge_graph
from kgrl.objects import a_data_set
from kgrl.options import expected
from kgrl.pretrain.items import item_vectors
from kgrl.tree.cluster_tree import ClusterTree

TASTES = "state.taste."
"""What the names of the taste state's tensors begin with."""


class LoadedTPGR:
    """A file, ready for the data set that the agent is loaded with; arguments as :meth:`kgrl.agents.TPGR.load`'s.

    Attributes:
        tensors: of the agent, by the numbers that its items have now.
        metadata: of the file.
        given: what the constructor is given, beside the options in ``metadata``.
        match: where the items were; ``None``: nothing has changed.
        untrained: ``[E]``, which nodes were never trained; ``None``: all were.
    """

    def __init__(
        self, path: str | os.PathLike[str], kind: str, data: HeteroData, users: Tensor, vectors: Tensor | None,
        options: Mapping[str, Any],
    ) -> None:
        a_data_set("data", data)
        self.tensors, self.metadata = load_tensors(path, kind)
        before, self.untrained = Catalogue.taken_from(self.tensors), self.tensors.pop(UNTRAINED, None)
        tree = ClusterTree(self.tensors.pop("tree.paths"), self.metadata["children"])
        self.kg = knowledge_graph(data) if self.metadata["kg"] is not None else None
        ids = data["item"].get("raw_id")
        now = Catalogue.of_items(ids) if self.kg is None else Catalogue.of(self.kg)
        same = len(tree) == data["item"].num_nodes and (self.kg is None or self.metadata["kg"] == kg_digest(self.kg))
        self.match = matched(path, before, now, same, "data set")
        if self.match is not None:
            near = surroundings(data) if self.kg is None else self.kg
            tree = extended_tree(tree, self.match, data, users, near, vectors)
            self.tensors = moved_tree_tensors(self.tensors, self.match, near, tree)
            self.untrained = self.match.untrained(self.untrained)
        for part in ("state", "aggregator"):
            if isinstance(made := self.metadata["options"].get(part), dict) and part not in options:
                raise ValueError(expected(part, f"given again, as it was made by hand ({made})", None))
        self.given = {"tree": tree, "embedding": self.tensors["items.embedding"], "kg": self.kg, "ids": ids,
                      "tastes": saved_tastes(self.tensors, options, anew=self.match is not None, at=TASTES)}

    def plan(self, items: ItemVectors) -> None:
        """Plans the convolution so that trained nodes do not hear of untrained ones."""
        if self.kg is not None and self.untrained is not None and items.encoder is not None:
            items.encoder.plan_kg(heard_graph(self.kg, self.untrained))


def surroundings(data: HeteroData) -> Data:
    """The KG of a data set; one of its items without edges where there is none."""
    if any("user" not in (source, target) for source, _, target in data.edge_types):
        return knowledge_graph(data)
    return knowledge_graph(torch.empty(2, 0, dtype=torch.long, device="cpu"), num_items=int(data["item"].num_nodes))


def neighbour_vectors(kg: Data) -> Tensor:
    """``[N, E]``, sparse CSR: which nodes each item is connected to or is itself, rare ones weighted more.

    A node with n neighbours weighs log(1 + N / n), so that who shares a rare entity is nearer than who shares a
    common one.
    """
    (rowptr, columns), _ = distinct_pairs(kg).get_csr()
    items, nodes = int(kg.num_items), int(kg.num_nodes or 0)
    numbers = torch.arange(items, device="cpu")
    row = numbers.repeat_interleave(rowptr.cpu().diff()[:items])
    pairs = torch.stack([row, columns.cpu()[: len(row)]])
    pairs = torch.cat([pairs, numbers.expand(2, -1)], 1)
    weight = torch.log1p(items / torch.bincount(pairs[1], minlength=nodes).clamp(min=1))
    vectors = torch.sparse_coo_tensor(pairs, weight[pairs[1]], (items, nodes), device="cpu", check_invariants=False)
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


def moved_tree_tensors(tensors: Mapping[str, Tensor], match: Match, kg: Data, tree: ClusterTree) -> dict[str, Tensor]:
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
    kept = torch.zeros(len(tree.leaves), dtype=torch.bool, device=positions.device)
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
