from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kgrl.datasets.film_numbers import TABLE, film_numbers, film_numbers_from, match_films
from kgrl.datasets.recbole import add_title, read_atomic
from kgrl.files import sha256

RAW = Path(__file__).resolve().parents[2] / "data" / "ml-100k" / "raw" / "ml-100k.item"


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
    if not RAW.is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    ours = read_atomic(RAW, "item").frame
    add_title(ours)
    table = film_numbers()
    theirs = ours.merge(table, left_on="item", right_on="ml_100k").drop_duplicates("ml_1m")
    theirs = pd.DataFrame({"item": theirs["ml_1m"], "title": theirs["title"]})
    assert match_films(ours, theirs, NONE).equals(table.sort_values("ml_100k", ignore_index=True))
