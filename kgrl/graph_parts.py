"""What a data set, a PyG ``Data`` or bare tensors say of a knowledge graph, checked: the parts that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from kgrl.options import a_tensor, at_least, did_you_mean, expected
from kgrl.raw_ids import RawIds, joined, missing_ids

REVERSE = "rev_"
"""How PyG's ``ToUndirected`` begins the name of a reversed relation."""


def with_own_numbers(kg: Data) -> Data:
    """``kg``, if its nodes still have the numbers it was made with.

    ``kg.subgraph`` and PyG's loaders give them others, and leave ``num_items`` alone. What was not made here does not
    tell its numbers; that is taken for what it says.

    Raises:
        ValueError: they have not.
    """
    if "inverse" in kg and "n_id" in kg:
        own = torch.arange(kg.num_nodes, device=kg.n_id.device)
        if not torch.equal(kg.n_id, own) or int(kg.num_items) > kg.num_nodes:
            came = f"{int(kg.num_nodes):,} nodes, which were {kg.n_id[:3].tolist()}, …"
            raise ValueError(expected("kg", "a graph whose nodes have the numbers it was made with", came,
                                      "they were taken out or put in another order (kg.subgraph), so `num_items` no "
                                      "longer tells the items; knowledge_graph(kg.edge_index, edge_type=…, "
                                      "num_items=…) makes a graph of these"))
    return kg


def hetero_parts(data: HeteroData) -> dict[str, Any]:
    """What a graph is assembled from, out of the data sets' ``HeteroData``."""
    if "item" not in data.node_types:
        raise ValueError(expected("data", "a HeteroData with the node type 'item'", data.node_types))
    num_items = at_least("data['item'].num_nodes", _count(data, "item"), 0)
    num_entities = _count(data, "entity") if "entity" in data.node_types else 0
    sizes, offsets = {"item": num_items, "entity": num_entities}, {"item": 0, "entity": num_items}
    used = [kind for kind in data.edge_types if "user" not in (kind[0], kind[2])]
    if not used:
        raise ValueError(expected("data", "a HeteroData with edge types between items and entities", data.edge_types,
                                  f"this data set has no KG; knowledge_graph(torch.empty(2, 0, dtype=torch.long), "
                                  f"num_items={num_items}) is one without edges"))
    names = list(data["relation_names"]) if "relation_names" in data else list(dict.fromkeys(kind[1] for kind in used))
    ids = {name: position for position, name in enumerate(names)}
    pairs, types = [], []
    for source, relation, target in used:
        kind = (source, relation, target)
        if source not in sizes or target not in sizes:
            raise ValueError(expected(f"edge type {kind}", "between 'item' and 'entity'", kind))
        if relation not in ids:
            if relation.removeprefix(REVERSE) in ids:
                continue
            hint = did_you_mean(relation, names)
            raise ValueError(expected(f"the relation of edge type {kind}", "in data.relation_names", relation, hint))
        edges = _checked_edges(data[kind].edge_index, (sizes[source], sizes[target]), f"data[{kind}].edge_index")
        pairs.append(edges + edges.new_tensor([[offsets[source]], [offsets[target]]]))
        types.append(edges.new_full((edges.size(1),), ids[relation]))
    return {"edge_index": torch.cat(pairs, dim=1), "edge_type": torch.cat(types), "num_items": num_items,
            "num_nodes": num_items + num_entities, "relation_names": names, **_hetero_ids(data, sizes)}


def _hetero_ids(data: HeteroData, sizes: dict[str, int]) -> dict[str, RawIds]:
    """The raw ids of items and of all nodes, where the data set has them."""
    item_id = data["item"].get("raw_id")
    others = data["entity"].get("raw_id") if sizes["entity"] else missing_ids(0, data["item"].get("entity_id", []))
    if item_id is None or others is None:
        return {}
    own = data["item"].get("entity_id", missing_ids(sizes["item"], others))
    return {"item_id": item_id, "entity_id": joined(own, others)}


def _count(data: HeteroData, kind: str) -> int:
    count = data[kind].num_nodes
    if count is None:
        raise ValueError(expected(f"data[{kind!r}].num_nodes", "the number of nodes", None))
    return int(count)


def plain_parts(
    data: Data | Tensor, edge_type: Tensor | None, num_items: int | None, num_nodes: int | None,
    relation_names: Sequence[str] | None, item_id: RawIds | None, entity_id: RawIds | None,
) -> dict[str, Any]:
    """What a graph is assembled from, out of a hand-made ``Data`` or bare tensors; arguments go before attributes."""
    edge_index: Any = data
    if isinstance(data, Data):
        stored = with_own_numbers(data).to_dict() if num_items is None else data.to_dict()
        edge_index = stored.get("edge_index")
        edge_type = stored.get("edge_type") if edge_type is None else edge_type
        num_items = stored.get("num_items") if num_items is None else num_items
        num_nodes = stored.get("num_nodes") if num_nodes is None else num_nodes
        relation_names = stored.get("relation_names") if relation_names is None else relation_names
        if stored.get("inverse") and edge_type is not None:  # it came from here
            forward = edge_type < stored["num_relations"]
            edge_index, edge_type = edge_index[:, forward], edge_type[forward]
    if num_items is None:
        raise ValueError(expected("num_items", "the number of items (nodes 0 … num_items − 1)", None))
    num_items = at_least("num_items", num_items, 0)
    if num_nodes is not None and at_least("num_nodes", num_nodes, 0) < num_items:
        raise ValueError(expected("num_nodes", f"at least num_items = {num_items} (items are nodes)", num_nodes))
    edge_index = _checked_edges(edge_index, (num_nodes, num_nodes), "edge_index")
    if num_nodes is None:
        num_nodes = max(num_items, int(edge_index.max()) + 1 if edge_index.numel() else 0)
    edge_type = edge_index.new_zeros(edge_index.size(1)) if edge_type is None else edge_type
    if a_tensor("edge_type", edge_type).dtype != torch.long or edge_type.shape != edge_index.shape[1:]:
        raise ValueError(expected("edge_type", f"a LongTensor of the {edge_index.size(1)} edges' relations",
                                  f"{edge_type.dtype} {tuple(edge_type.shape)}"))
    low, high = (int(edge_type.min()), int(edge_type.max())) if len(edge_type) else (0, -1)
    if relation_names is None:
        relation_names = [str(relation) for relation in range(high + 1)]
    if not isinstance(relation_names, list | tuple) or not all(isinstance(name, str) for name in relation_names):
        raise TypeError(expected("relation_names", "a list of texts", relation_names))
    names = list(relation_names)
    if low < 0 or high >= len(names):
        raise ValueError(expected("edge_type", f"relation ids in [0, {len(names)})", low if low < 0 else high))
    return {"edge_index": edge_index, "edge_type": edge_type, "num_items": num_items, "num_nodes": int(num_nodes),
            "relation_names": names, **_plain_ids(data, item_id, entity_id)}


def _plain_ids(data: Data | Tensor, item_id: RawIds | None, entity_id: RawIds | None) -> dict[str, Any]:
    """The raw ids given, or else those of a hand-made ``Data``."""
    stored = data.to_dict() if isinstance(data, Data) else {}
    return {"item_id": stored.get("item_id") if item_id is None else item_id,
            "entity_id": stored.get("entity_id") if entity_id is None else entity_id}


def _checked_edges(edge_index: Any, sizes: tuple[int | None, int | None], name: str) -> Tensor:
    """``edge_index`` as a plain LongTensor ``[2, M]`` whose ids lie within ``sizes``."""
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or edge_index.size(0) != 2:
        got = tuple(edge_index.shape) if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise ValueError(expected(name, "a LongTensor [2, M], heads above tails", got))
    if edge_index.dtype != torch.long:
        raise ValueError(expected(name, "of dtype torch.int64", edge_index.dtype))
    for ids, size, end in zip(edge_index, sizes, ("head", "tail"), strict=True):
        if ids.numel() and (int(ids.min()) < 0 or (size is not None and int(ids.max()) >= size)):
            wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise ValueError(expected(f"{name} ({end})", f"ids in [0, {'…' if size is None else size})", wrong))
    return edge_index
