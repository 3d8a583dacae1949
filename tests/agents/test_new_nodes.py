"""Rows of new nodes: against a slow spreading, and cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.new_nodes import heard_graph, moved_rows, prior_of_new_items
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms


def slow_spread(rows: dict[int, Tensor], edges: list[tuple[int, int]], nodes: int) -> Tensor:
    """Round by round, node by node."""
    average = torch.stack(list(rows.values())).mean(0)
    while True:
        fresh = {}
        for node in set(range(nodes)) - set(rows):
            near = {a + b - node for a, b in edges if node in (a, b) and a != b}
            if known := [rows[each] for each in near if each in rows]:
                fresh[node] = torch.stack(known).mean(0)
        if not fresh:
            return torch.stack([rows.get(node, average) for node in range(nodes)])
        rows = rows | fresh


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_new_nodes_are_filled_round_by_round(data, inverse: bool) -> None:
    nodes = data.draw(st.integers(2, 9))
    node = st.integers(0, nodes - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=12))
    place = torch.tensor(data.draw(st.permutations([0, *([-1] * (nodes // 2)), *range(1, nodes - nodes // 2)])))
    kg = knowledge_graph(torch.tensor(edges, dtype=torch.long).view(-1, 2).T, num_items=2, num_nodes=nodes,
                         inverse=inverse)
    rows = torch.randn(nodes - 1, 3)
    slow = slow_spread({i: rows[p] for i, p in enumerate(place.tolist()) if p >= 0}, edges, nodes)
    torch.testing.assert_close(moved_rows(rows, place, kg), slow)


def test_rows_of_items_alone_reach_new_items_over_entities() -> None:
    """Items 0 to 3 and entities 4, 5: entity 4 has the rows of items 0 and 1, and item 2 that of entity 4."""
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 5]]), num_items=4)
    rows = moved_rows(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 0, -1, -1, 3, 2]), kg)
    assert rows.view(-1).tolist() == [3, 1, 2, 2, 2, 2]  # the last two: the mean of all


def films() -> Data:
    """Items 0 to 4, of which 3 and 4 are new; entity 5 is rare (items 0 and 3), 6 common (0, 1, 2 and 3)."""
    return knowledge_graph(torch.tensor([[0, 3, 0, 1, 2, 3], [5, 5, 6, 6, 6, 6]]), num_items=5)


def test_new_items_are_expected_to_be_like_those_that_share_rare_entities() -> None:
    expected, nan = torch.tensor([1.0, 0.0, -0.4, torch.nan, torch.nan]), torch.tensor([True, True, True, False, False])
    terms = TasteTerms(expected, torch.stack([2 * expected, -expected], 1), torch.tensor([0.1, 0.2, 0.3, 9, 9]))
    found = prior_of_new_items(terms, nan, films())
    assert torch.equal(found.expected[:3], expected[:3])
    assert torch.equal(found.noise[:3], terms.noise[:3])
    mean = (1.0 + (1.0 + 0.0 - 0.4) / 3) / 2  # entity by entity: item 0 counts twice as item 1 does, and more
    torch.testing.assert_close(found.expected[3:], torch.tensor([mean, 0.2]))
    torch.testing.assert_close(found.loading[3:], torch.tensor([[2 * mean, -mean], [0.4, -0.2]]))
    spread = (1 + 4 + 1) * expected[:3].var(correction=0)
    torch.testing.assert_close(found.noise[3:], torch.stack([(0.1 + 0.2) / 2 + spread, 0.2 + spread]))
    found.checked("found")


def test_direct_links_are_heard_of_beside_shared_entities() -> None:
    """New item 2 is the sequel of item 0, and shares an entity with item 1."""
    kg = knowledge_graph(torch.tensor([[2, 2, 1], [0, 3, 3]]), num_items=3)
    terms = TasteTerms(torch.tensor([1.0, 0.0, 7.0]), torch.ones(3, 1), torch.ones(3))
    assert prior_of_new_items(terms, torch.tensor([True, True, False]), kg).expected[2] == 0.5


@pytest.mark.parametrize("inverse", [True, False])
def test_trained_nodes_do_not_hear_of_new_ones(inverse: bool) -> None:
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 1]]), num_items=4, inverse=inverse)
    untrained = torch.tensor([False, False, True, True, False])
    heard = heard_graph(kg, untrained)
    rows = zip(*kg.edge_index.tolist(), kg.edge_type.tolist(), strict=True)
    wanted = [(h, t, r) for h, t, r in rows if untrained[h] or not untrained[t]]  # messages go from tail to head
    assert list(zip(*heard.edge_index.tolist(), heard.edge_type.tolist(), strict=True)) == wanted
    assert heard.num_items == 4
    assert kg.num_edges == 4 * (1 + inverse)  # the graph itself stays as it is
