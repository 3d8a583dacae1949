"""Aggregators of a user's own that ask for edge types and attributes, against loops over single edges."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from kgrl.nn import Aggregator, KGConv, KGEncoder
from kgrl.nn.conv.aggregator import uniform_linear

SOURCES, TARGETS, IN, OUT, RELATIONS, EDGE_DIM = 7, 5, 4, 3, 4, 2
# the edge 2 → 0 of relation 1 twice, and once of relation 0; target 3 hears nobody, no edge has relation 2
EDGES = torch.tensor([[2, 1, 2, 2, 4, 0, 5, 3, 1], [0, 0, 0, 0, 2, 1, 2, 2, 4]])
TYPES = torch.tensor([1, 1, 1, 0, 3, 0, 3, 1, 3])
ATTRIBUTES = torch.randn(9, EDGE_DIM, dtype=torch.double, generator=torch.Generator().manual_seed(3))


class OwnMatrices(Aggregator):
    """R-GCN: each relation has a matrix of its own, a sum of two."""

    def __init__(self, in_channels: Any, out_channels: int, bias: bool = True, num_relations: int = 1) -> None:
        super().__init__()
        self.bases = uniform_linear(in_channels[0], 2 * out_channels, bias=False)
        self.shares = torch.nn.Embedding(num_relations, 2)
        self.itself = uniform_linear(in_channels[1], out_channels, bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, None]:
        return self.bases(x_src).unflatten(1, (2, -1)), None

    def message(self, sent_j: Tensor, edge_type: Tensor) -> Tensor:
        return (self.shares(edge_type).unsqueeze(-1) * sent_j).sum(1)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours + self.itself(itself)


class ByRelation(Aggregator):
    """KGAT: what a neighbour weighs depends on the relation; the docstring's own."""

    def __init__(self, in_channels: Any, out_channels: int, bias: bool = True, num_relations: int = 1) -> None:
        super().__init__()
        self.relations = torch.nn.Embedding(num_relations, in_channels[0])
        self.both = uniform_linear(in_channels[0], out_channels, bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor]:
        return x_src, x_dst

    def score(self, sent_j: Tensor, asked_i: Tensor, edge_type: Tensor) -> Tensor:
        return (sent_j * (asked_i + self.relations(edge_type)).tanh()).sum(-1)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.both(neighbours + itself)


class WithAttributes(Aggregator):
    """GINE: the attributes of an edge are added to what goes along it."""

    def __init__(self, in_channels: Any, out_channels: int, bias: bool = True, edge_dim: int = 1) -> None:
        super().__init__()
        self.of_edge = uniform_linear(edge_dim, in_channels[0], bias)
        self.both = uniform_linear(in_channels[0], out_channels, bias)

    def message(self, sent_j: Tensor, edge_attr: Tensor) -> Tensor:
        return (sent_j + self.of_edge(edge_attr)).relu()

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.both(neighbours + itself)


class Weighed(Aggregator):
    """The first attribute is a weight, and odd relations count half: no message is written."""

    def __init__(self, in_channels: Any, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.both = uniform_linear(in_channels[0], out_channels, bias)

    def edge_weight(self, edge_attr: Tensor, edge_type: Tensor) -> Tensor:
        return edge_attr[:, 0] / (1 + edge_type % 2)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.both(neighbours + itself)


OWN: dict[str, tuple[type[Aggregator], dict[str, int]]] = {
    "matrices": (OwnMatrices, {"num_relations": RELATIONS}), "attention": (ByRelation, {"num_relations": RELATIONS}),
    "attributes": (WithAttributes, {"edge_dim": EDGE_DIM}), "weights": (Weighed, {}),
}


def slow(name: str, part: Any, x: Tensor, own: Tensor, edges: Tensor, types: Tensor, values: Tensor) -> Tensor:
    """One target after another, one neighbour after another, before σ."""
    rows = []
    for i in range(len(own)):
        heard = [(x[j], r, values[e]) for e, (j, k, r) in
                 enumerate(zip(*edges.tolist(), types.tolist(), strict=True)) if k == i]
        nothing = x.new_zeros(OUT if name == "matrices" else x.size(1))
        if name == "matrices":
            first, second = part.bases.weight.chunk(2)
            sent = [(part.shares.weight[r, 0] * first + part.shares.weight[r, 1] * second) @ x_j for x_j, r, _ in heard]
        elif name == "attributes":
            sent = [(x_j + part.of_edge.weight @ a + part.of_edge.bias).clamp(min=0) for x_j, _, a in heard]
        elif name == "weights":
            sent = [x_j * a[0] * (0.5 if r % 2 else 1) for x_j, r, a in heard]
        else:
            powers = [(x_j @ (own[i] + part.relations.weight[r]).tanh()).exp() for x_j, r, _ in heard]
            sent = [x_j * power / sum(powers) for (x_j, _, _), power in zip(heard, powers, strict=True)]
        total = sum(sent, nothing) / (1 if name == "attention" else max(len(heard), 1))
        rows.append(total + part.itself(own[i]) if name == "matrices" else part.both(total + own[i]))
    return torch.stack(rows)


def by_column(edges: Tensor, *along: Tensor, size: tuple[int, int] = (SOURCES, TARGETS)) -> tuple[Tensor, ...]:
    order = edges[1].argsort(stable=True)
    return EdgeIndex(edges[:, order], sparse_size=size, sort_order="col"), *(values[order] for values in along)


FORMS: dict[str, Callable[..., tuple[Tensor, ...]]] = {"edges": lambda *given: given, "fused": by_column}


def make(name: str, **options: Any) -> KGConv:
    torch.manual_seed(1)
    kind, kwargs = OWN[name]
    conv = KGConv(IN, OUT, kind, aggregator_kwargs=kwargs, **options).double()
    for parameter in conv.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return conv


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    return (torch.randn(SOURCES, IN, dtype=torch.double, requires_grad=True),
            torch.randn(TARGETS, IN, dtype=torch.double, requires_grad=True), ATTRIBUTES.clone().requires_grad_())


def assert_same(ours: Tensor, theirs: Tensor, *inputs: Tensor) -> None:
    """Values and gradients."""
    torch.testing.assert_close(ours, theirs)
    weight = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view_as(ours)
    mine, other = (torch.autograd.grad((out * weight).sum(), inputs, retain_graph=True, materialize_grads=True)
                   for out in (ours, theirs))
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OWN)
def test_equals_the_loop(name: str, form: str) -> None:
    """Bipartite, parallel edges, a target without neighbours, a relation without edges; and which path is taken."""
    conv, (x, own, values), written = make(name), inputs(), []
    conv.register_message_forward_hook(lambda *_: written.append(True))
    edges, types, given = FORMS[form](EDGES, TYPES, values)
    out = conv((x, own), edges, types, edge_attr=given)
    assert_same(out, slow(name, conv.aggregator, x, own, EDGES, TYPES, values).relu(), x, own, values,
                *conv.parameters())
    assert bool(written) == (form == "edges" or name != "weights")


@pytest.mark.parametrize("name", OWN)
def test_messages_may_go_the_other_way(name: str) -> None:
    """``flow``: the second row sends, the first hears; sizes and pairs are in the rows' order, as in PyG."""
    conv, (x, own, values) = make(name, flow="target_to_source"), inputs()
    out = conv((own, x), EDGES.flip(0), TYPES, (TARGETS, SOURCES), edge_attr=values)
    assert_same(out, slow(name, conv.aggregator, x, own, EDGES, TYPES, values).relu(), x, own, *conv.parameters())
    flipped, types, given = by_column(EDGES.flip(0), TYPES, values, size=(TARGETS, SOURCES))
    torch.testing.assert_close(conv((own, x), flipped, types, edge_attr=given), out)


def test_the_other_way_has_the_channels_of_its_rows() -> None:
    """Without a method of its own, too: an ``EdgeIndex`` sorted by column is not summed up by column then."""
    torch.manual_seed(0)
    x, own = torch.randn(SOURCES, IN), torch.randn(TARGETS, 6)
    there, back = KGConv((IN, 6), OUT), KGConv((6, IN), OUT, flow="target_to_source")
    back.load_state_dict(there.state_dict())
    flipped = EDGES.flip(0)
    sorted_by_column = EdgeIndex(flipped, sparse_size=(TARGETS, SOURCES)).sort_by("col").values
    for edges in (flipped, sorted_by_column):
        torch.testing.assert_close(back((own, x), edges), there((x, own), EDGES))


@pytest.mark.parametrize(("kwargs", "error", "text"), [
    ({"flow": "up"}, ValueError, "`flow` must be a known name, got 'up'"),
    ({"aggr": "max"}, TypeError, "`aggr` must be left out, got 'max'; `aggregator` says how messages are reduced"),
    ({"aggr_kwargs": {}}, TypeError, "`aggr_kwargs` must be left out"),
    ({"decomposed_layers": 2}, ValueError, "`decomposed_layers` must be 1, got 2; .* writes none at all"),
    ({"node_dim": 1}, ValueError, r"`node_dim` must be 0 or -2, got 1; features are \[nodes, channels\]"),
    ({"agregator": "mean"}, TypeError, "got 'agregator'; .*did you mean 'aggregator'"),
])
def test_what_message_passing_cannot_do_here(kwargs: dict[str, Any], error: type, text: str) -> None:
    assert KGConv(IN, OUT, node_dim=-2, decomposed_layers=1).node_dim == 0
    with pytest.raises(error, match=text):
        KGConv(IN, OUT, **kwargs)


def test_what_is_asked_for_is_read_off_the_arguments() -> None:
    asks = {name: kind.asks for name, (kind, _) in OWN.items()}
    assert asks == {"matrices": {"edge_type"}, "attention": {"edge_type"}, "attributes": {"edge_attr"},
                    "weights": {"edge_type", "edge_attr"}}
    assert not Aggregator.asks

    class Both(ByRelation):
        def message(self, sent_j: Tensor, edge_attr: Tensor, scale: float = 2.0, **rest: Any) -> Tensor:
            return sent_j * scale

    assert Both.asks == {"edge_type", "edge_attr"}
    text = "`Wrong.message` must be a method whose arguments' names say .*, got 'edge_types'; .*you mean 'edge_type'"
    with pytest.raises(TypeError, match=text):
        class Wrong(Aggregator):
            def message(self, sent_j: Tensor, edge_types: Tensor) -> Tensor:
                return sent_j


def test_an_attention_is_summed_unless_it_says_otherwise() -> None:
    assert (ByRelation.aggr, OwnMatrices.aggr) == ("sum", "mean")
    assert type("Child", (ByRelation,), {}).aggr == "sum"
    highest = type("Highest", (ByRelation,), {"aggr": "max"})
    assert highest.aggr == type("Child", (highest,), {"score": lambda self, sent_j: sent_j[:, 0]}).aggr == "max"


class Returning(Aggregator):
    """Gives back what a test tells it to."""

    def __init__(self, method: str, value: Any) -> None:
        super().__init__()
        self.method, self.value = method, value

    def answer(self, method: str, right: Any) -> Any:
        return self.value if method == self.method else right

    def project(self, x_src: Tensor, x_dst: Tensor) -> Any:
        return self.answer("sent", x_src), self.answer("asked", x_dst)

    def score(self, sent_j: Tensor) -> Any:
        return self.answer("score", sent_j[:, 0])

    def message(self, sent_j: Tensor) -> Any:
        return self.answer("message", sent_j)

    def edge_weight(self) -> Any:
        return self.answer("edge_weight", torch.ones(9))

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours


@pytest.mark.parametrize(("method", "value", "text"), [
    ("sent", torch.ones(6, IN), r"`Returning.project` must be .* a row for each of the sources, got \[6, 4\]"),
    ("asked", torch.ones(6, IN), r"`Returning.project` must be .* a row for each of the targets, got \[6, 4\]"),
    ("score", torch.ones(8), r"`Returning.score` must be .* a row for each of the edges, got \[8\]"),
    ("score", torch.ones(9, 2, 2), r"`Returning.score` must be a tensor \[9\] or \[9, …\].*, got \[9, 2, 2\]"),
    ("message", torch.ones(7, IN), r"`Returning.message` must be a tensor \[9, …\], a row for each of the edges"),
    ("message", None, "`Returning.message` must be .*, got 'NoneType'"),
    ("edge_weight", torch.tensor(1.0), r"`Returning.edge_weight` must be .*, got \[\]"),
])
def test_a_method_that_returns_another_shape_is_named(method: str, value: Any, text: str) -> None:
    right = KGConv(IN, IN, Returning("none", None))
    assert right(torch.randn(SOURCES, IN), EDGES).shape == (SOURCES, IN)
    with pytest.raises(ValueError, match=text):
        KGConv(IN, IN, Returning(method, value))(torch.randn(SOURCES, IN), EDGES)


@pytest.mark.parametrize(("types", "values", "text"), [
    (TYPES + 1, ATTRIBUTES, r"`edge_type` must be relation ids in \[0, 4\), got 4"),
    (TYPES - 1, ATTRIBUTES, "`edge_type` must be relation ids .*, got -1"),
    (None, ATTRIBUTES, "`edge_type` must be .* for an aggregator that uses edge types, got None"),
    (TYPES, None, r"`edge_attr` must be a tensor \[9, …\], .* for an aggregator that uses edge attributes, got None"),
    (TYPES, ATTRIBUTES[1:], r"`edge_attr` must be a tensor \[9, …\], a row for .*, got 'torch.float64 \[8, 2\]'"),
    (TYPES, ATTRIBUTES.tolist(), "`edge_attr` must be .*, got 'list'"),
])
def test_what_does_not_fit_the_edges_is_named(types: Any, values: Any, text: str) -> None:
    """In the layer and in the encoder, whether it plans or not; ``num_relations`` was given and never stored."""

    class Everything(Weighed):
        def __init__(self, in_channels: Any, out_channels: int, bias: bool = True, num_relations: int = 1) -> None:
            super().__init__(in_channels, out_channels, bias)

    given = {"aggregator_kwargs": {"num_relations": RELATIONS}}
    x, encoder = torch.randn(SOURCES, IN).double(), KGEncoder(IN, 2, Everything, **given).double()
    for use in (lambda: KGConv(IN, OUT, Everything, **given).double()(x, EDGES, types, edge_attr=values),
                lambda: encoder(x, EDGES, edge_type=types, edge_attr=values),
                lambda: encoder.plan(EDGES, SOURCES, torch.tensor([0]), types, values)):
        with pytest.raises(ValueError, match=text):
            use()
    assert encoder.num_nodes is None


def test_others_do_not_look_at_the_attributes() -> None:
    x = torch.randn(SOURCES, IN)
    for name in ("mean", "gat"):
        conv, encoder = KGConv(IN, OUT, name), KGEncoder(IN, 2, name)
        assert torch.equal(conv(x, EDGES, edge_attr=torch.zeros(2)), conv(x, EDGES))
        assert torch.equal(encoder(x, EDGES, edge_attr=torch.zeros(2)), encoder(x, EDGES))
    matrix = torch.eye(SOURCES).to_sparse_csr()
    with pytest.raises(ValueError, match="`edge_index` must be .* attributes or weights.*sparse matrix cannot take"):
        make("attributes").float()(x, matrix, edge_attr=torch.zeros(SOURCES, EDGE_DIM))


# --------------------------------------------------------------------------------------------------------- KGEncoder


def graph(seed: int, num_nodes: int = 30, num_edges: int = 80) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes, (2, num_edges), generator=generator)
    edges[:, 40:45] = edges[:, :5]  # parallel
    types = torch.randint(RELATIONS, (num_edges,), generator=generator)
    types[40:42] = types[:2]
    return (torch.randn(num_nodes, IN, generator=generator, dtype=torch.double), edges, types,
            torch.randn(num_edges, EDGE_DIM, generator=generator, dtype=torch.double))


def encoder_of(name: str, hops: int) -> KGEncoder:
    torch.manual_seed(4)
    kind, kwargs = OWN[name]
    return KGEncoder(IN, hops, kind, aggregator_kwargs=kwargs).double()


def whole(encoder: KGEncoder, name: str, x: Tensor, edges: Tensor, types: Tensor, values: Tensor) -> Tensor:
    """Every node, layer by layer, in PyG's own order; each edge counts where there are attributes."""
    if name in ("matrices", "attention"):
        triples = sorted(set(zip(*edges.tolist(), types.tolist(), strict=True)))
        *pair, types = (torch.tensor(part) for part in zip(*triples, strict=True))
        edges = torch.stack(pair)
    for conv in encoder.convs:
        x = conv(x, edges.flip(0), types, edge_attr=values)
    return x


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("name", OWN)
def test_the_encoder_equals_the_whole_graph(name: str, hops: int) -> None:
    """Outputs and gradients: planned, planned but for other targets, and with edges given; targets repeat."""
    x, edges, types, values = graph(hops)
    encoder, checked = encoder_of(name, hops), [x.requires_grad_()]
    checked += encoder.parameters()
    targets, others = torch.tensor([7, 3, 7, 29]), torch.tensor([0, 12])
    full = whole(encoder, name, x, edges, types, values)
    assert_same(encoder(x, edges, edge_type=types, edge_attr=values), full, *checked)
    assert_same(encoder(x, edges, targets, types, values), full[targets], *checked)
    encoder.plan(edges, 30, targets, types, values.requires_grad_())
    assert_same(encoder(x), full[targets], *checked)
    assert_same(encoder(x, targets=others), full[others], *checked)
    torch.testing.assert_close(copy.deepcopy(encoder)(x), full[targets])
    assert all(name.startswith("convs.") for name in encoder.state_dict())


@pytest.mark.parametrize("name", ["attributes", "weights"])
def test_attributes_learn_through_the_encoder(name: str) -> None:
    """Their gradient is the whole graph's, each edge its own."""
    x, edges, types, values = graph(5)
    encoder = encoder_of(name, 2)
    full = whole(encoder, name, x, edges, types, values.requires_grad_())
    assert_same(encoder(x, edges, torch.tensor([7, 3]), types, values), full[[7, 3]], values)


def test_from_kg_gives_what_the_constructor_takes() -> None:
    """Relations to one, the attributes' size to another, and nothing to a third; what is given goes first."""
    x, edges, types, values = graph(6)
    kg = Data(edge_index=edges, edge_type=types, edge_attr=values, num_nodes=30)
    kg.num_items = 4
    for name, (kind, _) in OWN.items():
        encoder = KGEncoder.from_kg(kg, IN, 2, aggregator=kind).double()
        torch.testing.assert_close(encoder(x), whole(encoder, name, x, edges, types, values)[:4])
    more = KGEncoder.from_kg(kg, IN, 1, aggregator=ByRelation, aggregator_kwargs={"num_relations": 9})
    assert more.convs[0].aggregator.num_relations == more.convs[0].aggregator.relations.num_embeddings == 9
    kg.edge_attr = values[:, 0]
    with pytest.raises(RuntimeError):
        KGEncoder.from_kg(kg, IN, 1, aggregator=WithAttributes, aggregator_kwargs={"edge_dim": 5}).double()(x)
    del kg.edge_attr
    with pytest.raises(ValueError, match=r"`edge_attr` must be a tensor \[80, …\]"):
        KGEncoder.from_kg(kg, IN, 2, aggregator=WithAttributes)


class Degrees(Aggregator):
    """GCN's symmetric norm: asks for neither types nor attributes, but looks at edges."""

    aggr = "sum"

    def edge_norm(self, index: Tensor, size: int) -> Tensor:
        return torch.bincount(index, minlength=size)[index]

    def edge_weight(self, edge_norm: Tensor) -> Tensor:
        return 1 / edge_norm.double().sqrt()

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours


def test_weights_go_by_the_nodes_that_hear() -> None:
    """Also where these are in the first row."""
    x, pairs = torch.randn(SOURCES, IN).double(), EDGES.unique(dim=1)
    there = KGConv(IN, IN, Degrees(), act=None)(x, pairs)
    torch.testing.assert_close(KGConv(IN, IN, Degrees(), act=None, flow="target_to_source")(x, pairs.flip(0)), there)


def test_weights_may_come_from_the_graph_alone() -> None:
    """Along distinct pairs, as for all who do not ask for relations."""
    x, edges, *_ = graph(7)
    pairs = torch.tensor(sorted(set(zip(*edges.tolist(), strict=True)))).t()
    degree = torch.bincount(pairs[0], minlength=30)
    expected = torch.zeros(30, IN).double().index_add(0, pairs[0], x[pairs[1]])
    expected = expected / degree.clamp(min=1).sqrt().unsqueeze(1)
    encoder = KGEncoder(IN, 1, Degrees(), act=None)
    torch.testing.assert_close(encoder(x, edges), expected)
    torch.testing.assert_close(encoder.plan(edges, 30, torch.arange(3))(x), expected[:3])
    assert math.isfinite(float(encoder(x, edges[:, :0]).sum()))
