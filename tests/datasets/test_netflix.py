from __future__ import annotations

import pytest

from kgrl.datasets.netflix import NetflixPrize, read_netflix

FIRST = "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n822109,4,1970-01-02\n1488844,2,2005-09-06\n"
SECOND = "10:\n30878,1,2005-12-26\n"


def rows(frame) -> list[tuple]:
    return [tuple(row) for row in frame[["user", "item", "rating", "time"]].to_numpy().tolist()]


def test_combined_files(write):
    folder = write({"combined_data_1.txt": FIRST, "combined_data_2.txt": SECOND})
    found = rows(read_netflix([folder / "combined_data_1.txt", folder / "combined_data_2.txt"]).frame)
    assert found == [(1488844, 1, 3, 1125964800), (822109, 1, 5, 1115942400), (822109, 2, 4, 86400),
                     (1488844, 2, 2, 1125964800), (30878, 10, 1, 1135555200)]


def test_one_file_a_film(write, monkeypatch):
    monkeypatch.setattr("kgrl.datasets.netflix.FILES_AT_ONCE", 2)
    films = FIRST.split("2:\n")
    folder = write({"mv_1.txt": films[0], "mv_2.txt": "2:\r\n" + films[1].strip(), "mv_3.txt": SECOND,
                    "combined_data_1.txt": FIRST + SECOND})
    parts = read_netflix(sorted(folder.glob("mv_*")))
    assert rows(parts.frame) == rows(read_netflix([folder / "combined_data_1.txt"]).frame)
    assert parts.frame.index.tolist() == list(range(5))
    (folder / "combined_data_1.txt").unlink()
    assert NetflixPrize(folder / "root", source=folder, min_ratings=2)[0]["user"].raw_id.tolist() == [822109, 1488844]


@pytest.mark.parametrize("end", ["\r\n", "\r\r\n", " \n", "\t\n"])
def test_blanks_at_the_end_of_lines_are_none_of_them(write, end):
    folder = write({"a.txt": FIRST, "b.txt": FIRST.replace("\n", end)})
    assert rows(read_netflix([folder / "b.txt"]).frame) == rows(read_netflix([folder / "a.txt"]).frame)


def test_data_set(write, tmp_path):
    folder = write({"combined_data_1.txt": FIRST})
    (folder / "movie_titles.csv").write_bytes("1,2003,Café\n2,NULL,One, Two\n".encode("latin-1"))
    data = NetflixPrize(tmp_path / "root", source=folder)[0]
    assert data["item"].title == ["Café (2003)", "One, Two"]
    assert data["user"].raw_id.tolist() == [822109, 1488844]
    assert data["user", "rates", "item"].edge_index.tolist() == [[1, 0, 0, 1], [0, 0, 1, 1]]
    assert data.rating_scale == (1.0, 5.0, 3.5)
    assert data["entity"].num_nodes == 0
    assert sorted(data.provenance["files"]) == ["combined_data_1.txt", "movie_titles.csv"]


@pytest.mark.parametrize("line", ["2,2003", "x,2003,Two", "02,2003,Two", f"{10**400},2003,Two"])
def test_bad_titles_are_named(write, tmp_path, line):
    folder = write({"combined_data_1.txt": FIRST, "movie_titles.csv": f"1,2003,One\n{line}\n"})
    with pytest.raises(ValueError, match=rf"movie_titles\.csv, line 2: expected film,year,title, got b'{line}'"):
        NetflixPrize(tmp_path / "root", source=folder)


@pytest.mark.parametrize(("text", "what"), [
    ("5,3,2005-09-06\n1:\n", r"line 1: expected 'film:' .*\(a film first\), got b'5,3"),
    ("1:\n5,3\n", "line 2: expected 'film:' or 'user,rating,YYYY-MM-DD', got b'5,3'"),
    ("1:\n5,3,2005-09-06\n6,x,2005-09-06\n", "line 3: .* got b'6,x"),
    ("1:\n5,3,2005-09-06\n6,4,20", "line 3: .* got b'6,4,20'"),
    ("1:\n5,3,2005-09-06,7\n", "line 2: .* got b'5,3,2005-09-06,7'"),
    ("1:\n\n5,3,2005-09-06\n", "line 2: .* got b''"),
    ("1:\n5,3,2005-09-06\n-6,4,2005-09-07\n", "line 3: .* got b'-6,4,2005-09-07'"),
    ("1:\n5,3,20050906\n", "line 2: .* got b'5,3,20050906'"),
    ("3000000000:\n5,3,2005-09-06\n", "line 1: .* got b'3000000000:'"),
    ("1:\n5,3,2005-09-06\n4294967301,3,2005-09-06\n", "line 3: .* got b'4294967301,3"),
    ("1:\n5,4294967299,2005-09-06\n", "line 2: .* got b'5,4294967299"),
    ("1:\n5,3,2005-09-06\n05,3,2005-09-06\n", "line 3: .* got b'05,3"),
    ("1:\n5,3,2005-09-06\n01:\n6,3,2005-09-06\n", "line 3: .* got b'01:'"),
    ("0:\n5,3,2005-09-06\n", "line 1: .* got b'0:'"),
    ("1:\n5,3,2005-13-45\n", "line 2: .* got b'5,3,2005-13-45'"),
    ("1:\n5,3,2005-02-29\n", "line 2: .* got b'5,3,2005-02-29'"),
    ("\n\n", "line 1: "),
    ("1:\n5,9,2005-09-06\n", r"line 2: rating must be a number in \[1, 5\], got 9"),
])
def test_bad_files_are_named(write, tmp_path, text, what):
    with pytest.raises(ValueError, match=r"combined_data_1\.txt, " + what):
        NetflixPrize(tmp_path / "root", source=write({"combined_data_1.txt": text}))


def test_there_is_no_download(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be downloaded from here"):
        NetflixPrize(tmp_path)
