"""Rows of new nodes: against a slow spreading, and cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.shared.new_nodes import SURE, heard_graph, moved_rows, prior_of_new_items
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.pretrain.kg_tastes import through_kg


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


def films() -> tuple[Data, TasteTerms, Tensor]:
    """40 items of four kinds, by which they are liked, and of colours, which say nothing; every fifth item is new."""
    generator = torch.Generator().manual_seed(0)
    item = torch.arange(40)
    kind, colour = 40 + item % 4, 44 + torch.randint(5, (40,), generator=generator)
    links = torch.stack([torch.cat([item, item]), torch.cat([kind, colour])])
    kg = knowledge_graph(links, edge_type=torch.arange(2).repeat_interleave(40), num_items=40, num_nodes=51)
    expected = torch.tensor([0.6, -0.4, 0.1, -0.3])[item % 4] + 0.05 * torch.randn(40, generator=generator)
    noise = 0.1 + 0.1 * torch.rand(40, generator=generator)
    return kg, TasteTerms(expected, torch.stack([2 * expected, -expected], 1), noise), item % 5 > 0


def test_new_items_are_expected_to_be_like_those_of_their_kind() -> None:
    kg, terms, known = films()
    hidden = TasteTerms(*(part.clone() for part in terms))
    for part in hidden:
        part[~known] = torch.nan  # not looked at
    found = prior_of_new_items(hidden, known, kg).checked("found")
    for ours, theirs in zip(found, terms, strict=True):
        assert torch.equal(ours[known], theirs[known])
    torch.testing.assert_close(found.expected[~known], terms.expected[~known], atol=0.12, rtol=0)
    torch.testing.assert_close(found.loading[~known], terms.loading[~known], atol=0.24, rtol=0)
    assert found.noise[~known].min() > terms.noise[known].mean()
    through = through_kg(kg, terms, known * SURE)
    assert torch.equal(found.expected[~known], through.expected[~known])


@pytest.mark.parametrize("edges", [0, 3])
def test_new_items_that_share_nothing_are_the_mean_item(edges: int) -> None:
    """Without edges, and with entities that only one item has; the noise holds how much items differ."""
    _, terms, known = films()
    kg = knowledge_graph(torch.stack([torch.arange(edges), 40 + torch.arange(edges)]), num_items=40, num_nodes=51)
    found = prior_of_new_items(terms, known, kg)
    torch.testing.assert_close(found.expected[~known], terms.expected[known].mean().expand(8))
    torch.testing.assert_close(found.loading[~known], terms.loading[known].mean(0).expand(8, 2))
    spread = terms.expected[known].var(correction=0) + terms.loading[known].var(0, correction=0).sum()
    torch.testing.assert_close(found.noise[~known], (terms.noise[known].mean() + spread).expand(8), rtol=1e-3, atol=0)


@pytest.mark.parametrize("inverse", [True, False])
def test_trained_nodes_do_not_hear_of_new_ones(inverse: bool) -> None:
    kg = knowledge_graph(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 1]]), num_items=4, inverse=inverse)
    untrained = torch.tensor([False, False, True, True, False])
    kg.edge_attr = torch.arange(kg.num_edges).float().view(-1, 1)
    heard = heard_graph(kg, untrained)
    rows = zip(*kg.edge_index.tolist(), kg.edge_type.tolist(), strict=True)
    wanted = [(h, t, r) for h, t, r in rows if untrained[h] or not untrained[t]]  # messages go from tail to head
    assert list(zip(*heard.edge_index.tolist(), heard.edge_type.tolist(), strict=True)) == wanted
    assert torch.equal(kg.edge_index[:, heard.edge_attr.view(-1).long()], heard.edge_index)  # attributes go along
    assert heard.num_items == 4
    assert kg.num_edges == 4 * (1 + inverse)  # the graph itself stays as it is
