"""``KGEncoder``: what the targets need and nothing else, equal to the whole graph's computation."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MaxAggregation
from torch_geometric.utils import k_hop_subgraph

from kgrl.graph import knowledge_graph
from kgrl.nn import KGConv, KGEncoder
from kgrl.nn.conv.named_aggregators import MeanAggregator

ALL = ["mean", "concat", "neighbor", "gat", MaxAggregation]


def random_graph(seed: int, num_nodes: int = 30, num_edges: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes, (2, num_edges), generator=generator)
    return torch.randn(num_nodes, 6, generator=generator, dtype=torch.double), edges


def messages(edge_index: Tensor) -> Tensor:
    """From the tail of each distinct (head, tail) pair to its head."""
    pairs = sorted(set(zip(*edge_index.tolist(), strict=True)))
    return torch.tensor([[tail for _, tail in pairs], [head for head, _ in pairs]], dtype=torch.long)


def whole(encoder: KGEncoder, x: Tensor, edge_index: Tensor) -> Tensor:
    """Every node, layer by layer, along plain edges."""
    for conv in encoder.convs:
        x = conv(x, messages(edge_index))
    return x


def gradients(out: Tensor, encoder: KGEncoder, x: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    grads = torch.autograd.grad((out * weight).sum(), [x, *encoder.parameters()], retain_graph=True,
                                allow_unused=True)
    return [torch.zeros(()) if grad is None else grad for grad in grads]


def assert_same(ours: Tensor, theirs: Tensor, encoder: KGEncoder, x: Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(gradients(ours, encoder, x), gradients(theirs, encoder, x), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("aggregator", ALL)
def test_equals_the_whole_graph(aggregator: str, hops: int) -> None:
    """Outputs and gradients: planned, planned but for other targets, and with edges given; targets repeat."""
    x, edges = random_graph(hops)
    x.requires_grad_()
    encoder = KGEncoder(6, hops, aggregator).double()
    targets, others = torch.tensor([7, 3, 7, 29]), torch.tensor([0, 12])
    full = whole(encoder, x, edges)
    assert_same(encoder(x, edges), full, encoder, x)
    assert_same(encoder(x, edges, targets), full[targets], encoder, x)
    encoder.plan(edges, 30, targets)
    assert_same(encoder(x), full[targets], encoder, x)
    assert_same(encoder(x, targets=others), full[others], encoder, x)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), hops=st.integers(1, 3), num_edges=st.integers(0, 80),
       targets=st.lists(st.integers(0, 19), max_size=8))
def test_equals_the_whole_graph_on_any(seed: int, hops: int, num_edges: int, targets: list[int]) -> None:
    x, edges = random_graph(seed, 20, num_edges)
    encoder = KGEncoder([6, *range(1, hops + 1)], hops, "concat").double()
    wanted = torch.tensor(targets, dtype=torch.long)
    torch.testing.assert_close(encoder(x, edges, wanted), whole(encoder, x, edges)[wanted])


@pytest.mark.parametrize("aggregator", ["mean", "gat"])
def test_computes_only_what_is_seen(aggregator: str) -> None:
    """Layer l runs on the nodes within L − l hops of a target, no more, along the edges into them."""
    _, edges = random_graph(5, 60, 80)
    targets = torch.tensor([4, 9, 20])
    encoder = KGEncoder(6, 3, aggregator).plan(edges, 60, targets)
    for layer in range(3):
        hop = encoder.get_buffer(f"plan_hop{layer}")
        seen = k_hop_subgraph(targets, 2 - layer, messages(edges), num_nodes=60)[0]
        assert hop.num_cols == len(seen)
        assert hop.size(1) == int(torch.isin(messages(edges)[1], seen).sum())
        if layer or aggregator == "gat":
            assert hop.num_rows == len(k_hop_subgraph(targets, 3 - layer, messages(edges), num_nodes=60)[0])


def test_nothing_outside_matters() -> None:
    """A NaN three hops away stays there."""
    chain = torch.tensor([[0, 1, 2], [1, 2, 3]])
    x = torch.ones(4, 6)
    x[3] = torch.nan
    encoder = KGEncoder(6, 2)
    assert encoder(x, chain, torch.tensor([0])).isfinite().all()
    assert not encoder(x, chain, torch.tensor([1])).isfinite().all()


@pytest.mark.parametrize("aggregator", ["mean", "gat"])
def test_from_kg(aggregator: str) -> None:
    """Tails are gathered into heads, each once; items are the targets."""
    kg = Data(edge_index=torch.tensor([[0, 0, 0, 3, 1], [2, 3, 3, 4, 4]]), num_nodes=5)  # 0 → 3 in two relations
    kg.num_items = 2
    encoder = KGEncoder.from_kg(kg, 6, 2, aggregator=aggregator)
    x = torch.randn(5, 6)
    expected = x
    for conv in encoder.convs:
        expected = conv(expected, torch.tensor([[2, 3, 4, 4], [0, 0, 3, 1]]))
    torch.testing.assert_close(encoder(x), expected[:2])
    assert torch.equal(encoder(x, kg.edge_index, torch.arange(2)), encoder(x))  # one graph, whichever way it comes
    torch.testing.assert_close(encoder(x, kg.edge_index), expected)


def test_another_kg_may_be_planned() -> None:
    """The weights stay; more nodes and items, other edges."""
    first, second = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2), Data(
        edge_index=torch.tensor([[0, 1, 3], [3, 2, 0]]), num_nodes=4)
    first.num_items, second.num_items = 1, 2
    encoder, x = KGEncoder.from_kg(first, 3, 2), torch.randn(4, 3)
    expected = whole(encoder, x, second.edge_index)[:2]
    torch.testing.assert_close(encoder.plan_kg(second)(x), expected)


def test_from_kg_by_hand() -> None:
    """Equations 5 and 6 with numbers: identity weights, one hop, no bias."""
    kg = Data(edge_index=torch.tensor([[0, 0, 0], [1, 2, 2]]), num_nodes=3)
    kg.num_items = 2
    encoder = KGEncoder.from_kg(kg, 2, 1, bias=False)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.eye(2))
    out = encoder(torch.tensor([[1.0, -9.0], [2.0, 4.0], [4.0, 8.0]]))
    assert out.tolist() == [[4.0, 0.0], [2.0, 4.0]]  # (2 + 4) / 2 + 1, and ReLU of (4 + 8) / 2 − 9; item 1 hears nobody


@pytest.mark.parametrize("marked", [[7, 3, 29], [], list(range(30))])
def test_targets_may_be_a_mask(marked: list[int]) -> None:
    """As PyG's subsets may: the marked nodes, in their order."""
    x, edges = random_graph(2)
    encoder = KGEncoder(6).double()
    mask = torch.zeros(30, dtype=torch.bool)
    mask[marked] = True
    full = whole(encoder, x, edges)[sorted(marked)]
    torch.testing.assert_close(encoder(x, edges, mask), full)
    torch.testing.assert_close(encoder.plan(edges, 30, torch.arange(5))(x, targets=mask), full)
    torch.testing.assert_close(encoder.plan(edges, 30, mask)(x), full)


def test_no_hops_hand_the_rows_through() -> None:
    x, edges = random_graph(0)
    assert torch.equal(KGEncoder(6, 0).plan(edges, 30, torch.tensor([5, 2, 5]))(x), x[[5, 2, 5]])


def test_the_plan_stays_with_the_module_but_not_in_its_weights(device: torch.device) -> None:
    x, edges = random_graph(3)
    encoder = KGEncoder(6).double().plan(edges, 30, torch.arange(10))
    expected = encoder(x)
    assert all(name.startswith("convs.") for name in encoder.state_dict())
    assert torch.equal(copy.deepcopy(encoder)(x), expected)
    file = io.BytesIO()
    torch.save(encoder, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), expected)
    other = KGEncoder(6).double().plan(edges, 30, torch.arange(10))
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(x), expected)
    encoder, x, two = encoder.to(device), x.to(device), torch.tensor([3, 1], device=device)
    torch.testing.assert_close(encoder(x).cpu(), expected)
    torch.testing.assert_close(encoder(x, targets=two).cpu(), expected[[3, 1]])


@pytest.mark.parametrize("aggregator", ["mean", "gat"])
def test_the_same_bit_for_bit(aggregator: str, assert_same_bit_for_bit: Callable[..., None]) -> None:
    """Over a graph that is large enough for several threads to share the work, with targets that repeat."""
    x, edges = random_graph(1, 4_000, 20_000)
    x = x.float().requires_grad_()
    encoder = KGEncoder(6, 2, aggregator).plan(edges, 4_000, torch.randint(4_000, (3_000,)))
    assert_same_bit_for_bit(lambda: encoder(x), [x, *encoder.parameters()])


def test_layers_have_their_own_weights() -> None:
    """An instance serves the first layer; the second gets one like it with other weights."""
    part = MeanAggregator((6, 6), 6)
    encoder = KGEncoder(6, 2, part)
    first, second = (conv.aggregator for conv in encoder.convs)
    assert first is part
    assert not torch.equal(first.neighbours.weight, second.neighbours.weight)
    before = first.neighbours.weight.clone()
    encoder.reset_parameters()
    assert not torch.equal(first.neighbours.weight, before)
    assert [conv.in_channels for conv in KGEncoder([-1, 8, 3]).convs] == [-1, 8]
    assert isinstance(encoder.convs[0], KGConv)


def test_refuses() -> None:
    x, edges = random_graph(0)
    with pytest.raises(ValueError, match="`edge_index` is needed where no graph is planned"):
        KGEncoder(6)(x)
    with pytest.raises(ValueError, match="`channels` must be one size or hops \\+ 1 = 3 sizes, got"):
        KGEncoder([6, 6], 2)
    with pytest.raises(ValueError, match="`hops` must be at least 0, got -1"):
        KGEncoder(6, -1)
    encoder = KGEncoder(6).double().plan(edges, 30, torch.arange(3))
    with pytest.raises(ValueError, match="`x` must be one row for each of the graph's 30 nodes"):
        encoder(x[:20])
    with pytest.raises(IndexError, match="`targets` must be node ids from 0 to 29, got 30"):
        encoder(x, targets=torch.tensor([30]))
    with pytest.raises(IndexError, match="`targets` must be node ids from 0 to 29, got -1"):
        encoder(x, targets=torch.tensor([-1]))
    for size in ((29,), (31,), (30, 1)):
        mask = torch.ones(size, dtype=torch.bool)
        with pytest.raises(ValueError, match="`targets` must be node ids .* a mask .30., one bool a node, got 'a mask"):
            encoder(x, targets=mask)
        with pytest.raises(ValueError, match="`targets` must be node ids .* a mask .30., one bool a node, got 'a mask"):
            encoder.plan(edges, 30, mask)
    for bad in ([[0], [30]], [[30], [0]], [[0], [-1]]):
        with pytest.raises(IndexError, match="`edge_index` must be node ids from 0 to 29, got"):
            encoder.plan(torch.tensor(bad), 30, torch.arange(3))
    with pytest.raises(ValueError, match="`kg` must be a graph with"):
        KGEncoder.from_kg(Data(edge_index=edges, num_nodes=30), 6)


@pytest.mark.parametrize("targets", [None, torch.arange(10)])
@pytest.mark.parametrize("edges", [
    torch.tensor([[0, 12], [1, 2]]), torch.tensor([[0, 1], [-1, 2]]), torch.tensor([[0, 1], [1, 2], [2, 3]]),
    torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 4]]), torch.tensor([[0.0], [1.0]]),
])
def test_edges_of_another_shape_or_graph(edges: Tensor, targets: Tensor | None) -> None:
    """Without a look at them the first aborted the process, and the others gave numbers."""
    with pytest.raises((ValueError, IndexError), match="`edge_index` must be"):
        KGEncoder(4, 1)(torch.randn(10, 4), edges, targets)


def test_edges_may_change_in_place() -> None:
    """What is kept of a tensor of edges is forgotten when it is written to."""
    x, edges = random_graph(4)
    encoder = KGEncoder(6).double()
    encoder(x, edges)
    edges[1, :20] = 3
    torch.testing.assert_close(encoder(x, edges), whole(encoder, x, edges))


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("aggregator", ["mean", "gat", "relational"])
def test_edges_and_kg_are_one_graph(aggregator: str, inverse: bool) -> None:
    """With pairs in several relations, and with edges one way alone."""
    edges = torch.randint(12, (2, 60), generator=torch.Generator().manual_seed(0))
    kg = knowledge_graph(edges, inverse, edge_type=torch.arange(60) % 3, num_items=5, num_nodes=12)
    encoder, x = KGEncoder.from_kg(kg, 4, 2, aggregator=aggregator).double(), torch.randn(12, 4, dtype=torch.double)
    types = kg.edge_type if aggregator == "relational" else None
    torch.testing.assert_close(encoder(x, kg.edge_index, edge_type=types)[:5], encoder(x))
    assert torch.equal(encoder(x, kg.edge_index, torch.arange(5), types), encoder(x))
