from __future__ import annotations

import pandas as pd
import pytest

from kgrl.datasets.ids import Ids
from kgrl.datasets.links import link_items
from kgrl.datasets.table import Table

ROWS = pd.DataFrame([("x", "r", "y"), ("z", "r", "y")], columns=["head", "relation", "tail"])
TRIPLES = Table.of(ROWS, "triples", [])
ITEMS = Ids(pd.Index(["a", "b", "c"]))


def table(*rows: tuple[str, str]) -> Table:
    return Table.of(pd.DataFrame(rows, columns=["item", "entity"]), "links", [])


def test_links():
    links = link_items(TRIPLES, table(("c", "x"), ("a", "z")), ITEMS, drop_bad=False)
    assert links.entity.tolist() == [2, -1, 0]
    assert links.counts() == {"linked_items": 2, "dropped_links": 0, "entities": 3, "triples": 2, "relations": 1}


def test_without_links_the_ids_are_the_same():
    assert link_items(TRIPLES, None, Ids(pd.Index(["y", "q"])), drop_bad=False).entity.tolist() == [1, -1]


BAD = [
    (("q", "z"), "item must be a known item .* got 'q'"),
    (("b", "w"), "entity must be an entity of some triple .* got 'w'"),
    (("a", "z"), "item must be an item not linked before.* got 'a'"),
    (("b", "x"), "entity must be an entity not linked to another item.* got 'x'"),
]


@pytest.mark.parametrize(("row", "what"), BAD)
def test_link_that_cannot_stand(row, what):
    with pytest.raises(ValueError, match=f"`links`, row 1: {what}"):
        link_items(TRIPLES, table(("a", "x"), row), ITEMS, drop_bad=False)


@pytest.mark.parametrize("row", [row for row, _ in BAD])
def test_link_that_cannot_stand_is_dropped_on_request(row):
    links = link_items(TRIPLES, table(("a", "x"), row), ITEMS, drop_bad=True)
    assert links.entity.tolist() == [0, -1, -1]
    assert links.dropped == 1


def test_dropped_link_stands_in_nobodys_way():
    links = link_items(TRIPLES, table(("q", "x"), ("a", "w"), ("a", "x"), ("b", "x")), ITEMS, drop_bad=True)
    assert links.entity.tolist() == [0, -1, -1]
    assert links.dropped == 3


def test_kg_without_the_items():
    with pytest.raises(ValueError, match="triples must have the items among its 3 entities, got none of the 3"):
        link_items(TRIPLES, None, ITEMS, drop_bad=False)
