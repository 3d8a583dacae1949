from __future__ import annotations

import warnings

import pytest
import torch

from kgrl.datasets.recbole import from_recbole

FILES = {
    "toy.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                 "10\t1\t4\t100\n9\t2\t1\t101\n9\t3\t5\t102\n",
    "toy.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tOne\t1991\tx y\n"
                "2\tTwo\t\t\n\n3\tÜber\t1993\tz\n",
    "toy.link": "item_id:token\tentity_id:token\n1\tm.1\n3\tm.3\n",
    "toy.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tfilm.genre\tm.g\nm.3\tfilm.genre\tm.g\n",
    "toy.user": "user_id:token\tage:token\n9\t30\n",
}
NUMBERED = {
    "toy.link": "item_id:token\tentity_id:token\n1\t11\n3\t13\n",
    "toy.kg": "head_id:token\trelation_id:token\ttail_id:token\n11\tr\t14\n13\tr\t11\n",
}


def test_all_files(write):
    data = from_recbole(write(FILES), rating_scale=(1, 5, 3.5))
    assert data["user"].raw_id.tolist() == [9, 10]
    assert data["item"].raw_id.tolist() == [1, 3]
    assert data["item"].title == ["One (1991)", "Über (1993)"]
    assert data["user", "rates", "item"].edge_index.tolist() == [[1, 0], [0, 1]]
    assert data["user", "rates", "item"].time.tolist() == [100, 102]
    assert data["item", "film_genre", "entity"].edge_index.tolist() == [[0, 1], [0, 0]]
    assert sorted(data.provenance["files"]) == ["toy.inter", "toy.item", "toy.kg", "toy.link"]
    assert data.provenance["name"] == "toy"


def test_titles_without_a_year(write):
    assert from_recbole(write(FILES), linked_only=False)["item"].title == ["One (1991)", "Two", "Über (1993)"]


def test_name_for_a_title(write):
    items = FILES["toy.item"].replace("movie_title", "artist_name")
    assert from_recbole(write({**FILES, "toy.item": items}))["item"].title == ["One (1991)", "Über (1993)"]


def test_byte_order_mark(write):
    data = from_recbole(write({name: "\ufeff" + text for name, text in FILES.items()}))
    assert data["user"].raw_id.tolist() == [9, 10]


def test_field_of_its_own_called_user(write):
    items = FILES["toy.item"].replace("release_year", "user").replace("class", "tail")
    data = from_recbole(write({**FILES, **NUMBERED, "toy.item": items}))
    assert data["user"].raw_id.tolist() == [9, 10]
    assert data["entity"].raw_id.tolist() == [14]
    folder = write({"a.inter": "user:token\tuser_id:token\titem_id:token\nx\t1\t1\ny\t2\t2\n"})
    assert from_recbole(folder, "a")["user"].raw_id.tolist() == [1, 2]


def test_options_are_taken_and_recorded(write):
    options = {"rating_scale": (0, 5, 2), "linked_only": False, "min_ratings": 2, "bad_links": "drop"}
    assert from_recbole(write(FILES), **options).provenance["options"].items() >= options.items()


def test_interactions_alone(write):
    data = from_recbole(write({"a.inter": "user_id:token\titem_id:token\nx\t1\ny\t2\n"}))
    assert data["user"].raw_id == ["x", "y"]
    assert torch.equal(data["user", "rates", "item"].rating, torch.ones(2))


def test_ids_of_one_kind_have_one_type(write):
    links = FILES["toy.link"].replace("3\tm.3", "03\tm.3")
    with pytest.raises(ValueError, match=r"toy\.link, line 3: item must be a known item .* got '03'"):
        from_recbole(write({**FILES, "toy.link": links}))
    kg = NUMBERED["toy.kg"].replace("14", "x")
    data = from_recbole(write({**FILES, **NUMBERED, "toy.kg": kg}))
    assert data["item", "r", "item"].edge_index.tolist() == [[1], [0]]


@pytest.mark.parametrize(("name", "old", "new", "what"), [
    ("toy.inter", "9\t2\t1\t101", "9\t2\t1", r"toy\.inter, line 3: expected 4 fields"),
    ("toy.inter", "9\t2\t1\t101", "9\t2\t7\t101", r"toy\.inter, line 3: rating must be a number in \[1, 5\], got 7\.0"),
    ("toy.inter", "9\t2\t1\t101", "9\t2\tnan\t101", r"toy\.inter, line 3: rating must be a number, got 'nan'"),
    ("toy.inter", "user_id:token", "user_id", r"toy\.inter, line 1: expected distinct tab-separated field:type"),
    ("toy.inter", "user_id:token", "user:token", r"toy\.inter, line 1: expected user_id:token"),
    ("toy.inter", "user_id:token", "user_id:float", r"toy\.inter, line 1: expected user_id:token"),
    ("toy.inter", "rating:float", "rating:double", r"toy\.inter, line 1: expected distinct tab-separated field:type"),
    ("toy.inter", "rating:float", "user_id:token", r"toy\.inter, line 1: expected distinct tab-separated field:type"),
    ("toy.link", "3\tm.3", "4\tm.3", r"toy\.link, line 3: item must be a known item .* got 4"),
    ("toy.link", "3\tm.3", "3\tm.9", r"toy\.link, line 3: entity must be an entity of some triple .* got 'm\.9'"),
    ("toy.link", "3\tm.3", "1\tm.3", r"toy\.link, line 3: item must be an item not linked before"),
    ("toy.kg", "m.3\tfilm.genre\tm.g", "m.3\tfilm.genre", r"toy\.kg, line 3: expected 3 fields"),
])
def test_bad_files_are_named(write, name, old, new, what):
    folder = write({**FILES, name: FILES[name].replace(old, new)})
    with pytest.raises(ValueError, match=what):
        from_recbole(folder, rating_scale=(1, 5, 3.5))


def test_missing_files(write):
    folder = write({name: text for name, text in FILES.items() if name != "toy.link"})
    with pytest.raises(FileNotFoundError, match=r"toy\.link does not exist"):
        from_recbole(folder)
    with pytest.raises(FileNotFoundError, match="must hold a RecBole .inter file"):
        from_recbole(folder / "nowhere")


def test_several_sets_in_a_folder(write):
    folder = write({**FILES, "other.inter": FILES["toy.inter"]})
    with pytest.raises(ValueError, match="which of other, toy"):
        from_recbole(folder)
    assert from_recbole(folder, "other")["item"].num_nodes == 3


def test_interactions_in_parts(write):
    header, *rows = FILES["toy.inter"].splitlines(keepends=True)
    others = {name: text for name, text in FILES.items() if name != "toy.inter"}
    parts = {f"toy.part{number}.inter": header + row for number, row in zip((1, 2, 10), rows, strict=True)}
    folder = write({**others, **parts})
    whole = from_recbole(folder)
    assert whole["user", "rates", "item"].edge_index.tolist() == [[1, 0], [0, 1]]
    assert whole["item", "film_genre", "entity"].edge_index.tolist() == [[0, 1], [0, 0]]
    assert len(whole.provenance["files"]) == 6
    one = from_recbole(folder, "toy.part10", rating_scale=(1, 5, 3))
    assert one["user", "rates", "item"].edge_index.tolist() == [[0], [1]]
    assert one["item"].entity_id == ["m.1", "m.3"]
    write({"toy.part10.inter": header + "9\t2\tx\t3\n"})
    with pytest.raises(ValueError, match=r"toy\.part10\.inter, line 2: rating must be a number"):
        from_recbole(folder)
    write({"toy.part10.inter": "user_id:token\titem_id:token\n9\t2\n"})
    with pytest.raises(ValueError, match=r"toy\.part10\.inter, line 1: expected the fields of toy\.part1\.inter"):
        from_recbole(folder)


@pytest.mark.parametrize(("others", "named"), [
    (("toy.kg", "toy.link"), "y.kg, y.link"), (("toy.kg", "toy.link", "toy.item"), "y.item, y.kg, y.link"),
    (("toy.kg",), "y.kg"), (("toy.item",), "y.item"),
])
def test_a_kg_of_another_name_is_named(write, others, named):
    """An interaction file in parts beside the KG of another name was loaded without one."""
    parts = {"x.part1.inter": FILES["toy.inter"], "x.part2.inter": FILES["toy.inter"].replace("9\t", "8\t")}
    folder = write({**parts, **{name.replace("toy", "y"): FILES[name] for name in others}})
    with pytest.warns(UserWarning, match=rf": {named} are of no \.inter file .* not read; .*'x', .*: x\.") as said:
        data = from_recbole(folder)
    assert len([each for each in said if "not read" in str(each.message)]) == 1
    assert not data.relation_names


def test_the_kg_of_another_data_set_is_none_of_ours(write):
    """Each with interactions of its own, or left out by the options."""
    folder = write({**FILES, "x.part1.inter": FILES["toy.inter"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not from_recbole(folder, "x").relation_names
        assert from_recbole(folder, "toy", linked_only=False).relation_names == ["film_genre"]
        (folder / "toy.inter").unlink()
        assert not from_recbole(folder, config={"load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}}
                                ).relation_names


def test_a_tilde_is_the_home_folder(write, monkeypatch):
    monkeypatch.setenv("HOME", str(write(FILES).parent))
    assert from_recbole(f"~/{write({}).name}")["item"].num_nodes == 2


def test_advice_that_would_not_help_is_not_given(write):
    links = "item_id:token\tentity_id:token\n7\tm.1\n8\tm.3\n"
    with pytest.raises(ValueError, match=r"toy\.link, line 2: .* as no link can stand; do links") as refused:
        from_recbole(write({**FILES, "toy.link": links}))
    assert "drop" not in str(refused.value)
