"""Attention: its weights as PyG's ``GATConv`` returns them, dropout, and PyG's ``AttentionExplainer``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.explain import AttentionExplainer, Explainer
from torch_geometric.nn import GATConv, Sequential

from kgrl.nn import Aggregator, KGConv

NODES, IN, OUT = 7, 6, 4
EDGES = torch.tensor([[2, 1, 2, 2, 4, 0, 5, 3, 1], [0, 0, 0, 0, 2, 1, 2, 2, 4]])  # 2 → 0 three times


class Likeness(Aggregator):
    """A user's own attention, of one head whose scores are ``[M]``."""

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor]:
        return x_src, x_dst

    def score(self, sent_j: Tensor, asked_i: Tensor) -> Tensor:
        return (sent_j * asked_i).sum(-1)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours


def layers(**kwargs: Any) -> dict[str, KGConv]:
    own = Likeness()
    own.dropout = kwargs.get("dropout", 0.0)
    return {"gat": KGConv(IN, OUT, "gat", None, aggregator_kwargs={"heads": 2} | kwargs),
            "own": KGConv(IN, IN, own, None)}


def features() -> Tensor:
    return torch.randn(NODES, IN, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", ["edges", "fused", "torch.sparse"])
@pytest.mark.parametrize("name", ["gat", "own"])
def test_weights_add_up_to_one_at_each_target(name: str, form: str) -> None:
    """The output is that without them, and what the weights say; after the call nothing of them is kept."""
    conv, x, edges = layers()[name], features(), EDGES
    if form != "edges":
        edges = EdgeIndex(EDGES, sparse_size=(NODES, NODES)).sort_by("col").values
    if form == "torch.sparse":
        edges = edges.as_tensor().unique(dim=1)
        edges = torch.sparse_coo_tensor(edges.flip(0), torch.ones(edges.size(1)), (NODES, NODES)).to_sparse_csr()
    out, (pairs, alpha) = conv(x, edges, return_attention_weights=True)
    assert torch.equal(out, conv(x, edges))
    assert alpha.shape == (pairs.size(1), 2)[: 2 if name == "gat" else 1]
    heard = torch.zeros(NODES, *alpha.shape[1:]).index_add(0, torch.as_tensor(pairs[1]), alpha)
    hears = torch.isin(torch.arange(NODES), EDGES[1]).float()
    for head in heard.view(NODES, -1).unbind(1):
        torch.testing.assert_close(head, hears)
    if name == "own":
        torch.testing.assert_close(out, torch.zeros(NODES, IN).index_add(0, pairs[1], x[pairs[0]] * alpha.view(-1, 1)))
    assert conv._alpha is None


def test_weights_are_those_of_pygs_gat() -> None:
    x, conv = features(), layers()["gat"]
    gat = GATConv((IN, IN), OUT // 2, 2, add_self_loops=False)
    part: Any = conv.aggregator
    with torch.no_grad():
        gat.lin_src.weight.copy_(part.neighbours.weight)
        gat.lin_dst.weight.copy_(part.itself.weight)
        gat.att_src.copy_(part.att_src[None])
        gat.att_dst.copy_(part.att_dst[None])
    _, (edges, ours) = conv(x, EDGES, return_attention_weights=True)
    _, (_, theirs) = gat((x, x), EDGES, return_attention_weights=True)
    torch.testing.assert_close(ours, theirs)
    assert edges is EDGES


@pytest.mark.parametrize("name", ["gat", "own"])
def test_dropout_is_of_training(name: str) -> None:
    """In training weights are zero or twice as large, and the messages follow; in evaluation there is none."""
    conv, x = layers(dropout=0.5)[name], features()
    plain = layers()[name].eval()
    plain.load_state_dict(conv.state_dict())
    _, (_, whole) = plain(x, EDGES, return_attention_weights=True)
    torch.manual_seed(0)
    out, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    assert set((alpha / whole).round(decimals=3).flatten().tolist()) == {0, 2}
    assert not torch.allclose(out, plain(x, EDGES))
    assert torch.equal(conv.eval()(x, EDGES), plain(x, EDGES))


def test_without_dropout_nothing_is_drawn() -> None:
    conv = layers()["gat"]
    state = torch.random.get_rng_state()
    conv.train()(features(), EDGES)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["gat", "own"])
def test_pygs_attention_explainer_finds_the_weights(name: str) -> None:
    """An edge's part in an explanation is the highest of its weights over layers and heads."""
    first, second = layers()[name], layers()[name]
    second = KGConv(OUT, OUT, "gat", None) if name == "gat" else second
    model = Sequential("x, edge_index", [(first, "x, edge_index -> x"), (second, "x, edge_index -> x")]).eval()
    explain = Explainer(model, AttentionExplainer("max"), explanation_type="model", edge_mask_type="object",
                        model_config={"mode": "regression", "task_level": "graph", "return_type": "raw"})
    x = features()
    found = explain(x, EDGES).edge_mask
    hidden, (_, one) = first(x, EDGES, return_attention_weights=True)
    _, (_, two) = second(hidden, EDGES, return_attention_weights=True)
    highest = torch.stack([alpha.view(EDGES.size(1), -1).max(1).values for alpha in (one, two)]).max(0).values
    torch.testing.assert_close(found, highest.detach())


class TwoHeads(Likeness):
    """Two heads, whose messages come side by side or in a dimension of their own."""

    shape: tuple[int, ...] = (IN,)

    def score(self, sent_j: Tensor) -> Tensor:
        return sent_j[:, :2]

    def message(self, sent_j: Tensor) -> Tensor:
        return sent_j.view(-1, *self.shape)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours.flatten(1)


def test_heads_may_have_a_dimension_of_their_own() -> None:
    x, apart = features(), type("Apart", (TwoHeads,), {"shape": (2, IN // 2)})
    out, (_, alpha) = KGConv(IN, IN, TwoHeads(), None)(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close(KGConv(IN, IN, apart(), None)(x, EDGES), out)
    sent = x[EDGES[0]] * alpha.repeat_interleave(IN // 2, dim=1)
    torch.testing.assert_close(out, torch.zeros(NODES, IN).index_add(0, EDGES[1], sent))
    for shape in ((3, IN // 3), (1, IN)):
        other = type("Other", (TwoHeads,), {"shape": shape})
        with pytest.raises(ValueError, match="`messages` must be .*: `score` has as many heads, got"):
            KGConv(IN, IN, other(), None)(x, EDGES)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="`return_attention_weights` must be left out for an aggregator without `sc"):
        KGConv(IN, OUT)(features(), EDGES, return_attention_weights=True)
    for dropout in (-0.1, 1.5):
        with pytest.raises(ValueError, match="`dropout` must be"):
            KGConv(IN, OUT, "gat", aggregator_kwargs={"dropout": dropout})
    assert repr(KGConv(IN, OUT, "gat", aggregator_kwargs={"dropout": 0.25})).endswith("heads=1, dropout=0.25)")


@pytest.mark.parametrize("name", ["gat", "own"])
def test_compiles(name: str) -> None:
    """In one graph, without a break."""
    conv, x = layers()[name], features()
    out, (_, alpha) = torch.compile(conv, backend="aot_eager", fullgraph=True)(x, EDGES, return_attention_weights=True)
    expected, (_, weights) = conv(x, EDGES, return_attention_weights=True)
    torch.testing.assert_close((out, alpha), (expected, weights))
