"""``renumbered``: a data set whose items are numbered at random."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import a_data_set
from kgrl.seeding import generator_for


def renumbered(data: HeteroData, seed: int = 0) -> HeteroData:
    """A copy of ``data`` in which items are numbered at random, as item numbers give fame away.

    Files tend to list well-known items first. On MovieLens-100K an agent that knows nothing of new films, and takes the
    first by number, goes 40 % of the way from random to all-knowing. So every protocol with new items numbers items at
    random.

    Args:
        data: a data set; it stays as it is, and what does not change is shared with it.
        seed: of the numbering, the same on every device.

    Returns:
        The copy. All that is known of items goes along (``raw_id``, ``title``, …), and every edge type with an item at
        an end. Users and entities keep their numbers. ``data.provenance["renumbered"]`` is the seed.
    """
    store = a_data_set("data", data)["item"]
    order = torch.randperm(int(store.num_nodes), generator=generator_for("cpu", seed))  # new number → old number
    place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order)))  # old number → new number
    copied = copy.copy(data)
    for name in [name for name in store.keys() if _of_each(store[name], len(order), name)]:  # noqa: SIM118  # no dict
        copied["item"][name] = _taken(store[name], order)
    for kind in data.edge_types:
        if "item" in (kind[0], kind[2]):
            edges = data[kind].edge_index
            ends = zip((kind[0], kind[2]), edges, strict=True)
            copied[kind].edge_index = torch.stack(
                [place.to(edges.device)[nodes] if node == "item" else nodes for node, nodes in ends])
    copied.provenance = {**(data.provenance if "provenance" in data else {}), "renumbered": seed}
    return copied


def _of_each(value: Any, num_items: int, name: str) -> bool:
    """Whether ``value`` says something of each item."""
    if name == "num_nodes" or isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    return len(value) == num_items if not isinstance(value, Tensor) or value.dim() else False


def _taken(values: Any, order: Tensor) -> Any:
    """``values`` in another order, be they a tensor, an array or a list."""
    if isinstance(values, Tensor):
        return values[order.to(values.device)]
    if isinstance(values, list | tuple):
        return type(values)(map(values.__getitem__, order.tolist()))
    return values[order.numpy()]
