"""Ratings, relations and trees that are gone from a data set as it was before its new items were rated."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch

from kgrl.datasets.frames import from_frames
from kgrl.datasets.released import as_released, late_relations
from kgrl.graph import knowledge_graph
from kgrl.tree import ClusterTree

NEW = torch.tensor([1, 3])


def films():
    """Four films; 0 and 1 won awards, 3 is the sequel of 2; user 2 rated new films alone."""
    ratings = pd.DataFrame([(0, 0, 5, 9), (0, 1, 4, 8), (1, 2, 1, 7), (2, 3, 5, 6)],
                           columns=["user", "item", "rating", "time"])
    triples = pd.DataFrame([
        (0, "film.film.genre", 9), (1, "film.film.genre", 9), (2, "film.film.genre", 9), (3, "film.film.genre", 9),
        (0, "film.film.award_won", 8), (1, "film.film.award_won", 8), (2, "film.film.sequel", 3),
        (3, "film.film.prequel", 2), (7, "film.film.sequel", 0),
    ], columns=["head", "relation", "tail"])
    return from_frames(ratings, triples)


def edges(data, name: str) -> list[tuple[int, int]]:
    return [pair for kind in data.edge_types if kind[1] == name for pair in zip(*data[kind].edge_index.tolist(),
                                                                                strict=True)]


def test_ratings_of_new_items_are_gone_and_users_stay():
    data = films()
    released = as_released(data, NEW)
    rates = released["user", "rates", "item"]
    assert rates.edge_index.tolist() == [[0, 1], [0, 2]]
    assert rates.rating.tolist() == [5, 1]
    assert rates.time.tolist() == [9, 7]
    assert released["user"].num_nodes == 3
    assert released["item"].new.tolist() == [False, True, False, True]
    released.validate()


def test_the_given_data_stay_as_they_are_and_share_what_does_not_change():
    data = films()
    ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), 2).attach(data)
    before = copy.deepcopy(data)
    released = as_released(data, NEW)
    assert str(data) == str(before)
    for kind in data.edge_types:
        assert torch.equal(data[kind].edge_index, before[kind].edge_index)
    assert "new" not in data["item"]
    assert "released" not in data.provenance
    assert "cluster_path" not in released["item"]  # it may be built on ratings of the new items
    genre = ("item", "film_film_genre", "entity")
    assert released[genre].edge_index is data[genre].edge_index
    assert released["item"].raw_id is data["item"].raw_id


def test_what_comes_after_release_is_gone_from_all_items_by_default():
    released = as_released(films(), NEW)
    assert {kind[1] for kind in released.edge_types} == {"rates", "film_film_genre"}
    note = released.provenance["released"]
    assert note["late"] == ["film_film_award_won", "film_film_prequel", "film_film_sequel"]
    assert (note["new"], note["ratings"], note["triples"], note["evenly"]) == (2, 2, 5, True)
    kg = knowledge_graph(released)
    assert kg.relation_names == knowledge_graph(films()).relation_names  # relations keep their numbers


def test_old_items_may_keep_it():
    released = as_released(films(), NEW, evenly=False)
    assert edges(released, "film_film_award_won") == [(0, 0)] or len(edges(released, "film_film_award_won")) == 1
    assert len(edges(released, "film_film_sequel")) == 1  # entity 7 and film 0: neither is new
    assert edges(released, "film_film_prequel") == []
    released.validate()


def test_or_everything_is_known():
    data = films()
    released = as_released(data, NEW, known_at="ever")
    for kind in data.edge_types:
        assert (kind[0] == "user") or released[kind].edge_index is data[kind].edge_index
    assert released.provenance["released"]["late"] == []


def test_which_relations_are_late():
    data = films()
    assert late_relations(data, ["award"]) == ["film_film_award_won"]
    data.late_relations = ["film_film_genre"]
    assert late_relations(data) == ["film_film_genre"]
    assert {kind[1] for kind in as_released(data, NEW).edge_types} >= {"film_film_award_won"}
    assert edges(as_released(data, NEW, late=[]), "film_film_sequel")
    with pytest.raises(ValueError, match=r"`late` must be relations of the data.*got 'oscar'; choose from film_film_a"):
        as_released(data, NEW, late=["oscar"])
    with pytest.raises(TypeError, match="a list of names"):
        as_released(data, NEW, late="award")


@pytest.mark.parametrize(("new", "message"), [
    ([], "at least one id"), ([0, 4], "ids from 0 to 3, got 4"), ([-1], "got -1"),
    ([1, 1, 2], "every item once, got 'item 1 more than once'"), ([0, 1, 2, 3], "some of the rated items"),
])
def test_refuses(new, message):
    with pytest.raises(ValueError, match=f"`new` must be.*{message}"):
        as_released(films(), torch.tensor(new, dtype=torch.long))


def test_refuses_an_unknown_time():
    with pytest.raises(ValueError, match="`known_at`"):
        as_released(films(), NEW, known_at="later")


def test_ratings_kept_the_other_way_round_are_gone_too():
    data = films()
    data["item", "rated_by", "user"].edge_index = data["user", "rates", "item"].edge_index.flip(0)
    assert as_released(data, NEW)["item", "rated_by", "user"].edge_index.tolist() == [[0, 2], [0, 1]]
