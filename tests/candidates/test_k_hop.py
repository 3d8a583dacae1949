"""Candidates against PyG's ``k_hop_subgraph`` and slow Python versions of every rule."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import k_hop_subgraph

from kgrl.candidates import KHopCandidates
from kgrl.candidates.k_hop_index import KHopLists, KHopMasks, KHopWalk, chunk_sizes, tabulate
from kgrl.graph import knowledge_graph, without_edges

ITEMS = 6


def graph(pairs: Sequence[tuple[int, int]], nodes: int, items: int, inverse: bool = True) -> Data:
    edges = torch.tensor(list(pairs), dtype=torch.long).view(-1, 2).T.contiguous()
    return knowledge_graph(edges, inverse, num_items=items, num_nodes=nodes)


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows], dtype=torch.long).view(len(rows), width)


def per_session(selected: tuple[Tensor, Tensor], rows: int) -> list[list[int]]:
    items, batch = selected
    assert bool((batch[1:] >= batch[:-1]).all())
    return [items[batch == row].tolist() for row in range(rows)]


def random_kg(nodes: int = 300, items: int = 100, edges: int = 500, seed: int = 0) -> Data:
    ends = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed))
    return knowledge_graph(ends, num_items=items, num_nodes=nodes)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Data, list[list[int]], list[list[int]]]:
    nodes = draw(st.integers(ITEMS, 14))
    node = st.integers(0, nodes - 1)
    kg = graph(draw(st.lists(st.tuples(node, node), max_size=24)), nodes, ITEMS, draw(st.booleans()))
    rows = draw(st.integers(0, 4))
    row = st.lists(st.integers(-1, ITEMS - 1), max_size=4)
    exact = {"min_size": rows, "max_size": rows}
    return kg, draw(st.lists(row, **exact)), draw(st.lists(row, **exact))


def implementations(kg: Data, **options: Any) -> list[KHopCandidates]:
    """The same rule walked, listed and masked."""
    walked = KHopCandidates(kg, table_limit=0, **options)
    masked, listed = KHopCandidates(kg, **options), KHopCandidates(kg, **options)
    assert isinstance(walked.index, KHopWalk)
    rows = [torch.arange(ITEMS).view(-1, 1), torch.empty(ITEMS, 0, dtype=torch.long)]
    keys = walked.index.union(rows[0], rows[1], rows[1])
    stride = walked.index.stride
    mask = torch.zeros(stride, stride, dtype=torch.bool)
    mask.view(-1)[keys] = True
    masked.index = KHopMasks(mask)
    listed.index = KHopLists(ITEMS, torch.searchsorted(keys, torch.arange(stride) * stride), (keys % stride).int())
    return [walked, masked, listed, KHopCandidates(kg, **options)]


@pytest.mark.parametrize("hops", [1, 2, 3])
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_equals_k_hop_subgraph(hops: int, problem: tuple[Data, list[list[int]], list[list[int]]]) -> None:
    kg, seeds, exclude = problem
    expected = []
    for liked, shown in zip(seeds, exclude, strict=True):
        start = torch.tensor([node for node in liked if node >= 0], dtype=torch.long)
        reached = k_hop_subgraph(start, hops, kg.edge_index, num_nodes=kg.num_nodes, flow="target_to_source")[0]
        expected.append([node for node in reached.tolist() if node < ITEMS and node not in {*liked, *shown}])
    for candidates in implementations(kg, hops=hops, size=None):
        assert per_session(candidates.select(padded(seeds), padded(exclude)), len(seeds)) == expected


def slow_walk(kg: Data, seeds: Sequence[int], hops: int, max_degree: int) -> set[int]:
    """Walks by the hub rule, one start and one node at a time."""
    neighbours = {node: set(kg.edge_index[1, kg.edge_index[0] == node].tolist()) for node in range(kg.num_nodes)}
    reached: set[int] = set()
    for seed in seeds:
        frontier = {seed}
        for hop in range(hops):
            through = [node for node in frontier if hop == 0 or len(neighbours[node]) <= max_degree]
            frontier = {tail for node in through for tail in neighbours[node]}
            reached |= frontier
    return {node for node in reached if node < ITEMS}


@pytest.mark.parametrize("hops", [1, 2, 3])
@settings(max_examples=50, deadline=None)
@given(problem=problems(), max_degree=st.integers(0, 4))
def test_hubs_are_reached_but_not_walked_through(
    hops: int, problem: tuple[Data, list[list[int]], list[list[int]]], max_degree: int
) -> None:
    kg, seeds, exclude = problem
    expected = [
        sorted(slow_walk(kg, [node for node in liked if node >= 0], hops, max_degree) - {*liked, *shown})
        for liked, shown in zip(seeds, exclude, strict=True)
    ]
    for candidates in implementations(kg, hops=hops, size=None, max_degree=max_degree):
        assert per_session(candidates.select(padded(seeds), padded(exclude)), len(seeds)) == expected


def test_a_hub_has_more_neighbours_than_the_limit() -> None:
    kg = graph([(0, 6), (1, 6), (2, 6), (0, 7), (3, 7), (0, 1), (1, 4)], 8, ITEMS)
    for max_degree, expected in ((1, [1]), (2, [1, 3]), (3, [1, 2, 3, 4])):  # 6 and item 1 have 3 neighbours, 7 has 2
        for candidates in implementations(kg, size=None, max_degree=max_degree):
            assert per_session(candidates.select(padded([[0]]), padded([[]])), 1) == [expected]


def test_one_way_graph_walks_head_to_tail() -> None:
    kg = graph([(0, 3), (3, 1), (2, 3)], 4, 3, inverse=False)
    assert per_session(KHopCandidates(kg, size=None).select(padded([[0], [1], [2]]), padded([[], [], []])), 3) == [
        [1], [], [1]]


def test_large_batches_are_cut_into_chunks_without_a_trace(device: torch.device) -> None:
    kg = random_kg().to(str(device))
    generator = torch.Generator().manual_seed(1)
    seeds = torch.randint(-1, 100, (50, 4), generator=generator).to(device)
    exclude = torch.randint(-1, 100, (50, 6), generator=generator).to(device)
    whole = KHopCandidates(kg, size=None, popular=torch.arange(100), backfill=("popular", 7)).to(device)
    singles = [whole.select(seeds[row : row + 1], exclude[row : row + 1])[0] for row in range(50)]
    batch = torch.cat([torch.full_like(row, session) for session, row in enumerate(singles)])
    for table_limit in (0, 200_000, 2_500):  # walk; mask or lists; lists
        candidates = KHopCandidates(kg, size=None, popular=torch.arange(100), backfill=("popular", 7),
                                    table_limit=table_limit)
        candidates.index.budget = 40
        assert len(candidates.index.chunks(seeds, 7)) > 5
        found = candidates.select(seeds, exclude)
        assert torch.equal(found[0], torch.cat(singles))
        assert torch.equal(found[1], batch)


@pytest.mark.parametrize("limit", [200_000, 2_500])
def test_a_table_is_walked_in_chunks_without_a_trace(limit: int) -> None:
    walk = KHopWalk(random_kg(), hops=2)
    walk.budget = 40
    assert len(chunk_sizes(walk.cost[:-1], walk.budget, 100)) > 5
    table = tabulate(walk, limit)
    assert table is not None
    everyone, none = torch.arange(100)[:, None], torch.empty(100, 0, dtype=torch.long)
    assert torch.equal(table.union(everyone, none, none), walk.union(everyone, none, none))


def test_the_kind_of_table_follows_density_and_limit() -> None:
    sparse, dense = random_kg(400, 200, 100), random_kg(150, 100, 2_000)
    assert isinstance(KHopCandidates(sparse).index, KHopLists)
    assert isinstance(KHopCandidates(dense).index, KHopMasks)
    assert isinstance(KHopCandidates(sparse, table_limit=1_000).index, KHopLists)  # no room for a matrix
    assert isinstance(KHopCandidates(dense, table_limit=2_000).index, KHopWalk)
    assert isinstance(KHopCandidates(sparse, table_limit=0).index, KHopWalk)


@pytest.mark.parametrize("kind", ["popular", "random", "fill"])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_empty_batches_and_rows(kind: str, rows: int) -> None:
    candidates = KHopCandidates(random_kg(), size=None, popular=torch.arange(100), backfill=(kind, 3))
    nothing = torch.full((rows, 2), -1)
    for seeds in (nothing, nothing[:, :0]):
        found = per_session(candidates.select(seeds, nothing[:, :0]), rows)
        assert [len(row) for row in found] == [3] * rows
        if kind == "popular":
            assert found == [[0, 1, 2]] * rows
    assert per_session(KHopCandidates(random_kg()).select(nothing, nothing), rows) == [[]] * rows


def test_backfill_is_added_before_exclude_is_taken_away() -> None:
    kg = graph([(0, 6), (1, 6)], 7, ITEMS)
    candidates = KHopCandidates(kg, popular=torch.tensor([5, 3, 0, 4]), backfill=("popular", 3))
    found = candidates.select(padded([[0], [], [3, -1, 5]]), padded([[], [3, 4], [2]]))
    # seed 0 leads to 1; in the second session 3 is shown already; in the third 3 and 5 are seeds
    assert per_session(found, 3) == [[1, 3, 5], [0, 5], [0]]


def test_random_backfill_has_n_items_and_depends_on_the_generator_alone(device: torch.device) -> None:
    candidates = KHopCandidates(without_edges(random_kg()).to(str(device)), size=None, backfill=("random", 30))
    nothing = torch.full((40, 1), -1, device=device)

    def draw(seed: int) -> list[list[int]]:
        return per_session(candidates.select(nothing, nothing, torch.Generator(device).manual_seed(seed)), 40)

    assert all(len(row) == len(set(row)) == 30 for row in draw(0))
    assert draw(0) == draw(0) != draw(1)
    assert draw(0)[0] != draw(0)[1]  # each session has its own
    state = torch.get_rng_state()
    assert torch.equal(candidates.select(nothing, nothing)[0], candidates.select(nothing, nothing)[0])
    assert torch.equal(state, torch.get_rng_state())


@given(problems(), st.integers(1, 120))
@settings(max_examples=60, deadline=None)
def test_filling_up_keeps_every_neighbour(
    problem: tuple[Data, list[list[int]], list[list[int]]], count: int
) -> None:
    kg, seeds, exclude = problem
    near = per_session(KHopCandidates(kg, size=None).select(padded(seeds), padded(exclude)), len(seeds))
    for filled in implementations(kg, size=None, backfill=("fill", count)):
        found = per_session(filled.select(padded(seeds), padded(exclude)), len(seeds))
        for own, row, gone in zip(near, found, zip(seeds, exclude, strict=True), strict=True):
            left = kg.num_items - len({*gone[0], *gone[1]} - {-1})
            assert set(own) <= set(row)
            assert len(row) == len(set(row)) == max(len(own), min(count, left))
            assert not set(row) & {*gone[0], *gone[1]}


def test_filling_up_a_few_sessions_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.candidates.k_hop._CELLS", 2 * 101)  # two sessions
    kg, seeds = random_kg(), padded([[item] for item in range(9)])
    near = per_session(KHopCandidates(kg, size=None).select(seeds, seeds), 9)
    found = per_session(KHopCandidates(kg, size=None, backfill=("fill", 60)).select(seeds, seeds), 9)
    for own, row, seed in zip(near, found, range(9), strict=True):
        assert len(row) == len(set(row)) == max(60, len(own))
        assert {*own} <= {*row} <= {*range(100)} - {seed}


def test_what_fills_up_is_uniform() -> None:
    kg = graph([(0, 40), (1, 40), (2, 40)], 41, 40)
    seeds, shown = torch.zeros(4_000, 1, dtype=torch.long), torch.full((4_000, 1), 3)
    candidates = KHopCandidates(kg, size=12, backfill=("fill", 12))
    items, batch = candidates.select(seeds, shown, torch.Generator().manual_seed(0))
    assert bool((torch.bincount(batch, minlength=4_000) == 12).all())
    times = torch.bincount(items, minlength=40)
    assert times[:4].tolist() == [0, 4_000, 4_000, 0]
    # ten of the 36 others; as above, 35 degrees of freedom, 0.1 % level: 66.6
    mean = 4_000 * 10 / 36
    assert float(((times[4:] - mean) ** 2 / (mean * (1 - 10 / 36))).sum()) * 35 / 36 < 66.6


@pytest.mark.parametrize("backfill", [("popular", 300), ("random", 300), ("fill", 300)])
def test_as_many_backfill_items_as_there_are_items_means_all(backfill: tuple[str, int]) -> None:
    candidates = KHopCandidates(random_kg(), size=None, popular=torch.arange(100), backfill=backfill)
    found = per_session(candidates.select(padded([[], [4]]), padded([[7], [8]])), 2)
    assert found == [[item for item in range(100) if item != 7], [item for item in range(100) if item not in (4, 8)]]


def test_a_session_that_used_up_its_candidates_gets_further_backfill() -> None:
    kg = graph([(0, 6), (1, 6)], 7, ITEMS)
    seeds, exclude = padded([[0], [0], [0]]), padded([[0, 1, 5, 3], [0, 1, 2, 3, 4, 5], [5]])
    popular = KHopCandidates(kg, popular=torch.tensor([5, 3, 4]), backfill=("popular", 1))
    # the next of the ranking; nothing where nothing is left; untouched where something is
    assert per_session(popular.select(seeds, exclude), 3) == [[4], [], [1]]
    # behind the end of the ranking it goes on by id
    assert per_session(popular.select(seeds[:1], padded([[1, 3, 4, 5]])), 1) == [[2]]
    seen = set()
    for seed in range(20):
        random = KHopCandidates(kg, backfill=("random", 1))
        found = per_session(random.select(seeds, exclude, torch.Generator().manual_seed(seed)), 3)
        assert len(found[0]) == 1
        assert not found[1]
        seen.update(found[0])
    assert seen == {2, 4}
    assert per_session(KHopCandidates(kg).select(seeds, exclude), 3) == [[], [], [1]]  # without backfill: nothing


def test_sampling_is_uniform_and_reproducible() -> None:
    kg = graph([(item, 40) for item in range(40)], 41, 40)
    candidates = KHopCandidates(kg, size=10)
    seeds, none = torch.zeros(4_000, 1, dtype=torch.long), torch.full((4_000, 1), -1)

    def draw(seed: int) -> Tensor:
        items, batch = candidates.select(seeds, none, torch.Generator().manual_seed(seed))
        assert bool((torch.bincount(batch, minlength=4_000) == 10).all())
        assert len((batch * 40 + items).unique()) == len(items)
        return items

    first = draw(0)
    times = torch.bincount(first, minlength=40)
    assert times[0] == 0  # the seed
    mean = 4_000 * 10 / 39
    # without replacement the variance of a count is mean · (1 − 10/39); 38 degrees of freedom, 0.1 % level: 70.7
    assert float(((times[1:] - mean) ** 2 / (mean * (1 - 10 / 39))).sum()) * 38 / 39 < 70.7
    assert torch.equal(first, draw(0))
    assert not torch.equal(first, draw(1))


def test_size_cuts_only_what_is_larger() -> None:
    kg = graph([(0, 6), (1, 6), (2, 6), (3, 6), (4, 7), (5, 7)], 8, ITEMS)
    found = per_session(KHopCandidates(kg, size=2).select(padded([[0], [4]]), padded([[], []])), 2)
    assert len(found[0]) == 2
    assert set(found[0]) < {1, 2, 3}
    assert found[1] == [5]


def test_state_dict_is_empty_and_copies_work(device: torch.device) -> None:
    candidates = KHopCandidates(random_kg(), popular=torch.arange(100), backfill=("popular", 3))
    assert not candidates.state_dict()
    seeds = padded([[1, 2], [3]])
    moved = copy.deepcopy(candidates).to(device)
    found = moved.select(seeds.to(device), seeds.to(device))
    assert found[0].device.type == device.type
    assert torch.equal(found[0].cpu(), candidates.select(seeds, seeds)[0])
    assert "hops=2, size=1000, backfill=('popular', 3)" in repr(candidates)


@pytest.mark.parametrize(("options", "error", "text"), [
    ({"hops": 0}, ValueError, "`hops` must be at least 1, got 0"),
    ({"size": 0}, ValueError, "`size` must be at least 1"),
    ({"max_degree": -1}, ValueError, "`max_degree` must be"),
    ({"table_limit": -1}, ValueError, "`table_limit` must be"),
    ({"backfill": ("populer", 3)}, ValueError, "did you mean 'popular'"),
    ({"backfill": ("random", 0)}, ValueError, "`backfill's n` must be at least 1"),
    ({"backfill": "random"}, TypeError, "`backfill` must be None, "),
    ({"backfill": ("popular", 3)}, ValueError, "`popular` must be a ranking"),
    ({"popular": torch.tensor([1, 1])}, ValueError, "`popular` must be every item at most once, got 1"),
    ({"popular": torch.tensor([1, 100])}, ValueError, r"`popular` must be item ids in \[0, 100\)"),
    ({"popular": torch.tensor([1.0])}, ValueError, "`popular` must be a LongTensor"),
])
def test_bad_options(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        KHopCandidates(random_kg(), **options)


@pytest.mark.parametrize("given", [{}, {"num_items": 2}, {"inverse": True}])
def test_a_graph_from_elsewhere(given: dict[str, Any]) -> None:
    kg = Data(edge_index=torch.tensor([[0, 1], [2, 2]]), num_nodes=3, **given)
    with pytest.raises(ValueError, match=r"`kg` must be a graph that `kgrl.graph.knowledge_graph` made, got Data\("):
        KHopCandidates(kg)
    kg.num_items = 2
    assert KHopCandidates(knowledge_graph(kg)).select(padded([[0]]), padded([[]]))[0].tolist() == [1]  # as it says


def test_what_is_no_graph() -> None:
    data = HeteroData()
    data["item"].num_nodes = 2
    for wrong, name in ((data, "HeteroData"), (torch.tensor([[0], [1]]), "Tensor"), (None, "NoneType")):
        with pytest.raises(ValueError, match=f"`kg` must be .*knowledge_graph` made, got '{name}'; knowledge_graph"):
            KHopCandidates(wrong)


def test_bad_sessions() -> None:
    candidates = KHopCandidates(random_kg())
    with pytest.raises(ValueError, match=r"`exclude` must be a LongTensor \[2, …\].* got .*\[1, 1\]"):
        candidates.select(padded([[1], [2]]), padded([[1]]))
    with pytest.raises(ValueError, match=r"`seeds` must be item ids in \[0, 100\) or -1, got 100"):
        candidates.select(padded([[100]]), padded([[1]]))
    with pytest.raises(ValueError, match=r"`exclude` must be item ids in \[0, 100\) or -1, got -2"):
        candidates.select(padded([[1]]), padded([[-2]]))
