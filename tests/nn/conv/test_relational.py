"""``"relational"`` against loops over nodes, relations and neighbours, over every way to hand over the edges."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.nn import RGCNConv

from kgrl.graph import knowledge_graph, without_edges
from kgrl.nn import Aggregator, KGConv, KGEncoder
from kgrl.nn.conv.relational import RelationalAggregator

SOURCES, TARGETS, IN, IN_TARGET, OUT, RELATIONS = 7, 5, 6, 4, 5, 4
# the edge 2 → 0 of relation 1 twice, and once of relation 0; target 3 hears nobody, no edge has relation 2
EDGES = torch.tensor([[2, 1, 2, 2, 4, 0, 5, 3, 1], [0, 0, 0, 0, 2, 1, 2, 2, 4]])
TYPES = torch.tensor([1, 1, 1, 0, 3, 0, 3, 1, 3])


def fused(edges: Tensor, types: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    order = edges[1].argsort(stable=True)
    return EdgeIndex(edges[:, order], sparse_size=size, sort_order="col"), types[order]


def by_row(edges: Tensor, types: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    order = edges[0].argsort(stable=True)
    return EdgeIndex(edges[:, order], sparse_size=size, sort_order="row"), types[order]


def sizeless(edges: Tensor, types: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    order = edges[1].argsort(stable=True)
    return EdgeIndex(edges[:, order], sort_order="col"), types[order]


FORMS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "edges": lambda edges, types, size: (edges, types), "by row": by_row, "fused": fused, "fused sizeless": sizeless,
}


def slow(part: RelationalAggregator, x: Tensor, own: Tensor, edges: Tensor, types: Tensor) -> Tensor:
    """The docstring's equation, one neighbour after another, before σ."""
    rows = []
    for i in range(len(own)):
        heard = [(j, r) for j, k, r in zip(*edges.tolist(), types.tolist(), strict=True) if k == i]
        relations = {r for _, r in heard}
        out = part.itself.weight @ own[i] + part.neighbours.bias
        for k, matrix in enumerate(part.neighbours.weight.chunk(part.num_bases, dim=1)):
            for r in relations:
                along = [x[j] for j, kind in heard if kind == r]
                count = len(relations) * len(along) if part.normalize == "relation" else len(heard)
                out = out + part.coefficients[r, k] * (matrix @ (sum(along) / count))
        rows.append(out)
    return torch.stack(rows)


def make(num_bases: int = 1, normalize: str = "relation", **kwargs: object) -> KGConv:
    torch.manual_seed(1)
    options = {"num_relations": RELATIONS, "num_bases": num_bases, "normalize": normalize}
    conv = KGConv((IN, IN_TARGET), OUT, "relational", aggregator_kwargs=options, **kwargs).double()
    for parameter in conv.parameters():  # biases and coefficients too
        torch.nn.init.uniform_(parameter, -1, 1)
    return conv


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return (torch.randn(SOURCES, IN, dtype=torch.double, requires_grad=True),
            torch.randn(TARGETS, IN_TARGET, dtype=torch.double, requires_grad=True))


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weight).sum(), inputs, retain_graph=True, materialize_grads=True)


def assert_same(ours: Tensor, theirs: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(gradients(ours, *inputs), gradients(theirs, *inputs), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("normalize", ["relation", "neighbor"])
@pytest.mark.parametrize("num_bases", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_equation(form: str, num_bases: int, normalize: str) -> None:
    """Outputs and all gradients; bipartite, parallel edges, a target without neighbours, a relation without edges."""
    conv, (x, own) = make(num_bases, normalize), inputs()
    out = conv((x, own), *FORMS[form](EDGES, TYPES, (SOURCES, TARGETS)))
    assert_same(out, slow(conv.aggregator, x, own, EDGES, TYPES).relu(), x, own, *conv.parameters())


@pytest.mark.parametrize("form", FORMS)
def test_takes_the_fused_path(form: str) -> None:
    conv, (x, own), written = make(), inputs(), []
    conv.register_message_forward_hook(lambda *_: written.append(True))
    conv((x, own), *FORMS[form](EDGES, TYPES, (SOURCES, TARGETS)))
    assert bool(written) == (form in ("edges", "by row"))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), num_edges=st.integers(0, 60), num_bases=st.integers(1, 2))
def test_fused_equals_messages_on_any(seed: int, num_edges: int, num_bases: int) -> None:
    """And the order of the edges does not matter."""
    generator, conv, (x, own) = torch.Generator().manual_seed(seed), make(num_bases), inputs()
    edges = torch.stack([torch.randint(end, (num_edges,), generator=generator) for end in (SOURCES, TARGETS)])
    types = torch.randint(RELATIONS, (num_edges,), generator=generator)
    mixed = torch.randperm(num_edges, generator=generator)
    written = conv((x, own), edges, types)
    bagged = conv((x, own), *fused(edges[:, mixed], types[mixed], (SOURCES, TARGETS)))
    assert_same(bagged, written, x, own, *conv.parameters())


@pytest.mark.parametrize(("form", "types", "normalize"), [
    *((form, torch.zeros_like(TYPES), normalize) for form in FORMS for normalize in ("relation", "neighbor")),
    *((form, TYPES, "neighbor") for form in FORMS),
])
def test_one_relation_is_the_mean(form: str, types: Tensor, normalize: str) -> None:
    """With the same weights, before the coefficients are trained; so are several where neighbours count alike."""
    conv, plain = (KGConv(IN, OUT, name, aggregator_kwargs=kwargs) for name, kwargs in
                   (("relational", {"num_relations": RELATIONS, "normalize": normalize}), ("mean", None)))
    plain.load_state_dict({name: value for name, value in conv.state_dict().items() if "deviation" not in name})
    x = torch.randn(SOURCES, IN)
    edges, types = FORMS[form](EDGES, types, (SOURCES, SOURCES))
    torch.testing.assert_close(conv(x, edges, types), plain(x, edges))


def test_is_pygs_rgcn_where_every_node_has_one_relation() -> None:
    """R-GCN's sum over relations and ours, divided by their number, then agree; each relation's matrix is W a_r."""
    conv, (x, _) = make(2, act=None), inputs()
    part = copy.deepcopy(conv.aggregator)
    types = torch.tensor([1, 3, 0, 2, 3, 0, 1])[EDGES[1]]
    rgcn = RGCNConv((IN, IN), OUT, RELATIONS, num_bases=2).double()
    with torch.no_grad():
        rgcn.weight.copy_(torch.stack([matrix.t() for matrix in part.neighbours.weight.chunk(2, dim=1)]))
        rgcn.comp.copy_(part.coefficients)
        rgcn.root.zero_()
        rgcn.bias.copy_(part.neighbours.bias)
    ours = conv((x, torch.zeros(SOURCES, IN_TARGET, dtype=torch.double)), EDGES, types)
    torch.testing.assert_close(ours, rgcn((x, x), EDGES, types))


def test_many_tails_do_not_drown_one() -> None:
    """A director counts as much as forty actors together."""
    edges = torch.stack([torch.arange(1, 42), torch.zeros(41, dtype=torch.long)])
    types = torch.tensor([0] * 40 + [1])
    conv = KGConv(2, 2, "relational", act=None, bias=False, aggregator_kwargs={"num_relations": 2})
    with torch.no_grad():
        conv.aggregator.neighbours.weight.copy_(torch.eye(2))
        conv.aggregator.itself.weight.zero_()
    x = torch.zeros(42, 2)
    x[1:41, 0], x[41, 1] = 1, 1
    torch.testing.assert_close(conv(x, edges, types)[0], torch.tensor([0.5, 0.5]))


def test_gradients_of_gradients() -> None:
    """The weighted sum's own gradient, in features and coefficients, checked numerically, twice."""
    conv, (x, own) = make(2, act="tanh"), inputs()
    edges, types = fused(EDGES, TYPES, (SOURCES, TARGETS))
    deviation = conv.aggregator.deviation

    def run(x: Tensor, own: Tensor, values: Tensor) -> Tensor:
        given = {"aggregator.deviation": values}
        return torch.func.functional_call(conv, given, ((x, own), edges, types))

    assert torch.autograd.gradcheck(run, (x, own, deviation))
    assert torch.autograd.gradgradcheck(run, (x, own, deviation))


@pytest.mark.parametrize("form", FORMS)
def test_no_edges_at_all(form: str) -> None:
    conv, (x, own) = make(), inputs()
    nothing = torch.empty(2, 0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    out = conv((x, own), *FORMS[form](*nothing, (SOURCES, TARGETS)))
    assert_same(out, slow(conv.aggregator, x, own, *nothing).relu(), x, own, *conv.parameters())


@pytest.mark.parametrize("form", ["edges", "fused"])
def test_devices_and_precision(form: str, device: torch.device) -> None:
    conv, (x, own) = make(), inputs()
    edges, types = FORMS[form](EDGES, TYPES, (SOURCES, TARGETS))
    out = copy.deepcopy(conv).to(device)((x.to(device), own.to(device)), edges.to(device), types.to(device))
    torch.testing.assert_close(out.cpu(), conv((x, own), edges, types))
    with torch.autocast(device.type, torch.bfloat16):
        half = conv.float().to(device)((x.to(device).bfloat16(), own.to(device).float()), edges.to(device),
                                       types.to(device))
    torch.testing.assert_close(half.cpu().double(), out.cpu(), atol=0.1, rtol=0.1)


def test_lazy_sizes_reset_and_repr() -> None:
    conv = KGConv(-1, OUT, "relational", aggregator_kwargs={"num_relations": RELATIONS, "num_bases": 2})
    x, own = torch.randn(SOURCES, IN), torch.randn(TARGETS, IN_TARGET)
    assert conv((x, own), EDGES, TYPES).shape == (TARGETS, OUT)
    assert conv.aggregator.neighbours.weight.shape == (OUT, 2 * IN)
    torch.nn.init.ones_(conv.aggregator.deviation)
    before = conv.aggregator.neighbours.weight.clone()
    conv.reset_parameters()
    assert not conv.aggregator.deviation.any()
    assert not torch.equal(conv.aggregator.neighbours.weight, before)
    assert repr(conv) == "KGConv(-1, 5, aggregator=relational, num_relations=4, num_bases=2)"


def test_others_do_not_look_at_the_types() -> None:
    """Nor at whether they fit; a size in their place is still a size, as it was before there were types."""
    x = torch.randn(SOURCES, IN)
    for name in ("mean", "concat", "neighbor", "gat"):
        conv = KGConv(IN, OUT, name)
        expected = conv(x, EDGES)
        assert torch.equal(conv(x, EDGES, TYPES), expected)
        assert torch.equal(conv(x, EDGES, edge_type=torch.tensor([-1])), expected)
        assert torch.equal(conv(x, EDGES, (SOURCES, SOURCES)), expected)
        assert torch.equal(conv(x, EDGES, size=(SOURCES, SOURCES)), expected)
    with pytest.raises(ValueError, match="size"):
        KGConv(IN, OUT)(x, EDGES, (SOURCES + 1, SOURCES))


class Translated(Aggregator):
    """A user's own: x_j + z_r, as TransE and CompGCN have it, written as messages."""

    uses_edge_types = True

    def __init__(
        self, in_channels: tuple[int, int], out_channels: int, bias: bool = True, num_relations: int = RELATIONS
    ) -> None:
        super().__init__()
        self.relations = torch.nn.Embedding(num_relations, in_channels[0])

    def message(
        self, sent_j: Tensor, asked_i: Tensor | None, index: Tensor, ptr: Tensor | None, size: int,
        edge_type: Tensor | None = None,
    ) -> Tensor:
        return sent_j + self.relations(edge_type)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours + itself


@pytest.mark.parametrize("form", ["edges", "by row", "fused"])
def test_a_users_own_sees_the_types_in_its_messages(form: str) -> None:
    conv, x = KGConv(IN, IN, Translated, act=None), torch.randn(SOURCES, IN)
    out = conv(x, *FORMS[form](EDGES, TYPES, (SOURCES, SOURCES)))
    sums = torch.zeros(SOURCES, IN).index_add(0, EDGES[1], x[EDGES[0]] + conv.aggregator.relations(TYPES))
    degree = torch.bincount(EDGES[1], minlength=SOURCES).clamp(min=1)
    torch.testing.assert_close(out, sums / degree.unsqueeze(1) + x)


class Halved(Aggregator):
    """A user's own that only weighs: relations of an odd number count half."""

    uses_edge_types = True

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()

    def edge_weight(self, edge_type: Tensor, edge_norm: Tensor | None) -> Tensor:
        return 1 / (1 + edge_type % 2).double()

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours


@pytest.mark.parametrize("form", FORMS)
def test_a_users_own_that_only_weighs(form: str) -> None:
    """Its mean is still over the number of neighbours."""
    conv, x = KGConv(IN, IN, Halved((IN, IN), IN), act=None), torch.randn(SOURCES, IN)
    out = conv(x, *FORMS[form](EDGES, TYPES, (SOURCES, SOURCES)))
    halved = x[EDGES[0]] / (1 + TYPES % 2).unsqueeze(1)
    degree = torch.bincount(EDGES[1], minlength=SOURCES).clamp(min=1)
    torch.testing.assert_close(out, torch.zeros(SOURCES, IN).index_add(0, EDGES[1], halved) / degree.unsqueeze(1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("types", "message"), [
    (None, "`edge_type` must be a LongTensor of the 9 edges' relations for an aggregator that uses edge types, got No"),
    (TYPES[1:], r"`edge_type` must be a LongTensor of the 9 edges' relations, got 'torch.int64 \[8\]'"),
    (TYPES[None], r"`edge_type` must be .*, got 'torch.int64 \[1, 9\]'"),
    (TYPES.double(), r"`edge_type` must be .*, got 'torch.float64 \[9\]'"),
    (TYPES + 1, r"`edge_type` must be relation ids in \[0, 4\), got 4"),
    (TYPES - 1, r"`edge_type` must be relation ids in \[0, 4\), got -1"),
])
def test_types_that_do_not_fit_are_named(form: str, types: Tensor | None, message: str) -> None:
    edges, _ = FORMS[form](EDGES, TYPES, (SOURCES, SOURCES))
    with pytest.raises(ValueError, match=message):
        make()((torch.randn(SOURCES, IN), torch.randn(SOURCES, IN_TARGET)), edges, types)
    encoder = KGEncoder(IN, 2, "relational", aggregator_kwargs={"num_relations": RELATIONS})
    for use in (lambda: encoder.plan(edges, SOURCES, torch.tensor([0]), types),
                lambda: encoder(torch.randn(SOURCES, IN), edges, torch.tensor([0]), types)):
        with pytest.raises(ValueError, match=message):
            use()


def test_refuses() -> None:
    x = torch.randn(SOURCES, IN, dtype=torch.double)
    matrix = torch.eye(SOURCES, dtype=torch.double).to_sparse_csr()
    for sparse in (matrix, matrix.to_sparse_coo()):
        with pytest.raises(ValueError, match="`edge_index` must be a tensor or EdgeIndex .* sparse matrix cannot take"):
            make()((x, x[:, :IN_TARGET]), sparse, TYPES)
    with pytest.raises(ValueError, match="`edge_norm` must be what `edge_norm` gives for these edges, got"):
        make()((x, torch.randn(SOURCES, IN_TARGET).double()), EDGES, TYPES, edge_norm=torch.ones(1))
    for size in ((9, SOURCES), (SOURCES, 9)):
        with pytest.raises(ValueError, match="`x` must be a row for each of the graph's 9 nodes, got 7|size"):
            make()((x, torch.randn(SOURCES, IN_TARGET).double()), *fused(EDGES, TYPES, size))
    with pytest.raises(ValueError, match="`num_relations` must be given to a relational aggregator, got None; aggr"):
        KGConv(IN, OUT, "relational")
    with pytest.raises(ValueError, match="did you mean 'neighbor'"):
        make(normalize="neighbors")
    for name, value in (("num_relations", -1), ("num_bases", 0)):
        with pytest.raises(ValueError, match=f"`{name}` must be at least"):
            KGConv(IN, OUT, "relational", aggregator_kwargs={"num_relations": 3} | {name: value})


# --------------------------------------------------------------------------------------------------------- KGEncoder


def typed_graph(seed: int, num_nodes: int = 30, num_edges: int = 80) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes, (2, num_edges), generator=generator)
    types = torch.randint(RELATIONS, (num_edges,), generator=generator)
    return torch.randn(num_nodes, 6, generator=generator, dtype=torch.double), edges, types


def encoder_of(hops: int, aggregator: object = "relational", **kwargs: object) -> KGEncoder:
    given = {"num_relations": RELATIONS} | kwargs
    encoder = KGEncoder(6, hops, aggregator, aggregator_kwargs=given).double()
    for conv in encoder.convs:
        if aggregator == "relational":
            torch.nn.init.uniform_(conv.aggregator.deviation, -1, 1)
    return encoder


def whole(encoder: KGEncoder, x: Tensor, edges: Tensor, types: Tensor) -> Tensor:
    """Every node, layer by layer, along plain edges: from the tail to the head of each distinct triple."""
    triples = sorted(set(zip(*edges.tolist(), types.tolist(), strict=True)))
    heads, tails, types = (torch.tensor(part) for part in zip(*triples, strict=True))
    edges = torch.stack([tails, heads])
    for conv in encoder.convs:
        x = conv(x, edges, types)
    return x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("aggregator", ["relational", Translated])
def test_the_encoder_equals_the_whole_graph(aggregator: object, hops: int, form: str) -> None:
    """Outputs and gradients: planned, planned but for other targets, and with edges given; targets repeat."""
    x, edges, types = typed_graph(hops)
    x.requires_grad_()
    encoder = encoder_of(hops, aggregator)
    edges, types = FORMS[form](edges, types, (30, 30))
    targets, others = torch.tensor([7, 3, 7, 29]), torch.tensor([0, 12])
    full = whole(encoder, x, torch.as_tensor(edges).as_subclass(Tensor), types)
    checked = [x, *encoder.parameters()]
    assert_same(encoder(x, edges, edge_type=types), full, *checked)
    assert_same(encoder(x, edges, targets, types), full[targets], *checked)
    encoder.plan(edges, 30, targets, types)
    assert_same(encoder(x), full[targets], *checked)
    assert_same(encoder(x, targets=others), full[others], *checked)
    torch.testing.assert_close(copy.deepcopy(encoder)(x), full[targets])
    assert all(name.startswith("convs.") for name in encoder.state_dict())


def test_from_kg_keeps_the_relations() -> None:
    """Two relations between the same two are two edges; a triple listed twice is one; others still see pairs."""
    edges, types = torch.tensor([[0, 0, 0, 0, 3, 1], [2, 3, 3, 3, 4, 4]]), torch.tensor([1, 0, 2, 2, 1, 0])
    kg = Data(edge_index=edges, edge_type=types, num_nodes=5)
    kg.num_items = 2
    encoder = KGEncoder.from_kg(kg, 6, 2, aggregator="relational").double()
    assert encoder.convs[0].aggregator.num_relations == 3
    x = torch.randn(5, 6, dtype=torch.double)
    torch.testing.assert_close(encoder(x), whole(encoder, x, edges, types)[:2])
    assert KGEncoder.from_kg(kg, 6, 2).plan_hop1.size(1) == 3
    del kg.edge_type
    with pytest.raises(ValueError, match="`edge_type` must be a LongTensor of the 6 edges' relations"):
        KGEncoder.from_kg(kg, 6, 2, aggregator="relational")


def test_from_kg_counts_inverse_relations() -> None:
    triples = torch.tensor([[0, 1, 0], [2, 2, 3]])
    for inverse in (True, False):
        kg = knowledge_graph(triples, inverse, edge_type=torch.tensor([0, 0, 1]), num_items=2)
        for graph in (kg, without_edges(kg)):
            encoder = KGEncoder.from_kg(graph, 4, 1, aggregator=RelationalAggregator,
                                        aggregator_kwargs={"num_bases": 2})
            assert encoder.convs[0].aggregator.coefficients.shape == (4 if inverse else 2, 2)
            assert encoder(torch.randn(4, 4)).shape == (2, 4)
        own = RelationalAggregator((4, 4), 4, num_relations=5)
        assert KGEncoder.from_kg(kg, 4, 2, aggregator=own).convs[1].aggregator.num_relations == 5


def test_the_same_bit_for_bit(assert_same_bit_for_bit: Callable[..., None]) -> None:
    """Over a graph that is large enough for several threads to share the work, with targets that repeat."""
    x, edges, types = typed_graph(1, 4_000, 20_000)
    x = x.float().requires_grad_()
    encoder = encoder_of(2).float().plan(edges, 4_000, torch.randint(4_000, (3_000,)), types)
    assert_same_bit_for_bit(lambda: encoder(x), [x, *encoder.parameters()])
