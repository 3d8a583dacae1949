"""PyG's own transforms on a data set whose ids, titles and names are text."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import HGTLoader, LinkNeighborLoader, NeighborLoader, NodeLoader
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.sampler import BaseSampler, HeteroSamplerOutput, SamplerOutput
from torch_geometric.transforms import RandomLinkSplit, ToUndirected
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from kgrl.datasets import from_frames
from kgrl.graph import kg_digest, knowledge_graph
from kgrl.texts import Texts

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


class Picked(BaseSampler):
    """The nodes asked for and those given, in this order, without their edges: what loaders do after sampling."""

    def __init__(self, others: dict[str, list[int]] | None) -> None:
        self.others = others

    def sample_from_nodes(self, inputs: Any, **kwargs: Any) -> Any:
        empty, picked = torch.empty(0, dtype=torch.long), inputs.node
        if self.others is None:
            return SamplerOutput(picked, empty, empty, empty, metadata=(inputs.input_id, inputs.time))
        nodes = {kind: torch.tensor(each) for kind, each in self.others.items()}
        return HeteroSamplerOutput(nodes | {"item": picked}, {}, {}, {}, metadata=(inputs.input_id, inputs.time))

    def sample_from_edges(self, inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def loaded(data: Any, sampler: BaseSampler, workers: int = 0, **options: Any) -> list[Any]:
    return list(NodeLoader(data, sampler, batch_size=2, num_workers=workers, **options))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_texts_follow_the_nodes_that_a_loader_samples(workers: int) -> None:
    nodes = torch.tensor([4, 1, 0])
    first, second = loaded(data(), Picked({"user": [5, 2], "entity": [3]}), workers, input_nodes=("item", nodes))
    assert first["item"].title == ["Film 4", "Film 1"]
    assert first["item"].raw_id == first["item"].entity_id == ["i4", "i1"]
    assert first["user"].raw_id == ["u5", "u2"]
    assert second["item"].title == ["Film 0"]
    assert second["entity"].raw_id == [data()["entity"].raw_id[3]]


def test_a_graph_has_texts_of_its_nodes_too() -> None:
    kg = knowledge_graph(data())
    (first, _) = loaded(kg, Picked(None), input_nodes=torch.tensor([6, 2, 0]))
    assert first.entity_id == [kg.entity_id[6], "i2"]
    assert kg.subgraph(torch.tensor([2, 6])).entity_id == ["i2", kg.entity_id[6]]


@pytest.mark.skipif(not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="needs pyg-lib or torch-sparse")
@pytest.mark.parametrize("load", [
    lambda given: NeighborLoader(given, [2, 2], input_nodes=("item", torch.tensor([4, 1, 0])), batch_size=2),
    lambda given: HGTLoader(given, [3, 3], input_nodes=("item", torch.tensor([4, 1, 0])), batch_size=2),
    lambda given: LinkNeighborLoader(given, [2, 2], batch_size=2, edge_label_index=(
        ("user", "rates", "item"), given["user", "rates", "item"].edge_index[:, :3])),
])
def test_the_texts_follow_the_nodes_that_neighbours_are_drawn_of(load: Any) -> None:
    """PyG's own samplers; what they cut out is a data set with a KG of its own."""
    given = ToUndirected()(data())
    for part in load(given):
        for kind in ("user", "item", "entity"):
            assert part[kind].raw_id == given[kind].raw_id[part[kind].n_id]
        assert part["item"].title == [f"Film {item}" for item in part["item"].n_id.tolist()]
        kg = knowledge_graph(part)
        assert kg.item_id == part["item"].raw_id
        assert kg.num_items == part["item"].num_nodes > 1
        assert kg.num_edges


@pytest.mark.parametrize("copied", [
    copy.copy, copy.deepcopy, HeteroData.clone, lambda data: data.to("cpu"), lambda data: data.contiguous(),
    lambda data: pickle.loads(pickle.dumps(data)), lambda data: Batch.from_data_list([data, data]).get_example(1),
    lambda data: data.subgraph({"item": torch.arange(5)}), lambda data: ToUndirected()(data)])
def test_copies_have_texts_that_a_loader_takes_along(copied: Any) -> None:
    again = copied(data())
    assert isinstance(again["item"].title, Texts)
    (batch,) = loaded(again, Picked({}), input_nodes=("item", torch.tensor([3])))
    assert batch["item"].title == ["Film 3"]


def test_a_graph_of_one_kind_of_nodes_has_their_texts_one_after_the_other() -> None:
    given = data()
    given["user"].raw_id = torch.arange(USERS)  # as where one kind's ids are numbers
    made = given.to_homogeneous()
    assert made.raw_id == [*"012345", *given["item"].raw_id, *given["entity"].raw_id]
    assert made.title[USERS:][: ITEMS] == given["item"].title
    assert set(made.title[:USERS]) == {""}


def test_texts_read_as_a_list() -> None:
    texts = Texts(["a", "b", "c"])
    assert texts == ["a", "b", "c"]
    assert ["a", "b", "c"] == texts != ["a", "c", "b"]
    assert texts != ["a", "b"]
    assert texts[1] == texts[torch.tensor(1)] == texts[-2] == "b"
    assert texts[1:] == texts[[1, 2]] == texts[np.array([1, 2])] == ["b", "c"]
    assert texts[torch.tensor([2, 2, 0])][torch.tensor([0, 2])] == ["c", "a"]
    assert [*texts] == texts.tolist() == list("abc")
    assert "b" in texts
    assert "d" not in texts
    assert texts.index("c") == 2
    assert Texts(texts[1:]) == ["b", "c"]
    assert (bool(texts), bool(texts[:0]), bool(Texts([""]))) == (True, False, True)
    assert repr(texts[:2]) == "Texts(['a', 'b'])"


def test_arrays_and_frames_take_them_as_texts() -> None:
    texts = Texts(["a", "b"])
    assert np.asarray(texts).tolist() == texts.numpy().tolist() == ["a", "b"]
    assert pd.DataFrame({"title": texts})["title"].tolist() == pd.Series(texts).tolist() == ["a", "b"]


def test_wherever_tensors_are_made_texts_are_on_the_cpu() -> None:
    with torch.device("meta"):
        assert Texts(["a", "b"])[1:] == ["b"]


@pytest.mark.parametrize("compute", [
    lambda texts: texts + 1, lambda texts: texts.sum(), lambda texts: texts < 1, lambda texts: texts.float(),
    lambda texts: torch.stack([texts, texts]), lambda texts: texts.sort(), lambda texts: texts.unique()])
def test_nothing_is_computed_of_where_they_stand(compute: Any) -> None:
    with pytest.raises(TypeError):
        compute(Texts(["b", "a"]))
    with pytest.raises(TypeError, match="not changed one by one"):
        Texts(["b", "a"])[0] = 1


def test_a_part_is_written_without_the_rest() -> None:
    texts = Texts([f"title {number}" for number in range(1000)])
    written = io.BytesIO()
    torch.save(Data(title=texts[:2]), written)
    assert b"title 1" in written.getvalue()
    assert b"title 2" not in written.getvalue()


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
