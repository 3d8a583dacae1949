"""The table γ × world: by hand, and the page against the cells."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_rel, wilcoxon

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "examples" / "reproduce" / "leaving.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_rows_by_hand(script: dict[str, Any]) -> None:
    low = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]]
    high = [[value + 0.1 + 0.01 * place for place, value in enumerate(row)] for row in low]
    cells = {gamma: {seed: {"valid": 0.5, "steps": 4.0, "test": row} for seed, row in enumerate(rows)}
             for gamma, rows in ((0.0, low), (0.9, [*high, high[0]]))} | {0.5: {0: {}}}
    first, second, third = script["rows"]("boredom", cells)
    assert first[:4] == ["boredom", "0", "2", "0.5000"]
    assert first[6:] == ["", "", ""]
    assert second[1:3] == ["0.9", "3"]
    assert second[6] == "+0.1250"  # over the seeds that both have
    users = [sum(pair) / 2 for pair in zip(*high, strict=True)], [sum(pair) / 2 for pair in zip(*low, strict=True)]
    assert second[7] == f"{wilcoxon(*users).pvalue:.1g}"
    means = [[sum(row) / 6 for row in rows] for rows in (high, low)]
    assert second[8] == f"{ttest_rel(*means).pvalue:.1g}" or float(second[8]) < 1e-6  # a constant difference: rounding
    assert third[:4] == ["boredom", "0.5", "0", "missing"]


def test_all_is_worked_through_in_copies(script: dict[str, Any], tmp_path: Path) -> None:
    for jobs in (1, 3):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        script["run_all"](lambda number, folder=folder: (folder / str(number)).touch(), 7, jobs)
        assert sorted(path.name for path in folder.iterdir()) == list("0123456")


def test_the_page_says_what_the_cells_say(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "how-to" / "leaving.md").read_text(encoding="utf-8")
    args = argparse.Namespace(cells=SCRIPT.parent / "cells-leaving", interactions=4_096)
    for world in script["WORLDS"]:
        cells = {gamma: {seed: script["read"](script["place"](args, world, gamma, seed)) for seed in range(5)}
                 for gamma in (0.0, 0.5, 0.9)}
        for row in script["rows"](world, cells):
            if row[2] != "0":
                assert f"| {' | '.join(row)} |" in page
