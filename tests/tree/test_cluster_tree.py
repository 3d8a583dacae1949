"""``ClusterTree``: its promises for any vectors, its ways to be kept, and what it refuses."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.files import save_tensors
from kgrl.tree import ClusterTree

METHODS = ["pca", "kmeans"]


def assert_balanced(tree: ClusterTree, num_items: int) -> None:
    """Every promise of :meth:`ClusterTree.build`, node by node."""
    c, depth = tree.children, tree.depth
    assert len(tree) == tree.num_items == num_items
    assert tree.paths.shape == (num_items, depth)
    assert tree.paths.dtype == tree.leaves.dtype == torch.long
    paths = [tuple(path) for path in tree.paths.tolist()]
    leaves = {sum(digit * c ** (depth - 1 - i) for i, digit in enumerate(path)): item
              for item, path in enumerate(paths)}
    assert tree.leaves.tolist() == [leaves.get(position, -1) for position in range(c**depth)]
    assert len(leaves) == num_items
    alone = set()  # the levels at which items are first alone in their node
    below: dict[tuple[int, ...], list[int]] = {}
    for item, path in enumerate(paths):
        for level in range(depth + 1):
            below.setdefault(path[:level], []).append(item)
    for node, items in below.items():
        assert tree.subtree(node).tolist() == sorted(items, key=paths.__getitem__)
        if len(node) == depth:
            continue
        sizes = [len(below.get((*node, digit), [])) for digit in range(c)]
        m, parts = len(items), min(len(items), c)
        more = (m - 1) % parts + 1
        assert sizes == [-(-m // parts)] * more + [-(-m // parts) - 1] * (parts - more) + [0] * (c - parts)
        if m <= c:
            assert [paths[item][len(node)] for item in items] == list(range(m))
        alone |= {len(node) + (m > 1) for size in sizes if size == 1}
    for level in range(depth + 1):
        of_level = [len(items) for node, items in below.items() if len(node) == level]
        assert max(of_level) - min(of_level) <= 1
    heights = {min(level for level in range(depth + 1) if len(below[path[:level]]) == 1) for path in paths}
    assert max(heights) - min(heights) <= 1


def cases(kind: str, num_items: int, seed: int) -> Tensor:
    vectors = torch.randn(num_items, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    if kind == "equal":
        return vectors[:1].repeat(num_items, 1)
    if kind == "constant columns":
        return torch.cat([vectors[:, :1], torch.full((num_items, 2), 0.7)], dim=1)
    if kind == "outlier":
        vectors[num_items // 2] = 1e8
    if kind == "few values":
        return vectors.round()
    if kind == "mostly zero":
        return vectors * (vectors > 1)
    return vectors


KINDS = st.sampled_from(["random", "equal", "constant columns", "outlier", "few values", "mostly zero"])


def sizes_around_powers() -> st.SearchStrategy[tuple[int, int]]:
    """(N, D) with N = 1, c, c^D and its neighbours, or any."""
    near = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(-1, 1))
    near = near.map(lambda t: (t[0] ** t[1] + t[2], t[1]))
    near = near.filter(lambda pair: 1 <= pair[0] <= 300)
    return st.one_of(near, st.tuples(st.integers(1, 80), st.integers(1, 5)))


@given(sizes_around_powers(), KINDS, st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_pca_trees_are_balanced(size: tuple[int, int], kind: str, seed: int) -> None:
    num_items, depth = size
    vectors = cases(kind, num_items, seed)
    with np.errstate(all="raise", under="ignore"):
        tree = ClusterTree.build(vectors, depth=depth, seed=seed)
    assert tree.depth == depth
    assert tree.children == min(c for c in range(1, num_items + 1) if c**depth >= num_items)
    assert_balanced(tree, num_items)
    sparse = ClusterTree.build(vectors.to_sparse_csr(), depth=depth, seed=seed)
    assert torch.equal(sparse.paths, tree.paths)


@given(sizes_around_powers(), KINDS, st.booleans(), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_k_means_trees_are_balanced(size: tuple[int, int], kind: str, sparse: bool, seed: int) -> None:
    num_items, depth = size
    vectors = cases(kind, num_items, seed)
    tree = ClusterTree.build(vectors.to_sparse_csr() if sparse else vectors, depth=depth, method="kmeans", seed=seed)
    assert_balanced(tree, num_items)


@given(st.integers(1, 150), st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_depth_follows_from_children(num_items: int, children: int) -> None:
    tree = ClusterTree.build(torch.rand(num_items, 2), children=children)
    assert tree.children == children
    assert tree.depth == min(depth for depth in range(1, 9) if children**depth >= num_items)
    assert_balanced(tree, num_items)


@pytest.mark.parametrize(("num_items", "depth", "children"), [
    (3125, 5, 5), (3124, 5, 5), (3126, 5, 6), (1000, 3, 10), (1, 1, 1), (1, 5, 1), (2, 5, 2), (17_770, 2, 134),
])  # fmt: skip
def test_children_are_the_root_in_whole_numbers(num_items: int, depth: int, children: int) -> None:
    assert ClusterTree.build(torch.rand(num_items, 2), depth=depth).children == children


def test_depth_is_2_unless_said() -> None:
    assert str(ClusterTree.build(torch.rand(26, 2))) == "ClusterTree(num_items=26, depth=2, children=6)"
    assert str(ClusterTree.build(torch.rand(1, 2), children=1)) == "ClusterTree(num_items=1, depth=1, children=1)"


@pytest.mark.parametrize("layout", [Tensor.contiguous, Tensor.to_sparse_csr])
def test_all_equal_vectors_stay_in_item_order(layout: type[Tensor]) -> None:
    vectors = torch.tensor([0.1, -7.3, 1e-9]).repeat(50, 1)
    tree = ClusterTree.build(layout(vectors), depth=3)
    assert tree.leaves[tree.leaves >= 0].tolist() == list(range(50))


@pytest.mark.parametrize("layout", [Tensor.contiguous, Tensor.to_sparse_csr])
def test_constant_columns_change_nothing(layout: type[Tensor]) -> None:
    vectors = torch.randn(70, 4, generator=torch.Generator().manual_seed(0))
    more = torch.cat([torch.full((70, 1), 3.7), vectors, torch.full((70, 2), -1000.0)], dim=1)
    assert torch.equal(ClusterTree.build(layout(more), depth=3).paths, ClusterTree.build(vectors, depth=3).paths)


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_is_one_item_of_its_cluster(method: str) -> None:
    vectors = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    vectors[37] = 1e6
    tree = ClusterTree.build(vectors, depth=2, method=method)
    assert_balanced(tree, 90)
    if method == "pca":
        assert tree.paths[37, 0] == tree.children - 1  # at the far end of the component, which is the positive one


def test_similar_items_are_together() -> None:
    """Four well-separated groups of 25: each of four clusters is one of them, whatever the method."""
    group = torch.arange(100) % 4
    vectors = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) + 30 * torch.stack([group, group], dim=1)
    for method in METHODS:
        tree = ClusterTree.build(vectors, children=4, method=method)
        assert {len(group[tree.subtree([digit])].unique()) for digit in range(4)} == {1}


@pytest.mark.parametrize("method", METHODS)
def test_global_random_states_are_untouched(method: str) -> None:
    def states() -> tuple[object, ...]:
        numpy = np.random.get_state()
        return random.getstate(), numpy[1].tolist(), numpy[2], torch.get_rng_state().tolist()

    random.random(), np.random.rand(), torch.rand(())  # away from where a seed would put them
    before = states()
    ClusterTree.build(torch.rand(50, 3, generator=torch.Generator()), method=method)
    assert states() == before


def test_devices(device: torch.device) -> None:
    vectors = torch.rand(30, 4)
    expected = ClusterTree.build(vectors)
    for tree in (ClusterTree.build(vectors.to(device)), ClusterTree.build(vectors.to(device).to_sparse_csr()),
                 expected.to(device)):
        assert tree.paths.device.type == tree.leaves.device.type == tree.subtree([0]).device.type == device.type
        assert torch.equal(tree.paths.cpu(), expected.paths)
        assert torch.equal(tree.to("cpu").leaves, expected.leaves)


def test_subtree_by_hand() -> None:
    tree = ClusterTree(torch.tensor([[1, 0], [0, 1], [1, 2], [0, 0]]), children=3)
    assert tree.leaves.tolist() == [3, 1, -1, 0, -1, 2, -1, -1, -1]
    assert tree.subtree([]).tolist() == [3, 1, 0, 2]
    assert tree.subtree((1,)).tolist() == [0, 2]
    assert tree.subtree(torch.tensor([1, 2])).tolist() == [2]
    assert tree.subtree([2]).tolist() == tree.subtree([1, 1]).tolist() == []
    for wrong in ([3], [-1], [0, 0, 0]):
        with pytest.raises(ValueError, match=r"`prefix` must be at most 2 digits in \[0, 3\), got"):
            tree.subtree(wrong)


# ------------------------------------------------------------------------------------------------------------- keeping


def same(left: ClusterTree, right: ClusterTree) -> bool:
    return (str(left) == str(right) and torch.equal(left.paths, right.paths) and torch.equal(left.leaves, right.leaves))


@pytest.mark.parametrize(("num_items", "depth"), [(1, 1), (30, 2), (33, 5)])
def test_saved_and_loaded(num_items: int, depth: int, tmp_path: Path) -> None:
    tree = ClusterTree.build(torch.rand(num_items, 2), depth=depth)
    tree.save(tmp_path / "folder" / "tree.safetensors")
    assert same(ClusterTree.load(tmp_path / "folder" / "tree.safetensors"), tree)


def test_files_that_hold_no_tree(tmp_path: Path) -> None:
    path = tmp_path / "tree.safetensors"
    with pytest.raises(FileNotFoundError, match="does not exist; expected a kgrl cluster tree file"):
        ClusterTree.load(path)
    ClusterTree.build(torch.rand(9, 2)).save(path)
    whole = path.read_bytes()
    for broken in (b"", b"not a tree", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a whole safetensors file of kgrl"):
            ClusterTree.load(path)
    save_tensors(path, {"paths": torch.zeros(1, 1)}, {"kind": "kgrl agent"})
    with pytest.raises(ValueError, match="must hold a kgrl cluster tree, got 'kgrl agent'"):
        ClusterTree.load(path)


@pytest.mark.parametrize(("tensors", "metadata"), [
    ({}, {"children": 3}),
    ({"paths": torch.tensor([[0, 1]])}, {}),
    ({"paths": torch.tensor([[0, 1]])}, {"children": "three"}),
    ({"paths": torch.tensor([[0, 3]])}, {"children": 3}),
    ({"paths": torch.tensor([[0, 1], [0, 1]])}, {"children": 3}),
    ({"paths": torch.rand(2, 2)}, {"children": 3}),
])  # fmt: skip
def test_files_whose_tree_is_none(tensors: dict[str, Tensor], metadata: dict[str, object], tmp_path: Path) -> None:
    save_tensors(tmp_path / "tree", tensors, {"kind": "kgrl cluster tree", **metadata})
    with pytest.raises(ValueError, match="does not hold a valid kgrl cluster tree .*; build and save it anew"):
        ClusterTree.load(tmp_path / "tree")


def dataset(num_items: int) -> HeteroData:
    data = HeteroData()
    data["item"].num_nodes, data["user"].num_nodes, data["entity"].num_nodes = num_items, 3, 4
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 2], [num_items - 1, 0]])
    data["item", "directed_by", "entity"].edge_index = torch.tensor([[0], [3]])
    return data


def test_attached_and_taken_from_the_data(tmp_path: Path) -> None:
    data = dataset(30)
    tree = ClusterTree.build(torch.rand(30, 2), depth=3)
    assert tree.attach(data) is tree
    assert data.validate()
    assert data["item"].is_node_attr("cluster_path")
    torch.save(data, tmp_path / "data.pt")
    for copied in (data, copy.copy(data), data.clone(), torch.load(tmp_path / "data.pt", weights_only=False)):
        assert same(ClusterTree.from_data(copied), tree)
    assert data.to_homogeneous().num_nodes == 37
    other = ClusterTree.build(torch.rand(30, 2), depth=2).attach(data)
    assert same(ClusterTree.from_data(data), other)


def test_the_tree_of_some_of_the_items() -> None:
    """PyG takes the items' paths along."""
    data = dataset(30)
    tree = ClusterTree.build(torch.rand(30, 2), depth=3).attach(data)
    some = torch.tensor([4, 9, 21])
    part = ClusterTree.from_data(data.subgraph({"item": some}))
    assert torch.equal(part.paths, tree.paths[some])


def test_data_of_other_items() -> None:
    tree = ClusterTree.build(torch.rand(30, 2))
    data = dataset(29)
    with pytest.raises(ValueError, match="`data` must be a data set of the tree's 30 items, got 29; build the tree on"):
        tree.attach(data)
    with pytest.raises(ValueError, match="`data` must be a data set with nodes of the type 'item'"):
        tree.attach(HeteroData())
    with pytest.raises(ValueError, match="`data` must be a data set with a tree attached, .* see ClusterTree.attach"):
        ClusterTree.from_data(data)
    empty = HeteroData()
    with pytest.raises(ValueError, match="`data` must be"):
        ClusterTree.from_data(empty)
    assert not empty.node_types
    data = dataset(30)
    tree.attach(data)
    data["item"].num_nodes = 31
    with pytest.raises(ValueError, match="the tree's 30 items, got 31"):
        ClusterTree.from_data(data)


# ------------------------------------------------------------------------------------------------------------- refusal


@pytest.mark.parametrize(("options", "text"), [
    ({"depth": 0}, "`depth` must be at least 1, got 0"),
    ({"children": 1}, "`children` must be at least 2, got 1"),
    ({"children": 0}, "`children` must be at least 2, got 0"),
    ({"depth": 2, "children": 2}, "`depth` must be None where `children` is given, as one follows from the other, got"),
    ({"method": "ica"}, "`method` must be a known name, got 'ica'; choose from kmeans, pca"),
    ({"method": "kmean"}, "did you mean 'kmeans'?"),
    ({"depth": 40}, r"`children \*\* depth` must be at most 268,435,456 leaves, got '2 \*\* 40'; choose fewer levels"),
    ({"depth": 10**9}, r"got '2 \*\* 1000000000'"),
    ({"children": 10**9}, r"got '1000000000 \*\* 1'"),
])  # fmt: skip
def test_bad_options(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ClusterTree.build(torch.rand(9, 2), **options)


@pytest.mark.parametrize("options", [{"depth": 1.5}, {"depth": True}, {"children": "3"}])
def test_options_that_are_no_numbers(options: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="must be a whole number"):
        ClusterTree.build(torch.rand(9, 2), **options)


def test_bad_vectors() -> None:
    """The others are in ``test_rows.py``."""
    with pytest.raises(ValueError, match="`vectors` must be finite, got nan; see row 1"):
        ClusterTree.build(torch.tensor([[0.0], [float("nan")]]))


@pytest.mark.parametrize(("paths", "children", "text"), [
    (torch.zeros(3, 2), 3, r"`paths` must be a LongTensor \[N, D\] with .* at least 1, got 'torch.float32 \(3, 2\)'"),
    (torch.zeros(0, 2, dtype=torch.long), 3, "with N and D at least 1"),
    (torch.zeros(3, 0, dtype=torch.long), 3, "with N and D at least 1"),
    ([[0, 1]], 3, "got 'list'"),
    (torch.tensor([[0, 3]]), 3, r"`paths` must be digits in \[0, 3\), got \[0, 3\]"),
    (torch.tensor([[0, -1]]), 3, r"`paths` must be digits in \[0, 3\), got \[-1, 0\]"),
    (torch.tensor([[0, 1], [0, 1]]), 3, "`paths` must be a path of its own for each item, got '1 paths for 2 items'"),
    (torch.zeros(1, 30, dtype=torch.long), 3, r"got '3 \*\* 30'"),
    (torch.zeros(1, 2, dtype=torch.long), 0, "`children` must be at least 1, got 0"),
])  # fmt: skip
def test_bad_paths(paths: Tensor, children: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ClusterTree(paths, children)
