"""The helpers of the walk: ragged rows, distinct keys, chunks."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrl.candidates.k_hop_index import KHopWalk, chunk_sizes, distinct, ragged_rows
from kgrl.graph import knowledge_graph


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_ragged_rows(counts: list[int], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=8))
    ptr = torch.tensor([0, *counts]).cumsum(0)
    positions, owner = ragged_rows(ptr, torch.tensor(rows, dtype=torch.long))
    assert positions.tolist() == [at for row in rows for at in range(int(ptr[row]), int(ptr[row + 1]))]
    assert owner.tolist() == [index for index, row in enumerate(rows) for _ in range(counts[row])]


@given(st.lists(st.integers(0, 49), max_size=30), st.sampled_from([50, 100_000]))
def test_distinct_by_bitmap_and_by_sort(keys: list[int], span: int) -> None:
    assert distinct(torch.tensor(keys, dtype=torch.long), span).tolist() == sorted(set(keys))


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 40), st.integers(1, 8))
def test_chunks(cost: list[int], budget: int, most: int) -> None:
    sizes = chunk_sizes(torch.tensor(cost, dtype=torch.float64), budget, most)
    assert sum(sizes) == len(cost)
    start = 0
    for size in sizes:
        chunk = cost[start : start + size]
        assert 1 <= size <= most
        assert sum(chunk[:-1]) < budget  # only the last may go over
        start += size


def test_the_walk_never_takes_more_edges_than_planned() -> None:
    for seed in range(5):
        ends = torch.randint(12, (2, 25), generator=torch.Generator().manual_seed(seed))
        kg = knowledge_graph(ends, num_items=12, num_nodes=12)
        neighbours = {node: kg.edge_index[1, kg.edge_index[0] == node].unique().tolist() for node in range(12)}
        walk = KHopWalk(kg, hops=3, max_degree=4)
        for item in range(12):
            frontier, edges = {item}, 0
            for hop in range(3):
                through = [node for node in frontier if hop == 0 or len(neighbours[node]) <= 4]
                edges += sum(len(neighbours[node]) for node in through)
                frontier = {tail for node in through for tail in neighbours[node]}
            assert edges <= walk.cost[item] <= 3 * len(walk.tails)
