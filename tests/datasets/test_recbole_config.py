from __future__ import annotations

import warnings

import pytest

from kgrl.datasets.rating_splits import split_ratings
from kgrl.datasets.recbole import from_recbole

INTER = "uid:token,iid:token,stars:float,label:float,at:float\n" \
        "a,1,5,0,10\na,2,3,1,11\nb,1,4,1,12\nb,3,1,0,13\nc,3,2,1,14\n"
FILES = {
    "toy.inter": INTER,
    "toy.kg": "h:token,r:token,t:token\nm.1,genre,m.g\nm.3,genre,m.g\n",
    "toy.link": "iid:token,ent:token\n1,m.1\n3,m.3\n",
    "toy.item": "iid:token,name:token_seq\n1,One\n2,Two\n3,Three\n",
}
NAMES = {"USER_ID_FIELD": "uid", "ITEM_ID_FIELD": "iid", "RATING_FIELD": "stars", "TIME_FIELD": "at",
         "HEAD_ENTITY_ID_FIELD": "h", "RELATION_ID_FIELD": "r", "TAIL_ENTITY_ID_FIELD": "t", "ENTITY_ID_FIELD": "ent",
         "field_separator": ","}
RATES = ("user", "rates", "item")


def read(folder, config=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_recbole(folder, config={**NAMES, **(config or {})}, **options)


def rated(data) -> list[tuple]:
    rates = data[RATES]
    return sorted((data["user"].raw_id[user], int(data["item"].raw_id[item]), rating) for (user, item), rating in
                  zip(rates.edge_index.T.tolist(), rates.rating.tolist(), strict=True))


def test_names_and_separator(write):
    data = read(write(FILES), rating_scale=(1, 5, 3))
    assert rated(data) == [("a", 1, 5), ("b", 1, 4), ("b", 3, 1), ("c", 3, 2)]
    assert data[RATES].time.tolist() == [10, 12, 13, 14]
    assert data["item"].title == ["One", "Three"]
    assert data["item", "genre", "entity"].edge_index.tolist() == [[0, 1], [0, 0]]


def test_a_threshold_makes_labels(write):
    data = read(write(FILES), {"threshold": {"stars": 4}})
    assert rated(data) == [("a", 1, 1), ("b", 1, 1), ("b", 3, 0), ("c", 3, 0)]
    assert data.rating_scale == (0.0, 1.0, 0.5)


def test_labels_of_the_file(write):
    data = read(write(FILES), {"LABEL_FIELD": "label"}, linked_only=False)
    assert rated(data) == [("a", 1, 0), ("a", 2, 1), ("b", 1, 1), ("b", 3, 0), ("c", 3, 1)]
    assert data.rating_scale == (0.0, 1.0, 0.5)
    by_stars = read(write(FILES), {"LABEL_FIELD": "label", "threshold": {"stars": 5}}, linked_only=False)
    assert [rating for _, _, rating in rated(by_stars)] == [1, 0, 0, 0, 0]


def test_only_what_load_col_names_is_read(write):
    data = read(write(FILES), {"load_col": {"inter": ["uid", "iid"]}})
    assert [rating for _, _, rating in rated(data)] == [1] * 5  # all items: no KG is loaded
    assert "time" not in data[RATES]
    assert data["entity"].num_nodes == 0
    assert "title" not in data["item"]
    whole = read(write(FILES), {"load_col": {"inter": ["uid", "iid", "stars"], "kg": ["h"], "link": None}})
    assert [rating for _, _, rating in rated(whole)] == [5, 4, 1, 2]


@pytest.mark.parametrize(("interval", "users"), [("[0,inf)", "abc"), ("[2,inf)", "ab"), ("(1, inf)", "ab"),
                                                 ("(1.5,inf]", "ab"), ("[1,inf)", "abc")])
def test_users_with_few_ratings(write, interval, users):
    data = read(write(FILES), {"user_inter_num_interval": interval}, linked_only=False)
    assert data["user"].raw_id == list(users)


def test_a_core(write):
    data = read(write(FILES), {"user_inter_num_interval": "[1,inf)", "item_inter_num_interval": "[2,inf)"},
                linked_only=False)
    with pytest.raises(ValueError, match="of items with at least 3, got none"):
        read(write(FILES), {"item_inter_num_interval": "[2,inf)"}, min_item_ratings=3)
    assert rated(data) == [("a", 1, 5), ("b", 1, 4), ("b", 3, 1), ("c", 3, 2)]


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("part1", "part2", "part3")])
def test_files_that_are_split_already(write, names):
    header, *rows = INTER.splitlines(keepends=True)
    other = "b,1,4,1,99\n"  # again, later: it stays an item that user b is trained with
    parts = {f"toy.{part}.inter": header + "".join(lines) for part, lines in
             zip(names, (rows[:3], rows[3:4], [*rows[4:], other]), strict=True)}
    folder = write({name: text for name, text in FILES.items() if name != "toy.inter"} | parts)
    data = read(folder, {"benchmark_filename": list(names)}, linked_only=False)
    pairs = [(data["user"].raw_id[user], int(data["item"].raw_id[item]))
             for user, item in data[RATES].edge_index.T.tolist()]
    found = [{pairs[row] for row in part.tolist()} for part in split_ratings(data, by="given")]
    assert found == [{("a", 1), ("a", 2), ("b", 1)}, {("b", 3)}, {("c", 3)}]
    bare = read(folder, linked_only=False)
    assert ("part" in bare[RATES]) == (names[0] == "train")  # these names alone say what the parts are for
    with pytest.raises(FileNotFoundError, match=r"toy\.dev\.inter does not exist"):
        read(folder, {"benchmark_filename": [names[0], "dev", names[2]]})


def test_what_their_sample_file_leaves_open(write):
    """The names of recbole/properties/dataset, with ``~`` in YAML for what is not set."""
    config = {"seq_separator": " ", "seq_len": None, "LABEL_FIELD": "label", "threshold": None, "NEG_PREFIX": "neg_",
              "unload_col": None, "unused_col": None, "additional_feat_suffix": None, "rm_dup_inter": None,
              "val_interval": None, "filter_inter_by_user_or_item": True, "normalize_all": True,
              "user_inter_num_interval": "[0,inf)", "item_inter_num_interval": "[0,inf)", "benchmark_filename": None,
              "MAX_ITEM_LIST_LENGTH": 50, "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}}
    text = "user_id:token\titem_id:token\trating:float\n1\t1\t5\n2\t1\t1\n"
    data = from_recbole(write({"a.inter": text}), config=config)
    assert data[RATES].rating.tolist() == [5, 1]


@pytest.mark.parametrize(("config", "message"), [
    ({"USER_FIELD_ID": "uid"}, "`config` must be RecBole's data settings, got 'USER_FIELD_ID'.*'USER_ID_FIELD'"),
    ({"epochs": 3}, "got 'epochs'.*options of models and of training are left out"),
    ({"val_interval": {"stars": "[3,inf)"}}, r"`config\['val_interval'\]` must be left out or None"),
    ({"RATING_FIELD": "star"}, r"`config\['RATING_FIELD'\]` must be one of the fields uid, iid, stars.*got 'star'"),
    ({"ENTITY_ID_FIELD": "entity"}, r"`config\['ENTITY_ID_FIELD'\]` must be one of the fields"),
    ({"threshold": {"star": 3}}, r"`config\['threshold'\]` must be of one of the fields .* got 'star'"),
    ({"threshold": {"stars": float("nan")}}, r"config\['threshold'\]"),
    ({"user_inter_num_interval": "[5,10]"}, r"`config\['user_inter_num_interval'\]` must be an interval without end"),
    ({"item_inter_num_interval": [5, 10]}, r"`config\['item_inter_num_interval'\]`"),
    ({"rm_dup_inter": "first"}, r"`config\['rm_dup_inter'\]` must be 'last'"),
    ({"field_separator": "\t"}, r"toy\.inter, line 1: expected distinct tab-separated field:type"),
    ({"field_separator": ";"}, r"toy\.inter, line 1: expected distinct ';'-separated field:type"),
    ({"load_col": {"inter": ["uid", "iid"], "kg": None}}, "unused"),
])
def test_options_that_cannot_be_followed(write, config, message):
    if message == "unused":
        with pytest.raises(FileNotFoundError, match=r"a KG needs both toy\.kg and toy\.link"):
            read(write(FILES), config)
        return
    with pytest.raises(ValueError, match=message):
        read(write(FILES), config)


@pytest.mark.parametrize("config", [
    {"USER_ID_FIELD": 3}, {"threshold": 4}, {"threshold": {"stars": 4, "label": 1}}, {"load_col": ["uid"]},
    {"benchmark_filename": ["train", "test"]}, {"benchmark_filename": "train"}, {"field_separator": 1}])
def test_options_of_another_kind(write, config):
    with pytest.raises(TypeError, match=r"`config\['" + next(iter(config))):
        read(write(FILES), config)


def test_a_scale_and_a_threshold_contradict(write):
    with pytest.raises(ValueError, match="`rating_scale` must be None where `config` has a threshold"):
        read(write(FILES), {"threshold": {"stars": 4}}, rating_scale=(1, 5, 3))
