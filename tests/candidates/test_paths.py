"""Explanations: edges of the KG, from a seed to the candidate, through the rarest entity."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from kgrl.candidates import KHopCandidates, Path
from kgrl.graph import distinct_pairs, forward_triples, knowledge_graph

FARGO, BLOOD, KLUTE, COEN, ENGLISH, SEQUEL, DIRECTOR, LANGUAGE = 0, 1, 2, 3, 4, 0, 1, 2


def films(inverse: bool = True) -> Data:
    triples = torch.tensor([
        [FARGO, LANGUAGE, ENGLISH], [BLOOD, LANGUAGE, ENGLISH], [KLUTE, LANGUAGE, ENGLISH],
        [FARGO, DIRECTOR, COEN], [BLOOD, DIRECTOR, COEN], [COEN, SEQUEL, BLOOD], [KLUTE, SEQUEL, BLOOD],
    ])
    return knowledge_graph(triples[:, [0, 2]].T.contiguous(), inverse, edge_type=triples[:, 1], num_items=3,
                           relation_names=["sequel", "director", "language"])


NAMES = ["Fargo", "Blood Simple", "Klute", "Coen", "English"].__getitem__


def test_says_what_is_shared() -> None:
    candidates = KHopCandidates(films())
    found = candidates.paths(BLOOD, torch.tensor([FARGO, -1, KLUTE, BLOOD]))
    assert [path.seed for path in found] == [KLUTE, FARGO]  # a direct link before a shared entity
    assert [path.degree for path in found] == [0, 2]
    assert found[0].describe(NAMES) == "is a sequel of Klute"
    assert found[1].describe(NAMES) == "shares the director Coen with Fargo"  # not language, and not "sequel"
    assert found[1].describe(lambda node: "" if node == COEN else NAMES(node)) == "has the same director as Fargo"
    assert str(found[1]) == "shares the director 3 with 0"
    assert candidates.paths(KLUTE, [BLOOD])[0].describe(NAMES) == "has the sequel Blood Simple"
    assert candidates.paths(KLUTE, []) == []


def test_longer_and_one_way_paths_are_spelled_out() -> None:
    path = KHopCandidates(films(inverse=False)).paths(BLOOD, [FARGO])[0]
    assert path.describe(NAMES) == "is a sequel of Coen, and Coen is a director of Fargo"
    triples = forward_triples(films())
    silent = triples[~((triples[:, 0] == KLUTE) & (triples[:, 1] == LANGUAGE))]
    kg = knowledge_graph(silent[:, [0, 2]].T.contiguous(), edge_type=silent[:, 1], num_items=3, num_nodes=5,
                         relation_names=["sequel", "director", "language"])
    path = KHopCandidates(kg, hops=3).paths(KLUTE, [FARGO])[0]
    # of two relations between Coen and Blood Simple the one that is walked there and back
    assert path.describe(NAMES) == "shares the sequel Blood Simple with Coen, and Coen is a director of Fargo"


@st.composite
def problems(draw: st.DrawFn) -> tuple[Data, int, int | None]:
    nodes = draw(st.integers(4, 9))
    node = st.integers(0, nodes - 1)
    triples = draw(st.lists(st.tuples(node, st.integers(0, 1), node), min_size=1, max_size=18))
    table = torch.tensor(triples)
    kg = knowledge_graph(table[:, [0, 2]].T.contiguous(), draw(st.booleans()), edge_type=table[:, 1], num_items=4,
                         num_nodes=nodes, relation_names=["x", "y"])
    return kg, draw(st.integers(1, 3)), draw(st.none() | st.integers(1, 4))


def best(kg: Data, seed: int, item: int, hops: int, max_degree: int | None) -> tuple[int, int] | None:
    """(highest degree in between, hops) of the best simple path, by trying them all."""
    neighbours = {node: set(kg.edge_index[1, kg.edge_index[0] == node].tolist()) for node in range(kg.num_nodes)}
    found = []
    paths = [[seed]]
    for length in range(1, hops + 1):
        paths = [[*path, tail] for path in paths for tail in neighbours[path[-1]] if tail not in path]
        for path in paths:
            degrees = [len(neighbours[node]) for node in path[1:-1]]
            if path[-1] == item and (max_degree is None or max(degrees, default=0) <= max_degree):
                found.append((max(degrees, default=0), length))
    return min(found, default=None)


def nodes_of(path: Path) -> list[int]:
    return [path.seed, *(step.node for step in path.steps)]


@settings(max_examples=150, deadline=None)
@given(problems())
def test_finds_the_path_through_the_rarest_entity(problem: tuple[Data, int, int | None]) -> None:
    kg, hops, max_degree = problem
    candidates = KHopCandidates(kg, hops=hops, size=None, max_degree=max_degree)
    edges = set(zip(*kg.edge_index.tolist(), kg.edge_type.tolist(), strict=True))
    everyone, degree = torch.arange(4), distinct_pairs(kg).get_csr()[0][0].diff()
    for item in everyone.tolist():
        found = candidates.paths(item, everyone)
        assert [(path.degree, len(path.steps), path.seed) for path in found] == sorted(
            (*cost, seed) for seed in range(4) if seed != item and (cost := best(kg, seed, item, hops, max_degree)))
        for path in found:
            assert path.steps[-1].node == item
            assert path.degree == max((int(degree[node]) for node in nodes_of(path)[1:-1]), default=0)
            for (head, tail), step in zip(pairwise(nodes_of(path)), path.steps, strict=True):
                kind = kg.relation_names.index(step.relation) + (kg.num_relations if step.inverse else 0)
                assert (head, tail, kind) in edges
            # what has a path is a candidate, and the other way round
            assert item in candidates.select(torch.tensor([[path.seed]]), torch.tensor([[-1]]))[0]
        reached = candidates.select(everyone[:, None], torch.full((4, 1), -1))
        assert {path.seed for path in found} == set(reached[1][reached[0] == item].tolist())


def test_bad_ids() -> None:
    candidates = KHopCandidates(films())
    with pytest.raises(ValueError, match=r"item ids in \[0, 3\), got 3"):
        candidates.paths(3, [0])
    with pytest.raises(ValueError, match=r"item ids in \[0, 3\), got 4"):
        candidates.paths(0, [4])
    with pytest.raises(ValueError, match="`item` must be at least 0"):
        candidates.paths(-1, [0])
