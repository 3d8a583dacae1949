from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

import kgrl.datasets.item_pairs
from kgrl.datasets import BookCrossing, LinkAudit, MovieLens100K, SyntheticKGRec, audit_links, from_frames
from kgrl.datasets.audit import RelationLift

RATES = ("user", "rates", "item")
ML_100K = Path(__file__).resolve().parents[2] / "data" / "ml-100k" / "raw"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A tenth of the labels is wrong; the distractors explain nothing."""
    return SyntheticKGRec(tmp_path_factory.mktemp("planted"), num_items=300, num_attributes=30, num_distractors=30,
                          noise=0.1)[0]


def with_exchanged_items(data, seed=0):
    """Every item has another's entities: what a wrong numbering does."""
    data = data.clone()
    other = torch.randperm(data["item"].num_nodes, generator=torch.Generator().manual_seed(seed))
    for kind in [kind for kind in data.edge_types if kind != RATES]:
        edges = data[kind].edge_index.clone()
        for end, which in enumerate((kind[0], kind[2])):
            edges[end] = other[edges[end]] if which == "item" else edges[end]
        data[kind].edge_index = edges
    return data


def small(edges, liked, num_users=40, **more):
    """A ``HeteroData`` by hand: nothing of a reader of ours; ``edges``: relation → pairs (item, entity)."""
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = num_users, more.get("num_items", 16)
    data["entity"].num_nodes = 10
    data[RATES].edge_index = torch.tensor(sorted(liked), dtype=torch.long).reshape(-1, 2).T
    for relation, pairs in edges.items():
        data["item", relation, "entity"].edge_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    return data


def random_world(seed=0):
    """16 items, 10 entities, two relations; 40 users like some of the items of their favourite entity, and others."""
    rng = np.random.default_rng(seed)
    edges = {name: sorted({(int(item), int(entity)) for item, entity in zip(rng.integers(16, size=24),
             rng.integers(10, size=24), strict=True)}) for name in ("made_by", "about")}
    liked = {(user, item) for user in range(40) for item, entity in edges["made_by"] + edges["about"]
             if entity == user % 10 and rng.random() < 0.7}
    liked |= {(int(user), int(item)) for user, item in zip(rng.integers(40, size=60), rng.integers(16, size=60),
                                                            strict=True)}
    return edges, liked


def obvious(edges, liked, most):
    """Loops over sets: {pair: relations by which it shares}, and the cosine of any two items."""
    of_item = {item: {user for user, other in liked if other == item} for item in range(16)}
    cosine = {(i, j): len(of_item[i] & of_item[j]) / math.sqrt(max(1, len(of_item[i]) * len(of_item[j])))
              for i, j in combinations(range(16), 2)}
    triples = [(item, name, entity) for name, pairs in edges.items() for item, entity in pairs]
    shared = {}
    for entity in range(10):
        items = sorted({item for item, _, other in triples if other == entity})
        if 2 <= len(items) <= most:
            for i, j in combinations(items, 2):
                by = {name for name in edges if {(i, name, entity), (j, name, entity)} <= set(triples)}
                shared[i, j] = shared.get((i, j), set()) | by
    return shared, cosine


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("most", [5, 20])
def test_slow_obvious_version(seed, most):
    edges, liked = random_world(seed)
    shared, cosine = obvious(edges, liked, most)
    audit = audit_links(small(edges, liked), max_items=most, shufflings=4_000)
    linked = sorted({item for pairs in edges.values() for item, _ in pairs})
    by_chance = np.mean([cosine[pair] for pair in combinations(linked, 2)])  # so few items are one block
    assert audit.pairs == len(shared)
    assert audit.lift == pytest.approx(np.mean([cosine[pair] for pair in shared]) / by_chance, rel=0.02)
    assert {each.relation: each.pairs for each in audit.relations} == {
        name: sum(name in by for by in shared.values()) for name in edges}
    for each in audit.relations:
        seen = np.mean([cosine[pair] for pair, by in shared.items() if each.relation in by])
        assert each.lift == pytest.approx(seen / by_chance, rel=0.05)


def test_all_cosines_at_once_are_those_row_by_row(monkeypatch):
    edges, liked = random_world()
    at_once = audit_links(small(edges, liked))
    monkeypatch.setattr(kgrl.datasets.item_pairs, "GRAM", 0)
    monkeypatch.setattr(kgrl.datasets.item_pairs, "CHUNK", 64)  # a few rows at a time
    row_by_row = audit_links(small(edges, liked))
    assert row_by_row.pairs == at_once.pairs
    assert (row_by_row.lift, row_by_row.z) == pytest.approx((at_once.lift, at_once.z), rel=1e-4)


def test_z_counts_the_standard_deviations_of_shufflings():
    """Of links in random places, z is about 0 on average and its standard deviation about 1."""
    edges, liked = random_world()
    z = [audit_links(small({name: [(order[item], entity) for item, entity in pairs] for name, pairs in edges.items()},
                           liked), shufflings=200).z
         for order in (np.random.default_rng(seed).permutation(16).tolist() for seed in range(60))]
    assert abs(np.mean(z)) < 0.4
    assert 0.7 < np.std(z) < 1.3


def test_planted_links_are_sound_and_shuffled_ones_are_not(planted):
    audit, wrong = audit_links(planted), audit_links(with_exchanged_items(planted))
    assert audit.sound
    assert audit.lift > 3
    assert audit.z > 20
    assert audit.relations[0].relation == "has_attribute"
    assert audit.relations[0].lift > 5
    assert audit.relations[1].lift == pytest.approx(1, abs=0.3)  # the distractors
    assert audit.pairs <= sum(each.pairs for each in audit.relations)
    assert not wrong.sound
    assert not wrong.unclear
    assert wrong.lift == pytest.approx(1, abs=0.15)
    assert abs(wrong.z) < 3


def test_wrong_links_are_hardly_ever_taken_for_right_ones(planted):
    assert sum(audit_links(with_exchanged_items(planted, seed)).sound for seed in range(40)) <= 2


def test_popularity_alone_is_no_meaning():
    """The popular items share entities with each other and are liked by all: no taste, so nothing to find."""
    rng = np.random.default_rng(0)
    chance = np.repeat([0.8, 0.1], [100, 900])
    liked = np.argwhere(rng.random((200, 1_000)) < chance).tolist()
    entities = np.concatenate([rng.integers(10, size=100), 10 + rng.integers(300, size=900)])
    data = from_frames(pd.DataFrame(liked, columns=["user", "item"]),
                       pd.DataFrame({"head": range(1_000), "relation": "r", "tail": 1_000 + entities}))
    assert not audit_links(data).sound
    assert abs(audit_links(data).z) < 3


def test_sentences(planted):
    sentence = str(audit_links(planted))
    assert sentence.startswith("Items that share an entity are liked by the same people ")
    assert sentence.endswith("the links carry meaning; most through has attribute "
                             f"(lift {audit_links(planted).relations[0].lift:.1f})")
    assert str(audit_links(with_exchanged_items(planted))).endswith("the links are not told apart from shuffled ones")
    relations = tuple(RelationLift(name, name, lift, 9.0, 50) for name, lift in [("a", 2.0), ("a_of", 2.0), ("b", 1.5)])
    assert str(LinkAudit(1.294, 31.4, 12_345, relations, True)) == (
        "Items that share an entity are liked by the same people 1.29 times as often as items of like popularity "
        "(z = 31, 12,345 pairs): the links carry meaning; most through a (lift 2.0), b (lift 1.5)")


def test_relations_by_their_raw_names():
    edges, liked = random_world()
    triples = pd.DataFrame([(item, {"made_by": "film.producer.film", "about": "film.film.subject"}[name], 100 + entity)
                            for name, pairs in edges.items() for item, entity in pairs],
                           columns=["head", "relation", "tail"])
    audit = audit_links(from_frames(pd.DataFrame(sorted(liked), columns=["user", "item"]), triples))
    assert {each.relation: each.words for each in audit.relations} == {
        "film_producer_film": "producer", "film_film_subject": "subject"}
    bare = audit_links(small({"1": edges["about"]}, liked))
    assert [each.words for each in bare.relations] == ["relation 1"]


def test_same_seed_same_audit_and_global_state_is_left_alone(planted):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert audit_links(planted, seed=3) == audit_links(planted, seed=3)
    assert audit_links(planted, seed=3).z != audit_links(planted, seed=4).z
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.get_rng_state().equal(before[1])


def test_drawn_pairs_tell_the_same(planted):
    drawn = audit_links(planted, max_pairs=500)
    assert 400 < drawn.pairs <= 500
    assert drawn.sound
    assert drawn.lift == pytest.approx(audit_links(planted).lift, rel=0.3)


def test_drawn_users_tell_the_same(planted, monkeypatch):
    every = audit_links(planted)
    monkeypatch.setattr(kgrl.datasets.item_pairs, "MAX_LIKES", 1_000)
    drawn = audit_links(planted)
    assert drawn.sound
    assert drawn.lift == pytest.approx(every.lift, rel=0.3)
    assert drawn.lift != every.lift


def test_entities_of_many_items_serve_where_there_are_no_rarer(tmp_path):
    data = SyntheticKGRec(tmp_path, num_items=300, num_attributes=4)[0]
    assert audit_links(data).sound
    assert audit_links(data).pairs == 4 * 75 * 74 // 2


def test_items_may_be_what_others_share():
    """1 and 2 are sequels of 0, 4 and 5 of 3; the reverse of a relation and a repeated triple add nothing."""
    liked = {(user, item) for user in range(40) for item in ((1, 2) if user < 20 else (4, 5))}
    data = small({}, liked, num_items=6)
    edges = torch.tensor([[1, 2, 4, 5, 1, 3], [0, 0, 3, 3, 0, 3]])
    data["item", "sequel_of", "item"].edge_index = edges
    assert audit_links(data).pairs == 2
    data["item", "sequel", "item"].edge_index = edges.flip(0)
    audit = audit_links(data)
    assert (audit.pairs, [each.pairs for each in audit.relations]) == (2, [])
    assert "only 2 of the 2 pairs" in audit.unclear


# too little to compare: no exception, no verdict


def unclear(data, why, pairs):
    audit = audit_links(data)
    assert (audit.sound, audit.pairs, audit.relations) == (False, pairs, ())
    assert math.isnan(audit.lift)
    assert math.isnan(audit.z)
    assert why in str(audit)
    assert str(audit).startswith("The links cannot be checked: ")


def test_two_items():
    unclear(small({"r": [(0, 0), (1, 0)]}, {(0, 0), (0, 1)}, num_items=2), "only 1 of the 1 pairs", 1)


def test_no_items():
    unclear(small({"r": []}, [], num_items=0), "no two items share an entity", 0)


def test_no_shared_entities():
    unclear(small({"r": [(item, item % 10) for item in range(10)]}, random_world()[1]), "no two items share", 0)


def test_nobody_likes_anything():
    edges, liked = random_world()
    data = small(edges, liked)
    data[RATES].rating, data.rating_scale = torch.full((len(liked),), 3.0), (1, 5, 3.5)
    unclear(data, "nobody likes any item", audit_links(small(edges, liked)).pairs)


def test_all_ratings_equal():
    """Then who rated an item is who likes it: the same as without ratings."""
    edges, liked = random_world()
    data = small(edges, liked)
    without = audit_links(data)
    data[RATES].rating, data.rating_scale = torch.full((len(liked),), 5.0), (1, 5, 3.5)
    assert audit_links(data) == without


def test_everything_is_liked_by_everyone():
    data = small(random_world()[0], {(user, item) for user in range(40) for item in range(16)})
    unclear(data, "exchanging them changes nothing", audit_links(small(*random_world())).pairs)


def test_repeated_ratings_count_once():
    edges, liked = random_world()
    twice = small(edges, liked)
    twice[RATES].edge_index = twice[RATES].edge_index.repeat(1, 2)
    assert audit_links(twice) == audit_links(small(edges, liked))


# bad input


def test_no_kg():
    data = from_frames(pd.DataFrame({"user": [1, 2], "item": [1, 2]}))
    with pytest.raises(ValueError, match=r"edge types between items and entities, got .*; it has no KG .*`triples`"):
        audit_links(data)


def test_no_ratings():
    data = small(*random_world())
    del data[RATES]
    with pytest.raises(ValueError, match=r"with the edge type \('user', 'rates', 'item'\)"):
        audit_links(data)


def test_ratings_without_a_scale():
    edges, liked = random_world()
    data = small(edges, liked)
    data[RATES].rating = torch.ones(len(liked))
    with pytest.raises(ValueError, match=r"`data.rating_scale` must be .*; set it"):
        audit_links(data)


@pytest.mark.parametrize("wrong", [-1, 10])
def test_links_that_point_nowhere(wrong):
    edges, liked = random_world()
    with pytest.raises(ValueError, match=rf"entity numbers from 0 to 9, got {wrong}; an edge points nowhere"):
        audit_links(small({"r": [*edges["about"], (0, wrong)]}, liked))


def test_ratings_that_point_nowhere():
    edges, liked = random_world()
    with pytest.raises(ValueError, match="item numbers from 0 to 15, got 16"):
        audit_links(small(edges, liked | {(0, 16)}))


def test_bad_options(planted):
    with pytest.raises(TypeError, match="`data` must be a HeteroData"):
        audit_links(None)
    for option, low in (("max_items", 2), ("shufflings", 2), ("max_pairs", 1), ("seed", 0)):
        with pytest.raises(ValueError, match=f"`{option}` must be at least {low}"):
            audit_links(planted, **{option: low - 1})


# where it runs by itself


def test_data_sets_keep_it_in_plain_values(planted, tmp_path):
    kept = planted.provenance["links"]
    assert kept == audit_links(planted).plain()
    assert kept["sentence"] == str(audit_links(planted))
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    torch.save(planted, tmp_path / "data.pt")
    assert torch.load(tmp_path / "data.pt", weights_only=False).provenance["links"] == kept
    nothing = audit_links(small({"r": []}, [])).plain()
    assert (nothing["lift"], nothing["z"], nothing["pairs"], nothing["sound"]) == (None, None, 0, False)


class Exchanged(SyntheticKGRec):
    """Its links are wrong."""

    def read(self, folder):
        return with_exchanged_items(super().read(folder))


def test_data_sets_warn_of_wrong_links_at_every_load(tmp_path):
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"Exchanged: .* not told apart from shuffled ones\. Do the links number"):
            Exchanged(tmp_path, num_items=300, num_attributes=30)


@pytest.mark.filterwarnings("error")
def test_data_sets_do_not_warn_of_right_links_nor_where_nothing_can_be_told(tmp_path):
    SyntheticKGRec(tmp_path, num_items=300, num_attributes=30)
    assert SyntheticKGRec(tmp_path, num_users=1, num_items=20)[0].provenance["links"]["unclear"]


# the real ones


@pytest.fixture(scope="module")
def ml_100k(tmp_path_factory):
    if not (ML_100K / "ml-100k.inter").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    return tmp_path_factory.mktemp("ml-100k")


def test_movielens_100k_as_shipped(ml_100k):
    with pytest.warns(UserWarning, match="MovieLens100K: .* not told apart from shuffled ones"):
        data = MovieLens100K(ml_100k, source=ML_100K, links="as-shipped")[0]
    links = data.provenance["links"]
    assert not links["sound"]
    assert links["lift"] == pytest.approx(1, abs=0.02)
    assert abs(links["z"]) < 3


@pytest.mark.filterwarnings("error:.*told apart")
def test_movielens_100k_translated(ml_100k):
    links = MovieLens100K(ml_100k, source=ML_100K)[0].provenance["links"]
    assert links["sound"]
    assert links["lift"] == pytest.approx(1.29, abs=0.03)
    assert links["z"] > 15
    lift = {each["relation"]: each["lift"] for each in links["relations"]}
    assert lift["film_film_directed_by"] > lift["film_film_actor"] > 1.2


def test_book_crossing(shared, tmp_path):
    data = BookCrossing(tmp_path, source=shared / "book-crossing")[0]
    assert data.provenance["links"]["sound"]
    assert data.provenance["links"]["lift"] > 10
    assert not audit_links(with_exchanged_items(data)).sound
