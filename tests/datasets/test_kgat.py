from __future__ import annotations

import warnings

import numpy as np
import pytest

from kgrl.datasets.kgat import from_kgat, read_adjacency, read_list
from kgrl.datasets.rating_splits import split_ratings

FILES = {
    "train.txt": "0 2 0 2\n1 1\n2 0 1 2\n",
    "test.txt": "0 1 2\n1 \n2\n",
    "kg_final.txt": "0 0 3\n1 0 3\n0 0 3\n2 1 4\n3 1 4\n",
    "user_list.txt": "org_id remap_id\n900 0\n70 1\n8 2\n",
    "item_list.txt": "org_id remap_id freebase_id\n0553092626 0 m.a\n038548254X 1 m.b\n0385 2 m.c\n",
    "entity_list.txt": "org_id remap_id\nm.a 0\nm.b 1\nm.c 2\ncategories::Home Developers 3\nm.s 4\n",
    "relation_list.txt": "org_id remap_id\nhttp://rdf.freebase.com/ns/book.genre 0\nattributes::Happy 1\n",
}
RATES = ("user", "rates", "item")


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all is liked
        return from_kgat(*args, **kwargs)


def test_a_hand_worked_folder(write):
    data = quiet(write(FILES))
    assert data["user"].raw_id.tolist() == [900, 70, 8]
    assert data["item"].raw_id == ["0553092626", "038548254X", "0385"]
    assert data["item"].entity_id == ["m.a", "m.b", "m.c"]
    assert data["entity"].raw_id == ["categories::Home Developers", "m.s"]
    assert data.relation_names == ["attributes_Happy", "book_genre"]
    assert data["item", "book_genre", "entity"].edge_index.tolist() == [[0, 1], [0, 0]]
    assert data["item", "attributes_Happy", "entity"].edge_index.tolist() == [[2], [1]]
    assert data["entity", "attributes_Happy", "entity"].edge_index.tolist() == [[0], [1]]
    assert data[RATES].edge_index.tolist() == [[0, 0, 1, 2, 2, 2, 0], [0, 2, 1, 0, 1, 2, 1]]
    assert data[RATES].part.tolist() == [0, 0, 0, 0, 0, 0, 2]  # item 2 of user 0 was trained with
    assert data[RATES].rating.tolist() == [1.0] * 7
    assert data.rating_scale == (0.0, 1.0, 0.5)
    assert [part.tolist() for part in split_ratings(data, by="given")] == [[0, 1, 2, 3, 4, 5], [], [6]]
    assert sorted(data.provenance["files"]) == sorted(FILES)
    assert data.provenance["before"].items() >= {"ratings": 9, "duplicate_ratings": 2, "triples": 4}.items()


def test_several_items_may_be_one_thing_of_the_world(write):
    folder = write({**FILES, "entity_list.txt": FILES["entity_list.txt"].replace("m.b 1", "m.a 1")})
    with pytest.warns(UserWarning, match=r"entity_list\.txt: 'm\.a' stands for several entities"):
        data = from_kgat(folder, negatives=True)
    assert data["item"].entity_id.tolist() == [0, 1, 2]
    assert data["entity"].raw_id.tolist() == [3, 4]


def test_numbers_alone(write):
    """Without lists: LightGCN has no KG, either."""
    data = quiet(write({"train.txt": "0\t5\t1\r\n3 1\r\n"}))
    assert data["item"].raw_id.tolist() == [0, 1, 2, 3, 4, 5]
    assert data["user"].raw_id.tolist() == [0, 3]
    assert data["entity"].num_nodes == 0
    assert data[RATES].edge_index.tolist() == [[0, 0, 1], [5, 1, 1]]
    with_kg = quiet(write({"kg_final.txt": "1\t0\t9\n5\t0\t9\n"}), linked_only=False)
    assert with_kg["item", "relation_0", "entity"].edge_index.tolist() == [[1, 5], [0, 0]]


def test_three_parts_and_negatives_in_each(write):
    folder = write({"train.txt": "0 1 2 3\n1 4\n", "valid.txt": "0 4\n", "test.txt": "0 5\n1 5 6\n",
                    "item_list.txt": "org_id remap_id\n" + "".join(f"i{k} {k}\n" for k in range(20))})
    rates = from_kgat(folder, negatives=True)[RATES]
    had = {(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 4), (1, 5), (1, 6)}
    pairs = list(zip(*rates.edge_index.tolist(), strict=True))
    assert {pair for pair, rating in zip(pairs, rates.rating.tolist(), strict=True) if rating} == had
    assert len(set(pairs)) == len(pairs) == 16
    for user, counts in ((0, [3, 1, 1]), (1, [1, 0, 2])):
        for rating in (0, 1):
            part = rates.part[(rates.edge_index[0] == user) & (rates.rating == rating)]
            assert np.bincount(part.numpy(), minlength=3).tolist() == counts


def test_a_core_and_linked_items(write):
    files = {**FILES, "kg_final.txt": "0 0 3\n1 0 3\n"}
    with pytest.warns(UserWarning, match="1 of 3 items are no entity of the KG"):
        data = from_kgat(write(files), min_ratings=2)
    assert data["item"].raw_id == ["0553092626", "038548254X"]
    assert data["user"].raw_id.tolist() == [900, 8]
    assert quiet(write(FILES), min_item_ratings=3)["item"].raw_id == ["038548254X"]


def test_adjacency_as_a_loop_reads_it(write):
    rng = np.random.default_rng(0)
    lines = [" ".join(map(str, rng.integers(0, 10 ** rng.integers(1, 17), rng.integers(0, 9)))) for _ in range(200)]
    table = read_adjacency(write({"train.txt": "\n".join(lines)}) / "train.txt")
    expected = [(int(line.split()[0]), int(item), number) for number, line in enumerate(lines, 1)
                for item in line.split()[1:]]
    assert list(table.frame.itertuples(index=False, name=None)) == [row[:2] for row in expected]
    assert all(table.place(row).endswith(f"train.txt, line {number}") for row, (_, _, number) in enumerate(expected))


def test_the_list_in_which_a_blank_is_missing(write):
    rows = "org_id remap_id freebase_id\nydUqgW 0ydUqgW\n8jR1NYx 18jR1NYx\n0 10\n"
    with pytest.raises(ValueError, match=r"item_list\.txt, line 5: number must be listed once, got 10"):
        read_list(write({"item_list.txt": rows + "x 10\n"}) / "item_list.txt")
    listed = read_list(write({"item_list.txt": rows[:rows.rindex("0 10")]}) / "item_list.txt")
    assert listed.frame[["name", "number"]].values.tolist() == [["ydUqgW", 0], ["8jR1NYx", 1]]


@pytest.mark.parametrize(("name", "old", "new", "what"), [
    ("train.txt", "1 1", "1 x", r"train\.txt, line 2: expected whole numbers, plainly written.*got 'x'"),
    ("train.txt", "1 1", "1 01", r"train\.txt, line 2: expected whole numbers.*got '01'"),
    ("train.txt", "1 1", "1 -1", r"train\.txt, line 2: .*got '-1'"),
    ("train.txt", "1 1", "1 1.0", r"train\.txt, line 2: .*got '1.0'"),
    ("train.txt", "1 1", f"1 {'9' * 19}", r"train\.txt, line 2: .*got '9999"),
    ("train.txt", "2 0 1 2\n", "2 0 1 2\n\r", r"train\.txt, line 4: .*got '\\r'"),  # half an end of a line
    ("train.txt", "0 2 0 2\n1 1\n2 0 1 2\n", "\n \n", r"train\.txt has no row at all"),
    ("train.txt", "1 1", "1 3", r"train\.txt, line 2: item must be listed in item_list\.txt, got 3"),
    ("test.txt", "0 1 2", "0 1 3", r"test\.txt, line 1: item must be listed in item_list\.txt, got 3"),
    ("train.txt", "1 1", "3 1", r"train\.txt, line 2: user must be listed in user_list\.txt, got 3"),
    ("kg_final.txt", "2 1 4", "2 1", r"kg_final\.txt, line 4: expected 3 fields"),
    ("kg_final.txt", "2 1 4\n", "2 1 4\n \n", r"kg_final\.txt, line 5: expected 3 fields .* got 2: ' '"),
    ("kg_final.txt", "2 1 4", "2 2 4", r"kg_final\.txt, line 4: relation must be listed in relation_list\.txt, got 2"),
    ("kg_final.txt", "2 1 4", "2 1 9", r"kg_final\.txt, line 4: tail must be listed in entity_list\.txt, got 9"),
    ("kg_final.txt", "2 1 4", "-2 1 4", r"kg_final\.txt, line 4: head must be at least 0, got -2"),
    ("item_list.txt", "org_id remap_id freebase_id\n", "", r"item_list\.txt, line 1: expected the header"),
    ("item_list.txt", FILES["item_list.txt"], "\ufeff", r"item_list\.txt, line 1: expected the header .* got ''"),
    ("item_list.txt", "038548254X 1", "038548254X one", r"item_list\.txt, line 3: line must be of the form 'org_id"),
    ("item_list.txt", "038548254X 1", "038548254X 0", r"item_list\.txt, line 3: number must be listed once, got 0"),
    ("user_list.txt", "70 1", "900 1", r"user_list\.txt, line 3: name must be listed once, got '900'"),
    ("relation_list.txt", "attributes::Happy 1", "http://rdf.freebase.com/ns/book.genre 1",
     r"relation_list\.txt, line 3: name must be listed once"),
    ("relation_list.txt", "attributes::Happy 1", "book_genre 1", r"kg_final\.txt, line 4: relation names must"),
])
def test_bad_files_are_named(write, name, old, new, what):
    assert old in FILES[name]
    folder = write({**FILES, name: FILES[name].replace(old, new)})
    with pytest.raises(ValueError, match=what):
        quiet(folder)


def test_missing_files(write):
    folder = write({"kg_final.txt": FILES["kg_final.txt"]})
    with pytest.raises(FileNotFoundError, match=r"train\.txt does not exist"):
        from_kgat(folder)
    write({"train.txt": FILES["train.txt"], "kg_final.txt.zip": "packed"})
    (folder / "kg_final.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"kg_final\.txt does not exist, but kg_final\.txt\.zip; unpack it"):
        from_kgat(folder)
