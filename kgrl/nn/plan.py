"""What a few targets can see of a graph in so many hops: which nodes, along which edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from kgrl.nn.neighbours import Rows


class Plan(NamedTuple):
    """The computation of L layers for some targets, and of nothing else.

    Layer l is computed on the nodes within L − l hops of a target. These sets are nested, and each begins with the
    next: a layer's targets are the first rows of its sources, so that nothing is gathered between layers.

    Args:
        nodes: ids of the first layer's sources, or of its targets if its sources are the whole graph's; those of later
            layers first.
        hops: one ``EdgeIndex`` a layer, sorted by target: from rows of the layer before to rows of its own.
        order: ``[len(targets)]``, the row of the last layer that each wanted target is; ``None``: they are its rows.
    """

    nodes: Tensor
    hops: tuple[EdgeIndex, ...]
    order: Tensor | None


def plan(graph: Rows, targets: Tensor, num_hops: int, whole: bool = False) -> Plan:
    """Plans ``num_hops`` layers for ``targets``.

    Args:
        graph: the in-neighbours of every node.
        targets: ids, in any order, repeats allowed.
        num_hops: L.
        whole: the first layer reads the whole graph's features where they lie; else only the sources it needs, gathered
            beforehand, which pays where it computes something for each source.
    """
    num_nodes = graph.ptr.numel() - 1
    nodes, order = targets.unique(return_inverse=True)
    as_given = torch.equal(nodes, targets)
    fresh = torch.zeros(num_nodes, dtype=torch.bool, device=nodes.device)
    row = torch.empty(num_nodes, dtype=torch.long, device=nodes.device)  # only read where a node has a row
    hops: list[EdgeIndex] = []
    for _ in range(num_hops - whole):
        source, target = _edges_into(graph, nodes)
        fresh[source] = True
        fresh[nodes] = False
        num_targets, nodes = nodes.numel(), torch.cat([nodes, fresh.nonzero().squeeze(1)])
        row[nodes] = torch.arange(nodes.numel(), device=nodes.device)
        hops.insert(0, _edge_index(row[source], target, nodes.numel(), num_targets))
    if whole and num_hops:
        hops.insert(0, _edge_index(*_edges_into(graph, nodes), num_nodes, nodes.numel()))
    return Plan(nodes, tuple(hops), None if as_given else order)


def _edges_into(graph: Rows, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Source (an id) and target (a position in ``nodes``) of every edge into one of ``nodes``, sorted by target."""
    degree = graph.ptr.diff()[nodes]
    target = torch.arange(nodes.numel(), device=nodes.device).repeat_interleave(degree)
    first_here, first_there = degree.cumsum(0) - degree, graph.ptr[nodes]
    position = torch.arange(target.numel(), device=nodes.device) + (first_there - first_here)[target]
    return graph.columns[position], target


def _edge_index(source: Tensor, target: Tensor, num_sources: int, num_targets: int) -> EdgeIndex:
    edges = torch.stack([source, target])
    return EdgeIndex(edges, sparse_size=(num_sources, num_targets), sort_order="col").fill_cache_()
