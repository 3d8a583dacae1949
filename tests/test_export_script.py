"""``examples/export_policy.py``: what it makes, exports and compares, and one run of it."""

from __future__ import annotations

import re
import runpy
import sys

import numpy as np
import pytest
import torch

from kgrl.datasets import MovieLens100K, SyntheticKGRec
from tests.example_runs import ROOT, run


def test_export_policy(small_ml100k, tmp_path):
    """KGQR's whole way; TPGR's differs in what is made, see below, and in its file, see tests/export."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    said = run("--source", str(small_ml100k), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"),
               "--interactions", "64", script="export_policy")
    assert "24 histories of 0 to 20 ratings" in said  # of four users, at six lengths; nobody rated more than 20 films
    same = re.findall(r"(ONNX Runtime|torch.export): (\d+) get the same 10 items in the same order", said)
    assert [name for name, _ in same] == ["ONNX Runtime", "torch.export"]
    assert all(int(count) >= 22 for _, count in same)  # two items may be as good as equal
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[-3:]]
    assert [row[0] for row in table] == ["agent.recommend", "torch.export", "ONNX Runtime"]
    assert all(float(cell) > 0 for row in table for cell in row[1:3])
    for row, name in zip(table[1:], ("kgqr.pt2", "kgqr.onnx"), strict=True):
        assert float(row[3]) == pytest.approx((tmp_path / "out" / name).stat().st_size / 2**20, abs=0.06)


def test_what_an_exported_policy_has_elsewhere_is_named(monkeypatch):
    """An item that changed places by its distance, and one that the file does not have."""
    script = str(ROOT / "examples" / "export_policy.py")
    monkeypatch.setattr(sys, "argv", [script])
    compare = runpy.run_path(script)["compare"]
    items, values = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[3.0, 2.5, 1.0], [2.0, 1.0, 0.5]])
    agents = np.array([[1, 0, 2], [3, 4, 6]])
    same, titles = "  file: {} get the same 10 items in the same order", list("abcdefg")
    assert compare("file", items, values, items, titles) == same.format(2)
    assert compare("file", items, values, agents, titles).splitlines() == [
        same.format(0), "    history 0, place 1: a; of the agent b, 5e-01 apart",
        "    history 0, place 2: b; of the agent a, 5e-01 apart",
        "    history 1, place 3: f; of the agent g, which the file does not have"]


@pytest.mark.parametrize(("dataset", "agent", "world", "eta", "given"), [
    ("ml-100k", "tpgr", "RatedFeedback", 0.0, {"lr": 3e-3, "gamma": 0.3}),
    ("synthetic", "tpgr", "PlantedFeedback", 0.0, {}),
    ("synthetic", "kgqr", "PlantedFeedback", 0.1, {"num_candidates": None, "backfill": ("popular", 300)}),
])
def test_what_is_exported(dataset, agent, world, eta, given, small_ml100k, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script := str(ROOT / "examples" / "export_policy.py")])
    data = (MovieLens100K(tmp_path, source=small_ml100k) if dataset == "ml-100k" else
            SyntheticKGRec(tmp_path, num_users=40, num_items=60, ratings_per_user=20))[0]
    made, simulator = runpy.run_path(script)["make"](agent, dataset, data, torch.arange(30))
    assert type(made).__name__ == agent.upper()
    assert (type(simulator.feedback).__name__, simulator.eta) == (world, eta)
    assert made.options.items() >= given.items()


def test_histories_to_export_with_are_in_order_of_time(small_ml100k, tmp_path, monkeypatch):
    script = str(ROOT / "examples" / "export_policy.py")
    monkeypatch.setattr(sys, "argv", [script])
    data = MovieLens100K(tmp_path / "data", source=small_ml100k)[0]
    rates = data["user", "rates", "item"]
    expected = sorted((float(at), int(item), float(rating)) for at, user, item, rating in zip(
        rates.time, *rates.edge_index, rates.rating, strict=True) if user == 3)
    ((items, feedback),) = runpy.run_path(script)["rated"](data, torch.tensor([3]))
    assert items == [item for _, item, _ in expected]
    assert feedback == pytest.approx([(rating - 3) / 2 for _, _, rating in expected])
