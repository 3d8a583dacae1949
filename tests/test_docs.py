"""The documentation: its Python runs, its links hold, and its generated pages say what the cells say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import kgrl.agents
from kgrl.evaluate import evaluate
from kgrl.experiments.method import METHODS
from kgrl.experiments.pages import AGENTS
from kgrl.rollout import rollout
from kgrl.simulator import Simulator
from kgrl.train import fit
from tests.pages import DOCS, ROOT, after, blocks

REPRODUCE = ROOT / "examples" / "reproduce"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")
               if not {"generated", "_build"} & set(path.relative_to(DOCS).parts))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(DOCS / page)])
def test_python_runs(page: str) -> None:
    assert after(page)


def test_there_is_python_to_run() -> None:
    assert sum(bool(blocks(DOCS / page)) for page in PAGES) >= 8


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#:\s]+)", text)
    assert not [link for link in links if not ((DOCS / page).parent / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_in_a_table_of_contents(page: str) -> None:
    trees = [(path.parent, tree) for path in DOCS.rglob("index.md") for tree in
             re.findall(r"^```\{toctree\}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)]
    entries = {(where / line).relative_to(DOCS).as_posix() for where, tree in trees for line in tree.splitlines()}
    assert page.removesuffix(".md") in entries | {"index"}


def test_layers_have_the_shapes_that_the_page_says() -> None:
    ran = after("how-to/layers.md")
    x, kg = ran["x"], ran["kg"]
    assert ran["conv"](x, kg.edge_index).shape == (kg.num_nodes, 16)
    assert ran["encoder"](x, targets=torch.tensor([3, 7])).shape == (2, 50)
    assert ran["h"].shape == (kg.num_nodes, 8)
    assert ran["items"].shape == (kg.num_items, 50)
    assert ran["mean"].shape == (1, 8)
    assert ran["h"].requires_grad
    assert ran["translated"](x).shape == (kg.num_items, 50)
    assert ran["attention"](x, kg.edge_index, kg.edge_type).shape == (kg.num_nodes, 16)
    heard = torch.zeros(kg.num_nodes).index_add(0, ran["edges"][0], ran["alpha"])
    torch.testing.assert_close(heard, torch.isin(torch.arange(kg.num_nodes), kg.edge_index[0]).float())


def test_new_items_are_served_and_were_not_seen() -> None:
    ran = after("how-to/new-items.md")
    shown = evaluate(ran["scout"], Simulator(ran["world"].feedback, horizon=32, items=ran["new"]), ran["test"]).sessions
    assert torch.isin(shown.items, ran["new"]).all()
    assert not torch.isin(ran["before"]["user", "rates", "item"].edge_index[1], ran["new"]).any()


def test_tpgr_walks_the_attached_tree() -> None:
    ran = after("how-to/tpgr.md")
    assert [row["interactions"] for row in ran["walked"]] == [512]
    assert torch.equal(ran["data"]["item"].cluster_path, ran["walker"].tree.paths)


def test_own_parts_are_used() -> None:
    """The agent with the page's aggregator acts in the page's own world."""
    ran = after("how-to/swap-a-part.md")
    sessions = rollout(ran["agent"], ran["own_world"], ran["test"])
    assert (sessions.length == 32).all()
    assert any(isinstance(part, ran["BiInteraction"]) for part in ran["agent"].modules())
    users = sessions.users[:, None].expand_as(sessions.items)
    assert torch.equal(sessions.feedback, ran["table"][users, sessions.items])
    pooled = rollout(ran["pooled"], ran["world"], ran["test"])
    assert torch.isin(pooled.items, ran["popular"][:100]).all()


def test_the_agent_of_ones_own_can_be_given_to_fit() -> None:
    ran = after("how-to/own-agent.md")

    class Learner(ran["MostLiked"]):  # type: ignore[misc]
        def learn(self, sessions: Any, generator: Any = None) -> None: ...

    agent, world = Learner(ran["popular"]), ran["world"]
    fit(agent, world, ran["train"], interactions=10 * world.horizon, sessions=10, seed=0)
    alone = Simulator(world.feedback, horizon=4)
    assert rollout(agent, alone, ran["test"]).items.tolist() == [ran["popular"][:4].tolist()] * len(ran["test"])


def test_candidates_belong_to_their_sessions() -> None:
    ran = after("how-to/candidates.md")
    assert set(ran["batch"].tolist()) == {0, 1}
    assert not set(ran["items"][ran["batch"] == 0].tolist()) & {5, 9}


def test_what_was_saved_serves_what_is_left() -> None:
    ran = after("how-to/serve.md")
    shown = ran["kept"].recommend(ran["past"], k=int(ran["kg"].num_items))
    assert (shown >= 0).sum() > 100
    assert not torch.isin(shown, ran["popular"][:10]).any()


def test_every_agent_has_a_page() -> None:
    served = {name for name in kgrl.agents.__all__ if hasattr(getattr(kgrl.agents, name), "act")}
    assert served == set(AGENTS) == {path.stem for path in (DOCS / "agents").glob("*.md")} - {"index"}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(REPRODUCE / "pages.py"))


def test_pages_say_what_the_cells_say(script: dict[str, Any]) -> None:
    made = script["pages"](ROOT, REPRODUCE / "cells", REPRODUCE / "tuned.json")
    assert len(made) == len(AGENTS) + 2
    assert not script["out_of_date"](made), "run examples/reproduce/pages.py"


def test_results_say_what_the_cells_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text((REPRODUCE / "RESULTS.md").read_text(encoding="utf-8"), encoding="utf-8")
    for plot in ("plot_curves", "plot_rows"):
        monkeypatch.setattr(f"kgrl.experiments.figures.{plot}", lambda *arguments: None)
    own = [name for name in METHODS if METHODS[name].file is not None]
    assert not own, "methods of one's own must not be in the tables"
    monkeypatch.setattr(sys, "argv", ["render.py", "--results", str(page)])
    runpy.run_path(str(REPRODUCE / "render.py"), run_name="__main__")
    assert page.read_text(encoding="utf-8") == (REPRODUCE / "RESULTS.md").read_text(encoding="utf-8"), \
        "run examples/reproduce/render.py --results examples/reproduce/RESULTS.md"
