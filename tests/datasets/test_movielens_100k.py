"""MovieLens-100K as it is; its films against the titles of MovieLens-1M."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from kgrl.datasets.movielens_100k import TABLE, MovieLens100K, film_numbers, film_numbers_from, match_films
from kgrl.datasets.recbole import add_title, read_atomic
from kgrl.files import sha256
from kgrl.graph import forward_triples, knowledge_graph
from kgrl.pretrain import pretrain_entities

RAW = Path(__file__).resolve().parents[2] / "data" / "ml-100k" / "raw"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    if not (RAW / "ml-100k.inter").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    return tmp_path_factory.mktemp("ml-100k")


@pytest.fixture(scope="module")
def data(root):
    return MovieLens100K(root, source=RAW)[0]


@pytest.fixture(scope="module")
def as_shipped(root):
    with pytest.warns(UserWarning, match="links='as-shipped' links MovieLens-100K's films to the wrong entities"):
        return MovieLens100K(root, source=RAW, links="as-shipped")[0]


def test_counts(data):
    before, after = data.provenance["before"], data.provenance["after"]
    assert before == {"ratings": 100_000, "duplicate_ratings": 307, "users": 943, "items": 1_682, "linked_items": 1_522,
                      "dropped_links": 0, "entities": 34_628, "triples": 91_631, "relations": 24,
                      "films_listed_twice": 18, "links_of_other_films": 76}
    assert after == {"ratings": 95_922, "users": 943, "items": 1_522, "entities": 34_628, "triples": 91_631,
                     "relations": 24}
    assert data.provenance["options"]["links"] == "translated"
    assert "ml_100k_to_ml_1m.csv" in data.provenance["files"]


def test_counts_as_shipped(as_shipped):
    before, after = as_shipped.provenance["before"], as_shipped.provenance["after"]
    assert before == {"ratings": 100_000, "duplicate_ratings": 0, "users": 943, "items": 1_682, "linked_items": 1_598,
                      "dropped_links": 0, "entities": 34_628, "triples": 91_631, "relations": 24}
    assert after == {"ratings": 97_554, "users": 943, "items": 1_598, "entities": 34_628, "triples": 91_631,
                     "relations": 24}


def test_titles_and_ids(data):
    assert data["item"].title[:2] == ["Toy Story (1995)", "GoldenEye (1995)"]
    assert data["item"].raw_id[:2].tolist() == [1, 2]
    assert data["user"].raw_id.tolist() == list(range(1, 944))
    assert data.rating_scale == (1.0, 5.0, 3.5)


def test_genres_have_the_film_lists_names(data):
    named = {name: raw for name, raw in zip(data["entity"].name, data["entity"].raw_id, strict=True) if name}
    assert named == {
        "Action": "m.02kdv5l", "Adventure": "m.03k9fj", "Animation": "m.0hcr", "Children's": "m.0hqxf",
        "Comedy": "m.05p553", "Crime": "m.0lsxr", "Documentary": "m.0jtdp", "Drama": "m.02822",
        "Fantasy": "m.01hmnh", "Film-Noir": "m.02xh1", "Horror": "m.03npn", "Musical": "m.04t36",
        "Mystery": "m.02n4kr", "Romance": "m.02l7c8", "Sci-Fi": "m.06n90", "Thriller": "m.01jfsb", "War": "m.082gq",
        "Western": "m.0hfjk"}


def test_wrong_links_name_no_genre(as_shipped):
    assert "name" not in as_shipped["entity"]


def test_no_film_is_there_twice(data):
    """Chasing Amy has 255 ratings as film 268, 124 as film 246."""
    chasing_amy = data["item"].title.index("Chasing Amy (1997)")
    assert data["item"].raw_id[chasing_amy] == 268
    assert len(set(data["item"].title)) == len(data["item"].title) == 1_522
    ratings = (data["user", "rates", "item"].edge_index[1] == chasing_amy).sum()
    assert 255 < ratings < 255 + 124  # some rated it under both numbers


def comedies_of_the_comedy_entity(data):
    """How many times as often as by chance the films of the entity Comedy are comedies by the film list."""
    genres = {line.split("\t")[0]: line.split("\t")[3] for line in (RAW / "ml-100k.item").read_text().splitlines()}
    comedy = ["Comedy" in genres[str(number)] for number in data["item"].raw_id.tolist()]
    films, entity = data["item", "film_film_genre", "entity"].edge_index
    films = films[entity == data["entity"].raw_id.index("m.05p553")].tolist()
    return (sum(comedy[film] for film in films) / len(films)) / (sum(comedy) / len(comedy))


def test_films_of_the_comedy_entity_are_comedies(data, as_shipped):
    assert comedies_of_the_comedy_entity(data) > 2
    assert comedies_of_the_comedy_entity(as_shipped) == pytest.approx(1, abs=0.2)


def test_other_links_are_other_triples(data, as_shipped):
    """So whatever is cached by the triples, as entity vectors are, is never taken for that of other links."""
    ours, theirs = knowledge_graph(data), knowledge_graph(as_shipped)
    assert not forward_triples(ours)[:10_000].equal(forward_triples(theirs)[:10_000])


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


def test_vectors_cached_for_other_links_are_not_taken(write, tmp_path, monkeypatch):
    """The key of the cache depends on the triples: two links exchanged make another file."""
    folder = write({**TWICE, "ml-100k.link": LINK + "426\tm.1\n10\tm.2\n"})
    ours = knowledge_graph(MovieLens100K(tmp_path / "a", source=folder)[0])
    write({"ml-100k.link": LINK + "10\tm.1\n426\tm.2\n"})
    theirs = knowledge_graph(MovieLens100K(tmp_path / "b", source=folder)[0])
    assert (ours.num_nodes, ours.num_items, ours.relation_names) == (theirs.num_nodes, 2, theirs.relation_names)
    for kg in (ours, theirs, ours):
        pretrain_entities(kg, dim=2, epochs=1, cache=tmp_path / "cache", device="cpu")
    assert len(list((tmp_path / "cache").iterdir())) == 2


LINK = "item_id:token\tentity_id:token\n"
TWICE = {
    **SMALL,  # films 573 and 670 are number 426 of MovieLens-1M, film 2 is number 10; 1,000,000 is no film of either
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                     "1\t670\t5\t1\n1\t573\t2\t2\n2\t670\t4\t9\n3\t573\t3\t9\n4\t670\t1\t9\n4\t2\t5\t9\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\n"
                    "2\tB\t1991\n573\tC\t1993\n670\tC\t1993\n",
    "ml-100k.link": LINK + "426\tm.1\n10\tm.2\n1000000\tm.2\n",
}


def test_film_listed_twice_is_one(write, tmp_path):
    data = MovieLens100K(tmp_path / "a", source=write(TWICE))[0]
    assert data["item"].raw_id.tolist() == [2, 670]  # rated three times, 573 twice
    assert data["item"].title == ["B (1991)", "C (1993)"]
    users, items = data["user", "rates", "item"].edge_index.tolist()
    rated = sorted(zip(users, items, data["user", "rates", "item"].rating.tolist(), strict=True))
    assert rated == [(0, 1, 2.0), (1, 1, 4.0), (2, 1, 3.0), (3, 0, 5.0), (3, 1, 1.0)]  # user 1: the later rating
    assert data["item", "r", "item"].edge_index.tolist() == [[1], [0]]
    before = data.provenance["before"]
    assert [before[name] for name in ("items", "linked_items", "films_listed_twice", "links_of_other_films",
                                      "duplicate_ratings")] == [3, 2, 1, 1, 1]


def test_other_links_are_another_file(write, tmp_path):
    folder = write({**TWICE, "ml-100k.link": LINK + "573\tm.1\n2\tm.2\n"})
    with pytest.warns(UserWarning, match="control only"):
        shipped = MovieLens100K(tmp_path / "a", source=folder, links="as-shipped")[0]
    assert shipped["item"].raw_id.tolist() == [2, 573]
    with pytest.raises(ValueError, match="must have the items among its 2 entities"):
        MovieLens100K(tmp_path / "a", source=folder)  # no film has the numbers 573 and 2 there


def test_refuses_unknown_links_and_films_that_are_no_numbers(write, tmp_path):
    with pytest.raises(ValueError, match=r"`links` must be a known name, got 'shipped'; .*'as-shipped'"):
        MovieLens100K(tmp_path, links="shipped")
    folder = write({name: text.replace("670", "x670") for name, text in TWICE.items()})
    with pytest.raises(ValueError, match=r"item_id` must be MovieLens-100K's film numbers, .* links='as-shipped'"):
        MovieLens100K(tmp_path / "a", source=folder)


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


def test_the_advice_of_a_bad_link_leads_on(write, tmp_path):
    folder = write({**TWICE, "ml-100k.link": LINK + "10\tm.1\n426\tm.1\n"})
    with pytest.raises(ValueError, match=r"ml-100k.link, line 3: .* or pass bad_links='drop'"):
        MovieLens100K(tmp_path / "a", source=folder, links="translated")
    assert MovieLens100K(tmp_path / "a", source=folder, bad_links="drop")[0]["item"].num_nodes


def test_table():
    table = film_numbers()
    assert table.columns.tolist() == ["ml_100k", "ml_1m"]
    assert len(table) == 1_670
    assert table["ml_100k"].is_unique
    assert table["ml_1m"].nunique() == 1_652
    assert table["ml_100k"].between(1, 1_682).all()
    assert table["ml_1m"].between(1, 3_952).all()


def test_another_table_needs_another_format():
    """A processed file's name does not know the table: whoever changes it raises ``FORMAT`` in base.py, then this."""
    assert sha256(str(TABLE)) == "dfc0ed0b3e1fbec28d370555d08472c61bebd3b957f7c105e9b88d321cc73266"


def films(*rows):
    return pd.DataFrame(rows, columns=["item", "title"])


NONE = pd.DataFrame({"ml_100k": [], "ml_1m": []}, dtype="int64")


@pytest.mark.parametrize(("ours", "theirs"), [
    ("Net, The (1995)", "Net, The (1995)"),
    ("The Innocent (1994)", "Innocent, The (1994)"),
    ("Misérables, Les (1995)", "Les Miserables (1995)"),
    ("Dumb & Dumber (1994)", "Dumb and Dumber (1994)"),
    ("Schindler's List (1993)", "Schindlers list (1993) "),
    ("Postino, Il (1994)", "Postino, Il (The Postman) (1994)"),
    ("Seven (1995)", "Seven (Se7en) (1995)"),
    ("Land Before Time III (1995) (V)", "Land Before Time III (1995)"),
])
def test_spellings_of_one_title(ours, theirs):
    assert match_films(films((7, ours)), films((3, "Other (1995)"), (9, theirs)), NONE).values.tolist() == [[7, 9]]


@pytest.mark.parametrize("theirs", ["Sabrina (1954)", "Sabrina", "Sabrinas (1995)", "(1995)"])
def test_other_films(theirs):
    assert match_films(films((7, "Sabrina (1995)")), films((9, theirs)), NONE).empty


def test_films_that_cannot_be_told_apart_are_not_matched():
    theirs = films((1, "Chaos (a) (1998)"), (2, "Chaos (b) (1998)"), (3, "Hamlet (1996)"))
    ours = films((7, "Chaos (1998)"), (8, "Hamlet (1996)"), (9, "Hamlet (1996)"))
    assert match_films(ours, theirs, NONE).values.tolist() == [[8, 3], [9, 3]]


def test_by_hand_serves_where_no_title_does():
    ours, theirs = films((7, "A (1990)"), (8, "B (1990)"), (9, "C (1990)")), films((1, "A (1990)"), (2, "Bee (1990)"))
    by_hand = pd.DataFrame({"ml_100k": [7, 8, 9, 99], "ml_1m": [2, 2, 55, 1]})  # 55 and 99 are in neither list
    assert match_films(ours, theirs, by_hand).values.tolist() == [[7, 1], [8, 2]]


def test_from_files(write, monkeypatch):
    folder = write({
        "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
                        "2\tGoldenEye\t1995\tAction\n1\tToy Story\t1995\tComedy\n",
        "movies.dat": "1::Toy Story (1995)::Comedy\n10::GoldenEye (1995)::Action\n11::Heat (1995)::Drama\n",
    })
    made = film_numbers_from(folder / "ml-100k.item", folder / "movies.dat")
    assert made.to_csv(index=False) == "ml_100k,ml_1m\n1,1\n2,10\n"
    monkeypatch.setenv("HOME", str(folder))
    assert film_numbers_from("~/ml-100k.item", "~/movies.dat").equals(made)
    (folder / "movies.dat").write_text("1:Toy Story\n")
    with pytest.raises(ValueError, match="line 1: expected film::title::genres"):
        film_numbers_from(folder / "ml-100k.item", folder / "movies.dat")


def test_titles_of_the_real_list_agree_with_the_table():
    """As far as one list tells: what the table takes for one film has one title, and no two films have the same."""
    if not (RAW / "ml-100k.item").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    ours = read_atomic(RAW / "ml-100k.item", "item").frame
    add_title(ours)
    table = film_numbers()
    theirs = ours.merge(table, left_on="item", right_on="ml_100k").drop_duplicates("ml_1m")
    theirs = pd.DataFrame({"item": theirs["ml_1m"], "title": theirs["title"]})
    assert match_films(ours, theirs, NONE).equals(table.sort_values("ml_100k", ignore_index=True))
