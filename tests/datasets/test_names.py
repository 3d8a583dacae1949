"""What nodes are called: titles, names, raw ids that people know, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets import names_from_labels, node_names
from kgrl.datasets.frames import from_frames
from kgrl.datasets.names import name_by_labels


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


def world(members: list[list[int]], num_items: int) -> HeteroData:
    """Entity e is linked to the items ``members[e]``, twice and in both directions."""
    data = HeteroData()
    data["item"].num_nodes, data["entity"].num_nodes = num_items, len(members)
    item = torch.tensor([each for items in members for each in items], dtype=torch.long)
    entity = torch.tensor([number for number, items in enumerate(members) for _ in items], dtype=torch.long)
    data["item", "genre", "entity"].edge_index = torch.stack([item, entity]).repeat(1, 2)
    data["entity", "items", "item"].edge_index = torch.stack([entity, item])
    return data


def labels_of(num_items: int, **items: list[int] | range) -> list[set[str]]:
    return [{label for label, having in items.items() if item in having} for item in range(num_items)]


def test_an_entity_is_called_by_the_label_whose_items_are_its_items():
    members = [list(range(20)), list(range(30, 60)), list(range(100))]
    assert names_from_labels(world(members, 100), labels_of(100, War=range(20), Comedy=range(31, 62))) == \
        ["War", "Comedy", ""]
    assert names_from_labels(world([], 100), labels_of(100, War=range(20))) == []
    assert names_from_labels(world([[1]], 3), [set(), set(), set()]) == [""]


def test_a_rival_leaves_both_unnamed():
    # 20 war films: the one entity holds 18 of them, the other 17
    members = [list(range(18)), list(range(3, 20))]
    assert names_from_labels(world(members, 100), labels_of(100, War=range(20))) == ["", ""]
    assert names_from_labels(world(members[:1], 100), labels_of(100, War=range(20))) == ["War"]
    both = labels_of(100, War=range(18), Drama=range(1, 19))
    assert names_from_labels(world([list(range(18))], 100), both) == [""]


def test_what_has_a_name_is_no_rival_any_more():
    # the second entity holds most fantasies, and half of the adventures, which the first one holds all
    members = [list(range(40)), [*range(20), *range(40, 52)]]
    labels = labels_of(200, Adventure=range(40), Fantasy=[*range(8), *range(40, 44), *range(100, 104)])
    assert names_from_labels(world(members, 200), labels) == ["Adventure", "Fantasy"]
    assert names_from_labels(world(members[1:], 200), labels) == [""]


def test_few_items_prove_nothing():
    assert names_from_labels(world([[0, 1]], 100), labels_of(100, War=[0, 1])) == ["War"]  # 1 in 4,950 by chance
    many = world([[0, 1], *([item] for item in range(2, 60))], 100)
    assert names_from_labels(many, labels_of(100, War=[0, 1]))[0] == ""  # but 59 such pairs could have been found


def test_weak_agreement_is_no_name():
    # far above chance (2 in 10,000), but two thirds of the entity's items are of another kind
    members = [list(range(300))]
    assert names_from_labels(world(members, 2_000), labels_of(2_000, War=range(200, 500))) == [""]
    assert names_from_labels(world(members, 2_000), labels_of(2_000, War=range(150, 450))) == ["War"]


def planted(seed: int) -> tuple[list[list[int]], list[set[str]]]:
    """Eight entities that follow a label each, with errors, among 40 that follow nothing; 400 items."""
    rng = np.random.default_rng(seed)
    having = [rng.choice(400, size, replace=False) for size in rng.integers(20, 120, 8)]
    members = [rng.permutation([*rng.permutation(each)[len(each) // 5:], *rng.choice(400, len(each) // 5)]).tolist()
               for each in having]
    members += [rng.choice(400, size, replace=False).tolist() for size in rng.integers(1, 200, 40)]
    return members, [{f"label {number}" for number, each in enumerate(having) if item in each} for item in range(400)]


@pytest.mark.parametrize("seed", range(5))
def test_planted_labels_are_found_whatever_the_numbers(seed):
    members, labels = planted(seed)
    named = names_from_labels(world(members, 400), labels)
    assert named == [f"label {number}" for number in range(8)] + [""] * 40
    rng = np.random.default_rng(seed)
    place, order = rng.permutation(400), rng.permutation(48)  # item i becomes place[i]; entities are reordered
    moved = world([place[members[each]].tolist() for each in order], 400)
    assert names_from_labels(moved, [labels[each] for each in place.argsort()]) == [named[each] for each in order]


@pytest.mark.parametrize("seed", range(20))
def test_wrong_links_name_nothing(seed):
    members, labels = planted(seed)
    shuffled = np.random.default_rng(seed).permutation(400)
    assert not any(names_from_labels(world(members, 400), [labels[each] for each in shuffled]))


def test_mistakes():
    with pytest.raises(ValueError, match="`labels` must be one collection of words for each of the 3 items, got 2"):
        names_from_labels(world([[0]], 3), [{"a"}, {"b"}])
    with pytest.raises(TypeError, match="`labels` must be a collection of words for each item, got 'War'; split"):
        names_from_labels(world([[0]], 2), [{"a"}, "War"])


def test_labels_in_a_column_of_the_items_list():
    data = world([list(range(10))], 40)
    data["item"].raw_id = torch.arange(40) + 100
    texts = ["War|unknown" if item < 110 else "unknown" for item in range(100, 139)]  # the last item is not listed
    name_by_labels(data, pd.DataFrame({"item": range(100, 139), "genres": texts}), "class", "|")
    assert "name" not in data["entity"]
    name_by_labels(data, pd.DataFrame({"item": range(100, 139), "genres": texts}), "genres", "|")
    assert data["entity"].name == ["War"]
