"""``examples/reproduce/cold_start.py``, on the synthetic data set."""

import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).resolve().parents[1] / "examples/reproduce/cold_start.py")


def test_the_script(tmp_path, monkeypatch, capsys):
    page = tmp_path / "RESULTS.md"
    page.write_text("<!-- cold-start-synthetic-release -->\nold\n<!-- end cold-start-synthetic-release -->\n")
    monkeypatch.setattr(sys, "argv", [
        SCRIPT, "--dataset", "synthetic", "--data", str(tmp_path / "data"), "--splits", "0", "--shufflings", "1",
        "--out", str(tmp_path / "out"), "--results", str(page), "--tables", str(tmp_path / "tables")])
    runpy.run_path(SCRIPT, run_name="__main__")
    said = capsys.readouterr().out
    assert page.read_text() == ("<!-- cold-start-synthetic-release -->\n" + said.strip()
                                + "\n<!-- end cold-start-synthetic-release -->\n")
    found = json.loads((tmp_path / "out" / "synthetic-release.json").read_text())
    recall = {name: views["new items, with past"]["recall"] for name, views in found["splits"]["0"]["means"].items()}
    assert recall["KG profile"] > 2 * recall["KG profile (shuffled KG)"]
    assert f"| KG profile | {found['splits']['0']['means']['KG profile']['new items, with past']['NDCG']:.3f} |" in said
    assert sorted(path.suffix for path in (tmp_path / "tables").iterdir()) == [".csv", ".md", ".tex"]


def test_what_is_not_known_is_said(tmp_path, monkeypatch, capsys):
    for arguments, text in ((["--dataset", "ml-100m"], "invalid choice: 'ml-100m'"),
                            (["--shufflings", "0"], "must be a whole number of at least 1, got '0'")):
        monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments, "--data", str(tmp_path)])
        with pytest.raises(SystemExit):
            runpy.run_path(SCRIPT, run_name="__main__")
        assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
