"""What nodes are called: titles, names, raw ids that people know, and nothing else."""

from __future__ import annotations

import pandas as pd
import pytest
from torch_geometric.data import HeteroData

from kgrl.datasets import node_names
from kgrl.datasets.frames import from_frames


def test_items_by_title_else_by_raw_id_entities_by_name_else_not_at_all():
    ratings = pd.DataFrame({"user": [5, 5], "item": [30, 40], "rating": [1, 5]})
    triples = pd.DataFrame({"head": [30, 40], "relation": ["of", "of"], "tail": [70, 71]})
    assert node_names(from_frames(ratings, triples)) == ["item 30", "item 40", "", ""]
    films, people = pd.DataFrame({"item": [30], "title": ["Alien"]}), pd.DataFrame({"entity": [71], "name": ["Mann"]})
    data = from_frames(ratings, triples, items=films, entities=people)
    assert data["entity"].name == ["", "Mann"]
    assert node_names(data) == ["Alien", "item 40", "", "Mann"]
    data.provenance["item_noun"] = "book"
    assert node_names(data) == ["Alien", "book 40", "", "Mann"]
    assert node_names(from_frames(ratings)) == ["item 30", "item 40"]


def test_a_bare_graph():
    data = HeteroData()
    data["item"].num_nodes, data["entity"].num_nodes = 2, 1
    assert node_names(data) == ["item 0", "item 1", ""]


@pytest.mark.parametrize(("title", "spoken"), [
    ("Crying Game, The (1992)", "The Crying Game (1992)"), ("Postino, Il (1994)", "Il Postino (1994)"),
    ("Eye of Vichy, The (Oeil de Vichy, L') (1993)", "The Eye of Vichy (Oeil de Vichy, L') (1993)"),
    ("Usual Suspect, A", "A Usual Suspect"), ("Good, The Bad and the Ugly, The", "The Good, The Bad and the Ugly"),
    ("Fear, Theory (1990)", "Fear, Theory (1990)"), ("Fargo (1996)", "Fargo (1996)"),
])
def test_titles_are_written_as_they_are_spoken(title, spoken):
    ratings = pd.DataFrame({"user": [5, 6], "item": [30, 30], "rating": [1, 5]})
    assert node_names(from_frames(ratings, items=pd.DataFrame({"item": [30], "title": [title]}))) == [spoken]


def test_an_item_without_a_title_takes_its_entitys_name(frames):
    names = pd.DataFrame({"entity": ["x", "g1", "y"], "name": ["Fargo", "Crime", None]})
    data = from_frames(**frames, entities=names, items=pd.DataFrame({"item": ["c"], "title": ["Heat"]}))
    assert node_names(data) == ["Heat", "Fargo", "item b", "Crime", ""]
    data = from_frames(**frames, entities=names.astype("category"), linked_only=False)
    assert node_names(data) == ["Fargo", "item b", "item c", "item d", "Crime", ""]
    assert "title" not in from_frames(**frames, entities=names[1:])["item"]


@pytest.mark.parametrize(("entities", "complaint"), [
    ({"entity": ["g1", "g9"], "name": ["a", "b"]},
     "`entities`, row 1: entity must be an entity of some triple of the KG, got 'g9'"),
    ({"entity": ["g1", "g1"], "name": ["a", "b"]}, "`entities`, row 1: entity must be listed once, got 'g1'"),
    ({"entity": ["g1", None], "name": ["a", "b"]}, "`entities`, row 1: entity must be an id, got nan"),
    ({"entity": ["g1"]}, "`entities` must have the columns entity, name, got entity; missing: name"),
])
def test_a_mistaken_list_of_names(frames, entities, complaint):
    with pytest.raises(ValueError, match=complaint):
        from_frames(**frames, entities=pd.DataFrame(entities))


def test_names_need_a_kg(frames):
    with pytest.raises(ValueError, match="`entities` must be None where there are no triples, got '1 names'; give"):
        from_frames(frames["ratings"], entities=pd.DataFrame({"entity": ["g1"], "name": ["a"]}))
