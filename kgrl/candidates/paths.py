"""Explaining a candidate: the path in the KG that leads from a liked item to it through the rarest entity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.index import index2ptr

from kgrl.candidates.reasons import PathStep, Role, reason, role_of
from kgrl.graph import checked_graph, distinct_pairs
from kgrl.options import at_least, expected, ids


@dataclass(frozen=True)
class Path:
    """How a seed leads to a candidate.

    Args:
        seed: the liked item the path starts from.
        steps: the edges walked; the last one's ``node`` is the candidate.
        degree: neighbours of the most common node in between, 0 where the two are linked directly.
    """

    seed: int
    steps: tuple[PathStep, ...]
    degree: int

    def describe(self, name: Callable[[int], str] = str, relation: Callable[[str], Role] = role_of) -> str:
        """The path in words, to be read after the candidate's name: "shares the director Joel Coen with Fargo".

        Where a node has no name it is told by what it links: "has the same director as Fargo".

        Args:
            name: what a node is called, a function of its id, as the list ``kgrl.datasets.node_names(data)`` has it;
                "" where it has no name.
            relation: what a relation is called, a function of its name, as the mapping
                :func:`kgrl.candidates.relation_words` has it.
        """
        return reason(self.seed, self.steps, name, relation)

    def __str__(self) -> str:
        return self.describe()


class PathFinder:
    """Finds, for a candidate, the path from each seed whose most common node in between is the rarest.

    A path is as telling as its most common link: sharing a director (30 films) says more than sharing a language
    (1,500). So among the walks of at most k hops from a seed to the item the one is taken whose highest degree in
    between is lowest; among equals the shortest. Which of them, if there are several still, and which of parallel
    relations, is fixed: lowest ids, but a relation that is walked there and back ("shares …") before any other.

    Works on the CPU: it is for explanations, not for the training loop.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`.
        hops: k.
        max_degree: nodes with more neighbours are not walked through.
    """

    def __init__(self, kg: Data, hops: int, max_degree: int | None = None) -> None:
        self.hops, self.num_items, self.num_relations = hops, int(checked_graph(kg).num_items), int(kg.num_relations)
        self.names = list(kg.relation_names)
        (rowptr, tails), _ = distinct_pairs(kg).get_csr()
        self.rowptr, self.tails = rowptr.cpu(), tails.cpu()
        self.degree = self.rowptr.diff()
        self.heads = torch.repeat_interleave(self.degree)
        blocked = torch.zeros_like(self.degree, dtype=torch.bool) if max_degree is None else self.degree > max_degree
        # what it costs to pass a node
        self.toll = self.degree.masked_fill(blocked, torch.iinfo(torch.long).max)
        self.edge_index, self.edge_type = kg.edge_index.cpu(), kg.edge_type.cpu()
        self.edge_ptr = index2ptr(self.edge_index[0], int(kg.num_nodes or 0))

    def __call__(self, item: int, seeds: Tensor | Sequence[int]) -> list[Path]:
        """The best path from each seed that reaches ``item``, rarest first, then shortest, then by seed.

        Args:
            item: the candidate.
            seeds: item ids; −1 is padding.

        Raises:
            TypeError, ValueError: an id is no item's.
        """
        item = at_least("item", item, 0)
        starts = sorted(set(ids("seeds", seeds).tolist()) - {-1, item})
        for name, nodes in (("item", [item]), ("seeds", starts)):
            if wrong := [node for node in nodes if not 0 <= node < self.num_items]:
                raise ValueError(expected(name, f"item ids in [0, {self.num_items})", wrong[0]))
        costs = self._costs(item)
        found = [self._path(seed, item, costs) for seed in starts]
        return sorted((path for path in found if path), key=lambda path: (path.degree, len(path.steps), path.seed))

    def _costs(self, item: int) -> list[Tensor]:
        """For 0 … k hops, each node's lowest possible highest toll on a walk of just so many hops to ``item``."""
        never = torch.iinfo(torch.long).max
        costs = [torch.full_like(self.degree, never)]
        costs[0][item] = 0
        for hop in range(self.hops):
            # the node stepped on is in between, unless it is the goal
            step_on = costs[-1] if hop == 0 else torch.maximum(costs[-1], self.toll)
            costs.append(torch.full_like(self.degree, never).scatter_reduce(0, self.heads, step_on[self.tails], "amin"))
        return costs

    def _path(self, seed: int, item: int, costs: list[Tensor]) -> Path | None:
        reach = torch.stack([cost[seed] for cost in costs[1:]])
        hops = int(reach.argmin()) + 1  # of equals the first: then no node comes twice
        degree = int(reach[hops - 1])
        if degree == torch.iinfo(torch.long).max:
            return None
        nodes = [seed]
        for left in range(hops - 1, -1, -1):
            onward = self.tails[self.rowptr[nodes[-1]] : self.rowptr[nodes[-1] + 1]]
            toll = costs[left][onward]
            if left:
                toll = torch.maximum(toll, self.toll[onward])
            nodes.append(int(onward[toll.argmin()]))
        return Path(seed, self._steps(nodes), degree)

    def _steps(self, nodes: list[int]) -> tuple[PathStep, ...]:
        """Chooses the relation of each edge along ``nodes``."""
        types = [self._types(head, tail) for head, tail in pairwise(nodes)]
        chosen: list[int] = []
        for position, here in enumerate(types):
            mirrors = {self._mirror(chosen[-1])} if chosen else set()
            if position + 1 < len(types):
                mirrors |= {self._mirror(kind) for kind in types[position + 1]}
            chosen.append(min(here, key=lambda kind: (kind not in mirrors, kind)))
        return tuple(
            PathStep(self.names[kind % self.num_relations], kind >= self.num_relations, node)
            for kind, node in zip(chosen, nodes[1:], strict=True)
        )

    def _types(self, head: int, tail: int) -> list[int]:
        row = slice(int(self.edge_ptr[head]), int(self.edge_ptr[head + 1]))
        return self.edge_type[row][self.edge_index[1, row] == tail].tolist()

    def _mirror(self, kind: int) -> int:
        """The same relation, walked back."""
        return (kind + self.num_relations) % (2 * self.num_relations)
