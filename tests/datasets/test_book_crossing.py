from __future__ import annotations

import pytest

from kgrl.datasets.book_crossing import BookCrossing, read_bx_ratings

RAW = {
    "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\r\n"7";"034X";"0"\r\n"7";"odd";"quo"te";"5"\r\n'
                           '"8";"0002";"10"\r\n"8";"9999";"3"\r\n',
    "item_index2entity_id_rehashed.txt": "0002\t0\n034X\t1\n0777\t2\n",
    "kg_rehashed.txt": "0\tbook.author\t3\n1\tbook.author\t3\n2\tbook.author\t4\n",
}
FINAL = {
    "ratings_final.txt": "0\t0\t1\n0\t1\t0\n", "kg_final.txt": "0\t0\t2\n1\t0\t2\n",
    "item_index2entity_id.txt": "a\t0\nb\t1\n",
}


def test_published_counts(shared, tmp_path):
    data = BookCrossing(tmp_path, source=shared / "book-crossing")[0]
    assert data.provenance["after"] == {"ratings": 139_746, "users": 17_860, "items": 14_967, "entities": 77_903,
                                        "triples": 151_500, "relations": 25}
    assert data["user", "rates", "item"].rating.sum() == 69_873
    assert data["user", "rates", "item"].edge_index[:, 0].tolist() == [0, 4250]
    assert data["item"].raw_id[0] == "0002005018"
    assert data.provenance["files"]["kg_final.npy"].startswith("192ad826")


def test_environment_variable(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("KGRL_BOOK_CROSSING", str(shared / "book-crossing"))
    assert BookCrossing(tmp_path)[0]["item"].num_nodes == 14_967


def test_source_goes_before_the_environment_variable(write, tmp_path, monkeypatch):
    monkeypatch.setenv("KGRL_BOOK_CROSSING", str(tmp_path / "elsewhere"))
    assert BookCrossing(tmp_path / "root", source=write(RAW))[0]["item"].num_nodes == 3


def test_raw_form(write, tmp_path):
    folder = write(RAW)
    data = BookCrossing(tmp_path / "root", source=folder)[0]
    rates = data["user", "rates", "item"]
    assert data["item"].raw_id == ["0002", "034X", "0777"]
    assert data["user"].raw_id.tolist() == [7, 8]
    found = set(zip(*rates.edge_index.tolist(), rates.rating.tolist(), strict=True))
    assert len(found) == 4
    assert {(0, 1, 1.0), (1, 0, 1.0)} <= found
    assert data.provenance["before"]["ratings"] == 4
    assert data.rating_scale == (0.0, 1.0, 0.5)


@pytest.mark.parametrize("form", ["raw", "processed"])
def test_options_reach_both_forms(write, tmp_path, form):
    folder = write(RAW if form == "raw" else FINAL)
    options = BookCrossing(tmp_path / "root", source=folder, linked_only=False, min_ratings=2)[0].provenance["options"]
    assert (options["linked_only"], options["min_ratings"]) == (False, 2)


def test_the_advice_of_a_bad_link_leads_on(write, tmp_path):
    folder = write({**RAW, "item_index2entity_id_rehashed.txt": "0002\t0\n034X\t1\n0777\t0\n"})
    with pytest.raises(ValueError, match=r"rehashed.txt, line 3: .* or pass bad_links='drop'"):
        BookCrossing(tmp_path / "root", source=folder)
    data = BookCrossing(tmp_path / "root", source=folder, bad_links="drop")[0]
    assert data["item"].raw_id == ["0002", "034X"]


def test_replaced_index_is_read_again(write, tmp_path):
    folder = write(FINAL)
    assert BookCrossing(tmp_path / "root", source=folder)[0]["item"].raw_id == ["a", "b"]
    write({"item_index2entity_id.txt": "aa\t0\nbb\t1\n"})
    assert BookCrossing(tmp_path / "root", source=folder)[0]["item"].raw_id == ["aa", "bb"]


def test_seed_decides_the_negatives(write, tmp_path):
    lines = "".join(f'"{user}";"i{user % 50}";"1"\n' for user in range(200))
    folder = write({
        "BX-Book-Ratings.csv": "header\n" + lines,
        "item_index2entity_id_rehashed.txt": "".join(f"i{item}\t{item}\n" for item in range(50)),
        "kg_rehashed.txt": "".join(f"{item}\tr\t99\n" for item in range(50)),
    })
    edges = [BookCrossing(tmp_path / "root", source=folder, seed=seed)[0]["user", "rates", "item"].edge_index.tolist()
             for seed in (0, 1)]
    assert edges[0] != edges[1]


def test_isbns_may_hold_anything(write):
    text = RAW["BX-Book-Ratings.csv"] + '\r\n"9";"a\x0cb\u2028c\rd";"1"\r\n'
    frame = read_bx_ratings(write({"BX-Book-Ratings.csv": text}) / "BX-Book-Ratings.csv").frame
    assert frame["item"].tolist() == ["034X", 'odd";"quo"te', "0002", "9999", "a\x0cb\u2028c\rd"]
    assert frame["rating"].tolist() == [0, 5, 10, 3, 1]


@pytest.mark.parametrize(("new", "what"), [
    ('"8";"0002"', r"line 4: line must be of the form"),
    ('"8";"0002";"x"', r"line 4: line must be of the form"),
    (f'"{10**20}";"0002";"1"', r"line 4: line must be of the form"),
    ('"08";"0002";"1"', r"line 4: line must be of the form"),
    ('"8";"0002";"11"', r"line 4: rating must be a number in \[0, 10\], got 11\.0"),
])
def test_bad_line_is_named(write, tmp_path, new, what):
    text = RAW["BX-Book-Ratings.csv"].replace('"8";"0002";"10"', new)
    with pytest.raises(ValueError, match=what):
        BookCrossing(tmp_path / "root", source=write({**RAW, "BX-Book-Ratings.csv": text}))


def test_a_first_row_is_not_lost_for_a_header(write):
    lines = RAW["BX-Book-Ratings.csv"].splitlines(keepends=True)
    with pytest.raises(ValueError, match=r'line 1: expected a header, got \'"7";"034X";"0"'):
        read_bx_ratings(write({"BX-Book-Ratings.csv": "".join(lines[1:])}) / "BX-Book-Ratings.csv")


def test_download_takes_ripplenets_files(tmp_path, monkeypatch):
    monkeypatch.delenv("KGRL_BOOK_CROSSING", raising=False)

    def fake(url, path, expected=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RAW[url.rpartition("/")[2]])

    monkeypatch.setattr("kgrl.datasets.book_crossing.download", fake)
    assert BookCrossing(tmp_path)[0]["item"].num_nodes == 3
