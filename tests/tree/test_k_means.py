"""The k-means split against Algorithm 3 as printed."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.tree import ClusterTree, k_means
from kgrl.tree.k_means import take_turns


def lines_11_to_18(distances: np.ndarray) -> list[int]:
    """``distances [c, m]`` → each item's cluster; line 14 takes the first of several nearest."""
    c, m = distances.shape
    cluster = [-1] * m
    i = 1
    while -1 in cluster:
        left = [v for v in range(m) if cluster[v] == -1]
        nearest = min(left, key=lambda v: distances[i - 1, v])
        cluster[nearest] = i - 1
        i = i % c + 1
    return cluster


@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from([1, 2, 5, 1000]), st.integers(0, 2**32),
       st.sampled_from([1, 7, 60, 10_000]))
@settings(max_examples=300, deadline=None)
def test_turns_equal_the_algorithm(c: int, m: int, different: int, seed: int, cells: int) -> None:
    """With many ties (few different distances), and with tables of nearest items from one entry to all of them."""
    distances = np.random.default_rng(seed).integers(different, size=(c, m)).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(k_means, "CELLS", cells)
        found = take_turns(lambda clusters, items: distances[clusters][:, items], m, c)
    assert found.tolist() == lines_11_to_18(distances)


@pytest.mark.parametrize("distances", [
    np.arange(24.0)[None].repeat(5, 0),  # all clusters want the same items in the same order
    np.stack([np.arange(24.0), -np.arange(24.0)]),
    np.zeros((7, 24)),
    np.abs(np.arange(24.0) - np.arange(0, 24, 4)[:, None]),
])  # fmt: skip
def test_turns_of_clusters_at_odds(distances: np.ndarray) -> None:
    found = take_turns(lambda clusters, items: distances[clusters][:, items], 24, len(distances))
    assert found.tolist() == lines_11_to_18(distances)


def test_turns_need_few_passes() -> None:
    """Of 20,000 items in 140 clusters: two orders of magnitude fewer look-ups than items."""
    points = np.random.default_rng(0).standard_normal((20_000, 3))
    asked: list[int] = []
    minimum = np.minimum

    class Counted:
        @staticmethod
        def at(*args: np.ndarray) -> None:
            asked.append(len(args[1]))
            minimum.at(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "minimum", Counted)
        take_turns(lambda clusters, items: ((points[:140][clusters][:, None] - points[items]) ** 2).sum(2), 20_000, 140)
    assert len(asked) < 20_000 / 5


def record(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """(vectors, centroids) of every call, vectors made dense."""
    calls = []
    centroids = k_means._centroids

    def recorded(x: np.ndarray, *args: int) -> np.ndarray:
        found = centroids(x, *args)
        calls.append((x if isinstance(x, np.ndarray) else x.toarray(), found))
        return found

    monkeypatch.setattr(k_means, "_centroids", recorded)
    return calls


@pytest.mark.parametrize("layout", [Tensor.contiguous, Tensor.to_sparse_csr])
@pytest.mark.parametrize(("num_items", "depth"), [(10, 1), (26, 2), (100, 2), (90, 3), (40, 5)])
def test_equals_the_algorithm(
    num_items: int, depth: int, layout: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node by node: its centroids are k-means's, and its items are dealt out as printed."""
    vectors = torch.randn(num_items, 3, generator=torch.Generator().manual_seed(depth), dtype=torch.double) + 4
    calls = record(monkeypatch)
    tree = ClusterTree.build(layout(vectors), depth=depth, method="kmeans")
    c, found = tree.children, iter(calls)
    plain = (vectors / vectors.abs().max()).numpy()
    for level in range(depth):
        radix = c ** torch.arange(level - 1, -1, -1)
        code = (tree.paths[:, :level] * radix).sum(1)
        for node in code.unique():
            items = (code == node).nonzero().view(-1)
            digits = tree.paths[items, level].tolist()
            if len(items) <= c:
                assert digits == list(range(len(items)))
                continue
            seen, centroids = next(found)
            np.testing.assert_allclose(seen, plain[items])
            apart = ((seen - centroids[:, None]) ** 2).sum(2)
            assert digits == lines_11_to_18(apart.round(10))  # rounding does not decide
            owner = apart.argmin(0)  # Lloyd's fixed point: a centroid is the mean of the vectors nearest to it
            means = np.stack([seen[owner == i].mean(0) for i in range(c)])
            np.testing.assert_allclose(means, centroids, atol=1e-9)
    assert next(found, None) is None


def test_all_equal_vectors_are_dealt_out_like_cards() -> None:
    """And k-means's complaint about fewer points than clusters does not reach the user."""
    vectors = torch.full((50, 3), 0.1)
    for layout in (Tensor.contiguous, Tensor.to_sparse_csr):
        equal = layout(vectors)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ClusterTree.build(equal, depth=2, method="kmeans")
        assert tree.paths[:, 0].tolist() == [item % 8 for item in range(50)]


def test_other_complaints_of_k_means_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.cluster import KMeans

    fit = KMeans.fit

    def grumbling(self: KMeans, x: np.ndarray) -> KMeans:
        warnings.warn("something else", stacklevel=1)
        return fit(self, x)

    monkeypatch.setattr(KMeans, "fit", grumbling)
    with pytest.warns(UserWarning, match="something else"):
        ClusterTree.build(torch.rand(30, 2), method="kmeans")


def test_seeds() -> None:
    vectors = torch.rand(300, 5, generator=torch.Generator().manual_seed(0))
    same, again, other = (ClusterTree.build(vectors, method="kmeans", seed=seed).paths for seed in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
