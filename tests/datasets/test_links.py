"""Links between items and entities, and relations as edge types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kgrl.datasets.ids import Ids
from kgrl.datasets.kgcn import from_kgcn
from kgrl.datasets.links import link_items, relation_keys, typed_edges
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


def test_keys_are_module_keys():
    assert relation_keys(["film.film.genre", "a__b", "http://x/y", 3, "_type_"]) == [
        "film_film_genre", "a_b", "http_x_y", "relation_3", "type"]


def test_names_that_collide():
    with pytest.raises(ValueError, match=r"got 'a\.b' and 'a_b', both 'a_b'"):
        relation_keys(["a.b", "a_b"])


def test_name_without_letters():
    with pytest.raises(ValueError, match=r"letter or digit, got '\.\.'"):
        relation_keys([".."])


def test_edges_against_a_loop():
    rng = np.random.default_rng(0)
    head, tail, relation = rng.integers(9, size=60), rng.integers(9, size=60), rng.integers(3, size=60)
    expected: dict = {}
    for h, r, t in zip(head, relation, tail, strict=True):
        kind = ("entity" if h >= 4 else "item", "rst"[r], "entity" if t >= 4 else "item")
        expected.setdefault(kind, []).append([h - 4 * (h >= 4), t - 4 * (t >= 4)])
    edges = typed_edges(head, relation, tail, 4, ["r", "s", "t"])
    assert {kind: value.T.tolist() for kind, value in edges.items()} == expected
    assert all(value.is_contiguous() for value in edges.values())
    assert [kind[1] for kind in edges] == sorted(kind[1] for kind in edges)


def test_the_place_of_a_name_is_told(write):
    files = {"item_index2entity_id.txt": "1\t1\n", "ratings.txt": "5\t1\t4\n5\t1\t3\n"}
    for second, reason in (("\v", "must have a letter"), ("a-b", "must stay distinct")):
        folder = write({**files, "kg.txt": f"1\ta.b\t7\n1\ta.b\t8\n1\t{second}\t8\n"})
        with pytest.raises(ValueError, match=rf"kg.txt, line [13]: .*{reason}"):
            from_kgcn(folder, "ratings.txt", rating_scale=(1, 5, 3))
