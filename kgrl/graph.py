"""The knowledge graph as one homogeneous PyG ``Data``: items first, typed edges head → tail in CSR order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import lexsort

from kgrl.files import digest
from kgrl.graph_parts import hetero_parts, plain_parts, with_own_numbers
from kgrl.objects import of_class
from kgrl.options import expected, flag
from kgrl.raw_ids import RawIds, checked_ids
from kgrl.seeding import generator_for


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
        that were dropped: ``num_duplicates``, ``num_self_loops``; and ``item_id``, ``entity_id`` and
        ``source`` (the data set's name) where known.

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
        parts = hetero_parts(data)
    elif isinstance(data, (Data, Tensor)):
        parts = plain_parts(data, edge_type, num_items, num_nodes, relation_names, item_id, entity_id)
    else:
        raise TypeError(expected("data", "a HeteroData, a Data or a LongTensor [2, M]", type(data).__name__))
    kg = _assemble(**parts, inverse=inverse)
    if isinstance(data, HeteroData) and (name := (data.get("provenance") or {}).get("name")):
        kg.source = name
    return kg


def checked_graph(kg: Data) -> Data:
    """``kg``, if it has what :func:`knowledge_graph` writes into every graph: others are not sorted.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(kg, Data) or "num_items" not in kg or "inverse" not in kg:
        raise ValueError(expected("kg", "a graph that `kgrl.graph.knowledge_graph` made",
                                  kg if isinstance(kg, Data) else type(kg).__name__, "knowledge_graph(data), or "
                                  "knowledge_graph(data, num_items=N) where the data does not say N, makes one"))
    return with_own_numbers(kg)


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
    heads, types, tails = forward_triples(checked_graph(kg)).unbind(1)
    generator = generator_for("cpu", seed)
    noise = torch.rand(len(heads), generator=generator, device="cpu", dtype=torch.float).to(heads.device)
    by_relation, mixed = types.argsort(stable=True), lexsort([noise, types])
    tails = torch.empty_like(tails).index_copy_(0, by_relation, tails[mixed])
    return _like(kg, torch.stack([heads, tails]), types)


def without_edges(kg: Data) -> Data:
    """A copy with the same nodes and relations but no triple: the ablation "no KG"."""
    return _like(checked_graph(kg), kg.edge_index[:, :0], kg.edge_type[:0])


def kg_digest(kg: Data) -> str:
    """What a file remembers of the KG it was made with: items, entities and every typed edge."""
    edge_type = _having(kg, "edge_index", "num_items").get("edge_type", torch.empty(0, device="cpu", dtype=torch.float))
    return digest(int(kg.num_items), int(kg.num_nodes), kg.edge_index.as_subclass(Tensor), edge_type)


def _like(kg: Data, edge_index: Tensor, edge_type: Tensor) -> Data:
    """A graph of the same nodes and relations with other forward triples."""
    made = _assemble(edge_index, edge_type, kg.num_items, kg.num_nodes, kg.relation_names, kg.inverse,
                     kg.get("item_id"), kg.get("entity_id"))
    if "source" in kg:
        made.source = kg.source
    return made


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
