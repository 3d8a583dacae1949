"""The nearest items against a loop over items; FAISS's against the exact ones."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from kgrl.agents.shared.nearest import FaissIndex, nearest


def given(items: int = 40, sessions: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, proto-actions, and what is gone of each session: a gap, few, many and nothing left."""
    generator = torch.Generator().manual_seed(0)
    vectors, actions = torch.randn(items, 3, generator=generator), 2 * torch.randn(sessions, 3, generator=generator)
    gone = torch.full((sessions, items), -1)
    for row in range(sessions - 1):
        some = torch.randperm(items, generator=generator)[: row * 5]
        gone[row, 1 : 1 + len(some)] = some
    gone[-1] = torch.arange(items)
    return vectors, actions, gone


def slowly(vectors: Tensor, action: Tensor, gone: Tensor, k: int) -> list[int]:
    """Item by item, nearest first."""
    distances = {item: float((action - vectors[item]).square().sum()) for item in range(len(vectors))
                 if item not in gone.tolist()}
    return sorted(distances, key=distances.__getitem__)[:k]


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_are_those_of_a_loop_over_items(k: int, device) -> None:
    vectors, actions, gone = given()
    found = nearest(vectors.to(device), actions.to(device), gone.to(device), k).tolist()
    for row, action in enumerate(actions):
        wanted = slowly(vectors, action, gone[row], k)
        assert sorted(found[row]) == sorted(wanted + [-1] * (k - len(wanted)))


def test_nothing_gone_yet() -> None:
    vectors, actions, gone = given()
    found = nearest(vectors, actions, gone[:, :0], 3)
    assert all(sorted(row) == sorted(slowly(vectors, action, gone[0, :0], 3))
               for row, action in zip(found.tolist(), actions, strict=True))


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="FAISS is not installed (the extra [faiss])")


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_few_items_are_found_by_faiss_as_well(faiss, k: int) -> None:
    vectors, actions, gone = given()
    index = FaissIndex()
    found = index(vectors, actions, gone, k)
    wanted = [slowly(vectors, action, gone[row], k) for row, action in enumerate(actions)]
    assert found.tolist() == [row + [-1] * (k - len(row)) for row in wanted]
    assert index(vectors, actions, gone[:, :0], k).shape == (9, k)
    for twin in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert torch.equal(twin(vectors, actions, gone, k), found)


def test_most_of_many_items_are_found_by_faiss(faiss) -> None:
    vectors, actions, gone = given(items=3_000)
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        found = FaissIndex()(vectors, actions, gone[:, :30], 20)
        assert faiss.omp_get_max_threads() == 3  # making the index takes one alone
    finally:
        faiss.omp_set_num_threads(threads)
    exact = nearest(vectors, actions, gone[:, :30], 20)
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
    assert hits > 0.9 * exact.numel()


def test_without_faiss_it_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr("kgrl.agents.shared.nearest.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'kgrl\[faiss\]'"):
        FaissIndex()
