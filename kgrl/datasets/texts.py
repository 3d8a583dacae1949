"""``Texts``: what is known of nodes in words, so that PyG can take a part of the nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData


class Texts(list[Any]):
    """A list of one text per node, that a tensor of node ids or a mask takes a part of.

    PyG holds a list of as many elements as there are nodes for something it may index so (``data.subgraph``).
    """

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, Tensor) or not at.dim():
            return super().__getitem__(at)
        rows = at.nonzero().view(-1) if at.dtype == torch.bool else at
        return Texts(super(Texts, self).__getitem__(row) for row in rows.tolist())


def with_texts(data: HeteroData) -> HeteroData:
    """``data``, changed in place: each list of a node type's stores is of :class:`Texts`."""
    for store in data.node_stores:
        for name, value in store.items():
            if type(value) is list:
                store[name] = Texts(value)
    return data


def without_texts(data: HeteroData) -> dict[str, Any]:
    """The content of ``data``, with plain lists in place of :class:`Texts`: what a file may hold."""
    return {key: {name: list(value) if isinstance(value, Texts) else value for name, value in store.items()}
            if isinstance(store, dict) else store for key, store in data.to_dict().items()}
