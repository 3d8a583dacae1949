"""The README's Python runs, block after block, on a small made world instead of the downloaded one."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from kgrl.rollout import rollout
from kgrl.simulator import Simulator
from kgrl.train import fit
from tests.pages import DOCS, README, ROOT, tour

TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran() -> dict[str, Any]:
    """What the README's names stand for after its last block."""
    return tour()[0]


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 200


def test_shapes_are_as_the_comments_say(ran: dict[str, Any]) -> None:
    kg, conv, encoder = ran["kg"], ran["conv"], ran["encoder"]
    assert ran["x"].shape == (kg.num_nodes, 50)
    assert conv(ran["x"], kg.edge_index).shape == ran["h"].shape == (kg.num_nodes, 16)
    assert ran["seen"].shape == (2, 50)
    assert torch.allclose(encoder(ran["x"], kg.edge_index)[[3, 7]], ran["seen"], atol=1e-5)


def test_training_and_scores_are_there(ran: dict[str, Any]) -> None:
    assert [row["interactions"] for row in ran["curve"]] == [256]
    scores = ran["scores"]
    assert all(len(scores.per_user[name]) == len(ran["test"]) for name in ("reward", "precision", "recall", "f1"))


def test_the_output_to_expect_is_what_was_printed() -> None:
    kept = (DOCS / "outputs" / "kgqr.txt").read_text(encoding="utf-8").splitlines()
    (shown,) = (block for block in re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL) if "prior alone" in block)
    assert set(shown.splitlines()) <= set(kept)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_agent_of_ones_own_can_be_given_to_fit(ran: dict[str, Any]) -> None:
    """Where a training session opens with an item that the world drew, which may not be shown again."""
    class Learner(ran["MostLiked"]):  # type: ignore[misc]
        def learn(self, sessions: Any, generator: Any = None) -> None: ...

    agent, world = Learner(), ran["world"]
    assert len(world.first), "else nothing is drawn"
    fit(agent, world, ran["train"], interactions=10 * world.horizon, sessions=10, seed=0)
    alone = Simulator(world.feedback, horizon=4)
    assert rollout(agent, alone, ran["test"]).items.tolist() == [ran["popular"][:4].tolist()] * len(ran["test"])
