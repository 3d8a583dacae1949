"""Which triples are trained on and which are held out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.pretrain.triples import hold_out, pykeen_folder, training_triples


def as_set(triples: Tensor) -> set[tuple[int, ...]]:
    return {tuple(row) for row in triples.tolist()}


def test_inverses_are_not_trained_on() -> None:
    triples = torch.tensor([[0, 0, 3], [1, 1, 0], [2, 0, 3]])
    kg = knowledge_graph(triples[:, ::2].T, edge_type=triples[:, 1], num_items=2)
    assert kg.edge_index.size(1) == 6
    assert training_triples(kg).tolist() == triples.tolist()


def test_the_order_of_the_edges_does_not_matter() -> None:
    kg = Data(edge_index=torch.tensor([[2, 0, 1, 0], [0, 1, 2, 1]]), edge_type=torch.tensor([0, 1, 0, 1]),
              num_nodes=3, num_relations=2)  # fmt: skip
    assert training_triples(kg).tolist() == [[0, 1, 1], [1, 0, 2], [2, 0, 0]]


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=60),
       st.integers(1, 10), st.integers(0, 99))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_held_out_triples_cannot_be_read_off_the_rest(rows: set[tuple[int, int, int]], most: int, seed: int) -> None:
    triples = torch.tensor(sorted(rows))
    try:
        train, held_out = hold_out(triples, 10, 3, most, torch.Generator().manual_seed(seed))
    except ValueError as error:
        assert "evaluate=False" in str(error)  # noqa: PT017
        return
    train_rows, held_rows = as_set(train), as_set(held_out)
    assert 1 <= len(held_out) <= most
    assert not train_rows & held_rows
    assert {e for h, _, t in train_rows for e in (h, t)} == {e for h, _, t in rows for e in (h, t)}
    assert {r for _, r, _ in train_rows} == {r for _, r, _ in rows}
    pairs = [frozenset((h, t)) for h, _, t in held_rows]
    assert len(set(pairs)) == len(pairs)
    assert train_rows == {(h, r, t) for h, r, t in rows if frozenset((h, t)) not in pairs}


def test_as_many_as_asked_for_where_there_are_plenty() -> None:
    rows = torch.cartesian_prod(torch.arange(20), torch.arange(2), torch.arange(20))
    rows = rows[rows[:, 0] != rows[:, 2]]
    train, held_out = hold_out(rows, 20, 2, 50, torch.Generator().manual_seed(0))
    assert len(held_out) == 50
    assert len(train) == len(rows) - 50 * 4  # either direction, either relation
    assert len(held_out[:, 1].unique()) == 2
    assert (held_out[:, 0] < held_out[:, 2]).float().mean().item() == pytest.approx(0.5, abs=0.25)


def test_nothing_to_spare_is_an_error() -> None:
    with pytest.raises(ValueError, match="can spare a triple"):
        hold_out(torch.tensor([[0, 0, 1], [2, 0, 3]]), 4, 1, 5, torch.Generator())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"edge_type": None}, "`edge_type`; make it|make it with kgrl.graph.knowledge_graph"),
        ({"num_relations": None}, "`num_relations`"),
        ({"num_relations": 0}, "at least one forward triple"),
        ({"num_nodes": 2}, r"entity ids in \[0, 2\)"),
        ({"edge_type": torch.tensor([-1, 0])}, "relation ids from 0"),
    ],
)
def test_bad_graphs_are_named(change: dict, complaint: str) -> None:
    parts = {"edge_index": torch.tensor([[0, 1], [1, 2]]), "edge_type": torch.tensor([0, 0]), "num_nodes": 3,
             "num_relations": 1, **change}  # fmt: skip
    with pytest.raises(ValueError, match=complaint):
        training_triples(Data(**parts))


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
