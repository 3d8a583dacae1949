"""Vectors of one's own: wherever they are taken, complex ones and those of other things are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kgrl.agents import DDPGKNN, DDPGR, DQNR, KGQR, TPGR, GreedySVD, HLinearUCB, KGProfile, LinearGaussian, LinearUCB
from kgrl.graph import knowledge_graph
from kgrl.nn import KGConv, KGEncoder, SparseTasteTerms, TasteState, TasteTerms
from kgrl.pretrain import ItemFactors
from kgrl.simulator import PredictedFeedback
from kgrl.tree import ClusterTree
from tests.agents.every_agent import ITEMS, TRAIN, data

KG = knowledge_graph(data())
NODES = int(KG.num_nodes)
TREE = ClusterTree.build(torch.randn(ITEMS, 3))


def terms(loading: Tensor) -> TasteTerms:
    return TasteTerms(torch.zeros(len(loading)), loading, torch.ones(len(loading)))


def sparse_terms(loading: Tensor) -> SparseTasteTerms:
    return SparseTasteTerms(torch.zeros(len(loading)), loading.to_sparse_csr(), torch.ones(len(loading)))


# what takes vectors, and how many it wants; None where the vectors say how many things there are
TAKEN: dict[str, tuple[Callable[[Tensor], Any], int | None]] = {
    "KGQR(embedding)": (lambda x: KGQR(KG, embedding=x), NODES),
    "KGQR-KG(embedding)": (lambda x: KGQR(KG, embedding=x, variant="KGQR-KG"), ITEMS),
    "KGQR(tastes)": (lambda x: KGQR(KG, tastes=terms(x)), ITEMS),
    "TPGR(embedding)": (lambda x: TPGR.from_data(data(), TRAIN, tree=TREE, embedding=x), ITEMS),
    "TPGR(embedding) over the KG": (lambda x: TPGR.from_data(data(), TRAIN, tree=TREE, state="kg", embedding=x), NODES),
    "TPGR(tastes)": (lambda x: TPGR.from_data(data(), TRAIN, tree=TREE, tastes=terms(x)), ITEMS),
    "DQNR(tastes)": (lambda x: DQNR(torch.randn(ITEMS, 3), tastes=terms(x)), ITEMS),
    "DQNR": (DQNR, None),
    "DDPGR": (DDPGR, None),
    "DDPGKNN": (DDPGKNN, None),
    "LinearUCB": (LinearUCB, None),
    "HLinearUCB": (HLinearUCB, None),
    "GreedySVD(vector)": (lambda x: GreedySVD(ItemFactors(x, torch.zeros(len(x)))), None),
    "GreedySVD(bias)": (lambda x: GreedySVD(ItemFactors(torch.zeros(ITEMS, 2), x[:, 0])), ITEMS),
    "LinearGaussian": (lambda x: LinearGaussian(terms(x)), None),
    "KGProfile": (lambda x: KGProfile(sparse_terms(x)), None),
    "KGEncoder, planned": (lambda x: KGEncoder.from_kg(KG, x.size(1))(x), NODES),
    "KGEncoder": (lambda x: KGEncoder(x.size(1))(x, KG.edge_index), None),
    "KGConv": (lambda x: KGConv(x.size(1), 2)(x, KG.edge_index), None),
    "TasteState(start)": (lambda x: TasteState(3, start=terms(x)), None),
    "ClusterTree.build": (ClusterTree.build, None),
    "ClusterTree.attach": (lambda x: ClusterTree.build(x).attach(data().clone()), ITEMS),
    "ClusterTree.extend": (lambda x: ClusterTree(TREE.paths, 40).extend(torch.arange(ITEMS), x), ITEMS),
    "PredictedFeedback(item)": (lambda x: PredictedFeedback.from_embeddings(torch.ones(5, x.size(1)), x), None),
    "PredictedFeedback(user)": (lambda x: PredictedFeedback.from_embeddings(x, torch.ones(5, x.size(1))), None),
    "PredictedFeedback(item_bias)": (lambda x: PredictedFeedback.from_embeddings(
        torch.ones(5, 2), torch.ones(ITEMS, 2), item_bias=x[:, 0]), ITEMS),
}
REFUSED = "real numbers|a floating-point tensor"


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("name", TAKEN)
def test_complex_vectors_are_refused_by_name(name: str) -> None:
    take, count = TAKEN[name]
    vectors = torch.rand(NODES if count is None else count, 4)
    take(vectors)
    with pytest.raises(ValueError, match=rf"`[a-z_.]+` must be .*({REFUSED}).*complex64"):
        take(torch.complex(vectors, vectors))


@pytest.mark.parametrize("name", [name for name, (_, count) in TAKEN.items() if count is not None])
@pytest.mark.parametrize("rows", [5, 300])
def test_vectors_of_other_things_are_refused(name: str, rows: int) -> None:
    take, count = TAKEN[name]
    with pytest.raises(ValueError, match=rf"must be (?=.*\b{count}\b).*\b{rows}\b"):
        take(torch.rand(rows, 4))


def test_where_items_alone_have_vectors_those_of_all_entities_will_do() -> None:
    vectors = torch.rand(NODES, 4)
    agent = KGQR(KG, embedding=vectors, variant="KGQR-KG")
    assert torch.equal(agent.network.items.embedding.detach(), vectors[:ITEMS])
    with pytest.raises(ValueError, match="`embedding` must be finite numbers"):
        KGQR(KG, embedding=vectors / 0, variant="KGQR-KG")
