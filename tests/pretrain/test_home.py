"""PyKEEN where the home folder cannot be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kgrl.pretrain.home import pykeen_folder

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import os, torch
from torch_geometric.data import Data
from kgrl.pretrain import pretrain_entities
folders = {name: value for name, value in os.environ.items() if name.endswith("HOME")}
kg = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), edge_type=torch.tensor([0, 0]), num_nodes=3, num_relations=1)
print(tuple(pretrain_entities(kg, dim=4, epochs=1).shape))
print(folders == {name: value for name, value in os.environ.items() if name.endswith("HOME")})
"""


def test_trains_without_a_home_folder(tmp_path: Path) -> None:
    """A home below a regular file cannot be made by anyone, root included."""
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYSTOW", "PYKEEN", "XDG"))}
    env |= {"HOME": str(tmp_path / "file" / "home"), "TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "(3, 4)\nTrue"
    assert not list((tmp_path / "tmp").glob("pykeen*")), "the temporary folder outlives the process"


@pytest.mark.parametrize("given", [True, False])
def test_environment_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    for name in ("PYSTOW_HOME", "PYKEEN_HOME"):
        monkeypatch.delenv(name, raising=False)
        if given:
            monkeypatch.setenv(name, str(tmp_path / "file" / name))
    before = dict(os.environ)
    with pykeen_folder():
        assert Path(os.environ["PYSTOW_HOME"]).is_dir()
        assert not given or Path(os.environ["PYKEEN_HOME"]).is_dir()
    assert dict(os.environ) == before


def test_folders_that_work_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTOW_HOME", str(tmp_path / "pystow"))
    monkeypatch.delenv("PYKEEN_HOME", raising=False)
    with pykeen_folder():
        assert os.environ["PYSTOW_HOME"] == str(tmp_path / "pystow")
        assert "PYKEEN_HOME" not in os.environ
