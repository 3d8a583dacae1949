"""Paths in words: each form of sentence, with names and without."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pytest
from torch_geometric.data import HeteroData

from kgrl.candidates.reasons import PathStep, Role, reason, relation_words, role_of
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


FARGO, COEN, HEAT, OTHER, OSCAR = range(5)
NAMES = {FARGO: "Fargo", COEN: "Joel Coen", HEAT: "Heat", OSCAR: "the Oscar"}
ROLES = {
    "directed_by": Role("director"), "film": Role("director", head=True), "actor": Role("actor", many=True),
    "sequel": Role("sequel"), "3": Role("relation 3", noun=False), "won": Role("award", verb="won", many=True),
    "nominated": Role("award", verb="was nominated for", many=True),
}


def say(*steps: tuple[str, bool, int], names: Mapping[int, str] = NAMES) -> str:
    """The path from Fargo, in words; the last step's node is the candidate."""
    return reason(FARGO, [PathStep(*step) for step in steps], lambda node: names.get(node, ""), ROLES.__getitem__)


TO, BACK = False, True
UNNAMED = {FARGO: "Fargo", HEAT: "Heat"}


@pytest.mark.parametrize(("steps", "named", "unnamed"), [
    ([("directed_by", TO, COEN), ("directed_by", BACK, OTHER)],
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("film", BACK, COEN), ("film", TO, OTHER)],
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("directed_by", TO, COEN), ("film", TO, OTHER)],  # two relations that say the same
     "shares the director Joel Coen with Fargo", "has the same director as Fargo"),
    ([("actor", TO, COEN), ("actor", BACK, OTHER)],
     "shares the actor Joel Coen with Fargo", "shares an actor with Fargo"),
    ([("3", TO, COEN), ("3", BACK, OTHER)],
     "is linked to Joel Coen, like Fargo (relation 3)", "is linked to the same entity as Fargo (relation 3)"),
    ([("won", TO, COEN), ("won", BACK, OTHER)],
     "won the award Joel Coen, like Fargo", "won the same award as Fargo"),
    ([("won", TO, COEN), ("nominated", BACK, OTHER)],
     "was nominated for the award Joel Coen, which Fargo won", "was nominated for an award that Fargo won"),
    ([("directed_by", TO, COEN), ("actor", BACK, OTHER)],
     "has the actor Joel Coen, and Joel Coen is a director of Fargo", "has an actor that is a director of Fargo"),
    ([("sequel", TO, COEN), ("sequel", TO, OTHER)],
     "is a sequel of Joel Coen, and Joel Coen is a sequel of Fargo",
     "is a sequel of an entity that is a sequel of Fargo"),
    ([("3", TO, COEN), ("sequel", BACK, OTHER)],
     "has the sequel Joel Coen, and Joel Coen is linked to Fargo (relation 3)",
     "has a sequel that is linked to Fargo (relation 3)"),
    ([("directed_by", TO, COEN), ("3", TO, OTHER)],
     "is linked to Joel Coen (relation 3), and Joel Coen is a director of Fargo",
     "is linked to an entity (relation 3) that is a director of Fargo"),
])
def test_two_steps(steps, named, unnamed):
    assert say(*steps) == named
    assert say(*steps, names=UNNAMED) == unnamed


@pytest.mark.parametrize(("step", "said"), [
    (("sequel", TO, OTHER), "is a sequel of Fargo"), (("sequel", BACK, OTHER), "has the sequel Fargo"),
    (("actor", TO, OTHER), "is an actor of Fargo"), (("film", TO, OTHER), "has the director Fargo"),
    (("3", TO, OTHER), "is linked to Fargo (relation 3)"), (("won", BACK, OTHER), "won the award Fargo"),
])
def test_one_step(step, said):
    assert say(step) == said


def test_longer_walks_are_told_from_the_candidate_back():
    directed = [("directed_by", TO, COEN), ("directed_by", BACK, HEAT)]
    acted = [("actor", TO, OSCAR), ("actor", BACK, OTHER)]
    assert say(*directed, *acted) == "shares the actor the Oscar with Heat, and Heat shares the director Joel Coen " \
                                     "with Fargo"
    assert say(*directed, *acted, names=UNNAMED) == "shares an actor with Heat, and Heat has the same director as Fargo"
    assert say(*directed, *acted, names={FARGO: "Fargo"}) == "shares an actor with another entity that has the same " \
                                                             "director as Fargo"
    assert say(*directed, ("sequel", TO, OTHER)) == "is a sequel of Heat, and Heat shares the director Joel Coen " \
                                                    "with Fargo"
