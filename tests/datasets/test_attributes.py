from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from kgrl.datasets.attributes import attribute_triples
from kgrl.datasets.frames import from_frames
from kgrl.datasets.names import node_names

FILMS = pd.DataFrame({
    "film": [7, 3, 9, 4],
    "title": ["Alien", "Heat", None, "Up"],
    "genres": ["horror|sci-fi", "crime | drama", "", None],
    "stars": [["Weaver", "Hurt"], ["Pacino", None, "Pacino"], None, ()],
    "director": ["Scott", "Mann", "Scott", "Docter"],
    "minutes": [117, 170, 95, 96],
    "released": pd.to_datetime(["1979-05-25", "1995-12-15", None, "2009-05-29"]),
    "colour": [True, True, True, False],
})


def facts(made: dict) -> set[tuple[str, str, str]]:
    return {tuple(row) for row in made["triples"].itertuples(index=False)}


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attribute_triples(*args, **kwargs)


def test_a_hand_worked_case():
    made = quiet(FILMS, "film", separator="|", bins=2)
    assert facts(made) == {
        ("item: 7", "genres", "genres: horror"), ("item: 7", "genres", "genres: sci-fi"),
        ("item: 3", "genres", "genres: crime"), ("item: 3", "genres", "genres: drama"),
        ("item: 7", "stars", "stars: Weaver"), ("item: 7", "stars", "stars: Hurt"),
        ("item: 3", "stars", "stars: Pacino"),
        ("item: 7", "director", "director: Scott"), ("item: 3", "director", "director: Mann"),
        ("item: 9", "director", "director: Scott"), ("item: 4", "director", "director: Docter"),
        ("item: 7", "minutes", "minutes: 117 to 170"), ("item: 3", "minutes", "minutes: 117 to 170"),
        ("item: 9", "minutes", "minutes: 95 to 96"), ("item: 4", "minutes", "minutes: 95 to 96"),
        ("item: 7", "released", "released: 1979"), ("item: 3", "released", "released: 1995"),
        ("item: 4", "released", "released: 2009"),
        ("item: 7", "colour", "colour: True"), ("item: 3", "colour", "colour: True"),
        ("item: 9", "colour", "colour: True"), ("item: 4", "colour", "colour: False"),
    }
    assert len(made["triples"]) == len(facts(made))
    assert made["links"].values.tolist() == [[number, f"item: {number}"] for number in (7, 3, 9, 4)]
    assert made["items"].values.tolist() == [[7, "Alien"], [3, "Heat"], [9, ""], [4, "Up"]]
    names = dict(made["entities"].values.tolist())
    assert names["minutes: 95 to 96"] == "95 to 96"
    assert set(names) == {tail for _, _, tail in facts(made)}


def test_the_frames_make_a_data_set():
    ratings = pd.DataFrame({"user": ["a", "a", "b"], "item": [7, 3, 9], "rating": [5, 1, 4]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = from_frames(ratings, **attribute_triples(FILMS, "film", columns=["director"]))
    assert data["item"].raw_id.tolist() == [7, 3, 9, 4]
    assert data["item", "director", "entity"].edge_index.tolist() == [[0, 1, 2, 3], [2, 1, 2, 0]]
    assert node_names(data) == ["Alien", "Heat", "item 9", "Up", "Docter", "Mann", "Scott"]


def test_columns_share_a_relation_or_a_kind():
    frame = pd.DataFrame({"item": ["a", "b"], "star 1": ["X", "Y"], "star 2": ["Y", None], "writer": ["Z", "X"]})
    made = quiet(frame, columns={"star 1": "star", "star 2": "star", "writer": "written by"},
                 kinds={"star 1": "person", "star 2": "person", "writer": "person"})
    assert facts(made) == {("item: a", "star", "person: X"), ("item: a", "star", "person: Y"),
                           ("item: b", "star", "person: Y"), ("item: a", "written by", "person: Z"),
                           ("item: b", "written by", "person: X")}
    assert len(made["entities"]) == 3


def test_ranges_hold_as_many_items_and_say_what_they_hold():
    rng = np.random.default_rng(0)
    numbers = rng.lognormal(size=1000).round(2)
    made = quiet(pd.DataFrame({"item": range(1000), "price": numbers}), bins=4)
    tail = made["triples"].set_index("head")["tail"]
    for words, rows in tail.groupby(tail):
        low, high = map(float, words.removeprefix("price: ").split(" to "))
        inside = {f"item: {row}" for row in np.flatnonzero((low <= numbers) & (numbers <= high))}
        assert inside == set(rows.index)
        assert 240 <= len(inside) <= 260


def test_ranges_where_most_numbers_are_equal():
    frame = pd.DataFrame({"item": range(106), "awards": [0] * 100 + [1, 2, 3, 4, 5, 6]})
    assert dict(quiet(frame)["triples"]["tail"].value_counts()) == {"awards: 0": 100, "awards: 1 to 6": 6}


@pytest.mark.parametrize(("bins", "words"), [
    (None, ["5", "10", "10.5", "20", "21"]), ([10, 20], ["up to 10", "up to 10", "10 to 20", "10 to 20", "above 20"]),
    ({"x": [10]}, ["up to 10", "up to 10", "above 10", "above 10", "above 10"]), (5, ["5", "10", "10.5", "20", "21"])])
def test_edges_of_ones_own(bins, words):
    frame = pd.DataFrame({"item": range(6), "x": [5, 10, 10.5, 20, 21, None]})
    assert quiet(frame, bins=bins)["triples"]["tail"].tolist() == [f"x: {each}" for each in words]


@pytest.mark.parametrize(("dates", "words"), [("month", "1979-05"), ("year", "1979"), ("decade", "1970s")])
def test_dates(dates, words):
    made = quiet(FILMS, "film", columns=["released"], dates=dates)
    assert made["triples"]["tail"].iloc[0] == f"released: {words}"


def test_rare_values_may_be_left_out():
    made = quiet(FILMS, "film", columns=["director"], min_items=2)
    assert facts(made) == {("item: 7", "director", "director: Scott"), ("item: 9", "director", "director: Scott")}
    assert made["links"]["item"].tolist() == [7, 9]
    assert len(made["items"]) == 4


@pytest.mark.parametrize(("column", "message"), [
    (["p", "q", "r"], "x have no value that two items share"), (["p", "p", "p"], "x have the same value for all items"),
    ([None, "", None], "x have no value, and tell nothing")])
def test_columns_that_tell_nothing_are_named(column, message):
    frame = pd.DataFrame({"item": range(3), "x": column, "y": ["a", "a", "b"]})
    with pytest.warns(UserWarning, match=message) as said:
        attribute_triples(frame)
    assert len(said) == 1


@pytest.mark.parametrize(("options", "message"), [
    ({"item": "id"}, "`items` must have the column of ids that `item` names, 'id', got film, title"),
    ({"columns": ["genre"]}, "`columns` must be among film, title, .* got 'genre'"),
    ({"columns": ["film"]}, "and not 'film' itself"), ({"columns": []}, "`columns` must be at least one"),
    ({"title": "name"}, "`title` must be one of the columns"),
    ({"separator": {"genre": "|"}}, "`separator` must be for columns among genres"),
    ({"separator": ""}, "`separator` must be a text"), ({"bins": 1}, "`bins` must be at least 2"),
    ({"bins": [3, 1]}, "`bins` must be edges that rise"), ({"dates": "yaer"}, "did you mean 'year'"),
    ({"kinds": {"director": "item"}}, "`kinds` must be names, and not 'item'"), ({"min_items": 0}, "`min_items`"),
    ({"columns": ["director"], "min_items": 3}, "`items` must be a frame with values that 3 or more items have"),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        quiet(FILMS, **{"item": "film", **options})


@pytest.mark.parametrize(("column", "values", "message"), [
    ("film", [7, 7, 1, 2], "`items`, row 1: film must be listed once, got 7"),
    ("film", [7, None, 1, 2], "`items`, row 1: film must be an id"),
    ("stars", [["a"], {"b": 1}, None, None], "`items`, row 1: stars must be text, a number, a date or a list"),
    ("minutes", [1.0, 2.0, np.inf, 3.0], "`items`, row 2: minutes must be a finite number, got inf")])
def test_wrong_values(column, values, message):
    with pytest.raises(ValueError, match=message):
        quiet(FILMS.assign(**{column: values}), "film")


def test_items_that_do_not_match_the_ratings():
    ratings = pd.DataFrame({"user": ["a", "b"], "item": [70, 30], "rating": [5, 1]})
    with pytest.raises(ValueError, match="ratings must have ratings of linked items .* got none out of 2"):
        from_frames(ratings, **attribute_triples(FILMS, "film", columns=["director"]))
    with pytest.raises(ValueError, match="item must be of one type"):
        from_frames(ratings.assign(item=["7", "3"]), **attribute_triples(FILMS, "film", columns=["director"]))


@pytest.mark.parametrize("ids", [[7, 8], [7.0, 8.0], pd.Series([7.0, 8.0], dtype=object)])
def test_whole_ids_are_called_by_whole_numbers(ids) -> None:
    made = attribute_triples(pd.DataFrame({"item": ids, "genre": ["Horror", "Horror"]}))
    assert made["links"]["entity"].tolist() == made["triples"]["head"].tolist() == ["item: 7", "item: 8"]
