"""Parts by name, class or instance: what they are made with, and which options have no effect beside them.

The registries are walked: every name is on the page "Swap a part" and in its owner's docstring, is tried in the tests
of its room, and says where it comes from.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kgrl.agents import KGQR, TPGR, GRU4Rec
from kgrl.agents.q_learning.kgqr_parts import CANDIDATES
from kgrl.agents.state.recurrent import STATES, LikedItems, RewardedItems
from kgrl.candidates import FixedCandidates, KHopCandidates
from kgrl.nn import Aggregator, KGConv, KGEncoder
from kgrl.nn.conv.layer_options import AGGREGATORS
from kgrl.nn.conv.named_aggregators import ConcatAggregator
from kgrl.parts import UnusedOption, accepted, made_part, named_part, takes, warn_unused
from kgrl.simulator import FeedbackModel, PlantedFeedback, PredictedFeedback, RatedFeedback, Simulator
from kgrl.simulator.feedback_models import FEEDBACK_MODELS
from kgrl.tree import ClusterTree
from kgrl.tree.cluster_tree import SPLITS
from tests.agents.every_agent import HORIZON, ITEMS, TRAIN, USERS, data
from tests.small_runs import small_agent, small_world

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "how-to" / "swap-a-part.md").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------- made from options

class Plain:
    def __init__(self, size: int = 1) -> None:
        self.size = size


class Open(Plain):
    def __init__(self, **options: Any) -> None:
        self.options = options


def test_a_class_is_made_with_the_options_that_it_names() -> None:
    assert accepted(Plain, {"size": 3, "depth": 4}) == {"size": 3}
    assert accepted(Open, {"size": 3, "depth": 4}) == {"size": 3, "depth": 4}
    assert made_part("part", "PLAIN", {"plain": Plain}, Plain, size=3, depth=4).size == 3
    assert made_part("part", Plain, {}, Plain, size=3, depth=4).size == 3
    assert made_part("part", Open, {}, Plain, size=3).options == {"size": 3}
    there = Plain(5)
    assert made_part("part", there, {}, Plain, size=3) is there
    assert there.size == 5
    with pytest.raises(ValueError, match="`part` must be a known name, got 'plane'; choose from plain; did you mean"):
        made_part("part", "plane", {"plain": Plain}, Plain, size=3)
    with pytest.raises(TypeError, match="`part` must be a name, a subclass or an instance of Plain"):
        made_part("part", dict, {"plain": Plain}, Plain, size=3)


def test_an_instance_takes_no_option() -> None:
    assert takes("Plain", {"plain": Plain}, "size")
    assert takes(Plain, {}, "size")
    assert not takes(Plain(), {}, "size")
    assert not takes(Plain, {}, "depth")
    assert not takes("unknown", {"plain": Plain}, "size")


def test_only_what_is_not_the_default_is_warned_of_at_the_callers_line() -> None:
    with pytest.warns(UnusedOption, match="Plain: `size` has no effect here; leave it out") as caught:
        warn_unused(Plain, "here", size=2)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unused(Plain, "here", size=1)


def test_what_options_remember_of_a_part() -> None:
    assert named_part("GAT") == "gat"
    assert named_part(Plain) == {"custom": repr(Plain)}


# ------------------------------------------------------------------------------------------------- the registries

WALKED: dict[str, tuple[Mapping[str, Callable[..., Any]], tuple[Any, ...], str]] = {
    "aggregator": (AGGREGATORS, (KGConv,), "nn/conv"),
    "state": (STATES, (KGQR, TPGR), "agents"),
    "candidates": (CANDIDATES, (KGQR,), "test_parts.py"),
    "tree": (SPLITS, (ClusterTree.build, TPGR), "tree"),
    "feedback": (FEEDBACK_MODELS, (Simulator,), "test_parts.py"),
}
"""Argument → its names, whose docstring lists them, and where among the tests they are tried."""
SOURCE = re.compile(r"KGQR|TPGR|arxiv\.org|et al\.,? (19|20)\d\d|Neither paper")
EVERY = [(argument, name) for argument, (names, _, _) in WALKED.items() for name in names]


@pytest.mark.parametrize(("argument", "name"), EVERY)
def test_every_name_is_documented_tested_and_cited(argument: str, name: str) -> None:
    names, owners, place = WALKED[argument]
    (line,) = [line for line in PAGE.splitlines() if line.startswith("| [") and f"`{argument}`" in line.split("|")[2]]
    assert f'`"{name}"`' in line.split("|")[3], f"{name} is not in the table of docs/how-to/swap-a-part.md"
    for owner in owners:
        assert f'"{name}"' in owner.__doc__, f"{name} is not in the docstring of {owner.__qualname__}"
    files = [ROOT / "tests" / place] if place.endswith(".py") else (ROOT / "tests" / place).rglob("test_*.py")
    assert any(f'"{name}"' in file.read_text(encoding="utf-8") for file in files), f"no test in {place} tries {name}"
    made = getattr(names[name], "__self__", names[name])  # of a classmethod, its class
    assert SOURCE.search(made.__doc__), f"{made.__qualname__} does not say where it comes from"


@pytest.mark.parametrize("argument", WALKED)
def test_the_page_has_no_other_name(argument: str) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("| [") and f"`{argument}`" in line.split("|")[2]]
    assert set(re.findall(r'`"([\w-]+)"`', line.split("|")[3])) - {"kg"} == set(WALKED[argument][0])


def test_every_part_of_the_page_has_its_section_with_code() -> None:
    sections = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\)", PAGE, re.MULTILINE)
    assert len(sections) == 6
    for section in sections:
        title = section.replace("-", " ")
        (text,) = [part for part in PAGE.split("\n## ") if part.lower().startswith(title + "\n")]
        assert "```python" in text


@pytest.mark.parametrize(("page", "name", "most"), [
    ("swap-a-part", "BiInteraction", 15), ("own-agent", "MostLiked", 30)])
def test_a_part_of_ones_own_is_short(page: str, name: str, most: int) -> None:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    (source,) = re.findall(rf"^class {name}\(.*?(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert "def " in source
    assert len(source.strip().splitlines()) <= most


# ------------------------------------------------------------------------------------------ one argument swaps a part

def tpgr(**options: Any) -> TPGR:
    given = {"horizon": HORIZON, "item_channels": 4, "state_channels": 5, "taste_channels": 3}
    return TPGR.from_data(data(), TRAIN, **(given | options))


@pytest.mark.parametrize("given", ["concat", "CONCAT", ConcatAggregator])
def test_an_aggregator(given: Any) -> None:
    for agent in (small_agent(aggregator=given), tpgr(state="KG", aggregator=given)):
        encoder = agent.items.encoder if isinstance(agent, TPGR) else agent.network.items.encoder
        assert [type(conv.aggregator) for conv in encoder.convs] == [ConcatAggregator] * 2
    there = ConcatAggregator((6, 6), 6)
    assert small_agent(aggregator=there).network.items.encoder.convs[0].aggregator is there


@pytest.mark.parametrize(("given", "kind"), [
    ("k-hop", KHopCandidates), ("K-Hop", KHopCandidates), (KHopCandidates, KHopCandidates),
    ("all", FixedCandidates), ("ALL", FixedCandidates), (FixedCandidates, FixedCandidates)])
def test_a_candidate_rule(given: Any, kind: type) -> None:
    options = {"num_candidates": 7, "backfill": ("random", 3), "max_degree": 11} if kind is KHopCandidates else {
        "backfill": "default"}
    rule = small_agent(candidates=given, **options).candidates
    assert type(rule) is kind
    if kind is KHopCandidates:
        assert (rule.hops, rule.size, rule.backfill, rule.max_degree) == (2, 7, ("random", 3), 11)


def test_a_candidate_rule_by_name_is_found_again_in_a_file(tmp_path: Path) -> None:
    for name, kind in (("k-hop", KHopCandidates), ("all", FixedCandidates)):
        agent = small_agent(candidates=name, backfill="default")
        agent.save(tmp_path / "agent.safetensors")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnusedOption)
            loaded = KGQR.load(tmp_path / "agent.safetensors", small_agent().candidates._kg)
        assert type(loaded.candidates) is kind
        assert loaded.options == agent.options


@pytest.mark.parametrize("given", ["kmeans", "KMeans", "pca", ClusterTree])
def test_a_tree(given: Any) -> None:
    vectors = torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(0))
    method = given.lower() if isinstance(given, str) else "pca"
    made = TPGR(given, vectors, horizon=HORIZON).tree
    assert torch.equal(made.paths, ClusterTree.build(vectors, method=method).paths)
    assert len(tpgr(tree=given).tree) == ITEMS
    there = ClusterTree.build(vectors)
    assert TPGR(there, horizon=HORIZON).tree is there


@pytest.mark.parametrize(("given", "kind"), [
    ("sru", RewardedItems), ("Sru", RewardedItems), (RewardedItems, RewardedItems),
    ("gru", LikedItems), ("GRU", LikedItems), (LikedItems, LikedItems)])
def test_a_session_state(given: Any, kind: type) -> None:
    """A class gets what its name gets."""
    walker = tpgr(state=given, eta=0.5, **({"bins": 4} if kind is RewardedItems else {})).state.part("recurrent")
    learner = small_agent(state=given).network.state.part("recurrent")
    assert (type(walker), walker.channels, type(learner), learner.channels) == (kind, 5, kind, 6)
    if kind is RewardedItems:
        assert (walker.bins, walker.highest) == (4, 1 + 0.5 * (HORIZON - 1))
    assert small_agent(state=learner).network.state.part("recurrent") is learner


class Table(FeedbackModel):
    def __init__(self, data: Any) -> None:
        super().__init__(USERS, ITEMS)
        self.data = data

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.rows(users)[torch.arange(len(users)), items]

    def rows(self, users: Tensor) -> Tensor:
        return torch.linspace(-1, 1, ITEMS).expand(len(users), -1)


@pytest.mark.parametrize(("given", "kind"), [
    ("rated", RatedFeedback), ("Rated", RatedFeedback), (RatedFeedback, RatedFeedback), (Table, Table),
    ("predicted", PredictedFeedback), (PredictedFeedback, PredictedFeedback)])
@pytest.mark.filterwarnings("ignore:PredictedFeedback.fit")
def test_a_feedback_model(given: Any, kind: type) -> None:
    world = Simulator(given, horizon=HORIZON, data=data())
    assert type(world.feedback) is kind
    assert (world.num_items, world.feedback.num_users) == (ITEMS, USERS)
    there = Table(None)
    assert Simulator(there).feedback is there


def test_planted_feedback_by_name() -> None:
    planted = data().clone()
    planted["user"].taste, planted["item"].attribute = torch.arange(USERS)[:, None] % 4, torch.arange(ITEMS) % 4
    assert type(Simulator("planted", data=planted).feedback) is PlantedFeedback
    with pytest.raises(ValueError, match="`data` must be of planted tastes"):
        Simulator("planted", data=data())


# --------------------------------------------------------------------------------------------- wrong parts, at once

class Half(Aggregator):
    """Returns half of what it must."""

    def __init__(self, in_channels: Any, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.wide = nn.Linear(in_channels[0], out_channels // 2, bias)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.wide(neighbours)


class Rule(nn.Module):
    """Gives what it is told to."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    def select(self, seeds: Tensor, exclude: Tensor, generator: Any = None) -> Any:
        return self.found


class Growing(LikedItems):
    def step(self, carry: Any, items: Any, step: Any) -> Any:
        return torch.cat([carry, carry], 1)


def lacking_an_item() -> ClusterTree:
    return ClusterTree.build(torch.randn(ITEMS - 1, 3))


ids = torch.tensor
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "an aggregator's shape": (lambda: small_agent(aggregator=Half), r"`Half.forward` must be of the shape \[targ"),
    "in TPGR, too": (lambda: tpgr(state="kg", aggregator=Half), r"`Half.forward` must be of the shape"),
    "an aggregator's name": (lambda: small_agent(aggregator="gta"), "`aggregator` .*did you mean 'gat'"),
    "kwargs beside an instance": (
        lambda: small_agent(aggregator=ConcatAggregator((6, 6), 6), aggregator_kwargs={"heads": 2}),
        "`aggregator_kwargs` must be left out beside an instance"),
    "a tree without an item": (lambda: tpgr(tree=lacking_an_item()), "`tree` must be over the data set's 20 items"),
    "a tree's name": (lambda: tpgr(tree="kmean"), "`tree` .*did you mean 'kmeans'"),
    "a tree of nothing": (lambda: TPGR("pca"), "`tree` must be an instance, got 'pca'; give `embedding`"),
    "no tree": (lambda: tpgr(tree=3), "`tree` must be a ClusterTree, got 'int'; a name"),
    "a carry that grows": (lambda: small_agent(state=Growing), "`state` must be a state whose carry keeps its shape"),
    "in TPGR": (lambda: tpgr(state=Growing), "`state` must be a state whose carry keeps its shape"),
    "no state": (lambda: small_agent(state=nn.Linear(2, 2)), "`state` .*it has no channels, items, initial, step, re"),
    "a rule's name": (lambda: small_agent(candidates="khop"), "`candidates` .*did you mean 'k-hop'"),
    "a rule against the variant": (lambda: small_agent(candidates="k-hop", variant="KGQR-CS"),
                                   "`candidates` must be 'all' or left out, as variant='KGQR-CS'"),
    "no rule": (lambda: small_agent(candidates=nn.Linear(2, 2)), r"`candidates` must be an object with `select\(…\)`"),
    "the class of no rule": (lambda: small_agent(candidates=nn.Identity), r"`candidates` must be an object with `sel"),
    "a rule's items alone": (lambda: small_agent(candidates=Rule(ids([1]))), "`Rule.select` must be a pair"),
    "a rule's lengths": (lambda: small_agent(candidates=Rule((ids([1]), ids([0, 1])))), "`Rule.select` must be a Long"),
    "a rule's ids": (lambda: small_agent(candidates=Rule((ids([40]), ids([0])))), r"of item ids in \[0, 40\)"),
    "a rule's sessions": (lambda: small_agent(candidates=Rule((ids([1]), ids([2])))), r"sessions in \[0, 2\)"),
    "a rule that repeats": (lambda: small_agent(candidates=Rule((ids([0]), ids([0])))), "without the items of `excl"),
    "a world's name": (lambda: Simulator("rate", data=data()), "`feedback` .*did you mean 'rated'"),
    "a world of nothing": (lambda: Simulator("rated"), "`data` must be given beside the name or class"),
    "data beside an instance": (lambda: Simulator(Table(None), data=data()), "`data` must be left out beside an inst"),
    "no world": (lambda: Simulator(dict), "`feedback` must be a FeedbackModel, the name or the class of one"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_part_is_named_when_its_owner_is_made(what: str) -> None:
    make, message = WRONG[what]
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_an_agent_without_act_is_named() -> None:
    from kgrl.evaluate import evaluate
    from kgrl.rollout import rollout
    from kgrl.train import fit

    world, users = small_world(), torch.arange(4)
    for given in (nn.Linear(2, 2), KGQR):
        for use in (rollout, evaluate, fit):
            with pytest.raises(TypeError, match=r"`agent` must be an object with `act\(…\)`"):
                use(given, world, users)


# ------------------------------------------------------------------------------------------- options without effect

def vectors(count: int, length: int) -> Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(0))


class Shown(LikedItems):
    def __init__(self, item_channels: int) -> None:
        super().__init__(item_channels, 3)


UNUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "all": (lambda: small_agent(candidates="all", num_candidates=5, max_degree=3),
            ["num_candidates", "backfill", "max_degree"]),
    "a rule's instance": (lambda: small_agent(candidates=FixedCandidates(40), num_candidates=5),
                          ["num_candidates", "backfill"]),
    "a variant": (lambda: small_agent(variant="KGQR-CS"), ["backfill"]),
    "no convolution": (lambda: small_agent(variant="KGQR-GCN-CS", aggregator="gat", hops=1, backfill="default",
                                           aggregator_kwargs={"heads": 2}),
                       ["aggregator", "aggregator_kwargs", "hops"]),
    "dim": (lambda: small_agent(variant="KGQR-KG", embedding=vectors(40, 4), backfill="default"), ["dim"]),
    "dim that fits": (lambda: small_agent(variant="KGQR-KG", embedding=vectors(40, 6), backfill="default"), []),
    "dim of a convolution": (lambda: small_agent(embedding=vectors(44, 4)), []),
    "a state's instance": (lambda: small_agent(state=LikedItems(6, 3)), ["state_channels"]),
    "a state of one length": (lambda: small_agent(state=Shown), ["state_channels"]),
    "bins": (lambda: tpgr(state="gru", bins=3), ["bins"]),
    "bins of a class": (lambda: tpgr(state=RewardedItems, bins=3), []),
    "no KG": (lambda: tpgr(aggregator="gat", aggregator_kwargs={"heads": 2}), ["aggregator", "aggregator_kwargs"]),
    "item_channels": (lambda: tpgr(embedding=vectors(ITEMS, 3)), ["item_channels"]),
    "sharpness": (lambda: tpgr(taste_channels=0, sharpness=3.0), ["sharpness"]),
    "regularisation": (lambda: GRU4Rec(torch.arange(9), loss="bpr", regularisation=0.5), ["regularisation"]),
    "regularisation of BPR-max": (lambda: GRU4Rec(torch.arange(9), loss="bpr-max", regularisation=0.5), []),
    "nothing": (lambda: (small_agent(), tpgr()), []),
}


@pytest.mark.parametrize("what", UNUSED)
def test_an_option_without_effect_is_warned_of(what: str) -> None:
    make, names = UNUSED[what]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnusedOption)
        make()
    found = [each for each in caught if each.category is UnusedOption]
    assert [re.search("`(.+?)`", str(each.message))[1] for each in found] == names
    assert all(each.filename != KGQR.__init__.__code__.co_filename for each in found)


def test_an_encoder_has_the_aggregators_options() -> None:
    heads = KGEncoder(6, 2, "gat", aggregator_kwargs={"heads": 3}).convs[1].aggregator
    assert heads.heads == small_agent(aggregator="gat", aggregator_kwargs={"heads": 3}).network.items.encoder.convs[
        1].aggregator.heads == 3
