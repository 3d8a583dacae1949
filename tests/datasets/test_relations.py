from __future__ import annotations

import numpy as np
import pytest

from kgrl.datasets.kgcn import from_kgcn
from kgrl.datasets.relations import relation_keys, typed_edges


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
