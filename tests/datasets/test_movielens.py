from __future__ import annotations

import zipfile

import pytest

from kgrl.datasets.movielens import MovieLens1M, MovieLens10M, MovieLens20M

KG = {"item_index2entity_id.txt": "1\t0\n3\t1\n", "kg.txt": "0\tfilm.film.genre\t2\n1\tfilm.film.genre\t2\n"}
DAT = {
    "ratings.dat": "1::1::5::978300760\n1::2::3::978300761\n2::3::1::978300762\n",
    "movies.dat": "1::Toy Story (1995)::Animation\n2::Alien: Two::Horror\n3::Three (1999)::X|Y\n",
}
CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.5,7\n1,3,0.5,8\n1,2,3.0,9\n2,1,3.0,9\n2,2,3.0,9\n",
    "movies.csv": 'movieId,title,genres\n1,Toy Story (1995),X\n2,"Two, The (1996)",Y\n3,Three,Z\n',
}


def test_1m(write, tmp_path):
    data = MovieLens1M(tmp_path / "root", source=write({**DAT, **KG}))[0]
    assert data["item"].title == ["Toy Story (1995)", "Three (1999)"]
    assert data["item"].raw_id.tolist() == [1, 3]
    assert data["user", "rates", "item"].rating.tolist() == [5.0, 1.0]
    assert data["user", "rates", "item"].time.tolist() == [978300760, 978300762]
    assert data.rating_scale == (1.0, 5.0, 3.5)
    assert sorted(data.provenance["files"]) == sorted([*DAT, *KG])
    assert data.relation_names == ["film_film_genre"]


def test_1m_titles_are_latin(write, tmp_path):
    folder = write({**DAT, **KG})
    (folder / "movies.dat").write_bytes("1::Café::X\n".encode("latin-1"))
    assert MovieLens1M(tmp_path / "root", source=folder)[0]["item"].title == ["Café", ""]


def test_10m_titles_are_utf8(write, tmp_path):
    folder = write({**DAT, "movies.dat": "1::Café::X\n"})
    assert MovieLens10M(tmp_path / "root", source=folder)[0]["item"].title[0] == "Café"


@pytest.mark.parametrize(("kind", "form"), [(MovieLens1M, "dat"), (MovieLens20M, "csv")])
def test_genres_have_the_film_lists_names(write, tmp_path, kind, form):
    genres = ["(no genres listed)", "War", "Comedy|War", "Comedy"] * 3
    entities = [[22], [22, 21], [22, 20, 21], [22, 20]] * 3  # 22: the language of all

    def lines(header: list[str], rows: list[list[object]]) -> str:
        sign, rows = (",", [header, *rows]) if form == "csv" else ("::", rows)
        return "".join(sign.join(map(str, row)) + "\n" for row in rows)

    folder = write({
        f"ratings.{form}": lines(["user", "film", "rating", "at"], [[1, film, 1 + film % 5, 7] for film in range(12)]),
        f"movies.{form}": lines(["film", "title", "genres"], [[film, "A", genres[film]] for film in range(12)]),
        "item_index2entity_id.txt": "".join(f"{film}\t{film}\n" for film in range(12)),
        "kg.txt": "".join(f"{film}\tof\t{entity}\n" for film in range(12) for entity in entities[film]),
    })
    data = kind(tmp_path / "root", source=folder, min_ratings=1)[0]
    assert data["entity"].raw_id.tolist() == [20, 21, 22]
    assert data["entity"].name == ["Comedy", "War", ""]


def test_10m_is_ratings_alone(write, tmp_path):
    data = MovieLens10M(tmp_path / "root", source=write(DAT))[0]
    assert data["item"].title == ["Toy Story (1995)", "Alien: Two", "Three (1999)"]
    assert data["entity"].num_nodes == 0
    assert data.rating_scale == (0.5, 5.0, 3.5)
    assert sorted(data.provenance["files"]) == sorted(DAT)


def test_10m_with_the_kg_of_a_later_release(write, tmp_path):
    folder = write({**DAT, **KG, "item_index2entity_id.txt": "1\t0\n77\t1\n"})
    data = MovieLens10M(tmp_path / "root", source=folder, kg=True)[0]
    assert data["item"].raw_id.tolist() == [1]
    assert data.provenance["before"]["dropped_links"] == 1


def test_20m_keeps_linked_films_then_active_users(write, tmp_path):
    folder = write({**CSV, **KG})
    data = MovieLens20M(tmp_path / "root", source=folder, min_ratings=2)[0]
    assert data["user"].raw_id.tolist() == [1]  # user 2 has two ratings, one of them of the unlinked film 2
    assert data["user", "rates", "item"].rating.tolist() == [4.5, 0.5]
    assert data["item"].title == ["Toy Story (1995)", "Three"]
    everything = MovieLens20M(tmp_path / "root", source=folder, min_ratings=2, linked_only=False)[0]
    assert everything["item"].title[1] == "Two, The (1996)"
    assert everything["user"].num_nodes == 2


def test_20m_default_is_the_papers(write, tmp_path):
    with pytest.raises(ValueError, match="at least 200 of them, got none out of 5"):
        MovieLens20M(tmp_path / "root", source=write({**CSV, **KG}))
    assert not list((tmp_path / "root").rglob("*.pt"))


@pytest.mark.parametrize(("name", "old", "new", "what"), [
    ("ratings.dat", "1::2::3::978300761", "1::2::3", r"ratings\.dat, line 2: expected 4 fields"),
    ("ratings.dat", "1::2::3::978300761", "1::2::6::978300761", r"ratings\.dat, line 2: rating must be .* got 6"),
    ("ratings.dat", "1::2::3::978300761", "1::x::6::978300761", "line 2: item must be a whole number.*, got 'x'"),
    ("ratings.dat", "1::2::3::978300761", "1::2::3::978300761::9", r"ratings\.dat, line 2: expected 4 fields .* got 5"),
    ("movies.dat", "2::Alien: Two::Horror", "2::Alien", r"movies\.dat, line 2: expected film::title::genres"),
    ("movies.dat", "2::Alien", "x::Alien", r"movies\.dat, line 2: expected film::title::genres"),
    ("movies.dat", "2::Alien", "01::Alien", r"movies\.dat, line 2: expected film::title::genres"),
    ("movies.dat", "2::Alien", f"{10**20}::Alien", r"movies\.dat, line 2: expected film::title::genres"),
    ("ratings.dat", "1::2::3::978300761", "01::2::3::9", "line 2: user must be a whole number, plainly written"),
    ("movies.dat", "2::Alien: Two", "\n1::Alien", r"movies\.dat, line 3: item must be listed once, got 1"),
    ("item_index2entity_id.txt", "3\t1", "9\t1", "line 2: item must be a known item"),
])
def test_bad_files_are_named(write, tmp_path, name, old, new, what):
    files = {**DAT, **KG}
    with pytest.raises(ValueError, match=what):
        MovieLens1M(tmp_path / "root", source=write({**files, name: files[name].replace(old, new)}))
    assert not list((tmp_path / "root").rglob("*.pt"))


def test_missing_file_is_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MovieLens1M .*kg\.txt.* is not there"):
        MovieLens1M(tmp_path / "root", source=write(DAT))


def test_archive_is_unpacked(write, tmp_path, monkeypatch):
    fetched = []

    def fake(url, path, expected=None):
        fetched.append((url.rpartition("/")[2], expected))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, text in DAT.items():
                    archive.writestr(f"ml-1m/{name}", text)
        else:
            path.write_text(KG[path.name])
        return path

    monkeypatch.setattr("kgrl.datasets.movielens.download", fake)
    data = MovieLens1M(tmp_path / "root")[0]
    assert data["item"].num_nodes == 2
    assert fetched == [("ml-1m.zip", MovieLens1M.sha256), ("item_index2entity_id.txt", None), ("kg.txt", None)]
    MovieLens1M(tmp_path / "root")
    assert len(fetched) == 3
    (tmp_path / "root" / "raw" / "kg.txt").unlink()
    MovieLens1M(tmp_path / "root")
    assert [name for name, _ in fetched[3:]] == ["item_index2entity_id.txt", "kg.txt"]


@pytest.mark.parametrize("release", [MovieLens1M, MovieLens20M])
def test_archive_has_a_checksum(release):
    assert len(bytes.fromhex(release.sha256)) == 32
