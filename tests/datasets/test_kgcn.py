from __future__ import annotations

import numpy as np
import pytest

from kgrl.datasets.kgcn import from_kgcn

RAW = {
    "item_index2entity_id.txt": "30\te3\n10\te1\n20\te2\n",
    "kg.txt": "e1\tfilm.genre\tg\ne2\tfilm.genre\tg\ne3\tfilm.star\ts\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n5,10,4.5,1\n5,30,1.0,2\n6,20,4.0,3\n6,99,5.0,4\n",
}
KG = [[0, 0, 3], [1, 0, 3], [2, 1, 4]]
RATINGS = [[0, 2, 1], [0, 0, 0], [1, 1, 1], [1, 2, 0]]


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


def test_raw_form_with_sampled_negatives(write):
    data = from_kgcn(write(RAW), "ratings.csv", ",", threshold=4)
    rates = data["user", "rates", "item"]
    triples = set(zip(*rates.edge_index.tolist(), rates.rating.tolist(), strict=True))
    assert triples >= {(0, 1, 1.0), (1, 2, 1.0)}
    assert len(triples) == 4
    assert (0, 2, 0.0) in triples  # the only film that user 5 has not rated
    assert data.rating_scale == (0.0, 1.0, 0.5)


@pytest.mark.parametrize("line", ["user,item,rating\n", ""])
def test_header_is_found_out(write, line):
    data = from_kgcn(write({**RAW, "r.csv": line + "5,10,4\n6,20,1\n"}), "r.csv", ",")
    assert data.provenance["before"]["ratings"] == 2


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
    assert from_kgcn(folder)["item"].raw_id == ["007", "08", "x"]


@pytest.mark.parametrize(("files", "what"), [
    ({"ratings_final.txt": text([*RATINGS, [0, 9, 1]])}, r"s_final\.txt, line 5: item must be an entity of the KG"),
    ({"ratings_final.txt": text([*RATINGS, [-1, 0, 1]])}, r"s_final\.txt, line 5: user must be at least 0, got -1"),
    ({"ratings_final.txt": text([*RATINGS, [2, 1, 3]])}, r"ratings_final\.txt, line 5: rating must be a number in"),
    ({"kg_final.txt": text(KG) + "1\t2\n"}, r"kg_final\.txt, line 4: expected 3 fields"),
    ({"kg_final.txt": text(KG) + "1\tx\t2\n"}, r"kg_final\.txt, line 4: relation must be a whole number, got 'x'"),
    ({"item_index2entity_id.txt": "a\t0\n"}, r"expected one line for each of the 3 items"),
])
def test_bad_processed_files_are_named(write, files, what):
    folder = write({"kg_final.txt": text(KG), "ratings_final.txt": text(RATINGS), **files})
    with pytest.raises(ValueError, match=what):
        from_kgcn(folder)


@pytest.mark.parametrize("array", [np.zeros((3, 2), int), np.zeros((3, 3)), np.zeros((0, 3), int)])
def test_arrays_of_another_form(write, array):
    folder = write({"ratings_final.txt": text(RATINGS)})
    np.save(folder / "kg_final.npy", array)
    with pytest.raises(ValueError, match=r"kg_final\.npy: expected an array of whole numbers .* got"):
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
