from __future__ import annotations

import os
import re

import numpy as np
import pytest

from kgrl.datasets.kgcn import from_kgcn

RAW = {
    "item_index2entity_id.txt": "30\te3\n10\te1\n20\te2\n",
    "kg.txt": "e1\tfilm.genre\tg\ne2\tfilm.genre\tg\ne3\tfilm.star\ts\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n5,10,4.5,1\n5,30,1.0,2\n6,20,4.0,3\n6,99,5.0,4\n",
}
KG = [[0, 0, 3], [1, 0, 3], [2, 1, 4]]
RATINGS = [[0, 2, 1], [0, 0, 0], [1, 0, 1], [1, 2, 0]]  # nobody rated item 1


def text(rows: list[list[int]]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def test_raw_form(write):
    data = from_kgcn(write(RAW), "ratings.csv", ",", rating_scale=(0.5, 5, 3.5))
    assert data["item"].raw_id.tolist() == [30, 10, 20]
    assert data["user"].raw_id.tolist() == [5, 6]
    assert data["user", "rates", "item"].edge_index.tolist() == [[0, 0, 1], [1, 0, 2]]
    assert data["user", "rates", "item"].rating.tolist() == [4.5, 1.0, 4.0]
    assert data["item", "film_genre", "entity"].edge_index.tolist() == [[1, 2], [0, 0]]
    assert data.provenance["before"]["items"] == 4
    assert sorted(data.provenance["files"]) == sorted(RAW)


def test_kg_in_parts(write, tmp_path):
    head, tail = RAW["kg.txt"].split("e2")
    files = {name: text for name, text in RAW.items() if name != "kg.txt"}
    folder = write({**files, "kg_part1_rehashed.txt": head, "kg_part2_rehashed.txt": "e2" + tail})
    parts = from_kgcn(folder, "ratings.csv", ",")
    assert parts["item", "film_genre", "entity"].edge_index.tolist() == [[1, 2], [0, 0]]
    assert set(parts.provenance["files"]) == {*files, "kg_part1_rehashed.txt", "kg_part2_rehashed.txt"}
    write({"kg_part2_rehashed.txt": "e2" + tail + "\tr\tx\n"})
    with pytest.raises(ValueError, match=r"kg_part2_rehashed\.txt, line 3: head must be an id"):
        from_kgcn(folder, "ratings.csv", ",")


def test_raw_form_with_sampled_negatives(write):
    data = from_kgcn(write(RAW), "ratings.csv", ",", threshold=4)
    rates = data["user", "rates", "item"]
    triples = set(zip(*rates.edge_index.tolist(), rates.rating.tolist(), strict=True))
    assert triples >= {(0, 1, 1.0), (1, 2, 1.0)}
    assert len(triples) == 4
    assert (0, 2, 0.0) in triples  # the only film that user 5 has not rated
    assert data.rating_scale == (0.0, 1.0, 0.5)


@pytest.mark.parametrize("header", ["user,item,rating\n", ""])
@pytest.mark.parametrize("quote", ["", '"'])
def test_header_and_quotes_are_found_out(write, header, quote):
    lines = re.sub(r"(\w+)", rf"{quote}\1{quote}", header + "5,10,4\n6,20,1\n")
    data = from_kgcn(write({**RAW, "r.csv": lines}), "r.csv", ",")
    assert data.provenance["before"]["ratings"] == 2


@pytest.mark.parametrize(("line", "what"), [
    ("5,10,x,1", "line 1: rating must be a number, or the line a header"),
    ("5,10,,1", "line 1: rating must be a number, or the line a header"),
    ("movieId,userId,rating,timestamp", "line 1: expected the columns user, item, rating, time, in this order"),
])
def test_a_first_row_is_not_taken_for_a_header(write, line, what):
    folder = write({**RAW, "r.csv": f"{line}\n6,20,4.0,3\n5,30,1.0,2\n"})
    with pytest.raises(ValueError, match=r"r\.csv, " + what):
        from_kgcn(folder, "r.csv", ",")


def test_header_of_unknown_words(write):
    data = from_kgcn(write({**RAW, "r.csv": "u,i,r\n6,20,4.0\n5,30,1.0\n"}), "r.csv", ",")
    assert data["user"].raw_id.tolist() == [5, 6]


def test_ids_of_one_kind_have_one_type(write):
    folder = write({"item_index2entity_id.txt": "10\t1\n20\t2\nx\t3\n", "kg.txt": "1\tr\tg\n2\tr\tg\n3\tr\t1\n",
                    "ratings.csv": RAW["ratings.csv"]})
    data = from_kgcn(folder, "ratings.csv", ",")
    assert data["item"].raw_id == ["10", "20", "x"]
    assert data["user", "rates", "item"].edge_index.tolist() == [[0, 1], [0, 1]]
    assert data["item", "r", "item"].edge_index.tolist() == [[2], [0]]


def test_options_are_taken_and_recorded(write, tmp_path):
    options = {"rating_scale": (0, 5, 2), "linked_only": False, "min_ratings": 2}
    raw = {**options, "bad_links": "drop", "seed": 3, "min_item_ratings": 1}
    assert from_kgcn(write(RAW), "ratings.csv", ",", 4, **raw).provenance["options"] == {**raw, "positive_from": 4}
    write({"kg_final.txt": text(KG), "ratings_final.txt": text(RATINGS)})
    assert from_kgcn(tmp_path, **options).provenance["options"].items() >= options.items()


@pytest.mark.parametrize("suffix", ["npy", "txt"])
def test_processed_form(write, tmp_path, suffix):
    write({"kg_final.txt": text(KG), "ratings_final.txt": text(RATINGS)} if suffix == "txt" else {})
    if suffix == "npy":
        np.save(tmp_path / "kg_final.npy", np.array(KG, dtype=np.int32))
        np.save(tmp_path / "ratings_final.npy", np.array(RATINGS))
    data = from_kgcn(tmp_path)
    assert data["item"].num_nodes == 3
    assert data["entity"].num_nodes == 2
    assert data.relation_names == ["relation_0", "relation_1"]
    assert data["user", "rates", "item"].edge_index.T.tolist() == [row[:2] for row in RATINGS]
    assert data["item", "relation_1", "entity"].edge_index.tolist() == [[2], [1]]
    assert data.rating_scale == (0.0, 1.0, 0.5)


def test_processed_form_takes_item_ids_from_the_index(write):
    folder = write({"kg_final.txt": text(KG), "ratings_final.txt": text(RATINGS),
                    "item_index2entity_id_rehashed.txt": "007\t0\n08\t1\nx\t2\n"})
    data = from_kgcn(folder)
    assert data["item"].raw_id == ["007", "08", "x"]
    assert len(data.provenance["files"]) == 3


def test_item_may_be_nothing_but_a_tail(write):
    data = from_kgcn(write({"kg_final.txt": "0\t0\t1\n", "ratings_final.txt": "0\t1\t1\n"}))
    assert data["item", "relation_0", "item"].edge_index.tolist() == [[0], [1]]


@pytest.mark.parametrize(("files", "what"), [
    ({"ratings_final.txt": text([*RATINGS, [0, 5, 1]])}, r"s_final\.txt, line 5: item must be an entity of the KG"),
    ({"ratings_final.txt": text([*RATINGS, [-1, 0, 1]])}, r"s_final\.txt, line 5: user must be at least 0, got -1"),
    ({"ratings_final.txt": text([*RATINGS, [2, 1, 3]])}, r"ratings_final\.txt, line 5: rating must be a number in"),
    ({"kg_final.txt": text(KG) + "1\t2\n"}, r"kg_final\.txt, line 4: expected 3 fields"),
    ({"kg_final.txt": text(KG) + "1\tx\t2\n"}, r"kg_final\.txt, line 4: relation must be a whole number.*, got 'x'"),
    ({"item_index2entity_id.txt": "a\t0\n"}, r"expected one line for each of the 3 items .* got 1"),
    ({"item_index2entity_id.txt": "a\t0\nb\t1\nc\t2\nd\t3\n"}, r"expected one line for each of the 3 items .* got 4"),
])
def test_bad_processed_files_are_named(write, files, what):
    folder = write({"kg_final.txt": text(KG), "ratings_final.txt": text(RATINGS), **files})
    with pytest.raises(ValueError, match=what):
        from_kgcn(folder)


@pytest.mark.parametrize("array", [np.zeros((3, 2), int), np.zeros((3, 3)), np.zeros((0, 3), int), np.zeros(3, int)])
def test_arrays_of_another_form(write, array):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", array)
    with pytest.raises(ValueError, match=r"kg_final\.npy: expected an array of whole numbers .* got"):
        from_kgcn(folder)


def test_row_of_an_array_is_named(write):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", np.array([[0, 0, 3], [1, -1, 3]]))
    with pytest.raises(ValueError, match=r"kg_final\.npy, row 1: relation must be at least 0, got -1"):
        from_kgcn(folder)


class Trap:
    """What a pickle may hold: a call of anything."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_array_runs_no_code(write, tmp_path):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", np.array([[Trap(tmp_path / "trap")] * 3]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"kg_final\.npy: expected an array of whole numbers"):
        from_kgcn(folder)
    assert not (tmp_path / "trap").exists()


def test_damaged_header_of_an_array(write):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", np.array(KG))
    content = (folder / "kg_final.npy").read_bytes()
    for damage in (content.replace(b"(3, 3)", b"(3, 3 "), content.replace(b"(3, 3), }     ", b"(10**9, 3), } "),
                   content.replace(b"(3, 3), }          ", b"(99999999999, 3), }")):
        (folder / "kg_final.npy").write_bytes(damage)
        with pytest.raises(ValueError, match=r"kg_final\.npy: expected an array of whole .* damaged or cut off"):
            from_kgcn(folder)


def test_an_item_number_that_would_take_all_memory(write):
    folder = write({"kg_final.txt": f"0\t0\t{10**12}\n", "ratings_final.txt": f"0\t0\t1\n1\t{10**12 - 1}\t1\n"})
    with pytest.raises(ValueError, match=r"ratings_final\.txt, line 2: item must be below 1,000,000"):
        from_kgcn(folder)


def test_truncated_array(write):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", np.array(KG))
    content = (folder / "kg_final.npy").read_bytes()
    (folder / "kg_final.npy").write_bytes(content[:-8])
    with pytest.raises(ValueError, match=r"kg_final\.npy: .* damaged or cut off"):
        from_kgcn(folder)


@pytest.mark.parametrize(("name", "old", "new", "what"), [
    ("item_index2entity_id.txt", "20\te2", "10\te2", "line 3: item must be an item not linked before"),
    ("item_index2entity_id.txt", "20\te2", "20\te1", "line 3: entity must be an entity not linked to another"),
    ("item_index2entity_id.txt", "20\te2", "20\te9", "line 3: entity must be an entity of some triple"),
    ("kg.txt", "film.star", "film_genre", r"relation names must stay distinct.*'film\.genre' and 'film_genre'"),
    ("ratings.csv", "6,20,4.0,3", "6,20,4.0", r"ratings\.csv, line 4: expected 4 fields"),
    ("ratings.csv", "6,20,4.0,3", "6,20,4.0,x", r"ratings\.csv, line 4: time must be a number, got 'x'"),
    ("ratings.csv", "6,20,4.0,3", "6,20,9.0,3", r"line 4: rating must be a number in \[0\.5, 5\], got 9\.0"),
])
def test_bad_raw_files_are_named(write, name, old, new, what):
    folder = write({**RAW, name: RAW[name].replace(old, new)})
    with pytest.raises(ValueError, match=what):
        from_kgcn(folder, "ratings.csv", ",", rating_scale=(0.5, 5, 3.5))


def test_missing_files(write):
    folder = write({"kg.txt": RAW["kg.txt"]})
    with pytest.raises(FileNotFoundError, match=r"ratings_final\.npy or ratings_final\.txt"):
        from_kgcn(folder)
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        from_kgcn(folder / "none")
    with pytest.raises(FileNotFoundError, match=r"ratings\.csv does not exist"):
        from_kgcn(folder, "ratings.csv", ",")


def test_threshold_and_labels_contradict(write):
    with pytest.raises(ValueError, match="`threshold` must be None"):
        from_kgcn(write(RAW), threshold=4)


def test_wrong_separator(write):
    with pytest.raises(ValueError, match=r"ratings\.csv, line 1: expected 3 or 4 fields .* separated by '\\t'"):
        from_kgcn(write(RAW), "ratings.csv")
