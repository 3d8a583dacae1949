from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kgrl.datasets.movielens_100k import MovieLens100K

RAW = Path(__file__).resolve().parents[2] / "data" / "ml-100k" / "raw"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    if not (RAW / "ml-100k.inter").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    return MovieLens100K(tmp_path_factory.mktemp("ml-100k"), source=RAW)[0]


def test_published_counts(data):
    before, after = data.provenance["before"], data.provenance["after"]
    assert before == {"ratings": 100_000, "duplicate_ratings": 0, "users": 943, "items": 1_682, "linked_items": 1_598,
                      "dropped_links": 0, "entities": 34_628, "triples": 91_631, "relations": 24}
    assert after == {"ratings": 97_554, "users": 943, "items": 1_598, "entities": 34_628, "triples": 91_631,
                     "relations": 24}


def test_titles_and_ids(data):
    assert data["item"].title[:2] == ["Toy Story (1995)", "GoldenEye (1995)"]
    assert data["item"].raw_id[:2].tolist() == [1, 2]
    assert data["user"].raw_id.tolist() == list(range(1, 944))
    assert data.rating_scale == (1.0, 5.0, 3.5)


SMALL = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                     "1\t1\t5\t9\n1\t2\t1\t9\n2\t2\t1\t9\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\n1\tA\t1990\n2\tB\t1991\n",
    "ml-100k.link": "item_id:token\tentity_id:token\n1\tm.1\n",
    "ml-100k.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tr\tm.2\n",
    "ml-100k.user": "user_id:token\n1\n",
}


def test_small_files_in_the_same_form(write, tmp_path):
    folder = write(SMALL)
    assert MovieLens100K(tmp_path / "a", source=folder)[0]["item"].title == ["A (1990)"]
    data = MovieLens100K(tmp_path / "a", source=folder, linked_only=False, min_ratings=2)[0]
    assert data["item"].title == ["A (1990)", "B (1991)"]
    assert data["user"].raw_id.tolist() == [1]


def test_wheel_is_unpacked(tmp_path, monkeypatch):
    def fake(requirement, file_name, expected, folder):
        assert (requirement, expected) == ("recbole==1.2.1", MovieLens100K.sha256)
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / file_name, "w") as archive:
            for name, text in SMALL.items():
                archive.writestr(f"recbole/dataset_example/ml-100k/{name}", text)
        return folder / file_name

    monkeypatch.setattr("kgrl.datasets.movielens_100k.download_wheel", fake)
    assert MovieLens100K(tmp_path)[0]["item"].num_nodes == 1
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {*SMALL, MovieLens100K.wheel}
