"""Catalogues: found in one another by raw ids."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.shared.catalogue import Catalogue, matched
from kgrl.graph import knowledge_graph

BEFORE = Catalogue(torch.tensor([10, 11, 12]), ["a", "", "c", "x", "y"])


def test_items_follow_their_own_ids_and_nodes_their_entities() -> None:
    """Item 12 is another entity now, item 13 is what was entity x, and c no item any more."""
    now = Catalogue(torch.tensor([12, 13, 11, 14]), ["z", "x", "", "w", "y", "c"])
    match = now.found_in(BEFORE)
    assert match.item.tolist() == [2, -1, 1, -1]
    assert match.node.tolist() == [2, 3, 1, -1, 4, 2]  # z is not known: item 12 follows its own id
    assert match.number.tolist() == [-1, 2, 0]
    assert match.moved(torch.tensor([2, 0, 1])).tolist() == [0, 2]
    assert match.untrained(None).tolist() == [False, False, False, True, False, False]
    assert match.untrained(torch.tensor([False, False, True, False, False])).tolist() == [
        True, False, False, True, False, True]
    assert BEFORE.found_in(BEFORE).untrained(None) is None


@pytest.mark.parametrize("catalogue", [BEFORE, Catalogue(["ä", "b"], torch.tensor([-1, 5, 2**40])),
                                       Catalogue.of_items(["ä", "b"])])
def test_a_file_keeps_it(catalogue: Catalogue) -> None:
    tensors = {**catalogue.tensors(), "weight": torch.zeros(2)}
    assert Catalogue.taken_from(tensors).equals(catalogue)
    assert list(tensors) == ["weight"]
    assert Catalogue.taken_from(tensors) is None


def test_of_a_graph_and_of_items() -> None:
    edges = torch.tensor([[0, 1], [2, 2]])
    kg = knowledge_graph(edges, num_items=2, item_id=[5, 6], entity_id=["a", "", "b"])
    assert Catalogue.of(kg).equals(Catalogue([5, 6], ["a", "", "b"]))
    assert Catalogue.of(knowledge_graph(edges, num_items=2)) is None
    assert Catalogue.of_items(torch.tensor([5, 6])).entity.tolist() == [-1, -1]
    assert Catalogue.of_items(["a"]).entity == [""]
    assert Catalogue.of_items(None) is None


def test_what_is_the_same_needs_no_raw_ids() -> None:
    assert matched("f", None, None, True, "tree") is None
    assert matched("f", BEFORE, None, True, "tree") is None
    assert matched("f", BEFORE, Catalogue(*BEFORE), True, "tree") is None
    assert matched("f", BEFORE, Catalogue(*BEFORE), False, "tree").item.tolist() == [0, 1, 2]
    other = BEFORE._replace(item=torch.tensor([10, 11, 13]))
    assert matched("f", BEFORE, other, True, "tree").item.tolist() == [0, 1, -1]


@pytest.mark.parametrize(("before", "now", "message"), [
    (None, BEFORE, "f was trained on another tree, and is of an agent whose items have no raw ids"),
    (BEFORE, None, "f was trained on another tree, and is loaded with one without raw ids"),
    (BEFORE, Catalogue.of_items(torch.tensor([7, 8])), r"knows \(10, 11, 12, …\), got '7, 8, …'; load the agent with"),
])
def test_what_cannot_be_found_is_named(before, now, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matched("f", before, now, False, "tree")
