"""Categories of items, from the KG and from tables, against dictionaries of sets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.simulator import Categories, item_categories


def a_graph() -> Data:
    """Four items, four entities: genres 4, 5 and 6 in any order and one twice, a country, and a genre of an entity."""
    heads, tails = [0, 0, 2, 2, 2, 2, 3, 7], [6, 4, 5, 5, 4, 6, 7, 4]
    return knowledge_graph(torch.tensor([heads, tails]), edge_type=torch.tensor([0, 0, 0, 0, 0, 0, 1, 0]), num_items=4,
                           relation_names=["genre", "country"])


def test_the_kgs_categories() -> None:
    assert item_categories(a_graph(), "genre").tolist() == [[4, 6, -1], [-1] * 3, [4, 5, 6], [-1] * 3]
    assert item_categories(a_graph(), ["country", "genre"]).tolist() == [[4, 6, -1], [-1] * 3, [4, 5, 6], [7, -1, -1]]
    kg = knowledge_graph(torch.tensor([[0], [2]]), num_items=2, relation_names=["genre"])
    assert item_categories(kg, "genre").tolist() == [[2], [-1]]


@pytest.mark.parametrize(("kg", "relation", "error", "message"), [
    (a_graph(), "genres", ValueError, "`relation` must be a known name, got 'genres'.*did you mean 'genre'"),
    (a_graph(), 3, TypeError, "`relation`"),
    (Data(num_nodes=3), "genre", ValueError, "a graph that `kgrl.graph.knowledge_graph` made"),
    (torch.zeros(2), "genre", TypeError, "`kg` must be a Data"),
    (knowledge_graph(torch.tensor([[2], [0]]), num_items=2, relation_names=["of"]), "of", ValueError,
     "one that goes from items to what they are"),
])
def test_a_wrong_graph_or_relation_is_named(kg: object, relation: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        item_categories(kg, relation)


@pytest.mark.parametrize("given", [
    torch.tensor([[7, 9], [-1, -1], [9, -1]]),
    torch.tensor([[False, True, False, True], [False] * 4, [False, False, False, True]]),
])
def test_ids_and_masks_mean_the_same(given: Tensor) -> None:
    categories = Categories(given)
    found, real = categories.of(torch.tensor([0, 1, 2, -1]))
    assert [set(row[there].tolist()) for row, there in zip(found, real, strict=True)] == [{0, 1}, set(), {1}, set()]
    assert (categories.count, categories.num_items) == (2, 3)


def test_clusters_are_one_category_each() -> None:
    categories = Categories(torch.tensor([5, 3, 5]))
    assert categories.of(torch.arange(3))[0].tolist() == [[1], [0], [1]]


def test_counts_are_those_of_a_loop(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(-1, 4, (9, 1), generator=generator)
    table = torch.cat([table, torch.where(table >= 0, table + 4, -1)], 1)
    shown = torch.randint(-1, 9, (6, 5), generator=generator)
    items, weights = torch.randint(9, (6, 3), generator=generator), torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    found, real = Categories(table).to(device).counts(shown.to(device), weights.to(device), items.to(device))
    for row in range(6):
        for place, item in enumerate(items[row].tolist()):
            for column, category in enumerate(table[item].tolist()):
                total = sum(float(weight) for weight, other in zip(weights, shown[row].tolist(), strict=True)
                            if other >= 0 and category in table[other].tolist())
                assert bool(real[row, place, column]) == (category >= 0)
                assert float(found[row, place, column]) == (total if category >= 0 else 0)


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.zeros(2, 2, 2, dtype=torch.long),
                                   torch.zeros(3, dtype=torch.bool), torch.zeros(3, 2, dtype=torch.bool),
                                   torch.full((3,), -1), torch.empty(0, dtype=torch.long)])
def test_other_tables_are_refused(wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="`categories` must be"):
        Categories(wrong)


def test_none_and_lists_are_refused() -> None:
    for wrong in (None, [[1]]):
        with pytest.raises(TypeError, match="`categories` must be"):
            Categories(wrong)
