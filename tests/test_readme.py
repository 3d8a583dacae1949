"""The README's Python runs, block after block, on a small made world instead of the downloaded one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.rollout import rollout
from kgrl.simulator import Simulator
from kgrl.train import fit
from tests.pages import DOCS, README, ROOT, tour

TEXT = README.read_text(encoding="utf-8")
TOUR = re.search(r"<!-- tour -->\n```python\n(.*?)```", TEXT, re.DOTALL)[1]  # type: ignore[index]


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


def test_the_tour_reaches_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the real data, with nothing left out: who copies the tour gets the score beside its last comment."""
    raw = ROOT / "data" / "ml-100k" / "raw"
    if not (raw / "ml-100k.inter").is_file():
        pytest.skip("data/ml-100k/raw is not here: the data set was not downloaded")
    (tmp_path / "data" / "ml-100k").mkdir(parents=True)
    (tmp_path / "data" / "ml-100k" / "raw").symlink_to(raw, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    promised, best = map(float, re.findall(r"# about (\d\.\d+); the best fixed list has (\d\.\d+)", TEXT)[0])
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(TOUR, "README.md", "exec"), names)
    assert abs(names["scores"].reward - promised) < 0.03
    assert abs(names["world"].bounds(names["test"], names["train"]).metrics("best fixed list")["reward"] - best) < 0.01


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
