"""New items on a cluster tree: against a slow search, and its promises for any vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kgrl.tree import ClusterTree


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
