"""The knowledge graph as one homogeneous PyG ``Data``: items first, typed edges head → tail in CSR order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import lexsort

from kgrl.files import digest
from kgrl.objects import of_class
from kgrl.options import a_tensor, at_least, did_you_mean, expected, flag
from kgrl.raw_ids import RawIds, checked_ids, joined, missing_ids
from kgrl.seeding import generator_for

REVERSE = "rev_"
"""How PyG's ``ToUndirected`` begins the name of a reversed relation."""


def knowledge_graph(
    data: HeteroData | Data | Tensor,
    inverse: bool = True,
    *,
    edge_type: Tensor | None = None,
    num_items: int | None = None,
    num_nodes: int | None = None,
    relation_names: Sequence[str] | None = None,
    item_id: RawIds | None = None,
    entity_id: RawIds | None = None,
) -> Data:
    r"""The KG :math:`G = \{(head, relation, tail)\}` (KGQR section 3.2) as PyG's own KG data sets hold it.

    Item i is node i; the other entities follow. Edges are distinct, free of self-loops and sorted by head, then tail,
    then relation, so that ``EdgeIndex(kg.edge_index, sparse_size=(E, E), sort_order="row")`` needs no sorting.

    Differs from the paper: equations 5 and 9 follow head → tail only. In the released KGs many attributes are tails, so
    two hops lead nowhere; the inverse (tail, relation + R, head) of each of the R relations is added by default.
    ``inverse=False`` is the paper's letter. The paper is silent on repeated triples and on triples from an entity to
    itself: both are dropped and counted.

    The graph keeps the raw ids of its nodes where they are known, so that an agent that was saved with one graph finds
    its items and entities again in another: those of a data set's ``raw_id`` and ``entity_id``, or those given. They
    are no part of the structure (:func:`kg_digest`).

    Args:
        data: one of

            - a ``HeteroData`` with node types ``item`` and ``entity`` and one edge type ``(src, relation, dst)`` a
              relation; edge types with a ``user`` at an end are left out, as are the reverse ones (``rev_…``) that
              ``torch_geometric.transforms.ToUndirected`` adds: ``inverse`` does that here;
            - a ``Data`` with ``edge_index`` and, as attributes or as the arguments below, ``num_items`` and perhaps
              ``edge_type``, ``num_nodes``, ``relation_names``, ``item_id`` and ``entity_id``; a graph that came from
              here is taken by its forward triples;
            - a LongTensor ``[2, M]``, heads above tails, with the arguments below.
        inverse: whether the inverse relations are added; the inverse of relation r has the type r + R.
        edge_type: ``[M]``, relation ids from 0; one relation if left out.
        num_items: N; nodes 0 … N − 1 are the items.
        num_nodes: E; the highest node id + 1, and at least N, if left out.
        relation_names: of the forward relations; their position is their id. ``"0"``, ``"1"``, … if left out.
        item_id: ``[N]``, the raw ids of the items: a LongTensor of whole numbers, or a list of text.
        entity_id: ``[E]``, the raw ids of all nodes as entities, an item's being that of the entity it is; −1, or "" in
            a list, where it is none. Both are given, or neither.

    Returns:
        ``Data`` with ``edge_index [2, M']`` head → tail, ``edge_type [M']``, ``num_nodes`` E, ``num_items`` N,
        ``num_relations`` R (forward ones), ``relation_names`` (R of them), ``inverse``,
        ``n_id [E]`` (each node's number, which PyG takes along where it renumbers nodes), the number of forward triples
        that were dropped: ``num_duplicates``, ``num_self_loops``; and ``item_id``, ``entity_id`` where known.

    Raises:
        TypeError: ``data`` is none of the above.
        ValueError: parts are missing or do not fit together, ids are out of range, or a raw id comes twice.
    """
    flag("inverse", inverse)
    if isinstance(data, HeteroData):
        given = {"edge_type": edge_type, "num_items": num_items, "num_nodes": num_nodes,
                 "relation_names": relation_names, "item_id": item_id, "entity_id": entity_id}
        if extra := [name for name, value in given.items() if value is not None]:
            raise ValueError(f"`{extra[0]}` belongs to bare tensors; a HeteroData brings its own, leave it out")
        parts = _hetero_parts(data)
    elif isinstance(data, (Data, Tensor)):
        parts = _plain_parts(data, edge_type, num_items, num_nodes, relation_names)
        parts |= _plain_ids(data, item_id, entity_id)
    else:
        raise TypeError(expected("data", "a HeteroData, a Data or a LongTensor [2, M]", type(data).__name__))
    return _assemble(**parts, inverse=inverse)


def checked_graph(kg: Data) -> Data:
    """``kg``, if it has what :func:`knowledge_graph` writes into every graph: others are not sorted.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(kg, Data) or "num_items" not in kg or "inverse" not in kg:
        raise ValueError(expected("kg", "a graph that `kgrl.graph.knowledge_graph` made",
                                  kg if isinstance(kg, Data) else type(kg).__name__, "knowledge_graph(data), or "
                                  "knowledge_graph(data, num_items=N) where the data does not say N, makes one"))
    return _whole(kg)


def _whole(kg: Data) -> Data:
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


def _having(kg: Data, *names: str) -> Data:
    """``kg``, if it is a graph with these attributes.

    Raises:
        TypeError: it is no ``Data``.
        ValueError: it lacks one.
    """
    for name in names:
        if of_class("kg", kg, Data, "make it with kgrl.graph.knowledge_graph").get(name) is None:
            raise ValueError(expected("kg", f"a graph with `{name}`", kg, "make it with kgrl.graph.knowledge_graph"))
    return kg


def forward_triples(kg: Data) -> Tensor:
    """The triples ``[M, 3]`` (head, relation, tail) without the inverses: what an embedding model learns from."""
    forward = _having(kg, "edge_index", "edge_type", "num_relations").edge_type < kg.num_relations
    heads, tails = kg.edge_index[:, forward]
    return torch.stack([heads, kg.edge_type[forward], tails], dim=1)


def distinct_pairs(kg: Data) -> EdgeIndex:
    """The distinct (head, tail) pairs as a PyG ``EdgeIndex`` sorted by row: N(h) of equation 5 is a set.

    With ``(rowptr, tails), _ = distinct_pairs(kg).get_csr()``, node h's neighbours are
    ``tails[rowptr[h]:rowptr[h + 1]]``.
    """
    pairs = _having(kg, "edge_index", "inverse").edge_index
    new = torch.ones(pairs.size(1), dtype=torch.bool, device=pairs.device)
    new[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(dim=0)  # parallel edges are neighbours in the order of the KG
    return EdgeIndex(
        pairs[:, new], sparse_size=(kg.num_nodes, kg.num_nodes), sort_order="row", is_undirected=kg.inverse
    )


def shuffled(kg: Data, seed: int = 0) -> Data:
    """A copy whose forward triples have their tails permuted within each relation: the ablation "shuffled KG edges".

    Every head keeps its number of triples of each relation and every tail keeps how often it is one, but what is linked
    to what carries no meaning any more. Triples that come out twice or as a self-loop are dropped; ``num_duplicates``
    and ``num_self_loops`` count them.

    Args:
        kg: from :func:`knowledge_graph`.
        seed: of the permutation; the same on every device.
    """
    heads, types, tails = forward_triples(kg).unbind(1)
    noise = torch.rand(len(heads), generator=generator_for("cpu", seed)).to(heads.device)
    by_relation, mixed = types.argsort(stable=True), lexsort([noise, types])
    tails = torch.empty_like(tails).index_copy_(0, by_relation, tails[mixed])
    return _like(kg, torch.stack([heads, tails]), types)


def without_edges(kg: Data) -> Data:
    """A copy with the same nodes and relations but no triple: the ablation "no KG"."""
    return _like(checked_graph(kg), kg.edge_index[:, :0], kg.edge_type[:0])


def kg_digest(kg: Data) -> str:
    """What a file remembers of the KG it was made with: items, entities and every typed edge."""
    edge_type = _having(kg, "edge_index", "num_items").get("edge_type", torch.empty(0))
    return digest(int(kg.num_items), int(kg.num_nodes), torch.as_tensor(kg.edge_index).as_subclass(Tensor), edge_type)


def _like(kg: Data, edge_index: Tensor, edge_type: Tensor) -> Data:
    """A graph of the same nodes and relations with other forward triples."""
    return _assemble(edge_index, edge_type, kg.num_items, kg.num_nodes, kg.relation_names, kg.inverse,
                     kg.get("item_id"), kg.get("entity_id"))


def _assemble(
    edge_index: Tensor, edge_type: Tensor, num_items: int, num_nodes: int, relation_names: list[str], inverse: bool,
    item_id: RawIds | None = None, entity_id: RawIds | None = None,
) -> Data:
    """Checked forward triples → the finished graph."""
    loops = edge_index[0] == edge_index[1]
    kept, types = _distinct(edge_index[:, ~loops], edge_type[~loops])
    num_duplicates = edge_index.size(1) - int(loops.sum()) - kept.size(1)
    if inverse:
        kept = torch.cat([kept, kept.flip(0)], dim=1)
        kept, types = _distinct(kept, torch.cat([types, types + len(relation_names)]))
    return Data(
        edge_index=kept, edge_type=types, num_nodes=num_nodes, num_items=num_items, num_relations=len(relation_names),
        relation_names=list(relation_names), inverse=inverse, n_id=torch.arange(num_nodes, device=kept.device),
        num_duplicates=num_duplicates, num_self_loops=int(loops.sum()),
        **_checked_raw_ids(item_id, entity_id, num_items, num_nodes),
    )


def _checked_raw_ids(
    item_id: RawIds | None, entity_id: RawIds | None, num_items: int, num_nodes: int
) -> dict[str, RawIds]:
    """The attributes that hold the raw ids, if there are any."""
    if item_id is None and entity_id is None:
        return {}
    if item_id is None or entity_id is None:
        given, other = ("entity_id", "item_id") if item_id is None else ("item_id", "entity_id")
        raise ValueError(expected(other, f"given beside `{given}`", None, "give the raw ids of items and of entities"))
    return {"item_id": checked_ids("item_id", item_id, num_items),
            "entity_id": checked_ids("entity_id", entity_id, num_nodes)}


def _distinct(edge_index: Tensor, edge_type: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct typed edges, sorted by head, tail, relation."""
    # a lexicographic sort, as one key out of three ids could overflow 64 bits
    order = lexsort([edge_type, edge_index[1], edge_index[0]])
    rows = torch.cat([edge_index, edge_type[None]])[:, order]
    new = torch.ones(rows.size(1), dtype=torch.bool, device=rows.device)
    new[1:] = (rows[:, 1:] != rows[:, :-1]).any(dim=0)
    rows = rows[:, new]
    return rows[:2].contiguous(), rows[2].contiguous()


def _hetero_parts(data: HeteroData) -> dict[str, Any]:
    """What ``_assemble`` needs, out of the data sets' ``HeteroData``."""
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


def _plain_parts(
    data: Data | Tensor, edge_type: Tensor | None, num_items: int | None, num_nodes: int | None,
    relation_names: Sequence[str] | None,
) -> dict[str, Any]:
    """What ``_assemble`` needs, out of a hand-made ``Data`` or bare tensors; arguments go before attributes."""
    edge_index: Any = data
    if isinstance(data, Data):
        stored = _whole(data).to_dict() if num_items is None else data.to_dict()
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
            "relation_names": names}


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
