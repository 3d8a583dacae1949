"""What is timed, with a clock that tells a made-up time, the fitted exponents, and the files that come of it."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kgrl.experiments import timing
from kgrl.experiments.decider import STATE
from kgrl.experiments.deciders import DECIDERS, make_decider
from kgrl.experiments.page import link
from kgrl.experiments.timing import (
    decision_seconds,
    decision_times,
    fitted_exponent,
    plot_decision_times,
    training_step_seconds,
)

PNG = b"\x89PNG\r\n\x1a\n"
SCRIPT = str(Path(__file__).resolve().parents[2] / "examples" / "reproduce" / "timing.py")


class Clocked(nn.Module):
    """Decides in ``each`` seconds an item, and updates in ``update_takes``, in turn, of a clock of its own."""

    def __init__(
        self, each: float, update_takes: list[float] | None = None, overhead: float = 0.0, hiccup: int | None = None
    ) -> None:
        super().__init__()
        self.hiccup = hiccup  # the decision, counted from 0, in which the machine does something else
        self.weight = nn.Parameter(torch.zeros(1))
        self.now, self.each, self.overhead = 0.0, each, overhead
        self.update_takes = update_takes or [0.0]
        self.decided: list[tuple[int, bool]] = []
        self.updated: list[tuple[tuple[int, ...], ...]] = []

    def decide(self, state: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        assert state.shape[1:] == (STATE,)
        self.decided.append((len(state), generator is not None))
        self.now += self.overhead + self.each * len(state) + 60 * (len(self.decided) - 1 == self.hiccup)
        return torch.zeros(len(state), dtype=torch.long)

    def update(self, state: torch.Tensor, items: torch.Tensor, rewards: torch.Tensor) -> None:
        self.now += self.update_takes[len(self.updated) % len(self.update_takes)]
        self.updated.append((tuple(state.shape), tuple(items.shape), tuple(rewards.shape)))


@pytest.fixture
def clocked(monkeypatch):
    def make(*args, **kwargs) -> Clocked:
        decider = Clocked(*args, **kwargs)
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: decider.now))
        return decider
    return make


def test_a_training_step_is_its_episodes_and_an_update(clocked):
    decider = clocked(0.01, update_takes=[500.0, 2.0, 90.0, 3.0])  # the warm-up's, and three
    found = training_step_seconds(decider, episodes=100, steps=4, repeats=3)
    assert found.seconds == pytest.approx(4 * 100 * 0.01 + 2.0)  # the fastest of 2, 90 and 3
    assert decider.updated[1:] == [((4, 100, STATE), (4, 100), (4, 100))] * 3
    assert decider.decided[4:] == [(100, True)] * 12  # all explore
    assert decider.decided[:4] == [(11, True)] * 4  # the warm-up is a small one
    assert found[1:] == (100, False, 100, 3, torch.get_num_threads(), "cpu")


def test_decisions_within_the_limit_are_all_made(clocked):
    decider = clocked(1e-5)
    found = decision_seconds(decider, decisions=10_000, batch=1_000, limit=1.0, repeats=5)
    assert found.seconds == pytest.approx(0.1)
    assert (found.measured, found.extrapolated, found.batch, found.repeats) == (10_000, False, 1_000, 5)
    assert decider.decided[-50:] == [(1_000, False)] * 50  # none explores
    assert all(size <= 1_000 for size, _ in decider.decided)


def test_decisions_beyond_the_limit_are_extrapolated(clocked):
    decider = clocked(1e-4)
    found = decision_seconds(decider, decisions=1_000_000, batch=1_000, limit=1.0, repeats=3)
    assert found.seconds == pytest.approx(100.0)
    assert found.extrapolated
    assert found.measured in (9_000, 10_000)
    assert decider.now < 5  # three repeats of a second, and what went before


def test_slow_methods_never_see_a_large_batch(clocked):
    decider = clocked(0.2)
    found = decision_seconds(decider, decisions=1_000_000, batch=16_384, limit=1.0, repeats=3)
    assert found.seconds == pytest.approx(200_000.0)
    assert max(size for size, _ in decider.decided) == found.batch == 4
    assert decider.now < 6


def test_what_a_call_costs_by_itself_is_shared_by_a_whole_batch(clocked):
    found = decision_seconds(clocked(1e-5, overhead=0.01), decisions=100_000, batch=10_000, limit=5.0)
    assert found.batch == 10_000
    assert found.seconds == pytest.approx(1.0 + 10 * 0.01)


def test_a_batch_that_does_not_divide_the_decisions(clocked):
    found = decision_seconds(clocked(1e-5), decisions=2_500, batch=1_000, limit=1.0)
    assert (found.measured, found.extrapolated) == (3_000, False)
    assert found.seconds == pytest.approx(0.025)  # of 2,500


def test_one_slow_repeat_does_not_count(clocked):
    calm = clocked(1e-5)
    found = decision_seconds(calm, decisions=1_000, limit=1.0, repeats=3)
    disturbed = decision_seconds(clocked(1e-5, hiccup=len(calm.decided) - 2), decisions=1_000, limit=1.0, repeats=3)
    assert disturbed.seconds == pytest.approx(found.seconds)


@pytest.mark.parametrize("options", [{"decisions": 0}, {"batch": 0}, {"repeats": 0}])
def test_nothing_to_measure_is_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be at least 1"):
        decision_seconds(make_decider("DQN-R", 5), **options)


@pytest.mark.parametrize("options", [{"episodes": 0}, {"steps": 0}, {"repeats": 0}])
def test_an_empty_training_step_is_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be at least 1"):
        training_step_seconds(make_decider("DQN-R", 5), **options)


SIZES = [10**k for k in range(1, 8)]


@pytest.mark.parametrize("power", [1.0, 0.5, 1 / 3, 1.7])
def test_the_exponent_of_a_power_law(power):
    exponent, since = fitted_exponent(SIZES, [3e-4 * size**power for size in SIZES])
    assert exponent == pytest.approx(power)
    assert since == SIZES[1]  # ten times as many items take at least twice as long


def test_the_exponent_leaves_out_where_the_constant_prevails():
    exponent, since = fitted_exponent(SIZES, [1 + max(size - 500, 0) / 500 for size in SIZES])
    assert since == 1_000  # 1, 1, then 2 and ten times more for each size
    assert exponent == pytest.approx(1.0, abs=0.06)
    exponent, since = fitted_exponent(SIZES[::-1], [100 + size**0.5 for size in SIZES[::-1]])
    assert since == 100_000
    assert 0.4 < exponent < 0.5


def test_no_exponent_without_growth():
    for seconds in ([1.0, 1.1, 0.9], [1.0, 1.5, 2.1]):
        exponent, since = fitted_exponent([1, 10, 100], seconds)
        assert math.isnan(exponent)
        assert since is None
    assert fitted_exponent([10, 10, 10], [1.0, 2.0, 4.0])[1] is None


@pytest.mark.parametrize("given", [([1, 2], [1.0]), ([1, 2], [1.0, 0.0]), ([0, 2], [1.0, 1.0])])
def test_no_exponent_of_what_is_not_positive(given):
    with pytest.raises(ValueError, match="`seconds` must be"):
        fitted_exponent(*given)


def test_rows_of_decision_times():
    seen = []
    rows = decision_times([10, 20], ["TPGR", "DQN-R"], decisions=100, batch=10, limit=0.01, repeats=1,
                          watch=seen.append)
    assert [(row["method"], row["items"]) for row in rows] == [
        ("TPGR", 10), ("TPGR", 20), ("DQN-R", 10), ("DQN-R", 20)]
    assert rows == seen
    assert all(row["seconds"] > 0 and row["device"] == "cpu" and row["repeats"] == 1 for row in rows)
    with pytest.raises(ValueError, match="a known name"):
        decision_times([10], ["TPG"])


def made_rows(method: str, power: float) -> list[dict]:
    return [{"method": method, "items": size, "seconds": 2.0 * size**power} for size in (10, 1_000, 100_000)]


def test_the_figure_is_a_whole_png_with_the_exponents(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    labels = []
    loglog = Axes.loglog
    monkeypatch.setattr(Axes, "loglog", lambda axes, *args, **kwargs: labels.append(kwargs["label"]) or loglog(
        axes, *args, **kwargs))
    rows = made_rows("TPGR", 0.5) + made_rows("DQN-R", 1.0) + made_rows("Random", 0.0)
    plot_decision_times(iter(rows), tmp_path / "times.png")
    assert labels == ["TPGR: $N^{0.50}$ from 1,000 items on", "DQN-R: $N^{1.00}$ from 1,000 items on",
                      "Random: too few sizes to fit"]
    image = (tmp_path / "times.png").read_bytes()
    assert image[:8] == PNG
    assert image[-8:-4] == b"IEND"
    assert [path.name for path in tmp_path.iterdir()] == ["times.png"]


def run(monkeypatch, capsys, *arguments: str) -> str:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments])
    try:
        runpy.run_path(SCRIPT, run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    return capsys.readouterr().out


def test_the_script_sets_ours_beside_the_papers_seconds(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("<!-- timing-table3 -->\n<!-- end timing-table3 -->\n")
    said = run(monkeypatch, capsys, "table3", "--items", "20", "17770", "--methods", "TPGR",
               "DDPG-KNN (k=1, k-d tree)",
               "--episodes", "3", "--limit", "0.01", "--repeats", "1", "--out", str(tmp_path / "figures"),
               "--results", str(page), "--tables", str(tmp_path / "tables"))
    table = [[part.strip() for part in line.strip("|").split("|")] for line in said.splitlines() if line[:1] == "|"]
    assert table[0] == [
        "seconds", "training step, 20 items", "training step, 17,770 items", "paper, Netflix",
        "10⁶ decisions, 20 items", "10⁶ decisions, 17,770 items", "paper, Netflix"]
    assert [(row[0], row[3], row[6]) for row in table[2:]] == [
        ("TPGR", "3.1", "3.9"), ("DDPG-KNN (k=1, k-d tree)", "–", "–")]
    assert all(row[5].endswith("*") for row in table[2:])
    assert "1 thread(s), cpu" in said
    told = said[said.index("### "):].strip()
    assert page.read_text() == f"<!-- timing-table3 -->\n{told}\n<!-- end timing-table3 -->\n"
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        f"timing-table3.{ending}" for ending in ("csv", "md", "tex")]
    result = json.loads((tmp_path / "figures" / "timing-table3.json").read_text())
    assert str(tmp_path) not in json.dumps(result)  # it is committed, and no place for a machine's paths
    assert [len(result[part]) for part in ("decisions", "training")] == [4, 4]
    assert {row["threads"] for row in result["decisions"] + result["training"]} == {1}


def test_the_script_tells_depths_apart(tmp_path, monkeypatch, capsys):
    said = run(monkeypatch, capsys, "depth", "--items", "60", "--episodes", "2", "--limit", "0.01", "--repeats", "1",
               "--out", str(tmp_path))
    rows = [line.split(" | ")[0].strip("| ") for line in said.splitlines() if line.startswith("| ")]
    assert rows == ["seconds", "TPGR (depth 1)", "TPGR", "TPGR (depth 3)", "TPGR (depth 4)"]
    assert [path.name for path in tmp_path.iterdir()] == ["timing-depth.json"]


def test_the_script_draws_the_growth(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    said = run(monkeypatch, capsys, "scaling", "--sizes", "20", "400", "--limit", "0.01", "--repeats", "1",
               "--out", str(tmp_path))
    assert [line.split(" |")[0] for line in said.splitlines() if line.startswith("| ")][1:] == [
        f"| {method}" for method in DECIDERS]
    assert {path.name for path in tmp_path.iterdir()} == {"timing-scaling.json", "timing-scaling.png"}
    assert f"]({link(tmp_path / 'timing-scaling.png', None)})" in said
    assert (tmp_path / "timing-scaling.png").read_bytes()[:8] == PNG
