"""``examples/swap_aggregators.py``: one run of it, the output that is kept, and wrong arguments."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

from kgrl.nn.conv.layer_options import AGGREGATORS
from tests.example_runs import ROOT, run


def test_swap_aggregators(small_ml100k, tmp_path):
    """Every aggregator asked for has a row, the user's own as any other, and what is printed is what was measured."""
    arguments = ["--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--interactions", "320",
                 "--aggregators", "mean", "BiInteraction", "--out", str(tmp_path / "rows.json")]
    said = run(*arguments, script="swap_aggregators")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["aggregator"] for row in rows] == ["mean", "BiInteraction"]
    bounds = {line.split("  ")[0].strip(): float(line[18:30]) for line in said.splitlines()[1:6]}
    table = said[said.index("aggregator "):].splitlines()[1:]
    for row, line in zip(rows, table, strict=True):
        name, reward, precision, seconds, memory, weights = line.split()
        assert (name, float(reward), float(precision)) == (
            row["aggregator"], pytest.approx(row["reward"], abs=6e-4), pytest.approx(row["precision"], abs=6e-5))
        assert float(seconds) == pytest.approx(row["seconds"], abs=0.06)
        assert float(memory) == pytest.approx(row["mib"], abs=0.6)
        assert int(weights.replace(",", "")) == row["weights"]
        assert -1 - 0.1 * 31 / 2 <= row["reward"] <= bounds["upper bound"]  # the lowest: nothing liked, all the way
    assert rows[0]["weights"] == rows[1]["weights"] == 2 * (2 * 50 * 50 + 50)  # two layers of two matrices and a bias


def test_the_documentation_has_every_aggregators_row() -> None:
    kept = (ROOT / "docs" / "outputs" / "swap_aggregators.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in kept[kept.index("aggregator "):].splitlines()]
    assert rows[0] == ["aggregator", "reward", "precision", "seconds", "MiB", "weights"]
    assert [row[0] for row in rows[1:]] == [*AGGREGATORS, "BiInteraction"]
    assert {len(row) for row in rows} == {6}


@pytest.mark.parametrize(("given", "text"), [
    (["--aggregators", "gta"], "invalid choice: 'gta'"),
    (["--aggregators", "mean", "mean"], "`--aggregators` must be each at most once"),
    (["--interactions", "3"], "must be a whole number of at least 32"),
    (["--dataset", "synthetic", "--source", "f"], "--source is of no use: synthetic data are made"),
])
def test_wrong_arguments_of_swap_aggregators(given, text, monkeypatch, capsys):
    script = str(ROOT / "examples" / "swap_aggregators.py")
    monkeypatch.setattr(sys, "argv", [script, *given])
    with pytest.raises(SystemExit):
        runpy.run_path(script, run_name="__main__")
    assert text in capsys.readouterr().err
