"""Relations in words: general rules, well-known names, and what a data set adds."""

from __future__ import annotations

import pandas as pd
import pytest
from torch_geometric.data import HeteroData

from kgrl.candidates.roles import Role, relation_words, role_of
from kgrl.datasets import from_frames


@pytest.mark.parametrize(("relation", "words", "head"), [
    ("film.film.directed_by", "director", False), ("film.director.film", "director", True),
    ("film.film.genre", "genre", False), ("film.film_genre.films_in_this_genre", "genre", True),
    ("film.film.production_companies", "production company", False),
    ("film.production_company.films", "production company", True),
    ("film.film.subjects", "subject", False), ("film.film_subject.films", "subject", True),
    ("film.film.cinematography", "cinematographer", False), ("film.cinematographer.film", "cinematographer", True),
    ("film.film.rating", "age rating", False), ("film.content_rating.film", "age rating", True),
    ("film.film.written_by", "writer", False), ("film.writer.film", "writer", True),
    ("film.film.film_format", "film format", False),
    ("film.film.actor", "actor", False), ("film.actor.film", "actor", True), ("film.film.sequel", "sequel", False),
    ("book.written_work.author", "author", False), ("book.author.works_written", "author", True),
    ("book.literary_series.works_in_this_series", "series", True), ("book.book.written_by", "author", False),
    ("has_attribute", "attribute", False), ("film.genre", "genre", False), ("genres", "genre", False),
    ("part_of_series", "series", False), ("countries", "country", False),
    ("http://dbpedia.org/ontology/musicComposer", "music composer", False),
    ("http://example.org/genre/", "genre", False),
    ("http://rdf.freebase.com/ns/film.film.directed_by", "director", False),
])
def test_the_noun_and_the_end_that_it_names(relation, words, head):
    assert role_of(relation) == Role(words, head=head)


@pytest.mark.parametrize(("relation", "words"), [
    ("3", "relation 3"), ("relation_3", "relation 3"), ("influenced_by", "influenced by"), ("located_in", "located in"),
    ("film_genre.films_in_this_genre", "films in this genre"),
])
def test_what_is_no_noun_is_not_made_one(relation, words):
    assert role_of(relation) == Role(words, noun=False)


def test_awards_are_won():
    assert role_of("film.film.award_won") == Role("award", verb="won")
    assert role_of("film.film.award_nomination") == Role("award", verb="was nominated for")


def test_a_data_set_tells_of_which_there_are_many():
    ratings = pd.DataFrame({"user": [0, 0, 0], "item": [0, 1, 2], "rating": [1, 2, 3]})
    triples = pd.DataFrame(
        [(0, "film.film.directed_by", 7), (1, "film.film.directed_by", 7), (2, "film.film.directed_by", 8),
         (7, "film.director.film", 0), (7, "film.director.film", 1), (8, "film.director.film", 2),
         (0, "film.film.actor", 7), (0, "film.film.actor", 8), (0, "film.film.actor", 1)],  # films of both node types
        columns=["head", "relation", "tail"])
    assert relation_words(from_frames(ratings, triples)) == {
        "film_film_directed_by": Role("director"), "film_director_film": Role("director", head=True),
        "film_film_actor": Role("actor", many=True),
    }


def test_an_item_and_an_entity_of_one_number_are_two():
    ratings = pd.DataFrame({"user": [0, 0], "item": [0, 1], "rating": [1, 2]})
    triples = pd.DataFrame([(8, "film.director.film", 0), (8, "film.director.film", 5), (5, "sequel", 8),
                            (0, "sequel", 5)], columns=["head", "relation", "tail"])
    data = from_frames(ratings, triples, linked_only=False)
    assert data["item"].raw_id[0] == 0
    assert data["entity"].raw_id[0] == 5
    assert not any(role.many for role in relation_words(data).values())


def test_a_data_set_without_raw_names():
    data = HeteroData(relation_names=["starring"])
    assert relation_words(data) == {"starring": Role("actor")}
