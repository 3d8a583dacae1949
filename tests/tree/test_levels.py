"""What vectors may be, and how they are handed out; sorting with ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrl.tree.levels import ItemRows, order_with_ties


def values() -> Tensor:
    dense = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return dense * (dense.abs() > 0.4)


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.float, torch.double])
def test_dense_and_sparse_rows_over_the_largest_value(dtype: torch.dtype) -> None:
    vectors, items = values().to(dtype), np.array([4, 0, 4])
    expected = (vectors.double() / vectors.abs().max().double()).numpy()[items]
    dense, sparse = ItemRows(vectors).take(items), ItemRows(vectors.to_sparse_csr()).take(items)
    assert dense.dtype == sparse.dtype == np.double
    np.testing.assert_allclose(dense, expected)
    np.testing.assert_allclose(sparse.toarray(), expected)


def test_the_vectors_stay_as_they_are(device: torch.device) -> None:
    for vectors in (values(), values().to_sparse_csr()):
        rows = ItemRows(vectors.to(device).requires_grad_())
        rows.take(np.arange(6))
        assert torch.equal(vectors.to_dense() if rows.is_sparse else vectors, values())
        taken = rows.take(np.arange(6))
        expected = (values() / values().abs().max()).numpy()
        np.testing.assert_allclose(taken.toarray() if rows.is_sparse else taken, expected)


def test_all_zero() -> None:
    assert not ItemRows(torch.zeros(3, 2)).take(np.arange(3)).any()
    assert not ItemRows(torch.zeros(3, 2).to_sparse_csr()).take(np.arange(3)).nnz


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_not_finite_is_named(wrong: float, sparse: bool) -> None:
    vectors = values()
    vectors[3, 4] = vectors[5, 0] = wrong
    with pytest.raises(ValueError, match=rf"`vectors` must be finite, got {wrong}; see row 3"):
        ItemRows(vectors.to_sparse_csr() if sparse else vectors)


@pytest.mark.parametrize(("vectors", "text"), [
    (torch.rand(4), r"`vectors` must be \[N, F\] with at least one row and one column, got \(4,\)"),
    (torch.rand(2, 2, 2), r"at least one row and one column, got \(2, 2, 2\)"),
    (torch.rand(0, 3), r"at least one row and one column, got \(0, 3\)"),
    (torch.rand(3, 0), r"at least one row and one column, got \(3, 0\)"),
    (torch.rand(0, 3).to_sparse_csr(), r"at least one row and one column, got \(0, 3\)"),
    (torch.ones(3, 2, dtype=torch.long), r"a floating-point tensor, got torch.int64"),
    (torch.ones(3, 2, dtype=torch.cfloat), r"a floating-point tensor, got torch.complex64"),
    (torch.rand(3, 2).to_sparse(), r"dense or sparse CSR, got torch.sparse_coo; see Tensor.to_sparse_csr"),
    (torch.rand(3, 2).to_sparse_csc(), r"dense or sparse CSR, got torch.sparse_csc"),
])  # fmt: skip
def test_bad_vectors(vectors: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ItemRows(vectors)


def test_no_tensor() -> None:
    with pytest.raises(TypeError, match=r"`vectors` must be a tensor \[N, F\], got 'ndarray'"):
        ItemRows(np.ones((3, 2)))


@pytest.mark.parametrize(("crow", "columns"), [([0, 1, 2], [0, 9]), ([0, 1, 2], [0, -1]), ([0, 2, 1], [0, 1])])
def test_sparse_vectors_that_point_outside(crow: list[int], columns: list[int]) -> None:
    """PyTorch lets them be made; SciPy would write where they point."""
    broken = torch.sparse_csr_tensor(torch.tensor(crow), torch.tensor(columns), torch.ones(2), (2, 3),
                                     check_invariants=False)
    with pytest.raises(ValueError, match="`vectors` must be a valid sparse CSR tensor"):
        ItemRows(broken)


def test_ties_by_hand() -> None:
    values = np.array([[3, 1 + 1e-13, 2, 1, 1 - 1e-13], [5, 4, 3, 2, 1]])
    assert order_with_ties(values, np.full((2, 5), 1e-12)).tolist() == [[1, 3, 4, 2, 0], [4, 3, 2, 1, 0]]
    assert order_with_ties(values, 0 * values).tolist() == [[4, 3, 1, 2, 0], [4, 3, 2, 1, 0]]
    tolerance = np.array([[0, 0, 1.5, 0, 0], [0, 0, 1, 0, 0]])  # the 2 of the first row, the 3 of the second
    assert order_with_ties(values, tolerance).tolist() == [[4, 3, 0, 1, 2], [4, 1, 2, 3, 0]]


def test_without_tolerance_it_is_a_stable_sort() -> None:
    values = np.random.default_rng(0).integers(5, size=(20, 50)).astype(float)
    np.testing.assert_array_equal(order_with_ties(values, 0 * values), values.argsort(axis=1, kind="stable"))
    assert order_with_ties(values[:, :1], values[:, :1]).tolist() == [[0]] * 20
