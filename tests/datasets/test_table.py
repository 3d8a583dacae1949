"""Tables that know where their rows come from, and columns of one's own names."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

from kgrl.datasets.delimited import read_delimited
from kgrl.datasets.frames import from_frames
from kgrl.datasets.recbole import from_recbole
from kgrl.datasets.table import Table, looks_like, stacked

RATING = {"user": "id", "item": "id", "rating": "float"}


def test_complaint_names_the_line_of_a_filtered_row(write):
    table = read_delimited(write({"r.txt": "u\ti\tr\n1\t1\t5\n\n2\t2\t9\n3\t3\t9\n"}) / "r.txt", RATING, header=True)
    part = Table(table.frame[1:], table.name, table.locate)
    with pytest.raises(ValueError, match=r"line 4: rating must be small, got 9.0 \(and 1 more\)"):
        part.complain(part.frame["rating"] > 5, "rating", "small")
    part.complain(part.frame["rating"] > 9, "rating", "small")


def test_complaint_counts_the_rows_of_a_frame_of_any_index():
    table = Table.of(pd.DataFrame({"item": [1, 2]}, index=["a", "b"]), "links", ["item"])
    with pytest.raises(ValueError, match="`links`, row 1: item must be small, got 2"):
        table.complain(table.frame["item"] > 1, "item", "small")


def test_stacked_tables_know_their_rows(write):
    folder = write({"a.txt": "1\t1\t1\n", "b.txt": "x\t1\t1\n2\t1\t9\n"})
    both = stacked([read_delimited(folder / name, RATING) for name in ("a.txt", "b.txt")])
    assert both.frame["user"].tolist() == ["1", "x", "2"]
    with pytest.raises(ValueError, match=r"b\.txt, line 2: rating must be small, got 9"):
        both.complain(both.frame["rating"] > 5, "rating", "small")


def test_missing_column():
    with pytest.raises(ValueError, match="`links` must have the columns item, entity, got item; missing: entity"):
        Table.of(pd.DataFrame({"item": [1]}), "links", ["item", "entity"])


STARS = pd.DataFrame({"userId": [1, 1, 2], "movieId": [10, 20, 10], "stars": [5, 1, 1], "timestamp": [9, 8, 7]})
NAMES = {"user": "userId", "item": "movieId", "rating": "stars", "time": "timestamp"}
INTER = "user_id:token\titem_id:token\tlabel:float\n1\t1\t1\n1\t2\t0\n2\t1\t0\n"


@pytest.mark.parametrize(("name", "what"), [
    ("userId", "user"), ("user_id", "user"), ("stars", "rating"), ("review_score", "rating"), ("playCount", "rating"),
    ("label", "rating"), ("unixReviewTime", "time"), ("created_at", "time"), ("movie_title", "title"), ("genre", None),
    ("id", None), (7, None),
])
def test_what_a_name_tells(name, what):
    assert looks_like(name) == what


def test_names_of_ones_own():
    data = from_frames(STARS, columns=NAMES)
    rates = data["user", "rates", "item"]
    assert (rates.rating.tolist(), rates.time.tolist()) == ([5, 1, 1], [9, 8, 7])
    assert data["item"].raw_id.tolist() == [10, 20]


def test_a_rating_of_another_name_is_no_interaction():
    ratings = STARS.rename(columns={"userId": "user", "movieId": "item", "timestamp": "time"})
    with pytest.raises(ValueError, match="`ratings` has no column for 'rating', but 'stars'.*columns={'rating': 'st"):
        from_frames(ratings)
    data = from_frames(ratings, columns={"rating": None})
    assert data["user", "rates", "item"].rating.tolist() == [1, 1, 1]
    assert from_frames(ratings.assign(rating=[1, 2, 3]))["user", "rates", "item"].rating.tolist() == [1, 2, 3]


def test_a_time_and_a_title_of_another_name_are_named():
    ratings = STARS.rename(columns={"userId": "user", "movieId": "item", "stars": "rating"})
    with pytest.warns(UserWarning, match="`ratings` has no column for 'time', but 'timestamp', which is not read"):
        from_frames(ratings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frames(ratings, columns={"time": None})
    items = pd.DataFrame({"item": [10, 20], "film_name": ["One", "Two"]})
    with pytest.warns(UserWarning, match="`items` has no column for 'title', but 'film_name'"):
        from_frames(ratings, items=items)
    data = from_frames(ratings, items=items, columns={"title": "film_name", "time": "timestamp"})
    assert data["item"].title == ["One", "Two"]


@pytest.mark.parametrize(("name", "read"), [
    ("ratings", "user, item, rating, time"), ("triples", "head, relation, tail"), ("links", "item, entity")])
def test_columns_that_nobody_reads_are_named(name, read, frames):
    frames[name] = frames[name].assign(verified=1, lang="en")
    with pytest.warns(UserWarning, match=f"`{name}`: only {read} are read, not verified, lang; leave these"):
        from_frames(**frames)


def test_two_columns_may_change_places():
    swapped = pd.DataFrame({"user": [10, 20], "item": [1, 1], "rating": [1, 2]})
    data = from_frames(swapped, columns={"user": "item", "item": "user"})
    assert (data["user"].raw_id.tolist(), data["item"].raw_id.tolist()) == ([1], [10, 20])


@pytest.mark.parametrize(("columns", "what"), [
    ({"rating": "stars", "time": "stars"}, "'stars' for both 'rating' and 'time'"),
    ({"item": "user"}, "'user' for both 'user' and 'item'"),
    ({"time": "rating"}, "'rating' for both 'rating' and 'time'"),  # else everybody would have liked everything
])
def test_one_column_is_not_two(columns, what):
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1, 5, 3], "stars": [1, 5, 3]})
    with pytest.raises(ValueError, match=f"`ratings`: `columns` must be a column of its own for each .*{what}"):
        from_frames(frame, columns=columns)


def test_one_name_for_columns_of_two_frames():
    """And what is renamed makes room: no column is read twice."""
    ratings = pd.DataFrame({"user": [1, 1, 2], "id": [1, 2, 1], "rating": [1, 5, 3], "when": [7, 8, 9]})
    triples = pd.DataFrame({"head": ["a", "b"], "relation": "r", "tail": "c"})
    links, names = pd.DataFrame({"item": [1, 2], "entity": ["a", "b"]}), pd.DataFrame({"id": ["c"], "name": ["C"]})
    data = from_frames(ratings, triples, links, entities=names, columns={"item": "id", "entity": "id", "time": "rating",
                                                                          "rating": "when"})
    assert (data["item"].raw_id.tolist(), data["entity"].name) == ([1, 2], ["C"])
    assert data["user", "rates", "item"].time.tolist() == [1, 5, 3]
    data = from_frames(ratings.rename(columns={"id": "item"}), columns={"time": "rating", "rating": None})
    assert data["user", "rates", "item"].rating.tolist() == [1, 1, 1]


@pytest.mark.parametrize("given", [
    {"columns": {"rating": "stars", "time": "stars"}}, {"config": {"RATING_FIELD": "stars", "TIME_FIELD": "stars"}},
    {"config": {"RATING_FIELD": "stars"}, "columns": {"time": "stars"}},
])
def test_one_field_of_recboles_is_not_two(write, given):
    folder = write({"a.inter": "user_id:token\titem_id:token\tstars:float\n1\t1\t5\n1\t2\t1\n"})
    with pytest.raises(ValueError, match=r"a\.inter: `columns` must be a column of its own for each .*'stars'"):
        from_recbole(folder, **given)


@pytest.mark.parametrize(("columns", "what"), [
    ({"rating": "starz"}, r"`columns\['rating'\]` must be one of the columns userId, movieId, stars, timestamp, got"),
    ({"stars": "rating"}, "`columns` must be names among user, item, rating"),
    ({}, r"missing: user, item; pass columns={'user': 'userId', 'item': 'movieId'}"),
])
def test_wrong_names_are_named(columns, what):
    with pytest.raises(ValueError, match=what):
        from_frames(STARS, columns=columns)


def test_a_column_twice_and_no_frame():
    with pytest.raises(ValueError, match="`ratings` must be a frame of distinct columns, got .*rating' twice"):
        from_frames(pd.DataFrame([[1, 1, 1, 5]], columns=["user", "item", "rating", "rating"]))
    with pytest.raises(TypeError, match="`ratings` must be a pandas DataFrame, got 'dict'"):
        from_frames({"user": [1], "item": [1]})


def test_recboles_label_is_no_interaction(write):
    folder = write({"a.inter": INTER})
    with pytest.raises(ValueError, match=r"a\.inter has no column for 'rating', but 'label'"):
        from_recbole(folder)
    data = from_recbole(folder, columns={"rating": "label"})
    assert data["user", "rates", "item"].rating.tolist() == [1, 0, 0]
    assert from_recbole(folder, columns={"rating": None})["user", "rates", "item"].rating.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"`columns\['rating'\]` must be one of the columns user_id, item_id, label"):
        from_recbole(folder, columns={"rating": "lable"})
