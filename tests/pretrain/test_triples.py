"""Which triples are trained on and which are held out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph
from kgrl.pretrain.triples import hold_out, training_triples


def as_set(triples: Tensor) -> set[tuple[int, ...]]:
    return {tuple(row) for row in triples.tolist()}


def test_inverses_are_not_trained_on() -> None:
    triples = torch.tensor([[0, 0, 3], [1, 1, 0], [2, 0, 3]])
    kg = knowledge_graph(triples[:, ::2].T, edge_type=triples[:, 1], num_items=2)
    assert kg.edge_index.size(1) == 6
    assert training_triples(kg).tolist() == triples.tolist()


def test_the_order_of_the_edges_does_not_matter() -> None:
    kg = Data(edge_index=torch.tensor([[2, 0, 1, 0], [0, 1, 2, 1]]), edge_type=torch.tensor([0, 1, 0, 1]),
              num_nodes=3, num_relations=2)  # fmt: skip
    assert training_triples(kg).tolist() == [[0, 1, 1], [1, 0, 2], [2, 0, 0]]


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=60),
       st.integers(1, 10), st.integers(0, 99))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_held_out_triples_cannot_be_read_off_the_rest(rows: set[tuple[int, int, int]], most: int, seed: int) -> None:
    triples = torch.tensor(sorted(rows))
    try:
        train, held_out = hold_out(triples, 10, 3, most, torch.Generator().manual_seed(seed))
    except ValueError as error:
        assert "evaluate=False" in str(error)  # noqa: PT017
        return
    train_rows, held_rows = as_set(train), as_set(held_out)
    assert 1 <= len(held_out) <= most
    assert not train_rows & held_rows
    assert {e for h, _, t in train_rows for e in (h, t)} == {e for h, _, t in rows for e in (h, t)}
    assert {r for _, r, _ in train_rows} == {r for _, r, _ in rows}
    pairs = [frozenset((h, t)) for h, _, t in held_rows]
    assert len(set(pairs)) == len(pairs)
    assert train_rows == {(h, r, t) for h, r, t in rows if frozenset((h, t)) not in pairs}


def test_as_many_as_asked_for_where_there_are_plenty() -> None:
    rows = torch.cartesian_prod(torch.arange(20), torch.arange(2), torch.arange(20))
    rows = rows[rows[:, 0] != rows[:, 2]]
    train, held_out = hold_out(rows, 20, 2, 50, torch.Generator().manual_seed(0))
    assert len(held_out) == 50
    assert len(train) == len(rows) - 50 * 4  # either direction, either relation
    assert len(held_out[:, 1].unique()) == 2
    assert (held_out[:, 0] < held_out[:, 2]).float().mean().item() == pytest.approx(0.5, abs=0.25)


def test_nothing_to_spare_is_an_error() -> None:
    with pytest.raises(ValueError, match="can spare a triple"):
        hold_out(torch.tensor([[0, 0, 1], [2, 0, 3]]), 4, 1, 5, torch.Generator())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"edge_type": None}, "`edge_type`; make it|make it with kgrl.graph.knowledge_graph"),
        ({"num_relations": None}, "`num_relations`"),
        ({"num_relations": 0}, "at least one forward triple"),
        ({"num_nodes": 2}, r"entity ids in \[0, 2\)"),
        ({"edge_type": torch.tensor([-1, 0])}, "relation ids from 0"),
    ],
)
def test_bad_graphs_are_named(change: dict, complaint: str) -> None:
    parts = {"edge_index": torch.tensor([[0, 1], [1, 2]]), "edge_type": torch.tensor([0, 0]), "num_nodes": 3,
             "num_relations": 1, **change}  # fmt: skip
    with pytest.raises(ValueError, match=complaint):
        training_triples(Data(**parts))
