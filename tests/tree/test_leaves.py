"""What vectors may be; sorting with ties; new items on a cluster tree against a slow search, and its promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.tree import ClusterTree
from kgrl.tree.leaves import ItemRows, order_with_ties


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


def slow(tree: ClusterTree, known: list[int], vectors: Tensor) -> list[int]:
    """Node by node, as the text of ``hang_new_items`` says."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    leaf = {item: int(tree.positions[old]) for item, old in enumerate(known) if old >= 0}
    old, c, new = dict(leaf), tree.children, [item for item, before in enumerate(known) if before < 0]
    free = [spot for spot in range(len(tree.leaves)) if spot not in leaf.values()]
    while new:
        room = {node: [spot for spot in free if spot // c == node] for node in range(len(tree.leaves) // c)}
        hosts = [item for item in old if room[old[item] // c]]
        if not hosts:
            break
        wish = {item: max(hosts, key=lambda host: (round(float(unit[item] @ unit[host]), 12), -host)) for item in new}
        for node, spots in room.items():
            wanted = sorted((-round(float(unit[item] @ unit[host]), 12), item) for item, host in wish.items()
                            if old[host] // c == node)
            leaf |= {item: spot for (_, item), spot in zip(wanted, spots, strict=False)}
        free = [spot for spot in free if spot not in leaf.values()]
        new = [item for item in new if item not in leaf]
    leaf |= dict(zip(new, free, strict=False))
    return [leaf[item] for item in range(len(known))]


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 2), st.integers(0, 10**6), st.booleans())
def test_leaves_are_those_of_a_slow_search(items: int, depth: int, more: int, seed: int, sparse: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    built = ClusterTree.build(torch.randn(items, 3, generator=generator), depth=depth)
    tree = ClusterTree(built.paths, built.children + more)
    kept = torch.randperm(items, generator=generator)[: 1 + seed % items].tolist()
    new = min(len(tree.leaves) - len(kept), 1 + seed % 5)
    order = torch.randperm(len(kept) + new, generator=generator).tolist()
    known = [[*kept, *[-1] * new][place] for place in order]
    vectors = torch.randn(len(known), 4, generator=generator)
    given = vectors.to_sparse_csr() if sparse else vectors
    extended = tree.extend(torch.tensor(known), given)
    assert extended.positions.tolist() == slow(tree, known, vectors)
    assert (extended.depth, extended.children, len(extended)) == (tree.depth, tree.children, len(known))


def test_the_most_similar_get_the_last_leaf_beside() -> None:
    """Node 0 has two items and a free leaf, which items 4 and 5 want; 5 is more similar, 4 goes to node 1."""
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0], [2, 0]]), children=3)
    vectors = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0.9, 0], [1, 0, 0.1]])
    extended = tree.extend(torch.tensor([0, 1, 2, 3, -1, -1]), vectors)
    assert extended.paths[4:].tolist() == [[1, 1], [0, 2]]


def test_vectors_that_say_nothing_still_give_leaves() -> None:
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1]]), children=2)
    extended = tree.extend(torch.tensor([-1, 1, -1, 0]), torch.zeros(4, 2))
    assert extended.paths.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]


def test_leaves_of_what_is_gone_are_free() -> None:
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), children=2)
    assert tree.extend(torch.tensor([3, -1, 0]), torch.eye(3)).paths.tolist() == [[1, 1], [1, 0], [0, 0]]


def test_what_cannot_be_is_named() -> None:
    tree = ClusterTree(torch.tensor([[0, 0], [0, 1], [1, 0]]), children=2)
    with pytest.raises(ValueError, match=r"a free leaf for each of 2 new items, got 'one with 1 of 4 leaves free"):
        tree.extend(torch.tensor([0, 1, 2, -1, -1]), torch.eye(5))
    with pytest.raises(ValueError, match=r"`vectors` must be one for each of the 4 items, got 3"):
        tree.extend(torch.tensor([0, 1, 2, -1]), torch.eye(3))
