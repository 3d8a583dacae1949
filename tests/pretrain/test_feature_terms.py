"""``item_features`` against a slow version with loops, and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph, without_edges
from kgrl.pretrain.feature_terms import item_features

ITEMS, NODES = 12, 20


def random_graph(seed: int = 0, inverse: bool = True) -> Data:
    """Three relations, whose heads and tails are items as well as other entities."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NODES, (2, 120), generator=generator)
    return knowledge_graph(edge_index, inverse, edge_type=torch.randint(3, (120,), generator=generator),
                           num_items=ITEMS, num_nodes=NODES)


def graph_of(*triples: tuple[int, int, int], num_items: int = 4) -> Data:
    head, relation, tail = torch.tensor(triples).T
    return knowledge_graph(torch.stack([head, tail]), edge_type=relation, num_items=num_items, num_nodes=10,
                           relation_names=["author", "wrote", "genre"])


def slowly(kg: Data, least: int) -> dict[tuple[str, int], np.ndarray]:
    """The columns of a KG in which no two relations are alike, by (name, entity)."""
    columns: dict[tuple[str, int], set[int]] = {}
    forward = (kg.edge_type < kg.num_relations).nonzero().flatten().tolist()
    for edge in forward:
        (head, tail), name = kg.edge_index[:, edge].tolist(), kg.relation_names[int(kg.edge_type[edge])]
        if head < kg.num_items:
            columns.setdefault((name, tail), set()).add(head)
        if tail < kg.num_items:
            columns.setdefault((f"inverse of {name}", head), set()).add(tail)
    kept = {key: items for key, items in columns.items() if least <= len(items) < kg.num_items}
    found = {key: np.zeros(kg.num_items) for key in kept}
    for item in range(kg.num_items):
        for name in {name for name, _ in kept}:
            own = {key: math.log(kg.num_items / len(items)) for key, items in kept.items()
                   if key[0] == name and item in items}
            for key, weight in own.items():
                found[key][item] = math.sqrt(weight / sum(own.values()))
    return found


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("least", [1, 2, 4])
def test_equals_the_slow_version(least: int, inverse: bool) -> None:
    kg = random_graph(inverse=inverse)
    found, wanted = item_features(kg, least), slowly(kg, least)
    keys = [(found.names[r], int(e)) for r, e in zip(found.relation, found.entity, strict=True)]
    assert set(keys) == set(wanted)
    assert len(keys) == len(set(keys)) == found.matrix.shape[1]
    np.testing.assert_allclose(found.matrix.toarray(), np.stack([wanted[key] for key in keys], 1))
    assert (np.diff(found.relation) >= 0).all()


def test_both_directions_of_a_relation_count_once() -> None:
    """Nodes 4 and 5 wrote items 0, 1 and 2, 3; the second relation says so again."""
    once = [(0, 0, 4), (1, 0, 4), (2, 0, 5), (3, 0, 5), (0, 2, 6), (3, 2, 6)]
    twice = [*once, (4, 1, 0), (4, 1, 1), (5, 1, 2), (5, 1, 3)]
    one, two = item_features(graph_of(*once)), item_features(graph_of(*twice))
    assert one.names == two.names == ["author", "genre"]
    np.testing.assert_array_equal(one.matrix.toarray(), two.matrix.toarray())
    np.testing.assert_allclose(one.matrix.toarray(), [[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1]])
    assert one.entity.tolist() == [4, 5, 6]
    apart = item_features(graph_of(*twice[:-1]))  # 3 of 4 pairs: not alike
    assert apart.names == ["author", "genre", "inverse of wrote"]
    joined = item_features(graph_of(*twice[:-1]), alike=0.7)
    np.testing.assert_array_equal(joined.matrix.toarray(), one.matrix.toarray())


def test_a_relation_that_is_its_own_inverse_counts_once() -> None:
    found = item_features(graph_of((0, 0, 1), (1, 0, 0), (2, 0, 1), (1, 0, 2)))
    assert found.names == ["author"]
    np.testing.assert_allclose(found.matrix.toarray(), [[1], [0], [1], [0]])


def test_items_in_another_order_have_the_same_rows() -> None:
    kg = random_graph()
    order = torch.cat([torch.randperm(ITEMS, generator=torch.Generator().manual_seed(1)), torch.arange(ITEMS, NODES)])
    forward = kg.edge_type < kg.num_relations
    moved = knowledge_graph(order[kg.edge_index[:, forward]], edge_type=kg.edge_type[forward], num_items=ITEMS,
                            num_nodes=NODES)
    one, two = (item_features(graph).matrix for graph in (kg, moved))
    rows: Tensor = order[:ITEMS]
    np.testing.assert_allclose((one @ one.T).toarray(), (two @ two.T).toarray()[np.ix_(rows, rows)], atol=1e-12)


def test_a_graph_that_says_nothing() -> None:
    kg = graph_of((0, 0, 4), (1, 0, 4), (2, 0, 4), (3, 0, 4), (0, 2, 5))  # one entity of all items, one of one alone
    for graph in (kg, without_edges(kg)):
        found = item_features(graph)
        assert found.matrix.shape == (4, 0)
        assert found.names == []
        assert len(found.relation) == len(found.entity) == 0


def test_bad_input_is_named() -> None:
    kg = random_graph()
    with pytest.raises(ValueError, match="`least` must be at least 1, got 0"):
        item_features(kg, 0)
    with pytest.raises(ValueError, match="`alike` must be"):
        item_features(kg, alike=1.5)
    with pytest.raises(ValueError, match="knowledge_graph"):
        item_features(Data(edge_index=kg.edge_index))
    with pytest.raises(ValueError, match="`kg.num_items` must be at least 1, got 0"):
        item_features(knowledge_graph(torch.empty(2, 0, dtype=torch.long), num_items=0, num_nodes=3))
