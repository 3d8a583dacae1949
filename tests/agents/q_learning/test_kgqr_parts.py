"""KGQR on a catalogue that changes: the same items elsewhere, more of them, fewer of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents import KGQR
from kgrl.agents.shared.warm_start import prior_of_new_items
from kgrl.candidates import FixedCandidates
from kgrl.files import load_tensors, save_tensors
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.sessions import raw_items
from tests.agents.growing import FACTS, FILMS, by_film, catalogue_kg, facts_of, history, played, shuffled_films

OLD, NEW = FILMS[:18], FILMS[18:]
SMALL: dict[str, Any] = {"preset": "paper", "average": 0.1,
                         "dim": 6, "state_channels": 5, "hidden_channels": 8, "num_candidates": None, "horizon": 6,
                         "backfill": ("popular", 24), "batch_size": 16, "gradient_steps": 4, "gamma": 0.5, "seed": 3}
OPTIONS = [{}, {"target": "all"}, {"average": 0.0}, {"taste_channels": 2}, {"tastes": 2}, {"variant": "KGQR-CS"},
           {"variant": "KGQR-GCN-CS"}, {"variant": "KGQR-KG"}, {"aggregator": "gat", "streak_state": True}]
every_kind = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))


def tastes(count: int, seed: int = 0) -> TasteTerms:
    generator = torch.Generator().manual_seed(seed)
    return TasteTerms(torch.randn(count, generator=generator), torch.randn(count, 2, generator=generator),
                      torch.rand(count, generator=generator) + 0.1)


def trained(kg: Data, **options: Any) -> KGQR:
    count = int(kg.num_items)
    if "tastes" in options:
        options["tastes"] = tastes(count)
    embedding = torch.randn(int(kg.num_nodes or 0), 6, generator=torch.Generator().manual_seed(1))
    agent = KGQR(kg, **(SMALL | {"embedding": embedding, "popular": torch.arange(count).flip(0)} | options))
    for seed in range(2):
        agent.learn(played(count, seed=seed), torch.Generator().manual_seed(seed))
    return agent


def saved(agent: KGQR, folder) -> str:
    agent.save(folder / "agent.safetensors")
    return str(folder / "agent.safetensors")


@torch.no_grad()
def values(agent: KGQR, kg: Data) -> Tensor:
    """``[N, 2]``, Q of every item for the users of ``history``."""
    seen, count = agent._look(history(kg)), int(kg.num_items)
    batch = torch.arange(2).repeat_interleave(count)
    return seen.values(torch.arange(count).repeat(2), batch).view(2, count).T


def recommended(agent: KGQR, kg: Data, k: int = 8) -> list[list[int]]:
    return raw_items(agent.recommend(history(kg), k), kg.item_id)


def assert_same_scores(agent: KGQR, kg: Data, other: KGQR, other_kg: Data, films: list[str]) -> None:
    ours, theirs = by_film(kg, values(agent, kg)), by_film(other_kg, values(other, other_kg))
    for film in films:
        torch.testing.assert_close(ours[int(film[4:])], theirs[int(film[4:])], atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------------------------------------- the same items


@every_kind
def test_the_same_kg_gives_the_same_bits(tmp_path, options) -> None:
    kg = catalogue_kg(OLD)
    agent = trained(kg, **options)
    loaded = KGQR.load(saved(agent, tmp_path), catalogue_kg(OLD))
    assert torch.equal(values(loaded, kg), values(agent, kg))
    assert loaded.data_digest == agent.data_digest
    assert loaded.untrained is None
    state = agent.state_dict()
    assert all(torch.equal(part, state[name]) for name, part in loaded.state_dict().items())


@every_kind
def test_a_renumbered_catalogue_is_recommended_alike(tmp_path, options) -> None:
    kg, other = catalogue_kg(OLD), catalogue_kg(shuffled_films(OLD), FACTS[::-1], seed=5)
    agent = trained(kg, **options)
    loaded = KGQR.load(saved(agent, tmp_path), other)
    assert recommended(loaded, other) == recommended(agent, kg)
    assert_same_scores(loaded, other, agent, kg, OLD)
    assert loaded.data_digest != agent.data_digest
    ranking = [kg.item_id[item] for item in agent.popular]
    assert [other.item_id[item] for item in loaded.popular] == ranking


def test_two_items_that_change_places_in_the_same_structure_are_seen(tmp_path) -> None:
    """The structure, and so the digest, is the same: each film has a genre of its own."""
    edges = torch.stack([torch.arange(4), 4 + torch.arange(4)])
    first, second = (knowledge_graph(edges, num_items=4, item_id=ids, entity_id=entities) for ids, entities in (
        (["a", "b", "c", "d"], ["A", "B", "C", "D", "w", "x", "y", "z"]),
        (["b", "a", "c", "d"], ["B", "A", "C", "D", "x", "w", "y", "z"])))
    agent = KGQR(first, **(SMALL | {"backfill": ("random", 4)}))
    loaded = KGQR.load(saved(agent, tmp_path), second)
    expected = agent.network.items.embedding[[1, 0, 2, 3, 5, 4, 6, 7]]
    assert torch.equal(loaded.network.items.embedding, expected)


# ---------------------------------------------------------------------------------------------------- more items


@every_kind
def test_old_items_keep_their_scores_when_others_come(tmp_path, options) -> None:
    kg, larger = catalogue_kg(OLD, facts_of(OLD)), catalogue_kg(shuffled_films())
    agent = trained(kg, **options)
    path = saved(agent, tmp_path)
    loaded = KGQR.load(path, larger)
    assert_same_scores(loaded, larger, agent, kg, OLD)
    new = {int(film[4:]) for film in NEW}
    ranked = recommended(loaded, larger, 24)
    assert new <= set(ranked[0])  # they are candidates at once
    assert [[raw for raw in row if raw not in new] for row in ranked] == recommended(agent, kg, 24)


def test_new_items_in_an_unchanged_order_change_no_bit(tmp_path) -> None:
    """New films at the end, old entities in their order: the very same numbers are added up in the same order."""
    kg = catalogue_kg(OLD, facts_of(OLD))
    entities = [*kg.entity_id[:18], *NEW, *kg.entity_id[18:]]
    number = {entity: place for place, entity in enumerate(entities)}
    facts = [fact for fact in FACTS if fact[0] in number and fact[2] in number]
    edges = torch.tensor([[number[head], number[tail]] for head, _, tail in facts]).T
    larger = knowledge_graph(edges, num_items=24, entity_id=entities,
                             item_id=torch.tensor([int(film[4:]) for film in FILMS]))
    agent = trained(kg)
    loaded = KGQR.load(saved(agent, tmp_path), larger)
    assert torch.equal(loaded.acting.items()[:18], agent.acting.items())


def test_a_new_item_is_made_of_what_is_known_around_it(tmp_path) -> None:
    kg, larger = catalogue_kg(OLD, facts_of(OLD)), catalogue_kg(FILMS)
    agent = trained(kg, target="all")
    loaded = KGQR.load(saved(agent, tmp_path), larger)
    before, after = kg.entity_id, larger.entity_id
    for ours, theirs in ((loaded.network, agent.network), (loaded.averaged, agent.averaged),
                         (loaded.target, agent.target)):
        for film in NEW:
            near = {each for fact in FACTS if film in (fact[0], fact[2]) for each in (fact[0], fact[2])} - {film}
            mean = torch.stack([theirs.items.embedding[before.index(each)] for each in near if each in before]).mean(0)
            torch.testing.assert_close(ours.items.embedding[after.index(film)], mean)
    assert loaded.untrained.tolist() == [entity in NEW for entity in after]


def test_an_entity_that_becomes_an_item_keeps_its_row(tmp_path) -> None:
    """film20 is in the KG from the start, as the entity that film0 is a remake of, and turns into an item later."""
    facts = [*facts_of(OLD), ("film0", "sequel_of", "film20")]
    kg, other = catalogue_kg(OLD, facts), catalogue_kg([*OLD[1:], "film20"], facts)
    agent = trained(kg)
    loaded = KGQR.load(saved(agent, tmp_path), other)  # and film0 an entity
    assert loaded.untrained is None
    for film in ("film0", "film20"):
        assert torch.equal(loaded.network.items.embedding[other.entity_id.index(film)],
                           agent.network.items.embedding[kg.entity_id.index(film)])
    assert_same_scores(loaded, other, agent, kg, OLD[1:])
    assert 20 in recommended(loaded, other, 20)[0]


def test_new_items_start_from_items_like_them(tmp_path) -> None:
    kg, larger = catalogue_kg(OLD, facts_of(OLD)), catalogue_kg(shuffled_films())
    path = saved(trained(kg, tastes=2), tmp_path)
    loaded = KGQR.load(path, larger)
    start = TasteTerms(*(loaded.network.taste.get_buffer(f"start_{name}") for name in TasteTerms._fields))
    before = by_film(kg, tastes(18).expected)
    known = torch.tensor([raw in before for raw in larger.item_id.tolist()])
    for raw, value in by_film(larger, start.expected).items():
        assert raw not in before or value == before[raw]
    wanted = prior_of_new_items(start, known, larger)
    assert all(torch.equal(part, other) for part, other in zip(start[:2], wanted[:2], strict=True))
    assert start.noise[~known].min() > start.noise[known].mean()
    given = tastes(24, seed=7)  # a prior of one's own for all of them
    for network in (own := KGQR.load(path, larger, tastes=given)).network, own.averaged:
        assert torch.equal(network.taste.start_loading, given.loading)
    with pytest.raises(ValueError, match="`tastes` must be of 24 items, got 18"):
        KGQR.load(path, larger, tastes=tastes(18))
    with pytest.raises(ValueError, match="`tastes` must be left out, as the file has those"):
        KGQR.load(path, catalogue_kg(OLD, facts_of(OLD)), tastes=tastes(18))
    with pytest.raises(ValueError, match="`tastes` must be left out, as the agent did not start from any"):
        KGQR.load(saved(trained(kg, taste_channels=2), tmp_path), larger, tastes=given)


def test_what_was_loaded_is_saved_and_loaded_and_trained_like_any_other(tmp_path) -> None:
    kg, larger = catalogue_kg(OLD, facts_of(OLD)), catalogue_kg(FILMS)
    loaded = KGQR.load(saved(trained(kg, tastes=2), tmp_path), larger)
    again = KGQR.load(saved(loaded, tmp_path), larger)
    assert torch.equal(values(again, larger), values(loaded, larger))
    assert again.data_digest == loaded.data_digest
    back = KGQR.load(saved(again, tmp_path), kg)
    assert back.untrained is None
    assert_same_scores(back, kg, loaded, larger, OLD)
    elsewhere = catalogue_kg(shuffled_films(seed=4), seed=3)
    assert_same_scores(KGQR.load(saved(again, tmp_path), elsewhere), elsewhere, again, larger, FILMS)
    report = loaded.learn(played(24), torch.Generator().manual_seed(0))
    assert report["loss"] > 0
    new = larger.entity_id.index("film20")
    assert not torch.equal(loaded.network.items.embedding[new], again.network.items.embedding[new])


# --------------------------------------------------------------------------------------------------- fewer items


@every_kind
def test_what_is_gone_is_not_recommended(tmp_path, options) -> None:
    kg, fewer = catalogue_kg(FILMS), catalogue_kg(shuffled_films(OLD))  # the others stay as entities
    agent = trained(kg, **options)
    loaded = KGQR.load(saved(agent, tmp_path), fewer)
    assert_same_scores(loaded, fewer, agent, kg, OLD)
    for row in recommended(loaded, fewer, 24):
        assert not {int(film[4:]) for film in NEW} & set(row)
        assert len(row) >= 15
    smallest = catalogue_kg(OLD[3:12], facts_of(OLD[3:12]))
    assert KGQR.load(saved(agent, tmp_path), smallest).recommend(history(smallest, ["film4"], [0.5]), 9).max() < 9


def test_a_pool_follows_its_items(tmp_path) -> None:
    kg, other = catalogue_kg(FILMS), catalogue_kg(shuffled_films(FILMS[3:]))
    pool = torch.tensor([9, 2, 5, 0, 20])
    path = saved(trained(kg, candidates=FixedCandidates(24, pool)), tmp_path)
    loaded = KGQR.load(path, other)
    assert [int(other.item_id[item]) for item in loaded.candidates.pool] == [9, 5, 20]
    assert set(itertools.chain(*recommended(loaded, other))) == {9, 5, 20}  # the first user has seen 5
    assert torch.equal(KGQR.load(path, kg).candidates.pool, pool)
    given = KGQR.load(path, other, candidates=FixedCandidates(21, torch.tensor([1, 2])))
    assert given.candidates.pool.tolist() == [1, 2]


# ---------------------------------------------------------------------------------------------------- no raw ids


def without_ids(kg: Data) -> Data:
    bare = kg.clone()
    del bare.item_id, bare.entity_id
    return bare


def test_without_raw_ids_only_the_very_same_kg_will_do(tmp_path) -> None:
    kg, other = catalogue_kg(OLD), catalogue_kg(OLD[1:])
    bare = trained(without_ids(kg))
    path = saved(bare, tmp_path)
    assert torch.equal(values(KGQR.load(path, kg), kg), values(bare, kg))
    for graph in (other, without_ids(other)):
        with pytest.raises(ValueError, match="another knowledge graph, and is of an agent whose items have no raw ids"):
            KGQR.load(path, graph)
    path = saved(trained(kg), tmp_path)
    KGQR.load(path, without_ids(kg))
    with pytest.raises(ValueError, match="another knowledge graph, and is loaded with one without raw ids"):
        KGQR.load(path, without_ids(other))


def test_a_kg_of_other_items_is_refused(tmp_path) -> None:
    path = saved(trained(catalogue_kg(OLD)), tmp_path)
    with pytest.raises(ValueError, match=r"that the saved agent knows \(0, 1, 2, …\), got '18, 19, 20, …'"):
        KGQR.load(path, catalogue_kg(NEW))
    other = catalogue_kg(OLD)
    other.item_id = [str(raw) for raw in other.item_id.tolist()]  # whole numbers are not text
    with pytest.raises(ValueError, match="that the saved agent knows"):
        KGQR.load(path, other)


def test_a_file_of_before_loads(tmp_path) -> None:
    """One without raw ids, and without what has come into the metadata since."""
    kg = catalogue_kg(OLD)
    agent = trained(kg)
    tensors, metadata = load_tensors(saved(agent, tmp_path), "KGQR agent")
    metadata.pop("fixed")
    old = {name: part for name, part in tensors.items() if not name.startswith("catalogue.")}
    save_tensors(tmp_path / "old.safetensors", old, metadata)
    assert torch.equal(values(KGQR.load(tmp_path / "old.safetensors", kg), kg), values(agent, kg))
    with pytest.raises(ValueError, match="no raw ids"):
        KGQR.load(tmp_path / "old.safetensors", catalogue_kg(FILMS))
