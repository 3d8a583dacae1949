"""The README's Python runs, block after block, on a small made world instead of the downloaded one."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.simulator import Simulator
from kgrl.train import fit

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# what the reader sees → what is run here; each must occur
SMALLER = {
    "from kgrl.datasets import MovieLens100K,": "from kgrl.datasets import SyntheticKGRec,",
    'MovieLens100K("data/ml-100k")': 'SyntheticKGRec("data/synthetic", num_users=60, num_items=240)',
    'model="TransE", dim=50, seed=0': 'model="TransE", dim=50, seed=0, epochs=2',
    '"gradient_steps": 32': '"gradient_steps": 4',
    "interactions=30_720, evaluate_every=1_024, sessions=32": "interactions=256, evaluate_every=256, sessions=8",
    "lr=1e-3, seed=0).restrict(old)": "lr=1e-3, gradient_steps=4, seed=0).restrict(old)",
    "interactions=20_480, seed=0": "interactions=256, sessions=8, seed=0",
    "RatedFeedback(data)": "RatedFeedback(data, relevant_above=0.0)",
    "interactions=2_000_000, evaluate_every=200_000, sessions=1_024":
        "interactions=512, evaluate_every=512, sessions=8",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the README's names stand for after its last block."""
    source = "\n".join(re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))
    for shown, smaller in SMALLER.items():
        assert source.count(shown) == 1, f"the README no longer says {shown!r}"
        source = source.replace(shown, smaller)
    names: dict[str, Any] = {"__name__": "readme"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        exec(compile(source, "README.md", "exec"), names)
    return names


def test_shapes_are_as_the_comments_say(ran: dict[str, Any]) -> None:
    kg, conv, encoder = ran["kg"], ran["conv"], ran["encoder"]
    assert ran["x"].shape == (kg.num_nodes, 50)
    assert conv(ran["x"], kg.edge_index).shape == (kg.num_nodes, 16)
    assert encoder(ran["x"], targets=torch.tensor([3, 7])).shape == ran["h"].shape == (2, 50)
    assert ran["h"].requires_grad
    assert ran["items"].dim() == 1


def test_training_and_scores_are_there(ran: dict[str, Any]) -> None:
    assert [row["interactions"] for row in ran["curve"]] == [256]
    scores = ran["scores"]
    assert all(len(scores.per_user[name]) == len(ran["test"]) for name in ("reward", "precision", "recall", "f1"))


def test_the_tours_settings_are_those_that_the_results_were_made_with(ran: dict[str, Any]) -> None:
    script = runpy.run_path(str(ROOT / "examples" / "kgqr.py"))
    chosen = dict(script["SETTINGS"]["ml-100k", "heldout"])
    assert chosen.pop("interactions") == 30_720
    kind, count = chosen.pop("backfill").split(":")
    assert ran["settings"] | {"gradient_steps": 32} == chosen | {"backfill": (kind, int(count))}


def test_new_items_are_served_and_were_not_seen(ran: dict[str, Any]) -> None:
    shown = evaluate(ran["scout"], Simulator(ran["world"].feedback, horizon=32, items=ran["new"]), ran["test"]).sessions
    assert torch.isin(shown.items, ran["new"]).all()
    assert not torch.isin(ran["before"]["user", "rates", "item"].edge_index[1], ran["new"]).any()


def test_tpgr_walks_the_attached_tree(ran: dict[str, Any]) -> None:
    assert [row["interactions"] for row in ran["walked"]] == [512]
    assert torch.equal(ran["data"]["item"].cluster_path, ran["walker"].tree.paths)
    assert ran["mean"].shape == (1, 8)


def test_own_parts_are_used(ran: dict[str, Any]) -> None:
    """The agent with the README's aggregator acts in the README's own world."""
    from kgrl.rollout import rollout

    sessions = rollout(ran["agent"], ran["own_world"], ran["test"])
    assert (sessions.length == 32).all()
    assert any(isinstance(part, ran["BiInteraction"]) for part in ran["agent"].modules())
    users = sessions.users[:, None].expand_as(sessions.items)
    assert torch.equal(sessions.feedback, ran["table"][users, sessions.items])


def test_candidates_belong_to_their_sessions(ran: dict[str, Any]) -> None:
    assert set(ran["batch"].tolist()) == {0, 1}
    assert not set(ran["items"][ran["batch"] == 0].tolist()) & {5, 9}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_agent_of_ones_own_can_be_given_to_fit(ran: dict[str, Any]) -> None:
    """Where a training session opens with an item that the world drew, which may not be shown again."""
    class Learner(ran["MostLiked"]):  # type: ignore[misc]
        def learn(self, sessions: Any, generator: Any = None) -> None: ...

    agent, world = Learner(ran["popular"]), ran["world"]
    assert len(world.first), "else nothing is drawn"
    fit(agent, world, ran["train"], interactions=10 * world.horizon, sessions=10, seed=0)
    alone = Simulator(world.feedback, horizon=4)
    assert rollout(agent, alone, ran["test"]).items.tolist() == [ran["popular"][:4].tolist()] * len(ran["test"])
