"""The homogeneous knowledge graph: against sets of triples, and hand-worked cases."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData

from kgrl.graph import (
    checked_graph,
    distinct_pairs,
    forward_triples,
    kg_digest,
    knowledge_graph,
    shuffled,
    without_edges,
)
from kgrl.simulator import item_categories


def hetero() -> HeteroData:
    """Items 0-2, entities 3 and 4; relation ids: b = 0, a = 1, c = 2 (no triple)."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes, data["entity"].num_nodes = 2, 3, 2
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 1], [0, 2]])
    data["item", "a", "entity"].edge_index = torch.tensor([[0, 1, 1], [0, 1, 1]])
    data["entity", "b", "item"].edge_index = torch.tensor([[0, 1], [2, 2]])
    data["item", "b", "item"].edge_index = torch.tensor([[0, 1], [2, 1]])
    data.relation_names = ["b", "a", "c"]
    return data


def triples_of(kg: Data) -> list[tuple[int, int, int]]:
    return list(zip(kg.edge_index[0].tolist(), kg.edge_type.tolist(), kg.edge_index[1].tolist(), strict=True))


TRIPLES = {(0, 1, 3), (1, 1, 4), (3, 0, 2), (4, 0, 2), (0, 0, 2)}


@pytest.mark.parametrize("inverse", [True, False])
def test_hetero_data_by_hand(inverse: bool) -> None:
    kg = knowledge_graph(hetero(), inverse=inverse)
    assert set(triples_of(kg)) == TRIPLES | ({(t, r + 3, h) for h, r, t in TRIPLES} if inverse else set())
    assert (kg.num_nodes, kg.num_items, kg.num_relations, kg.relation_names) == (5, 3, 3, ["b", "a", "c"])
    assert (kg.num_duplicates, kg.num_self_loops, kg.inverse) == (1, 1, inverse)
    kg.validate()


@st.composite
def raw_triples(draw: st.DrawFn) -> tuple[list[tuple[int, int, int]], int]:
    nodes = draw(st.integers(1, 8))
    node = st.integers(0, nodes - 1)
    return draw(st.lists(st.tuples(node, st.integers(0, 2), node), max_size=30)), nodes


def made(triples: list[tuple[int, int, int]], nodes: int, inverse: bool = True) -> Data:
    table = torch.tensor(triples, dtype=torch.long).view(-1, 3)
    return knowledge_graph(table[:, [0, 2]].T.contiguous(), inverse, edge_type=table[:, 1], num_items=nodes // 2,
                           num_nodes=nodes, relation_names=["x", "y", "z"])


@settings(max_examples=80, deadline=None)
@given(raw_triples(), st.booleans())
def test_equals_sets_of_triples(raw: tuple[list[tuple[int, int, int]], int], inverse: bool) -> None:
    triples, nodes = raw
    kg = made(triples, nodes, inverse)
    forward = {(h, r, t) for h, r, t in triples if h != t}
    both = forward | ({(t, r + 3, h) for h, r, t in forward} if inverse else set())
    assert triples_of(kg) == sorted(both, key=lambda triple: (triple[0], triple[2], triple[1]))
    assert kg.num_self_loops == sum(h == t for h, _, t in triples)
    assert kg.num_duplicates == len(triples) - kg.num_self_loops - len(forward)
    assert {tuple(row) for row in forward_triples(kg).tolist()} == forward
    (rowptr, tails), _ = distinct_pairs(kg).get_csr()
    for head in range(nodes):
        assert tails[rowptr[head] : rowptr[head + 1]].tolist() == sorted({t for h, _, t in both if h == head})
    distinct_pairs(kg).validate()
    # what others do with it, checked by PyG itself
    EdgeIndex(kg.edge_index, sparse_size=(nodes, nodes), sort_order="row", is_undirected=inverse).validate()


def test_a_graph_is_taken_by_its_forward_triples() -> None:
    kg = knowledge_graph(hetero())
    again, one_way = knowledge_graph(kg), knowledge_graph(kg, inverse=False)
    assert triples_of(again) == triples_of(kg)
    assert again.num_relations == one_way.num_relations == 3
    assert set(triples_of(one_way)) == TRIPLES
    assert triples_of(knowledge_graph(one_way)) == triples_of(kg)


def test_bare_parts_have_defaults(device: torch.device) -> None:
    edges = torch.tensor([[0, 4], [1, 0]], device=device)
    for kg in (knowledge_graph(edges, num_items=2), knowledge_graph(Data(edge_index=edges, num_items=2)),
               knowledge_graph(EdgeIndex(edges), num_items=2), knowledge_graph(Data(edge_index=edges), num_items=2)):
        assert (kg.num_nodes, kg.num_relations, kg.relation_names) == (5, 1, ["0"])
        assert triples_of(kg) == [(0, 0, 1), (0, 1, 4), (1, 1, 0), (4, 0, 0)]
        assert kg.edge_index.device.type == device.type
        assert type(kg.edge_index) is torch.Tensor


def test_shuffled_keeps_what_each_head_and_tail_has() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.stack([torch.randint(high, (400,), generator=generator) for high in (300, 3, 300)], dim=1)
    kg = made(table.tolist(), 300)
    mixed = shuffled(kg, seed=1)
    before, after = forward_triples(kg), forward_triples(mixed)
    lost = len(before) - len(after)
    assert lost == mixed.num_duplicates + mixed.num_self_loops <= 20
    for columns in ([0, 1], [2, 1]):  # head or tail, with relation; only dropped triples may miss
        had = torch.bincount(before[:, columns] @ torch.tensor([3, 1]), minlength=900)
        has = torch.bincount(after[:, columns] @ torch.tensor([3, 1]), minlength=900)
        assert bool((has <= had).all())
        assert int((had - has).sum()) == lost
    common = {tuple(row) for row in before.tolist()} & {tuple(row) for row in after.tolist()}
    assert len(common) < 20
    assert triples_of(shuffled(kg, 1)) == triples_of(mixed) != triples_of(shuffled(kg, 2))
    assert mixed.inverse
    assert mixed.num_edges == 2 * len(after)


def test_shuffling_leaves_global_randomness_alone() -> None:
    state = torch.get_rng_state()
    shuffled(knowledge_graph(hetero()), 0)
    assert torch.equal(state, torch.get_rng_state())


def test_what_is_advised_for_data_without_a_kg_works() -> None:
    data = HeteroData()
    data["item"].num_nodes = 5
    with pytest.raises(ValueError, match="this data set has no KG; ") as error:
        knowledge_graph(data)
    kg = eval(re.search(r"knowledge_graph\(.*\)(?= is one)", str(error.value))[0])
    assert (kg.num_items, kg.num_nodes, kg.num_edges) == (5, 5, 0)


def test_without_edges() -> None:
    kg = without_edges(knowledge_graph(hetero()))
    assert (kg.num_edges, kg.num_nodes, kg.num_items, kg.num_relations) == (0, 5, 3, 3)
    assert distinct_pairs(kg).get_csr()[0][0].tolist() == [0] * 6


def test_book_crossing(shared: Path) -> None:
    table = torch.from_numpy(np.load(shared / "book-crossing" / "kg_final.npy")).long()
    kg = knowledge_graph(table[:, [0, 2]].T.contiguous(), edge_type=table[:, 1], num_items=14_967)
    assert (kg.num_nodes, kg.num_relations, kg.num_edges) == (77_903, 25, 2 * 151_500)
    assert (kg.num_duplicates, kg.num_self_loops) == (0, 0)


# ------------------------------------------------------------------------------------------------------- raw ids


def linked(text: bool = True) -> HeteroData:
    """Items 7, 8 and 9, of which 8 is no entity; the entities 5 and 6 beside them."""
    data = hetero()
    data["item"].raw_id = torch.tensor([7, 8, 9])
    data["item"].entity_id = ["m.1", "", "m.3"] if text else torch.tensor([1, -1, 3])
    data["entity"].raw_id = ["m.5", "m.6"] if text else torch.tensor([5, 6])
    return data


@pytest.mark.parametrize("text", [True, False])
def test_raw_ids_come_along(text: bool) -> None:
    kg = knowledge_graph(linked(text))
    entities = ["m.1", "", "m.3", "m.5", "m.6"] if text else [1, -1, 3, 5, 6]
    for each in (kg, knowledge_graph(kg), knowledge_graph(kg, inverse=False), shuffled(kg), without_edges(kg)):
        assert each.item_id.tolist() == [7, 8, 9]
        assert list(each.entity_id) == entities
    assert kg_digest(kg) == kg_digest(knowledge_graph(hetero()))  # they are no part of the structure
    kg.validate()


def test_hand_made_graphs_have_raw_ids_where_they_are_given() -> None:
    edges, ids = torch.tensor([[0, 1], [2, 2]]), {"item_id": ["a", "b"], "entity_id": ["x", "", "y"]}
    for kg in (knowledge_graph(edges, num_items=2, **ids), knowledge_graph(Data(edge_index=edges, **ids),
                                                                           num_items=2)):
        assert (kg.item_id, kg.entity_id) == (["a", "b"], ["x", "", "y"])
    bare = knowledge_graph(edges, num_items=2)
    assert not {"item_id", "entity_id"} & set(bare.keys())
    data = linked()
    del data["item"].entity_id
    assert knowledge_graph(data).entity_id == ["", "", "", "m.5", "m.6"]
    del data["entity"].raw_id
    assert "item_id" not in knowledge_graph(data)


@pytest.mark.parametrize(("ids", "message"), [
    ({"item_id": ["a", "b"]}, "`entity_id` must be given beside `item_id`, got None"),
    ({"item_id": ["a"], "entity_id": ["x", "y", "z"]}, "`item_id` must be one raw id for each of 2, got 1"),
    ({"item_id": ["a", "b"], "entity_id": ["x", "y", "x"]}, "`entity_id` must be distinct raw ids, got .*'x'"),
])
def test_raw_ids_that_are_none(ids, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        knowledge_graph(torch.tensor([[0, 1], [2, 2]]), num_items=2, **ids)
    with pytest.raises(ValueError, match="belongs to bare tensors"):
        knowledge_graph(hetero(), **ids)


@pytest.mark.parametrize("kept", [[0, 3, 4], [0, 1, 2, 4, 3], [1, 0, 2, 3, 4], [0]])
@pytest.mark.parametrize("copied", [lambda kg: kg, Data.clone, Data.coalesce, lambda kg: kg.sort(), copy.deepcopy])
def test_counts_that_went_stale_are_refused(kept: list[int], copied: Callable[[Data], Data]) -> None:
    part = copied(copied(knowledge_graph(hetero())).subgraph(torch.tensor(kept)))
    for check in (checked_graph, knowledge_graph, shuffled, without_edges, partial(item_categories, relation="a")):
        with pytest.raises(ValueError, match="whose nodes have the numbers it was made with"):
            check(part)
    assert knowledge_graph(part, num_items=1, num_nodes=len(kept)).num_items == 1


def test_counts_that_are_right_still_are_not_refused() -> None:
    kg = knowledge_graph(hetero())
    assert checked_graph(kg.clone()).num_items == kg.num_items
    fewer = kg.subgraph(torch.arange(kg.num_items + 1))
    assert checked_graph(fewer).num_nodes == kg.num_items + 1
    assert checked_graph(kg.edge_subgraph(torch.arange(2))).num_items == kg.num_items
    made = Data(edge_index=kg.edge_index, num_items=2, n_id=torch.tensor([4, 3, 2, 1, 0]))  # not by us
    assert knowledge_graph(made).num_items == 2
