"""The PCA split against Algorithm 4 as printed, with NumPy's full singular value decomposition."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from kgrl.tree import ClusterTree, pca
from kgrl.tree.pca import leading_vectors

RNG = np.random.default_rng(0)
NONE = np.zeros(1)


def products(matrices: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: np.einsum("gij,gj->gi", matrices, u)


def with_spectrum(values: np.ndarray) -> np.ndarray:
    """A symmetric matrix of these eigenvalues in random directions."""
    directions = np.linalg.qr(RNG.standard_normal((len(values), len(values))))[0]
    return (directions * values) @ directions.T


def aligned(found: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """|cos| of the angle between each vector and NumPy's leading eigenvector."""
    leading = np.linalg.eigh(matrices)[1][:, :, -1]
    return np.abs((found * leading).sum(1))


@pytest.mark.parametrize(("num", "size"), [(1, 1), (1, 2), (5, 3), (7, 30), (2, 150)])
def test_equals_numpy(num: int, size: int) -> None:
    root = RNG.standard_normal((num, size, size + 3))
    matrices = root @ root.swapaxes(1, 2)
    found = leading_vectors(products(matrices), RNG.standard_normal((num, size)), size + 1, NONE)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_goes_on_after_a_restart() -> None:
    """A gap of 0.2 % takes more products than the basis holds vectors."""
    matrices = with_spectrum(np.append(np.linspace(0, 1, 399), 1.002))[None]
    calls: list[int] = []
    product = products(matrices)
    found = leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((1, 400)), 401, NONE)
    assert pca.BASIS < len(calls) <= pca.BASIS * pca.CYCLES
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_stops_as_soon_as_all_have_converged() -> None:
    matrices = with_spectrum(np.append(np.linspace(0, 1, 299), 50))[None]
    calls: list[int] = []
    product = products(matrices)
    found = leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((1, 300)), 301, NONE)
    assert len(calls) == pca.CHECK_EVERY
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_few_different_eigenvalues_end_the_iteration_early() -> None:
    """Rank one, a multiple leading eigenvalue and the zero matrix side by side: nothing is divided by zero."""
    one = RNG.standard_normal(20)
    matrices = np.stack([np.outer(one, one), with_spectrum(np.repeat([0.0, 3.0], 10)), np.zeros((20, 20))])
    with np.errstate(all="raise"):
        found = leading_vectors(products(matrices), RNG.standard_normal((3, 20)), 21, NONE)
    np.testing.assert_allclose(np.abs(found[0] @ one), np.linalg.norm(one))
    np.testing.assert_allclose(matrices[1] @ found[1], 3 * found[1], atol=1e-9)
    assert np.isfinite(found[2]).all()


def test_each_matrix_by_itself_gives_the_same() -> None:
    root = RNG.standard_normal((6, 40, 5)) * 10.0 ** np.arange(-6, 6, 2)[:, None, None]  # of very different sizes
    matrices, start = root @ root.swapaxes(1, 2), RNG.standard_normal((6, 40))
    together = leading_vectors(products(matrices), start, 6, NONE)
    for i in range(6):
        alone = leading_vectors(products(matrices[i : i + 1]), start[i : i + 1], 6, NONE)
        np.testing.assert_allclose(np.abs(alone[0] @ together[i]), 1, atol=1e-9)


def test_what_is_nothing_but_rounding_is_let_go() -> None:
    """A product that is no symmetric matrix's never converges, and need not where it is below the floor."""
    noise = 1e-30 * RNG.standard_normal((2, 200, 200))
    calls: list[int] = []
    product = products(noise)
    leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((2, 200)), 201, np.full(2, 1e-24))
    assert len(calls) == pca.CHECK_EVERY


def algorithm_4(vectors: np.ndarray, c: int) -> list[list[int]]:
    """Lines 1 to 22, numbered from 1 as there; a component's sign makes its largest absolute score positive."""
    m = len(vectors)
    if m <= c:
        return [[j] for j in range(m)]
    centred = vectors - vectors.mean(0)
    score = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    score = score if score[np.abs(score).argmax()] > 0 else -score
    order = np.argsort(score, kind="stable").tolist()
    threshold, max_length = (m - 1) % c + 1, -(-m // c)
    clusters = []
    for j in range(1, threshold + 1):
        start = (j - 1) * max_length + 1
        clusters.append([order[i - 1] for i in range(start, start + max_length)])
    for j in range(threshold + 1, c + 1):
        start = threshold * max_length + (j - 1 - threshold) * (max_length - 1) + 1
        clusters.append([order[i - 1] for i in range(start, start + max_length - 1)])
    return clusters


def literal_paths(vectors: np.ndarray, items: list[int], c: int, depth: int) -> dict[int, list[int]]:
    """Divides until the depth is reached, one node at a time; a cluster keeps its items in the order of their ids."""
    if depth == 0:
        return {items[0]: []}
    paths = {}
    for digit, cluster in enumerate(algorithm_4(vectors[items], c)):
        below = sorted(items[i] for i in cluster)
        paths |= {item: [digit, *path] for item, path in literal_paths(vectors, below, c, depth - 1).items()}
    return paths


def sparse(vectors: Tensor) -> Tensor:
    return vectors.to_sparse_csr()


def ratings(num_items: int, num_users: int, share: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(num_items, num_users, generator=generator, dtype=torch.double) * 2 - 1
    return values * (torch.rand(num_items, num_users, generator=generator) < share)


@pytest.mark.parametrize("layout", [Tensor.contiguous, sparse])
@pytest.mark.parametrize(("num_items", "columns", "depth"), [
    (7, 3, 1), (17, 3, 2), (25, 4, 2), (26, 4, 2), (60, 2, 3), (81, 90, 4), (82, 1, 4), (200, 5, 5), (150, 40, 2),
])  # fmt: skip
def test_equals_the_algorithm(num_items: int, columns: int, depth: int, layout: type[Tensor]) -> None:
    """Vectors far from the origin, so that the mean matters."""
    generator = torch.Generator().manual_seed(num_items)
    vectors = torch.randn(num_items, columns, generator=generator, dtype=torch.double)
    vectors = vectors * torch.linspace(1, 3, columns) + 20 * torch.rand(columns, generator=generator)
    tree = ClusterTree.build(layout(vectors), depth=depth)
    literal = literal_paths(vectors.numpy(), list(range(num_items)), tree.children, depth)
    assert tree.paths.tolist() == [literal[item] for item in range(num_items)]


@pytest.mark.parametrize("children", [2, 3, 8])
def test_ratings_as_the_algorithm_splits_them(children: int) -> None:
    vectors = ratings(120, 300, 0.1, seed=1)
    tree = ClusterTree.build(sparse(vectors), children=children)
    literal = literal_paths(vectors.numpy(), list(range(120)), children, tree.depth)
    assert tree.paths.tolist() == [literal[item] for item in range(120)]


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    expected = ClusterTree.build(vectors, children=3).paths
    monkeypatch.setattr(pca, "CELLS", 6 * 40)
    assert torch.equal(ClusterTree.build(vectors, children=3).paths, expected)


def test_the_start_does_not_matter() -> None:
    for vectors in (torch.randn(500, 8, generator=torch.Generator().manual_seed(0)), ratings(200, 90, 0.2, 0)):
        trees = [ClusterTree.build(vectors, depth=3, seed=seed).paths for seed in range(4)]
        assert all(torch.equal(tree, trees[0]) for tree in trees)


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e200])
def test_the_unit_does_not_matter(factor: float) -> None:
    vectors = torch.randn(90, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    for layout in (Tensor.contiguous, sparse):
        tree = ClusterTree.build(layout(vectors * factor), depth=3)
        assert torch.equal(tree.paths, ClusterTree.build(vectors, depth=3).paths)


def test_the_largest_absolute_score_is_positive() -> None:
    """Turning all vectors round changes nothing. Root: 0, 1, 1.5 | 2, 9; left: 1.5, 1 | 0, as the 0 is farthest out."""
    vectors = torch.tensor([[0.0], [9.0], [1.0], [2.0], [1.5]])
    for turned in (vectors, -vectors, 5 - vectors):
        assert ClusterTree.build(turned, children=2).paths.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0],
                                                                        [0, 0, 1]]


def test_ties_go_by_item_order() -> None:
    """Two kinds of items, told apart by one column: within a kind the order is that of the items."""
    kind = torch.tensor([1, 0, 1, 0, 0, 0, 1, 0, 0])
    vectors = torch.tensor([[0.1, 7.3, 0.7], [0.3, 7.3, 0.7]])[kind]
    for layout in (Tensor.contiguous, sparse):
        leaves = ClusterTree.build(layout(vectors), depth=1).leaves
        assert leaves.tolist() == list(range(9))  # m ≤ c: as they come
        leaves = ClusterTree.build(layout(vectors), depth=2).leaves
        assert leaves.tolist() == [1, 3, 4, 5, 7, 8, 0, 2, 6]


def test_no_square_matrix_and_nothing_dense() -> None:
    """Ten million columns, of which 2,000 entries are filled, and 60,000 rows: either square would not fit anywhere."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(10_000_000, (400, 5), generator=generator).sort().values
    wide = torch.sparse_csr_tensor(torch.arange(0, 2001, 5), columns.view(-1), torch.rand(2000, generator=generator),
                                   (400, 10_000_000), check_invariants=False)
    long = torch.rand(60_000, 2, generator=generator)
    for vectors, limit in ((wide, 400e6), (long, 200e6)):
        tracemalloc.start()
        ClusterTree.build(vectors)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit


def test_many_small_nodes_are_no_loop() -> None:
    """Sixteen levels of up to 20,000 nodes."""
    start = time.perf_counter()
    tree = ClusterTree.build(torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0)), children=2)
    assert tree.depth == 16
    assert time.perf_counter() - start < 60
