"""TPGR on a catalogue that changes: the same items elsewhere, more of them, fewer of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.agents import TPGR
from kgrl.agents.policy_gradient.tpgr_file import neighbour_vectors, surroundings
from kgrl.agents.shared.warm_start import prior_of_new_items
from kgrl.datasets import from_frames
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.pretrain import item_tastes
from kgrl.sessions import Sessions, raw_items
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.tree import ClusterTree
from tests.agents.four_tastes import play

USERS, GROUPS = torch.arange(40), 4
OLD, NEW = [f"b{number}" for number in range(16)], [f"b{number}" for number in range(16, 20)]
OPTIONS = [{}, {"taste_channels": 0}, {"state": "kg"}, {"hidden": [6], "sharpness": 5.0}]
KINDS = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options)))


def group_of(raw: str) -> int:
    return int(raw[1:]) % GROUPS


def one_hot(items: Sequence[str]) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor([group_of(raw) for raw in items])).float()


def books(items: Sequence[str], kg: bool = True) -> HeteroData:
    """Items in this order, of four groups by their numbers, which the ratings and the KG follow; new ones unrated."""
    rows = [(f"u{user:02}", item, 5.0 if group_of(item) == user % GROUPS else 1.0)
            for user in range(40) for item in OLD if (user + int(item[1:])) % 3 or user < 2]
    rows = [row for row in rows if row[1] in items]
    facts = [(f"e{item}", *fact) for item in items for fact in (("kind", f"k{group_of(item)}"), ("all", "book"))]
    triples = pd.DataFrame(facts, columns=["head", "relation", "tail"])
    links = pd.DataFrame([(item, f"e{item}") for item in items], columns=["item", "entity"])
    given = (triples, links) if kg else (None, None)
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), *given, rating_scale=(1.0, 5.0, 3.0),
                       items=pd.DataFrame({"item": list(items)}))


def trained(data: HeteroData, **options) -> TPGR:
    """With room: 16 items, and 5² leaves."""
    vectors = one_hot(OLD)[: data["item"].num_nodes]
    noise = torch.rand(vectors.shape, generator=torch.Generator().manual_seed(0))
    tree = ClusterTree(ClusterTree.build(vectors + 0.1 * noise, depth=2).paths, children=5)
    given = {"horizon": 6, "item_channels": 4, "state_channels": 5, "taste_channels": 3, "lr": 0.05, "tree": tree}
    agent = TPGR.from_data(data, USERS, **(given | options))
    world = Simulator(RatedFeedback(data), horizon=6)
    for seed in range(3):
        agent.learn(play(agent, world, seed=seed))
    return agent


def saved(agent: TPGR, folder) -> str:
    agent.save(folder / "agent.safetensors")
    return str(folder / "agent.safetensors")


def recommended(agent: TPGR, data: HeteroData, k: int = 6) -> list[list[str]]:
    past = Sessions.from_history([["b3", "b5"], []], [[1.0, -1.0], []], ids=data["item"].raw_id)
    return raw_items(agent.recommend(past, k, beam=25), data["item"].raw_id)


def paths_of(tree: ClusterTree, data: HeteroData) -> dict[str, list[int]]:
    return dict(zip(data["item"].raw_id, tree.paths.tolist(), strict=True))


@KINDS
def test_the_same_data_gives_the_same_bits(tmp_path, options) -> None:
    data = books(OLD)
    agent = trained(data, **options)
    loaded = TPGR.load(saved(agent, tmp_path), books(OLD), USERS)
    assert all(torch.equal(part, agent.state_dict()[name]) for name, part in loaded.state_dict().items())
    assert loaded.data_digest == agent.data_digest


@KINDS
def test_a_renumbered_catalogue_is_recommended_alike(tmp_path, options) -> None:
    data, other = books(OLD), books(OLD[::-1])
    agent = trained(data, **options)
    loaded = TPGR.load(saved(agent, tmp_path), other, USERS)
    assert paths_of(loaded.tree, other) == paths_of(agent.tree, data)
    assert recommended(loaded, other) == recommended(agent, data)
    assert loaded.data_digest != agent.data_digest


@KINDS
def test_one_item_exchanged_for_another_is_seen(tmp_path, options) -> None:
    """The same number of items, and for "kg" the same structure: nothing but the raw ids tells."""
    data, other = books(OLD), books([*OLD[:15], "b19"])
    agent = trained(data, **options)
    loaded = TPGR.load(saved(agent, tmp_path), other, USERS)
    before, after = paths_of(agent.tree, data), paths_of(loaded.tree, other)
    assert {raw: after[raw] for raw in OLD[:15]} == {raw: before[raw] for raw in OLD[:15]}
    assert after["b19"][0] == before["b3"][0]  # beside those of its group
    assert loaded.num_items == 16


@KINDS
@pytest.mark.parametrize("kg", [True, False])
def test_new_items_hang_beside_items_like_them(tmp_path, options, kg: bool) -> None:
    if not kg and options.get("state") == "kg":
        pytest.skip("it has a KG")
    data, larger = books(OLD, kg), books([*NEW[:2], *OLD[::-1], *NEW[2:]], kg)
    agent = trained(data, **options)
    vectors = None if kg else one_hot(larger["item"].raw_id)
    loaded = TPGR.load(saved(agent, tmp_path), larger, USERS, vectors=vectors)
    before, after = paths_of(agent.tree, data), paths_of(loaded.tree, larger)
    assert {raw: after[raw] for raw in OLD} == before
    for raw in NEW:
        assert after[raw][0] == before[f"b{group_of(raw)}"][0]
    new, old = ([larger["item"].raw_id.index(raw) for raw in some] for some in (NEW, OLD))
    if loaded.state.part("taste") is not None:
        theirs, ours = agent.state.taste.terms, loaded.state.taste.terms
        assert torch.equal(ours.loading[old], theirs.loading)
        known = torch.tensor([raw in OLD for raw in larger["item"].raw_id])
        wanted = prior_of_new_items(ours, known, surroundings(larger))
        torch.testing.assert_close(ours.expected[new], wanted.expected[new])
        groups = torch.stack([theirs.loading[group_of(raw) :: GROUPS].mean(0) for raw in NEW])
        mean = theirs.loading.mean(0)
        near = torch.linalg.vector_norm(ours.loading[new] - (groups if kg else mean), dim=1)
        assert (near < 0.5 * torch.linalg.vector_norm(groups - mean, dim=1)).all()  # their kind's, or all books'
        assert (ours.noise[new] > theirs.noise.mean()).all()
    shown = recommended(loaded, larger, 20)
    assert set(NEW) < set(shown[1])
    again = TPGR.load(saved(loaded, tmp_path), larger, USERS)
    assert recommended(again, larger, 20) == shown
    assert loaded.learn(play(loaded, Simulator(RatedFeedback(larger), horizon=6)))["gradient_steps"] == 4


def tastes_of(items: Sequence[str], seed: int = 0) -> TasteTerms:
    """The same of a book, wherever it stands."""
    generator = torch.Generator().manual_seed(seed)
    rows = 0.3 * torch.randn(20, 3, generator=generator)[[int(raw[1:]) for raw in items]]
    return TasteTerms(rows[:, 0], rows[:, 1:], 0.1 + rows[:, 0].square())


def test_tastes_of_ones_own_are_kept_in_the_file(tmp_path) -> None:
    data, given = books(OLD), tastes_of(OLD)
    agent = trained(data, taste_channels=None, tastes=given)
    assert agent.state.taste.channels == 2
    assert all(torch.equal(part, theirs) for part, theirs in zip(agent.state.taste.terms, given, strict=True))
    assert agent.data_digest not in {trained(data).data_digest,
                                     trained(data, taste_channels=2, tastes=tastes_of(OLD, 1)).data_digest}
    path = saved(agent, tmp_path)
    loaded = TPGR.load(path, data, USERS)
    assert all(torch.equal(part, agent.state_dict()[name]) for name, part in loaded.state_dict().items())
    assert loaded.data_digest == agent.data_digest
    assert recommended(loaded, data) == recommended(agent, data)
    other = books(OLD[::-1])
    moved, moved_tastes = TPGR.load(path, other, USERS), tastes_of(OLD[::-1])
    assert all(torch.equal(part, theirs) for part, theirs in zip(moved.state.taste.terms, moved_tastes, strict=True))
    assert recommended(moved, other) == recommended(agent, data)
    with pytest.raises(ValueError, match="`tastes` must be left out, as the file has those"):
        TPGR.load(path, data, USERS, tastes=given)


def test_another_catalogue_may_come_with_tastes_of_its_own(tmp_path) -> None:
    path, larger = saved(trained(books(OLD), taste_channels=2), tmp_path), books([*NEW, *OLD])
    given = tastes_of([*NEW, *OLD], seed=7)
    loaded = TPGR.load(path, larger, USERS, tastes=given)
    assert all(torch.equal(part, theirs) for part, theirs in zip(loaded.state.taste.terms, given, strict=True))
    with pytest.raises(ValueError, match="`tastes` must be of 20 items, got 16"):
        TPGR.load(path, larger, USERS, tastes=tastes_of(OLD))
    with pytest.raises(ValueError, match="`tastes` must be left out, as the agent did not start from any"):
        TPGR.load(saved(trained(books(OLD), taste_channels=0), tmp_path), larger, USERS, tastes=given)


@pytest.mark.parametrize(("options", "text"), [
    ({"taste_channels": 3}, "`taste_channels` must be 2, the length of `tastes`, or left out, got 3"),
    ({"taste_channels": 0}, "`tastes` must be left out, as taste_channels=0 is no taste state"),
    ({"taste_channels": 2, "tastes": tastes_of(OLD[:9])}, "`tastes` must be of 16 items, got 9"),
    ({"taste_channels": 2, "tastes": tastes_of(OLD)._replace(noise=torch.zeros(16))},
     "`tastes` must be of noise above 0"),
])
def test_tastes_that_do_not_fit_are_refused(options, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TPGR.from_data(books(OLD), USERS, **({"tastes": tastes_of(OLD)} | options))


def test_without_tastes_the_taste_state_is_of_the_ratings() -> None:
    data = books(OLD)
    found, wanted = TPGR.from_data(data, USERS).state.taste.terms, item_tastes(data, USERS, 12)
    assert all(torch.equal(part, theirs) for part, theirs in zip(found, wanted, strict=True))
    assert TPGR.from_data(data, USERS, preset="paper").state.part("taste") is None


def test_new_items_without_a_kg_are_found_leaves_by_ratings(tmp_path) -> None:
    """One that the training users have rated since, as they rated b2."""
    data, larger = books(OLD[:15], kg=False), books(OLD, kg=False)
    agent = trained(data)
    loaded = TPGR.load(saved(agent, tmp_path), larger, USERS)
    assert loaded.tree.paths[15, 0] == agent.tree.paths[3, 0]


@KINDS
def test_what_is_gone_is_not_recommended(tmp_path, options) -> None:
    data, fewer = books(OLD), books(OLD[2:][::-1])
    loaded = TPGR.load(saved(trained(data, **options), tmp_path), fewer, USERS)
    assert {raw for row in recommended(loaded, fewer, 16) for raw in row} == set(OLD[2:])
    assert not loaded.tree.subtree([]).max() >= 14


def test_the_leaf_of_an_item_that_is_gone_starts_anew(tmp_path) -> None:
    """What was learned of it is no matter of the item that hangs there now; of the others, nothing is forgotten."""
    data = books(OLD)
    agent = trained(data, taste_channels=0)
    node, digit = agent.tree.paths[15].tolist()
    with torch.no_grad():
        agent.policy.biases[-1][1 + node, digit] = 100.0
    other = books([*OLD[:15], "b19"])
    loaded = TPGR.load(saved(agent, tmp_path), other, USERS)
    assert loaded.tree.paths[15].tolist()[0] == node
    before, after = agent.policy.biases[-1], loaded.policy.biases[-1]
    mine = [agent.tree.paths[item, 1] for item in (3, 7, 11)]
    torch.testing.assert_close(after[1 + node, digit], before[1 + node, mine].mean())
    assert torch.equal(after[1 + node, mine], before[1 + node, mine])
    root = agent.tree.paths[:, 0].unique()
    assert torch.equal(after[0, root], before[0, root])


def test_too_many_new_items_are_refused(tmp_path) -> None:
    data = books(OLD)
    path = saved(trained(data, tree=ClusterTree.build(torch.randn(16, 3), depth=2)), tmp_path)
    with pytest.raises(ValueError, match=r"a free leaf for each of 4 new items, got 'one with 0 of 16 leaves free"):
        TPGR.load(path, books(OLD + NEW), USERS)


def test_other_items_and_items_without_raw_ids_are_refused(tmp_path) -> None:
    data, larger = books(OLD), books(OLD + NEW)
    path = saved(trained(data), tmp_path)
    strangers = data.clone()
    strangers["item"].raw_id = [f"x{number}" for number in range(16)]
    with pytest.raises(ValueError, match=r"knows \(b0, b1, b2, …\), got 'x0, x1, x2, …'"):
        TPGR.load(path, strangers, USERS)
    bare = larger.clone()
    del bare["item"].raw_id
    with pytest.raises(ValueError, match="trained on another data set, and is loaded with one without raw ids"):
        TPGR.load(path, bare, USERS)
    same = data.clone()
    del same["item"].raw_id
    assert TPGR.load(path, same, USERS).num_items == 16
    with pytest.raises(ValueError, match="of an agent whose items have no raw ids"):
        TPGR.load(saved(trained(same, tree=None), tmp_path), larger, USERS)


def test_neighbour_vectors_weigh_rare_entities_more() -> None:
    """Items 0 and 1 share a rare entity, all three a common one, and item 2 is linked to item 0."""
    kg = knowledge_graph(torch.tensor([[0, 1, 0, 1, 2, 2], [3, 3, 4, 4, 4, 0]]), num_items=3)
    rare, common, pair, own = (torch.tensor(3 / count).log1p() for count in (2, 3, 2, 1))
    wanted = torch.tensor([[pair, 0, pair, rare, common], [0, own, 0, rare, common], [pair, 0, pair, 0, common]])
    torch.testing.assert_close(neighbour_vectors(kg).to_dense(), wanted)


def test_surroundings_of_data_without_a_kg_have_no_edges() -> None:
    kg = surroundings(books(OLD, kg=False))
    assert (kg.num_items, kg.num_nodes, kg.num_edges) == (16, 16, 0)
    with_kg: Tensor = surroundings(books(OLD)).edge_index
    assert with_kg.size(1) == 64
