

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor
from torch_geometric.nn import SAGEConv, to_hetero

from kgrl.datasets.frames import from_frames
from kgrl.graph import knowledge_graph
from kgrl.raw_ids import are_numbers
from kgrl.texts import without_texts


def triples_of(data) -> list[tuple[str, str, str]]:
    """Every triple in raw ids, with the item's name for an item."""
    return sorted(
        (data[source].raw_id[head], name, data[target].raw_id[tail])
        for source, name, target in data.edge_types if name != "rates"
        for head, tail in data[source, name, target].edge_index.T.tolist()
    )


def rated(data) -> list[tuple]:
    rates = data["user", "rates", "item"]
    return sorted((data["user"].raw_id[user], data["item"].raw_id[item], rating, time) for (user, item), rating, time in
                  zip(rates.edge_index.T.tolist(), rates.rating.tolist(), rates.time.tolist(), strict=True))


def test_hand_worked_case(frames):
    data = from_frames(**frames, rating_scale=(1, 5, 3.5))
    assert data["item"].raw_id == ["a", "b", "c"]
    assert data["user"].raw_id == ["u1", "u2"]
    assert data["entity"].raw_id == ["g1", "g2"]
    assert rated(data) == [("u1", "a", 4.0, 11), ("u1", "b", 1.0, 12), ("u2", "a", 5.0, 10), ("u2", "c", 2.0, 14)]
    assert triples_of(data) == [("a", "film_genre", "g1"), ("a", "film_sequel", "c"), ("b", "film_genre", "g1"),
                                ("c", "film_genre", "g2"), ("g1", "film_genre", "g2")]
    assert data.relation_names == ["film_genre", "film_sequel"]
    assert data.rating_scale == (1.0, 5.0, 3.5)
    assert data.provenance["before"] == {
        "ratings": 5, "duplicate_ratings": 0, "users": 3, "items": 4, "linked_items": 3, "dropped_links": 0,
        "entities": 5, "triples": 5, "relations": 2}
    assert data.provenance["after"] == {
        "ratings": 4, "users": 2, "items": 3, "entities": 5, "triples": 5, "relations": 2}
    assert data.provenance["relations"] == ["film.genre", "film.sequel"]
    rates = data["user", "rates", "item"]
    assert (rates.rating.dtype, rates.time.dtype, rates.edge_index.dtype) == (torch.float, torch.long, torch.long)


def test_unlinked_items_may_stay(frames):
    data = from_frames(**frames, linked_only=False)
    assert data["item"].raw_id == ["a", "b", "c", "d"]
    assert len(rated(data)) == 5
    assert triples_of(data) == triples_of(from_frames(**frames))
    assert data.provenance["after"]["entities"] == 6
    first = from_frames(**frames, linked_only=False, items=pd.DataFrame({"item": ["d", "a"]}))
    assert first["item"].raw_id == ["d", "a", "b", "c"]
    assert triples_of(first) == triples_of(data)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
def test_row_order_does_not_matter(frames, order):
    others = {name: frame.iloc[[row for row in order if row < len(frame)]] for name, frame in frames.items()}
    first, second = from_frames(**frames), from_frames(**others)
    for kind in ("user", "item", "entity"):
        assert first[kind].raw_id == second[kind].raw_id
    assert rated(first) == rated(second)
    assert triples_of(first) == triples_of(second)


def test_row_order_decides_between_ratings_that_time_does_not_tell_apart():
    twice = pd.DataFrame({"user": ["u", "u"], "item": ["a", "a"], "rating": [1, 5]})
    for frame in (twice, twice.assign(time=3)):
        for order, kept in (([0, 1], 5), ([1, 0], 1)):
            data = from_frames(frame.iloc[order], rating_scale=(1, 5, 3))
            assert data["user", "rates", "item"].rating.tolist() == [kept]
    for order in ([0, 1], [1, 0]):
        data = from_frames(twice.assign(time=[9, 3]).iloc[order], rating_scale=(1, 5, 3))
        assert data["user", "rates", "item"].rating.tolist() == [1]


def test_equal_ratings_need_a_scale():
    fives = pd.DataFrame({"user": ["u", "u"], "item": ["a", "b"], "rating": [5, 5]})
    with pytest.raises(ValueError, match=r"`rating_scale` must be given where all ratings are equal \(here 5\)"):
        from_frames(fives)
    assert from_frames(fives, rating_scale=(1, 5, 3)).rating_scale == (1.0, 5.0, 3.0)


def test_integer_ids_that_are_numbers_already(frames):
    ratings = pd.DataFrame({"user": [1, 0], "item": [1, 0], "rating": [1, 2]})
    triples = pd.DataFrame({"head": [0, 1], "relation": [0, 1], "tail": [2, 3]})
    data = from_frames(ratings, triples)
    assert torch.equal(data["item"].raw_id, torch.tensor([0, 1]))
    assert torch.equal(data["entity"].raw_id, torch.tensor([2, 3]))
    assert data.relation_names == ["relation_0", "relation_1"]
    items = pd.DataFrame({"item": pd.Series([1, 0], dtype="category")})
    assert torch.equal(from_frames(ratings, items=items)["item"].raw_id, torch.tensor([1, 0]))


@pytest.mark.filterwarnings("ignore:.*no taste to learn")
@pytest.mark.filterwarnings("error")
def test_ratings_alone():
    data = from_frames(pd.DataFrame({"user": [5, 5], "item": ["b", "a"]}))
    assert data["entity"].num_nodes == 0
    assert "raw_id" not in data["entity"]
    assert (data["user"].raw_id.tolist(), data["item"].raw_id) == ([5], ["a", "b"])  # a tensor, and a list
    assert data["user", "rates", "item"].rating.tolist() == [1.0, 1.0]
    assert data.rating_scale == (0.0, 1.0, 0.5)
    assert data.relation_names == []


def test_items_give_order_and_titles(frames):
    items = pd.DataFrame({"item": ["c", "e", "a"], "title": ["Sea", "Ease", None]})
    data = from_frames(**frames, items=items, linked_only=False)
    assert data["item"].raw_id == ["c", "e", "a", "b", "d"]
    assert data["item"].title == ["Sea", "Ease", "", "", ""]


def test_minimum_counts_the_ratings_that_remain(frames):
    frames["ratings"] = pd.concat([frames["ratings"], pd.DataFrame(
        [("u3", "a", 1.0, 9)], columns=["user", "item", "rating", "time"])])
    assert from_frames(**frames, min_ratings=2)["user"].raw_id == ["u1", "u2"]  # u3's other rating is of unlinked "d"
    assert from_frames(**frames, min_ratings=2, linked_only=False)["user"].raw_id == ["u1", "u2", "u3"]


def test_duplicates_are_counted(frames):
    frames["ratings"] = pd.concat([frames["ratings"], frames["ratings"][:1].assign(rating=3.0, time=99)])
    data = from_frames(**frames)
    assert data.provenance["before"]["duplicate_ratings"] == 1
    assert data.provenance["before"]["ratings"] == 6
    assert ("u2", "a", 3.0, 99) in rated(data)


def test_binary_treatment(frames):
    data = from_frames(**frames, positive_from=4)
    rates = data["user", "rates", "item"]
    assert data.rating_scale == (0.0, 1.0, 0.5)
    assert rates.rating.sum() == 2
    assert len(rates.rating) == 4
    assert "time" not in rates


def test_items_with_few_ratings_stay_entities(frames):
    names = pd.DataFrame({"entity": ["x", "y"], "name": ["X", "Y"]})
    data = from_frames(**frames, entities=names, min_item_ratings=2)
    assert data["item"].raw_id == ["a"]
    assert rated(data) == [("u1", "a", 4.0, 11), ("u2", "a", 5.0, 10)]
    assert data["entity"].raw_id == ["g1", "g2", "y", "z"]
    assert data["entity"].name == ["", "", "Y", ""]
    assert data["item"].title == ["X"]
    assert triples_of(data) == [("a", "film_genre", "g1"), ("a", "film_sequel", "z"), ("g1", "film_genre", "g2"),
                                ("y", "film_genre", "g1"), ("z", "film_genre", "g2")]
    with pytest.raises(ValueError, match="users with at least 2 of them, and of items with at least 2, got none"):
        from_frames(**frames, min_ratings=2, min_item_ratings=2)


def test_options_are_taken_and_recorded(frames):
    options = {"rating_scale": (1, 5, 3), "linked_only": False, "min_ratings": 2, "min_item_ratings": 1,
               "bad_links": "drop", "positive_from": 4, "seed": 7}
    provenance = from_frames(**frames, **options, name="mine").provenance
    assert provenance["options"] == options
    assert provenance["name"] == "mine"


def test_what_comes_out_is_validated(frames, monkeypatch):
    edges = {("item", "film_genre", "entity"): torch.tensor([[0], [99]])}
    monkeypatch.setattr("kgrl.datasets.assemble.typed_edges", lambda *args: edges)
    with pytest.raises(ValueError, match="edge_index"):
        from_frames(**frames)


def test_pyg_accepts_it(frames):
    data = from_frames(**frames)
    assert data.validate()
    assert data.to_homogeneous().num_nodes == 7
    assert T.ToUndirected()(data.clone()).validate()


def test_to_hetero_accepts_the_edge_types(frames):
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv((-1, -1), 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    data = T.ToUndirected()(from_frames(**frames))
    features = {kind: torch.ones(data[kind].num_nodes, 2) for kind in data.node_types}
    out = to_hetero(Layer(), data.metadata())(features, data.edge_index_dict)
    assert {kind: len(value) for kind, value in out.items()} == {"user": 2, "item": 3, "entity": 2}


COLUMNS = {"ratings": ["user", "item"], "triples": ["head", "relation", "tail"], "links": ["item", "entity"],
           "items": ["item"]}


@pytest.mark.parametrize(("name", "column"), [(name, each) for name, columns in COLUMNS.items() for each in columns])
def test_missing_ids_and_columns_are_named(frames, name, column):
    frames["items"] = pd.DataFrame({"item": ["a", "b"]})
    whole = frames[name]
    frames[name] = whole.assign(**{column: whole[column].where(whole.index != 1)})
    with pytest.raises(ValueError, match=f"`{name}`, row 1: {column} must be an id"):
        from_frames(**frames)
    frames[name] = whole.rename(columns={column: "other"})
    with pytest.raises(ValueError, match=f"`{name}` must have the columns .*; missing: {column}$"):
        from_frames(**frames)


@pytest.mark.parametrize(("change", "what"), [
    ({"ratings": ("rating", [1, 2, 3, 4, 6])}, r"`ratings`, row 4: rating must be a number in \[1, 5\], got"),
    ({"ratings": ("time", [1, 2, float("nan"), 4, 6])}, "`ratings`, row 2: time must be a finite number"),
    ({"ratings": ("time", [1, 2, 3, float("inf"), 6])}, "`ratings`, row 3: time must be a finite number"),
    ({"triples": ("relation", ["a.b", "a_b", "a", "a", "a"])}, "relation names must stay distinct"),
    ({"links": ("item", ["a", "q", "c"])}, "`links`, row 1: item must be a known item"),
    ({"links": ("item", ["a", "a", "c"])}, "`links`, row 1: item must be an item not linked before"),
])
def test_bad_input_is_named(frames, change, what):
    for name, (column, values) in change.items():
        frames[name][column] = pd.Series(values)
    with pytest.raises(ValueError, match=what):
        from_frames(**frames, rating_scale=(1, 5, 3.5))


def test_nothing_left(frames):
    with pytest.raises(ValueError, match="by users with at least 9 of them, got none out of 5"):
        from_frames(**frames, min_ratings=9)


def test_item_listed_twice(frames):
    with pytest.raises(ValueError, match="`items`, row 1: item must be listed once, got 'a'"):
        from_frames(**frames, items=pd.DataFrame({"item": ["a", "a"]}))


@pytest.mark.parametrize("options", [{"min_ratings": 0}, {"min_item_ratings": -1}, {"bad_links": "ignore"}])
def test_bad_options(frames, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        from_frames(**frames, **options)


def test_times_as_text_are_compared_as_numbers():
    ratings = pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "rating": [5, 1], "time": ["10", "9"]})
    data = from_frames(ratings, rating_scale=(1, 5, 3))
    assert data["user", "rates", "item"].rating.tolist() == [5]
    assert data["user", "rates", "item"].time.tolist() == [10]


def test_a_column_raw_id_of_ones_own_items_is_left_alone():
    ratings = pd.DataFrame({"user": [1, 1], "item": [10, 20], "rating": [5, 1]})
    data = from_frames(ratings, rating_scale=(1, 5, 3), items=pd.DataFrame({"item": [20, 10], "raw_id": ["b", "a"]}))
    assert data["item"].raw_id.tolist() == [20, 10]


def test_times_between_whole_numbers_are_kept_apart():
    ratings = pd.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "rating": [5, 1], "time": [0.7, 0.2]})
    data = from_frames(ratings, rating_scale=(1, 5, 3))
    assert data["user", "rates", "item"].time.tolist() == [0.7, 0.2]


@pytest.mark.parametrize("late", [1e300, 2**64 - 1])
def test_times_beyond_int64_do_not_wrap(late):
    ratings = pd.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "rating": [5, 1], "time": [1, late]})
    data = from_frames(ratings, rating_scale=(1, 5, 3))
    assert data["user", "rates", "item"].time.tolist() == [1, float(late)]


def test_dates_are_times():
    dates = pd.Series(pd.to_datetime(["1970-01-03", "1970-01-02"])).astype("datetime64[s]")
    ratings = pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "rating": [5, 1], "time": dates})
    assert from_frames(ratings, rating_scale=(1, 5, 3))["user", "rates", "item"].time.tolist() == [2 * 86_400]
    with pytest.raises(ValueError, match="`ratings`, row 1: time must be a finite number"):
        from_frames(ratings.assign(time=dates.where(dates.index == 0)), rating_scale=(1, 5, 3))


@pytest.mark.parametrize("whole", [False, True])
def test_items_know_the_entity_that_they_are(frames, whole: bool):
    """Also where items are numbered otherwise than the links, or linked to nothing."""
    raw: dict[str, int] = {}
    ratings, triples, links = frames["ratings"], frames["triples"], frames["links"]
    entity = dict(zip(links["item"], links["entity"], strict=True))
    if whole:
        names = sorted({*triples["head"], *triples["tail"], *links["entity"]})
        raw = {name: 10 + place for place, name in enumerate(names)}
        triples = triples.assign(head=triples["head"].map(raw), tail=triples["tail"].map(raw))
        links = links.assign(entity=links["entity"].map(raw))
    items = pd.DataFrame({"item": ["d", "c", "a", "b"]})
    data = from_frames(ratings, triples, links, items=items, linked_only=False)
    wanted = [entity.get(item, "") for item in "dcab"]
    assert are_numbers(data["item"].entity_id) == whole
    assert list(data["item"].entity_id) == ([raw.get(each, -1) for each in wanted] if whole else wanted)
    kg = knowledge_graph(data)
    assert (kg.item_id, list(kg.entity_id)) == (list("dcab"), [*data["item"].entity_id, *data["entity"].raw_id])
    linked = from_frames(ratings, triples, links)
    assert list(linked["item"].entity_id) == [raw.get(entity[item], entity[item]) for item in linked["item"].raw_id]
    assert "entity_id" not in from_frames(ratings)["item"]


def assert_same(found, wanted) -> None:
    """Of two data sets, but for how they came to be."""
    found, wanted = without_texts(found), without_texts(wanted)
    assert found.keys() == wanted.keys()
    for key, store in wanted.items():
        if isinstance(store, dict):
            assert found[key].keys() == store.keys()
            for name, value in store.items():
                same = torch.equal(found[key][name], value) if isinstance(value, Tensor) else found[key][name] == value
                assert same, (key, name, found[key][name], value)


RATINGS = pd.DataFrame({"user": [1, 1, 2], "item": [90, 91, 92], "rating": [1, 5, 5]})
LENGTHS = pd.DataFrame({"head": [90, 91, 92], "relation": "length", "tail": [91, 92, 91]})


def test_a_length_is_taken_for_an_item():
    with pytest.warns(UserWarning, match="3 tails .of length. are numbers that are items' ids.*'length 91'"):
        from_frames(RATINGS, LENGTHS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frames(RATINGS, LENGTHS, pd.DataFrame({"item": [90, 91, 92], "entity": [90, 91, 92]}))
        data = from_frames(RATINGS, LENGTHS.assign(head=[90, 91, 92], tail=[200, 201, 200]))
    assert data["entity"].raw_id.tolist() == [200, 201]


@pytest.mark.parametrize("tail", [
    [90.0, 92.0, 110.0], ["Drama", 92.0, 110.0], ["Drama", 92, 110], pd.Series([90.0, 92.0, 110.0], dtype="Float64"),
    pd.Series([92.0] * 3, dtype="category"), np.array([90, 92, 110], np.float32),
])
def test_a_length_is_one_as_a_floating_point_number_too(tail):
    """As pandas makes numbers of a column with a gap, and objects of one with text."""
    triples = LENGTHS.assign(tail=tail)
    with pytest.warns(UserWarning, match="tails .of length. are numbers that are items' ids.*'length 9[02]'"):
        data = from_frames(RATINGS, triples)
    whole = [int(each) if isinstance(each, float) else each for each in triples["tail"].astype(object)]
    with pytest.warns(UserWarning, match="are numbers that are items' ids"):
        assert_same(data, from_frames(RATINGS, LENGTHS.assign(tail=whole)))


@pytest.mark.parametrize(("ids", "warned"), [
    (["90.0", "91.0", "92.0"], True), (["-1", "-2", "-3"], True), (["1e3", "2e3", "3e3"], True),
    (["tt90", "tt91", "tt92"], False), (["nan", "inf", "Infinity"], False), (["1_0", "1_1", "x"], False),
])
def test_numbers_that_are_written_as_text(ids, warned):
    ratings, triples = RATINGS.assign(item=ids), LENGTHS.assign(head=ids, tail=[ids[1], ids[0], "Drama"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        from_frames(ratings, triples)
    assert any("are numbers that are items' ids" in str(each.message) for each in said) == warned


@pytest.mark.parametrize("as_what", [np.float64, np.float32, "Float64", "category", object])
def test_whole_ids_are_whole_numbers_whatever_their_type(as_what):
    """1.0 is what pandas makes of 1 where another id is missing: numbers in, numbers out, and never "1.0"."""
    ratings = pd.DataFrame({"user": [1, 1, 2], "item": [3, 4, 3], "rating": [1, 5, 5]})
    triples = pd.DataFrame({"head": [7, 8], "relation": [0, 0], "tail": [9, 9]})
    links = pd.DataFrame({"item": [3, 4], "entity": [7, 8]})
    items, entities = pd.DataFrame({"item": [4, 3], "title": ["Four", "Three"]}), pd.DataFrame(
        {"entity": [9], "name": ["Nine"]})
    wanted = from_frames(ratings, triples, links, items=items, entities=entities)

    def floats(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
        return frame.assign(**{each: frame[each].astype(float).astype(as_what) for each in columns})

    own = floats(ratings, "user", "item")
    found = from_frames(own, floats(triples, "head", "relation", "tail"), floats(links, "item", "entity"),
                        items=floats(items, "item"), entities=floats(entities, "entity"))
    assert_same(found, wanted)
    assert found["item"].raw_id.dtype == found["entity"].raw_id.dtype == torch.long
    assert own.equals(floats(ratings, "user", "item"))  # the user's own frame stays as it is


def test_attributes_of_items_that_are_not_read():
    items = pd.DataFrame({"item": [90, 91, 92], "title": "A", "genre": "Comedy", "year": 1999})
    with pytest.warns(UserWarning, match="only item and title are read, not genre, year; .* `triples`, as"):
        from_frames(RATINGS, items=items)


def test_items_without_a_triple_are_counted():
    triples = pd.DataFrame({"head": [90], "relation": "genre", "tail": [1]})
    with pytest.warns(UserWarning, match="2 of 3 items are no entity of the KG, and are left out .* linked_only=False"):
        from_frames(RATINGS, triples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_frames(RATINGS, triples, linked_only=False)
