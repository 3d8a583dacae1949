"""Pages made from cells: which row is whose, what stands beside it, and what is out of date."""

from __future__ import annotations

import re

import pytest

import kgrl.experiments.methods
import kgrl.experiments.new_item_methods  # noqa: F401 (both make methods known)
from kgrl.experiments.method import METHODS
from kgrl.experiments.pages import AGENTS, SUMMARY, Pages, agent_of, out_of_date
from kgrl.experiments.search import Tuned
from tests.experiments.made_cells import made_cell

SPLITS = {f"mine/logged-new-{split}/eta-0": 1.0 + split for split in (0, 1)}


@pytest.mark.parametrize(("method", "agent"), [
    ("KGQR (random backfill, no KG)", "KGQR"), ("KGQR-KG in the backfill", "DQNR"), ("KG prior", "LinearGaussian"),
    ("KG profile (shuffled KG)", "KGProfile"), ("LinearUCB (KG vectors)", "LinearUCB"), ("HLinearUCB", "HLinearUCB"),
    ("Fixed list by KG", "FixedList"), ("My own", ""),
])
def test_a_row_is_its_agents(method: str, agent: str) -> None:
    assert agent_of(method) == agent


def test_every_row_has_an_agent_and_every_agent_a_row() -> None:
    assert {agent_of(name) for name, method in METHODS.items() if method.file is None} == AGENTS.keys()


@pytest.fixture
def pages(tmp_path):
    """One world of users' splits and one of new items, with a few rows each."""
    def write(method, seed, reward, setting):
        options = dict(METHODS[method].grid[0]) if method in METHODS else {}
        made_cell(method, seed, [reward] * 3, setting=setting, options=options, data=setting, training={}
                  ).write(tmp_path)

    for setting, high in {"mine/logged/eta-0": 1.0, **SPLITS}.items():
        for line, reward in (("random", 0.0), ("best fixed list", 0.5 * high), ("all-knowing", high)):
            write(f"bound: {line}", 0, reward, setting)
    write("Popularity", 0, 0.25, "mine/logged/eta-0")
    write("GreedySVD", 0, 0.375, "mine/logged/eta-0")
    for setting, high in SPLITS.items():
        write("KG profile", 0, 0.75 * high, setting)
        write("KG profile (shuffled KG)", 0, 0.25 * high, setting)
    return Pages(tmp_path, Tuned(tmp_path / "none.json"))


def test_a_page_has_the_agents_rows_its_opponents_and_the_bounds(pages) -> None:
    page = pages.agent("FixedList")
    assert page.startswith("# FixedList\n")
    first = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| ")]
    assert first == [["| method", "reward"], ["| Popularity", "0.2500"], ["| GreedySVD", "0.3750"],
                     ["| all-knowing", "1.0000"], ["| best fixed list", "0.5000"], ["| random", "0.0000"]]
    assert "run.py --worlds mine/logged --etas 0 --seeds 0 --methods Popularity\n" in page
    assert "split): `mine/logged/`" in page  # the first twelve signs of what is a digest in a real cell


def test_several_splits_are_one_sheet_with_the_control_beside(pages) -> None:
    page = pages.agent("KGProfile")
    (row,) = (line for line in page.splitlines() if line.startswith("| KG profile |"))
    assert row == "| KG profile | 0.7500 | 1.5000 | 0.750 ± 0.000 | 2 | +0.500 | 0.5 |"
    assert "--worlds mine/logged-new-0 mine/logged-new-1 --etas 0" in page


def test_no_cell_no_section(pages) -> None:
    assert not re.search("^## ", pages.agent("KGQR"), re.MULTILINE)
    with pytest.raises(ValueError, match="did you mean 'KGQR'"):
        pages.agent("KGQRR")


def test_the_summary_means_over_seeds_then_over_splits(tmp_path) -> None:
    def write(method, seed, reward, setting):
        made_cell(method, seed, [reward] * 3, setting=setting, data=setting, training={}).write(tmp_path)

    for setting, rewards in (("ml-100k/heldout-new-0/eta-0", (0.25, 0.75)), ("ml-100k/heldout-new-1/eta-0", (1.0,))):
        write("bound: random", 0, 0.125, setting)
        for seed, reward in enumerate(rewards):
            write("KG prior", seed, reward, setting)
    rows = Pages(tmp_path, Tuned(tmp_path / "none.json")).summary().rows
    assert len(rows) == len(SUMMARY)
    assert rows[3][1:] == ["0.125", "–", "–", "0.750", "–", "**KGQR –**", "–", "–", "–"]  # (0.5 + 1) / 2


def test_what_is_out_of_date_is_told(tmp_path) -> None:
    (tmp_path / "same.md").write_text("a\n", encoding="utf-8")
    (tmp_path / "old.md").write_text("a\n", encoding="utf-8")
    pages = {tmp_path / "same.md": "a\n", tmp_path / "old.md": "b\n", tmp_path / "missing.md": "c\n"}
    assert [path.name for path in out_of_date(pages)] == ["old.md", "missing.md"]
