"""What a graph may be made of, and what is said of the rest."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from kgrl.graph import (
    knowledge_graph,
)
from tests.test_graph import hetero

EDGES = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(("given_", "options", "text"), [
    (EDGES, {}, "`num_items` must be"),
    (EDGES, {"num_items": 4, "num_nodes": 3}, "at least num_items = 4"),
    (EDGES, {"num_items": 1, "num_nodes": 2}, r"\(tail\)` must be ids in \[0, 2\), got 2"),
    (-EDGES, {"num_items": 1}, r"\(head\)` must be ids in .* got -1"),
    (EDGES[0], {"num_items": 1}, r"LongTensor \[2, M\].* got \(2,\)"),
    (EDGES.float(), {"num_items": 1}, "torch.int64, got torch.float32"),
    (Data(num_items=2), {}, "`edge_index` must be a LongTensor"),
    (EDGES, {"num_items": 1, "edge_type": torch.zeros(3, dtype=torch.long)}, "`edge_type` must be .* 2 edges"),
    (EDGES, {"num_items": 1, "edge_type": torch.tensor([0, -1])}, r"relation ids in \[0, 1\), got -1"),
    (EDGES, {"num_items": 1, "edge_type": torch.tensor([0, 3]), "relation_names": ["a"]}, r"in \[0, 1\), got 3"),
    (hetero(), {"num_items": 3}, "`num_items` belongs to bare tensors"),
])
def test_bad_input(given_: Data, options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        knowledge_graph(given_, **options)  # type: ignore[arg-type]


def test_bad_hetero_data() -> None:
    with pytest.raises(TypeError, match="`data` must be a HeteroData, a Data or"):
        knowledge_graph([[0], [1]])  # type: ignore[arg-type]
    data = hetero()
    data["item", "a", "entity"].edge_index = torch.tensor([[0], [2]])
    with pytest.raises(ValueError, match=r"'a'.*\(tail\)` must be ids in \[0, 2\), got 2"):
        knowledge_graph(data)
    data = hetero()
    data.relation_names = ["b", "aa"]
    with pytest.raises(ValueError, match="in data.relation_names, got 'a'; choose from aa, b; did you mean 'aa'"):
        knowledge_graph(data)
    data = hetero()
    data["author"].num_nodes = 1
    data["author", "b", "item"].edge_index = torch.tensor([[0], [0]])
    with pytest.raises(ValueError, match="between 'item' and 'entity'"):
        knowledge_graph(data)
    bare = HeteroData()
    with pytest.raises(ValueError, match="node type 'item'"):
        knowledge_graph(bare)
    bare["item"].num_nodes = 2
    with pytest.raises(ValueError, match="edge types between items and entities"):
        knowledge_graph(bare)
