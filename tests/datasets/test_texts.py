"""PyG's own transforms on a data set whose ids, titles and names are text."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.transforms import RandomLinkSplit, ToUndirected

from kgrl.datasets import from_frames
from kgrl.datasets.texts import Texts
from kgrl.graph import kg_digest, knowledge_graph

USERS, ITEMS = 6, 5


def data() -> HeteroData:
    ratings = [(f"u{u}", f"i{i}", (u * i) % 5 + 1) for u in range(USERS) for i in range(ITEMS)]
    triples = [(f"i{i}", *fact) for i in range(ITEMS) for fact in (("réalisé par", f"d{i % 3}"), ("导演", f"g{i % 2}"))]
    titles = [(f"i{i}", f"Film {i}") for i in range(ITEMS)]
    return from_frames(pd.DataFrame(ratings, columns=["user", "item", "rating"]),
                       pd.DataFrame(triples, columns=["head", "relation", "tail"]),
                       items=pd.DataFrame(titles, columns=["item", "title"]))


@pytest.mark.parametrize("kept", [torch.tensor([0, 2, 3]), torch.tensor([True, False, True, True, False])])
def test_a_part_of_the_items_keeps_their_own_text(kept: Tensor) -> None:
    part = data().subgraph({"item": kept})
    assert part["item"].raw_id == part["item"].entity_id == ["i0", "i2", "i3"]
    assert part["item"].title == ["Film 0", "Film 2", "Film 3"]
    kg = knowledge_graph(part)
    assert kg.num_items == 3
    assert kg.entity_id == ["i0", "i2", "i3", "d0", "d1", "d2", "g0", "g1"]
    d0, linked = kg.entity_id.index("d0"), kg.edge_index[1][kg.edge_index[0] == kg.entity_id.index("d0")]
    assert d0 == 3
    assert [kg.entity_id[node] for node in linked.tolist()] == ["i0", "i3"]


def test_texts_are_a_list_still() -> None:
    texts = Texts(["a", "b", "c"])
    assert texts == ["a", "b", "c"]
    assert texts[1] == texts[torch.tensor(1)] == "b"
    assert texts[1:] == ["b", "c"]
    assert texts[torch.tensor([2, 2, 0])][torch.tensor([0, 2])] == ["c", "a"]


def test_reverse_relations_are_those_the_graph_has_anyway() -> None:
    assert kg_digest(knowledge_graph(ToUndirected()(data()))) == kg_digest(knowledge_graph(data()))


def test_relations_in_any_script_become_modules() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SAGEConv((-1, -1), 4)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index)

    both = ToUndirected()(data())
    assert both.relation_names == ["realise_par", "u5bfc_u6f14"]
    features = {kind: torch.randn(both[kind].num_nodes, 3) for kind in both.node_types}
    made = to_hetero(Layer(), both.metadata())(features, both.edge_index_dict)
    assert {kind: list(each.shape) for kind, each in made.items()} == {
        kind: [both[kind].num_nodes, 4] for kind in both.node_types}


def test_links_may_be_split() -> None:
    train, _, test = RandomLinkSplit(edge_types=[("user", "rates", "item")], num_test=0.2)(data())
    assert train["item"].raw_id == test["item"].raw_id == [f"i{i}" for i in range(ITEMS)]
