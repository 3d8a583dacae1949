"""Who hears whom in a graph, and what a few targets can see of it in so many hops: which nodes, along which edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj
from torch_geometric.utils import coalesce
from torch_geometric.utils.sparse import index2ptr

from kgrl.nn.conv.aggregator import Aggregator, told
from kgrl.nn.conv.edges import Remembered, checked_attributes, checked_edges, checked_types, node_ids, passed
from kgrl.nn.conv.neighbours import Rows, edge_pairs, plain_edges
from kgrl.nn.conv.relational import distinct_triples
from kgrl.options import a_tensor, expected

_KNOWN = Remembered()  # graphs that were made of edges without types


class Along(NamedTuple):
    """What goes along with M edges, in their order: what :class:`KGConv <kgrl.nn.KGConv>` takes by these names.

    Args:
        edge_type: ``[M]``, where the aggregator asks for it.
        edge_attr: ``[M, …]``, where the aggregator asks for it.
        edge_norm: ``[M]``, of :meth:`Aggregator.edge_norm <kgrl.nn.Aggregator.edge_norm>`, if it has one.
    """

    edge_type: Tensor | None = None
    edge_attr: Tensor | None = None
    edge_norm: Tensor | None = None

    def at(self, position: Tensor) -> Along:
        """Of the edges at ``position``."""
        return Along(*(None if values is None else values.index_select(0, position) for values in self))


class Hop(NamedTuple):
    """The edges of one layer, sorted by target: from rows of the layer before to rows of its own."""

    edges: EdgeIndex
    along: Along = Along()


@dataclass
class Graph:
    """Who hears whom.

    Args:
        rows: the in-neighbours of every node; M edges.
        along: what goes along with the edges, in their order.
    """

    rows: Rows
    along: Along = field(default_factory=Along)

    @cached_property
    def whole(self) -> Hop:
        """The edges of a layer on all nodes."""
        size = self.rows.ptr.numel() - 1
        target = torch.arange(size, device=self.rows.ptr.device).repeat_interleave(self.rows.ptr.diff())
        edges = EdgeIndex(torch.stack([self.rows.columns, target]), sparse_size=(size, size), sort_order="col")
        return Hop(passed(edges, size, size), self.along)


def graph_of(edge_index: Adj, num_nodes: int, given: Along, part: Aggregator | None) -> Graph:
    """Who hears whom, with what the aggregator wants of each edge.

    Args:
        edge_index: ``[2, M]``, head → tail, or a sparse matrix.
        num_nodes: ids are below it.
        given: what goes along with the edges, ``edge_norm`` aside; looked at where there is a ``part``.
        part: the aggregator, if it wants anything of single edges.

    Raises:
        IndexError: an edge's end is no node.
        ValueError: edges of another shape, or what goes along does not fit them.
    """
    checked_edges(edge_index, num_nodes, num_nodes)
    if part is not None:
        edges, along = _wanted(plain_edges(edge_index), num_nodes, given, part)
        known = {"edge_type": along.edge_type, "edge_attr": along.edge_attr}
        norm = told(part, "edge_norm", **known, index=edges[0], size=num_nodes)
        return Graph(Rows(index2ptr(edges[0], num_nodes), edges[1]), along._replace(edge_norm=norm))
    if (graph := _KNOWN.get(edge_index, num_nodes)) is None:
        heads, tails = coalesce(edge_pairs(edge_index).long(), num_nodes=num_nodes)
        graph = _KNOWN.keep(Graph(Rows(index2ptr(heads, num_nodes), tails)), edge_index, num_nodes)
    return graph


def _wanted(edges: Tensor, num_nodes: int, given: Along, part: Aggregator) -> tuple[Tensor, Along]:
    """The edges that count, sorted by head, with what is asked of them: each, distinct triples, or distinct pairs."""
    count, edge_type = edges.size(1), None
    if "edge_type" in part.asks:
        edge_type = checked_types(given.edge_type, count, part.num_relations)
    if "edge_attr" in part.asks:
        order = edges[0].argsort(stable=True)
        attributes = checked_attributes(given.edge_attr, count).index_select(0, order)
        return edges[:, order], Along(None if edge_type is None else edge_type[order], attributes)
    if edge_type is not None:
        edges, edge_type = distinct_triples(edges, edge_type)
        return edges, Along(edge_type)
    return coalesce(edges.long(), num_nodes=num_nodes), Along()


def target_ids(targets: Tensor, num_nodes: int) -> Tensor:
    """The checked ids of ``targets``, which may be a mask: taken for ids, its bools would be the nodes 0 and 1."""
    if a_tensor("targets", targets).dtype == torch.bool:
        if targets.shape != (num_nodes,):
            raise ValueError(expected("targets", f"node ids [T] or a mask [{num_nodes}], one bool a node",
                                      f"a mask {list(targets.shape)}"))
        return targets.nonzero().view(-1)
    if targets.dim() != 1 or targets.is_floating_point():
        raise ValueError(expected("targets", "node ids [T], whole numbers", f"{targets.dtype} {list(targets.shape)}"))
    return node_ids("targets", targets, num_nodes)


class Plan(NamedTuple):
    """The computation of L layers for some targets, and of nothing else.

    Layer l is computed on the nodes within L − l hops of a target. These sets are nested, and each begins with the
    next: a layer's targets are the first rows of its sources, so that nothing is gathered between layers.

    Args:
        nodes: ids of the first layer's sources, or of its targets if its sources are the whole graph's; those of later
            layers first.
        hops: one a layer.
        order: ``[len(targets)]``, the row of the last layer that each wanted target is; ``None``: they are its rows.
    """

    nodes: Tensor
    hops: tuple[Hop, ...]
    order: Tensor | None


def plan(graph: Graph, targets: Tensor, num_hops: int, whole: bool = False) -> Plan:
    """Plans ``num_hops`` layers for ``targets``.

    Args:
        graph: all of it.
        targets: ids, in any order, repeats allowed.
        num_hops: L.
        whole: the first layer reads the whole graph's features where they lie; else only the sources it needs, gathered
            beforehand, which pays where it computes something for each source.
    """
    num_nodes = graph.rows.ptr.numel() - 1
    nodes, order = targets.unique(return_inverse=True)
    as_given = torch.equal(nodes, targets)
    fresh = torch.zeros(num_nodes, dtype=torch.bool, device=nodes.device)
    row = torch.empty(num_nodes, dtype=torch.long, device=nodes.device)  # only read where a node has a row
    hops: list[Hop] = []
    for _ in range(num_hops - whole):
        position, target = _edges_into(graph.rows, nodes)
        source = graph.rows.columns[position]
        fresh[source] = True
        fresh[nodes] = False
        num_targets, nodes = nodes.numel(), torch.cat([nodes, fresh.nonzero().squeeze(1)])
        row[nodes] = torch.arange(nodes.numel(), device=nodes.device)
        hops.insert(0, _hop(graph, position, row[source], target, nodes.numel(), num_targets))
    if whole and num_hops:
        position, target = _edges_into(graph.rows, nodes)
        hops.insert(0, _hop(graph, position, graph.rows.columns[position], target, num_nodes, nodes.numel()))
    return Plan(nodes, tuple(hops), None if as_given else order)


def _edges_into(rows: Rows, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Position in ``rows`` and target (a position in ``nodes``) of every edge into one of ``nodes``, by target."""
    degree = rows.ptr.diff()[nodes]
    target = torch.arange(nodes.numel(), device=nodes.device).repeat_interleave(degree)
    first_here, first_there = degree.cumsum(0) - degree, rows.ptr[nodes]
    return torch.arange(target.numel(), device=nodes.device) + (first_there - first_here)[target], target


def _hop(graph: Graph, position: Tensor, source: Tensor, target: Tensor, num_sources: int, num_targets: int) -> Hop:
    """The edges at ``position``, between rows; all edges of a target are among them, so each keeps its norm."""
    edges = EdgeIndex(torch.stack([source, target]), sparse_size=(num_sources, num_targets), sort_order="col")
    return Hop(passed(edges.fill_cache_(), num_sources, num_targets), graph.along.at(position))
