"""Catalogues, found in one another by raw ids; every agent that can be saved finds its items again by them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import kgrl.agents
from kgrl.agents import (
    DDPGKNN,
    DDPGR,
    DQNR,
    KGQR,
    TPGR,
    FixedList,
    GreedySVD,
    GRU4Rec,
    HLinearUCB,
    KGProfile,
    LinearGaussian,
    LinearUCB,
)
from kgrl.agents.shared.catalogue import Catalogue, Catalogued, matched
from kgrl.agents.shared.scorer import Scorer
from kgrl.graph import knowledge_graph
from kgrl.nn import TasteTerms
from kgrl.raw_ids import RawIds, as_list
from kgrl.rollout import rollout
from kgrl.sessions import Sessions, raw_items
from kgrl.simulator import RatedFeedback, Simulator
from kgrl.train import fit
from tests.agents.every_agent import ITEMS, TRAIN, data

BEFORE = Catalogue(torch.tensor([10, 11, 12]), ["a", "", "c", "x", "y"])


def test_items_follow_their_own_ids_and_nodes_their_entities() -> None:
    """Item 12 is another entity now, item 13 is what was entity x, and c no item any more."""
    now = Catalogue(torch.tensor([12, 13, 11, 14]), ["z", "x", "", "w", "y", "c"])
    match = now.found_in(BEFORE)
    assert match.item.tolist() == [2, -1, 1, -1]
    assert match.node.tolist() == [2, 3, 1, -1, 4, 2]  # z is not known: item 12 follows its own id
    assert match.number.tolist() == [-1, 2, 0]
    assert match.moved(torch.tensor([2, 0, 1])).tolist() == [0, 2]
    assert match.untrained(None).tolist() == [False, False, False, True, False, False]
    assert match.untrained(torch.tensor([False, False, True, False, False])).tolist() == [
        True, False, False, True, False, True]
    assert BEFORE.found_in(BEFORE).untrained(None) is None


@pytest.mark.parametrize("catalogue", [BEFORE, Catalogue(["ä", "b"], torch.tensor([-1, 5, 2**40])),
                                       Catalogue.of_items(["ä", "b"])])
def test_a_file_keeps_it(catalogue: Catalogue) -> None:
    tensors = {**catalogue.tensors(), "weight": torch.zeros(2)}
    assert Catalogue.taken_from(tensors).equals(catalogue)
    assert list(tensors) == ["weight"]
    assert Catalogue.taken_from(tensors) is None


def test_of_a_graph_and_of_items() -> None:
    edges = torch.tensor([[0, 1], [2, 2]])
    kg = knowledge_graph(edges, num_items=2, item_id=[5, 6], entity_id=["a", "", "b"])
    assert Catalogue.of(kg).equals(Catalogue([5, 6], ["a", "", "b"]))
    assert Catalogue.of(knowledge_graph(edges, num_items=2)) is None
    assert Catalogue.of_items(torch.tensor([5, 6])).entity.tolist() == [-1, -1]
    assert Catalogue.of_items(["a"]).entity == [""]
    assert Catalogue.of_items(None) is None


def test_what_is_the_same_needs_no_raw_ids() -> None:
    assert matched("f", None, None, True, "tree") is None
    assert matched("f", BEFORE, None, True, "tree") is None
    assert matched("f", BEFORE, Catalogue(*BEFORE), True, "tree") is None
    assert matched("f", BEFORE, Catalogue(*BEFORE), False, "tree").item.tolist() == [0, 1, 2]
    other = BEFORE._replace(item=torch.tensor([10, 11, 13]))
    assert matched("f", BEFORE, other, True, "tree").item.tolist() == [0, 1, -1]


@pytest.mark.parametrize(("before", "now", "message"), [
    (None, BEFORE, "f was trained on another tree, and is of an agent whose items have no raw ids"),
    (BEFORE, None, "f was trained on another tree, and is loaded with one without raw ids"),
    (BEFORE, Catalogue.of_items(torch.tensor([7, 8])), r"knows \(10, 11, 12, …\), got '7, 8, …'; load the agent with"),
])
def test_what_cannot_be_found_is_named(before, now, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matched("f", before, now, False, "tree")


RAW = [f"film{7 * item % ITEMS}" for item in range(ITEMS)]
ORDER = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(3))
MOVED = [RAW[item] for item in ORDER]
EXCHANGED = ["film99" if raw == "film3" else raw for raw in MOVED]
DATA = data().clone()
DATA["item"].raw_id = RAW


def vectors(columns: int = 3) -> Tensor:
    return torch.randn(ITEMS, columns, generator=torch.Generator().manual_seed(0))


def terms() -> TasteTerms:
    return TasteTerms(vectors()[:, 0] / 4, vectors(2) / 2, vectors()[:, 1].abs() + 0.1)


def learned(agent: Any) -> Any:
    there = Simulator(RatedFeedback(DATA), eta=0.1, horizon=5)
    for seed in range(2):
        agent.learn(rollout(agent, there, TRAIN, True, torch.Generator().manual_seed(seed)))
    return agent


def off_policy(build: Callable[..., Any], **options: Any) -> Any:
    small = {"state_channels": 5, "hidden_channels": 6, "gradient_steps": 2, "batch_size": 16, "horizon": 5}
    return learned(build(vectors(), **(small | {"ids": RAW} | options)))


AGENTS: dict[str, Callable[[], Any]] = {
    "DQNR": lambda: off_policy(DQNR, target="all"),
    "DQNR with tastes and a pool": lambda: off_policy(DQNR, tastes=terms(), pool=torch.arange(0, ITEMS, 2)),
    "DDPGR": lambda: off_policy(DDPGR, target="all", streak_state=True),
    "DDPGKNN": lambda: off_policy(DDPGKNN, k=5, pool=torch.arange(ITEMS - 3)),
    "LinearUCB": lambda: LinearUCB(vectors(), ids=RAW),
    "HLinearUCB": lambda: learned(HLinearUCB(vectors(), hidden_channels=2, ids=RAW)),
    "GreedySVD": lambda: GreedySVD.from_ratings(DATA, TRAIN, dim=3, epochs=3),
    "LinearGaussian": lambda: LinearGaussian(terms(), ids=RAW),
    "LinearGaussian of ratings": lambda: LinearGaussian.from_ratings(DATA, TRAIN, dim=2),
    "KGProfile": lambda: KGProfile.from_data(knowledge_graph(DATA), DATA, TRAIN),
    "GRU4Rec": lambda: GRU4Rec.from_ratings(DATA, TRAIN, dim=4, epochs=2),
    "GRU4Rec, untied": lambda: GRU4Rec.from_ratings(DATA, TRAIN, dim=4, epochs=2, tied=False),
    "FixedList": lambda: FixedList.from_ratings(DATA, TRAIN),
    "FixedList of some": lambda: FixedList(torch.tensor([4, 9, 3, 17]), ids=RAW),
}
EVERY = pytest.mark.parametrize("name", AGENTS)


def past(ids: RawIds) -> Sessions:
    films = [[], ["film3"], ["film5", "film2", "film11"]]
    return Sessions.from_history(films, [[], [1.0], [1.0, -1.0, 0.5]], ids=ids)


def asked(agent: Any, ids: RawIds) -> list[list[str]]:
    """The films that are recommended to the users of ``past``."""
    return raw_items(agent.recommend(past(ids), k=6), ids)


def scores(agent: Scorer) -> Tensor:
    """``[users, N]``, by the order of the films' raw ids."""
    place = torch.tensor([as_list(agent.catalogue.item).index(raw) for raw in sorted(RAW)])
    return agent._scores(past(agent.catalogue.item))[:, place]


def test_every_agent_that_is_saved_is_here() -> None:
    known = {type(make()) for make in AGENTS.values()} | {KGQR, TPGR}  # which serve a catalogue that has changed
    assert known == {each for each in vars(kgrl.agents).values() if hasattr(each, "save")}
    assert all(issubclass(each, Catalogued) for each in known)


@EVERY
def test_in_another_order_it_recommends_the_same_films(name: str, tmp_path: Path) -> None:
    agent, path = AGENTS[name](), tmp_path / "agent.safetensors"
    agent.save(path)
    moved = type(agent).load(path, MOVED)
    assert moved.catalogue.item == MOVED
    if isinstance(agent, Scorer):  # of equal scores the lower number comes first, which is another film's now
        torch.testing.assert_close(scores(moved), scores(agent))
    else:
        assert asked(moved, MOVED) == asked(agent, RAW)
    moved.save(path)
    back = type(agent).load(path, RAW)
    assert asked(back, RAW) == asked(agent, RAW)
    before, after = agent.state_dict(), back.state_dict()
    assert all(torch.equal(after[part], before[part]) for part in before)


@EVERY
def test_loaded_alone_it_has_the_ids_of_its_file(name: str, tmp_path: Path) -> None:
    agent, path = AGENTS[name](), tmp_path / "agent.safetensors"
    agent.save(path)
    for again in (type(agent).load(path), type(agent).load(path, RAW), copy.deepcopy(agent)):
        assert again.catalogue.item == RAW
        assert asked(again, again.catalogue.item) == asked(agent, RAW)


@EVERY
@pytest.mark.parametrize(("ids", "message"), [
    (EXCHANGED, "got \"'film99', which it does not know, and no 'film3'\"; load it with the data set"),
    ([*RAW, "film99"], "got \"'film99', which it does not know\""),
    (RAW[1:], f'got "no {RAW[0]!r}"'),
    (torch.arange(ITEMS), f"got \"0, which it does not know, and no {RAW[0]!r}\""),
])
def test_other_items_are_refused_by_name(name: str, ids: RawIds, message: str, tmp_path: Path) -> None:
    agent, path = AGENTS[name](), tmp_path / "agent.safetensors"
    agent.save(path)
    what = f"`ids` must be the raw ids of its {ITEMS} items, in any order, {message}"
    with pytest.raises(ValueError, match=f"{path.name} is of an agent over other items: {what}"):
        type(agent).load(path, ids)


@EVERY
def test_a_file_without_ids_is_loaded_as_it_is(name: str, tmp_path: Path) -> None:
    """One of an agent that was made without any, as earlier versions made all of them."""
    agent, path = AGENTS[name](), tmp_path / "agent.safetensors"
    agent.catalogue = None
    agent.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = type(agent).load(path)
    assert again.catalogue is None
    assert asked(again, RAW) == asked(agent, RAW)
    with pytest.warns(UserWarning, match="agent.safetensors has no raw ids.*in their order.*Save it again") as caught:
        named = type(agent).load(path, RAW)
    assert caught[0].filename == __file__
    assert named.catalogue.item == RAW
    assert asked(named, RAW) == asked(agent, RAW)


@EVERY
def test_ids_of_other_items_are_refused_when_it_is_made(name: str, tmp_path: Path) -> None:
    agent, path = AGENTS[name](), tmp_path / "agent.safetensors"
    agent.catalogue = None
    agent.save(path)
    fewer, what = RAW[:3], "a raw id for each item up to" if name.startswith("FixedList") else "one raw id for each of"
    with pytest.warns(match="no raw ids"), pytest.raises(ValueError, match=f"`ids` must be {what} .* got .?3"):
        type(agent).load(path, fewer)


def test_a_checkpoint_of_other_items_is_refused(tmp_path: Path) -> None:
    """The same vectors, said to be of other films."""
    there = Simulator(RatedFeedback(DATA), horizon=5)
    for ids, refused in ((RAW, False), (RAW, False), (MOVED, True)):
        agent = DQNR(vectors(), ids=ids, horizon=5, gradient_steps=1)
        with pytest.raises(ValueError, match="agent items") if refused else nullcontext():
            fit(agent, there, TRAIN, interactions=120, sessions=24, checkpoint=tmp_path)


def test_a_moved_agent_is_another_one_to_a_checkpoint(tmp_path: Path) -> None:
    agent, path = AGENTS["DQNR"](), tmp_path / "agent.safetensors"
    agent.save(path)
    assert DQNR.load(path, RAW).data_digest == agent.data_digest != DQNR.load(path, MOVED).data_digest
