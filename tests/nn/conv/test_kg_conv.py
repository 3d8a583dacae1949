"""``KGConv`` against formulas written with dense matrices, over every way to hand over the edges."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, MaxAggregation, MultiAggregation, SoftmaxAggregation
from torch_geometric.typing import SparseTensor

from kgrl.nn import Aggregator, KGConv
from kgrl.nn.conv.aggregator import uniform_linear

SOURCES, TARGETS, IN, IN_TARGET, OUT = 7, 5, 6, 4, 5
# one way only; the edge 2 → 0 twice; target 3 hears nobody, source 6 is heard by nobody
EDGES = torch.tensor([[2, 1, 2, 4, 0, 5, 3, 1], [0, 0, 0, 2, 1, 2, 2, 4]])


def counts(edges: Tensor = EDGES, size: tuple[int, int] = (SOURCES, TARGETS)) -> Tensor:
    """``[T, S]``, how many edges lead from a source to a target."""
    matrix = torch.zeros(size[1], size[0], dtype=torch.double)
    for source, target in edges.t().tolist():
        matrix[target, source] += 1
    return matrix


def csr(edges: Tensor, size: tuple[int, int]) -> Tensor:
    """The transposed adjacency matrix, parallel edges apart, with values that must not matter."""
    order = edges[1].argsort(stable=True)
    ptr = torch.bincount(edges[1] + 1, minlength=size[1] + 1).cumsum(0)
    values = torch.full((edges.size(1),), 3.0, dtype=torch.double, device=edges.device)
    return torch.sparse_csr_tensor(ptr, edges[0][order], values, (size[1], size[0]))


FORMS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "edges": lambda edges, size: edges,
    "by row": lambda edges, size: EdgeIndex(edges, sparse_size=size).sort_by("row").values,
    "fused": lambda edges, size: EdgeIndex(edges, sparse_size=size).sort_by("col").values,
    "fused cached": lambda edges, size: EdgeIndex(edges, sparse_size=size).sort_by("col").values.fill_cache_(),
    "fused sizeless": lambda edges, size: EdgeIndex(edges).sort_by("col").values,
    "torch.sparse": csr,
}


def mean_of(x: Tensor, matrix: Tensor) -> Tensor:
    return (matrix @ x) / matrix.sum(1, keepdim=True).clamp(min=1)


def dense_mean(conv: KGConv, x: Tensor, own: Tensor, matrix: Tensor) -> Tensor:
    part = conv.aggregator
    return mean_of(x, matrix) @ part.neighbours.weight.t() + own @ part.itself.weight.t() + part.neighbours.bias


def dense_concat(conv: KGConv, x: Tensor, own: Tensor, matrix: Tensor) -> Tensor:
    part = conv.aggregator
    sides = mean_of(x, matrix) @ part.neighbours.weight.t(), own @ part.itself.weight.t()
    assert [side.size(1) for side in sides] == [3, 2]  # of 5
    return torch.cat(sides, 1) + torch.cat([part.neighbours.bias, part.itself.bias])


def dense_neighbor(conv: KGConv, x: Tensor, own: Tensor, matrix: Tensor) -> Tensor:
    part = conv.aggregator
    return mean_of(x, matrix) @ part.neighbours.weight.t() + part.neighbours.bias


def dense_gat(conv: KGConv, x: Tensor, own: Tensor, matrix: Tensor) -> Tensor:
    part, heads = conv.aggregator, []
    sent, asked = x @ part.neighbours.weight.t(), own @ part.itself.weight.t()
    for head, columns in enumerate(torch.arange(OUT).chunk(part.heads)):
        score = (sent[:, columns] @ part.att_src[head])[None, :] + (asked[:, columns] @ part.att_dst[head])[:, None]
        weight = torch.nn.functional.leaky_relu(score, 0.2).exp() * matrix
        total = weight.sum(1, keepdim=True)
        heads.append(weight / total.masked_fill(total == 0, 1) @ sent[:, columns])
    return torch.cat(heads, 1) + asked + part.bias


DENSE = {"mean": dense_mean, "concat": dense_concat, "neighbor": dense_neighbor, "gat": dense_gat}


def make(aggregator: str, **kwargs: object) -> KGConv:
    torch.manual_seed(1)
    options = {"aggregator_kwargs": {"heads": 5}} if aggregator == "gat" else {}
    conv = KGConv((IN, IN_TARGET), OUT, aggregator, **options, **kwargs).double()
    for parameter in conv.parameters():  # biases too
        torch.nn.init.uniform_(parameter, -1, 1)
    return conv


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return (torch.randn(SOURCES, IN, dtype=torch.double, requires_grad=True),
            torch.randn(TARGETS, IN_TARGET, dtype=torch.double, requires_grad=True))


def gradients(out: Tensor, conv: KGConv, *x: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    grads = torch.autograd.grad((out * weight).sum(), [*x, *conv.parameters()], allow_unused=True)
    return [torch.zeros(()) if grad is None else grad for grad in grads]


@pytest.mark.parametrize("act", ["relu", None])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("aggregator", DENSE)
def test_equals_the_dense_formula(aggregator: str, form: str, act: str | None) -> None:
    """Outputs and all gradients; bipartite, one way, parallel edges, a target without neighbours."""
    conv, (x, own) = make(aggregator, act=act), inputs()
    expected = DENSE[aggregator](conv, x, own, counts())
    expected = expected.relu() if act else expected
    out = conv((x, own), FORMS[form](EDGES, (SOURCES, TARGETS)))
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(gradients(out, conv, x, own), gradients(expected, conv, x, own), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_takes_the_fused_path(form: str) -> None:
    """No message is written over a sorted ``EdgeIndex`` or a sparse matrix; with an attention always."""
    for aggregator, fused in [("mean", form not in ("edges", "by row")), ("gat", False)]:
        conv, (x, own), written = make(aggregator), inputs(), []
        conv.register_message_forward_hook(lambda *_, seen=written: seen.append(True))
        conv((x, own), FORMS[form](EDGES, (SOURCES, TARGETS)))
        assert written == ([] if fused else [True])


@pytest.mark.skipif(not torch_geometric.typing.WITH_TORCH_SPARSE, reason="torch-sparse is not installed")
def test_takes_a_sparse_tensor() -> None:
    conv, (x, own) = make("mean"), inputs()
    adj_t = SparseTensor(row=EDGES[1], col=EDGES[0], sparse_sizes=(TARGETS, SOURCES))
    torch.testing.assert_close(conv((x, own), adj_t), conv((x, own), EDGES))


@pytest.mark.filterwarnings("ignore:.*Sparse.*")
@pytest.mark.parametrize("aggregator", DENSE)
def test_takes_coo(aggregator: str) -> None:
    conv, (x, own) = make(aggregator), inputs()
    adj_t = csr(EDGES.unique(dim=1), (SOURCES, TARGETS)).to_sparse_coo()
    torch.testing.assert_close(conv((x, own), adj_t), conv((x, own), EDGES.unique(dim=1)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("aggregator", DENSE)
def test_follows_the_direction(aggregator: str, form: str) -> None:
    """Along 0 → 1 only node 1 hears anything."""
    conv = KGConv(3, 5, aggregator, act=None)
    x = torch.randn(2, 3)
    moved = x + torch.tensor([[1.0], [0.0]])
    edge = FORMS[form](torch.tensor([[0], [1]]), (2, 2))
    alone = torch.empty(2, 0, dtype=torch.long)
    assert torch.equal(conv(x, edge)[0], conv(x, alone)[0])
    assert not torch.allclose(conv(x, edge)[1], conv(moved, edge)[1])


@pytest.mark.parametrize("aggregator", DENSE)
def test_one_tensor_serves_both_ends(aggregator: str) -> None:
    conv = KGConv(IN, OUT, aggregator)
    x = torch.randn(SOURCES, IN)
    assert torch.equal(conv(x, EDGES), conv((x, x), EDGES))


@pytest.mark.parametrize("heads", [1, 5])
def test_attention_is_pygs_with_a_residual(heads: int) -> None:
    """GAT without self-loops, its target transform and its residual tied, is our attention."""
    conv, (x, own) = KGConv((IN, IN_TARGET), OUT, "gat", None, aggregator_kwargs={"heads": heads}).double(), inputs()
    gat = GATConv((IN, IN_TARGET), OUT // heads, heads, add_self_loops=False, residual=True).double()
    part = conv.aggregator
    with torch.no_grad():
        gat.lin_src.weight.copy_(part.neighbours.weight)
        gat.lin_dst.weight.copy_(part.itself.weight)
        gat.res.weight.copy_(part.itself.weight)
        gat.att_src.copy_(part.att_src[None])
        gat.att_dst.copy_(part.att_dst[None])
    torch.testing.assert_close(conv((x, own), EDGES), gat((x, own), EDGES))


class BiInteraction(Aggregator):
    """A user's own."""

    aggr = "max"

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.both = uniform_linear(in_channels[0], out_channels, bias)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.both(neighbours * itself)


def test_a_users_own_aggregator() -> None:
    """As a class and as an instance, which keeps its weights."""
    part = BiInteraction((3, 3), 4)
    before = part.both.weight.clone()
    x, edges = torch.rand(3, 3), torch.tensor([[0, 1], [2, 2]])
    conv = KGConv(3, 4, part)
    assert conv.aggregator is part
    assert torch.equal(part.both.weight, before)
    strongest = torch.stack([torch.zeros(3), torch.zeros(3), x[:2].max(0).values])
    torch.testing.assert_close(conv(x, edges), (part.both(strongest * x)).relu())
    assert repr(KGConv(3, 4, BiInteraction)) == "KGConv(3, 4, aggregator=BiInteraction)"


class Echo(Aggregator):
    """A user's own attention: each neighbour weighs as much as its likeness to the target."""

    aggr = "sum"

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor | None]:
        return x_src, x_dst

    def message(self, sent_j: Tensor, asked_i: Tensor | None, index: Tensor, ptr: Tensor | None, size: int) -> Tensor:
        return (sent_j * asked_i).sum(-1, keepdim=True) * sent_j

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours


@pytest.mark.parametrize("form", ["edges", "by row", "fused", "torch.sparse"])
def test_a_users_own_attention(form: str) -> None:
    x = torch.randn(SOURCES, IN, dtype=torch.double)
    out = KGConv(IN, IN, Echo, act=None)(x, FORMS[form](EDGES, (SOURCES, SOURCES)))
    torch.testing.assert_close(out, ((x @ x.t()) * counts(size=(SOURCES, SOURCES))) @ x)


@pytest.mark.parametrize("form", FORMS)
def test_pyg_aggregations_take_the_place_of_the_mean(form: str) -> None:
    edges = FORMS[form](EDGES, (SOURCES, TARGETS))
    x, own = inputs()
    conv = KGConv((IN, IN_TARGET), OUT, MaxAggregation()).double()
    top = torch.stack([x[EDGES[0][EDGES[1] == i]].amax(0) if (EDGES[1] == i).any() else 0 * x[0] for i in range(5)])
    torch.testing.assert_close(conv((x, own), edges), conv.act(conv.aggregator(top, own)))
    assert repr(conv) == "KGConv((6, 4), 5, aggregator=mean, aggr=MaxAggregation())"
    assert KGConv((IN, IN_TARGET), OUT, MaxAggregation).double()((x, own), edges).shape == (TARGETS, OUT)
    both = KGConv((IN, IN_TARGET), OUT, MultiAggregation(["mean", "max"])).double()
    torch.testing.assert_close(both((x, own), edges),
                               both.act(both.aggregator(torch.cat([mean_of(x, counts()), top], 1), own)))


@pytest.mark.parametrize("aggregator", DENSE)
def test_lazy_sizes(aggregator: str) -> None:
    conv = KGConv(-1, OUT, aggregator)
    x, own = torch.randn(SOURCES, IN), torch.randn(TARGETS, IN_TARGET)
    assert conv((x, own), EDGES).shape == (TARGETS, OUT)
    ready = copy.deepcopy(conv)
    ready.load_state_dict(conv.state_dict())
    assert torch.equal(ready((x, own), EDGES), conv((x, own), EDGES))


@pytest.mark.parametrize("aggregator", DENSE)
def test_reset_and_repr(aggregator: str) -> None:
    """Weights are drawn uniformly, biases zero, anew at each reset."""
    conv = KGConv(IN, OUT, aggregator)
    assert repr(conv) == f"KGConv(6, 5, aggregator={aggregator}{', heads=1' if aggregator == 'gat' else ''})"
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    torch.manual_seed(3)
    conv.reset_parameters()
    for name, value in conv.state_dict().items():
        if "bias" in name:
            assert value.abs().max() == 0
        else:
            assert not torch.equal(value, before[name])
            assert value.abs().max() <= (6 / (value.size(0) + value.size(1))) ** 0.5


def test_gradients_of_gradients() -> None:
    """The fused sum's own gradient, checked numerically, twice."""
    conv, (x, own) = make("mean", act="tanh"), inputs()
    edges = FORMS["fused cached"](EDGES, (SOURCES, TARGETS))
    assert torch.autograd.gradcheck(lambda x, own: conv((x, own), edges), (x, own))
    assert torch.autograd.gradgradcheck(lambda x, own: conv((x, own), edges), (x, own))


@pytest.mark.parametrize("form", ["edges", "by row", "fused", "torch.sparse"])
@pytest.mark.parametrize("aggregator", DENSE)
def test_no_edges_at_all(aggregator: str, form: str) -> None:
    conv, (x, own) = make(aggregator), inputs()
    nothing = torch.empty(2, 0, dtype=torch.long)
    out = conv((x, own), FORMS[form](nothing, (SOURCES, TARGETS)))
    torch.testing.assert_close(out, DENSE[aggregator](conv, x, own, counts(nothing)).relu())
    assert gradients(out, conv, x)[0].abs().max() == 0


@pytest.mark.parametrize("form", ["edges", "fused", "torch.sparse"])
@pytest.mark.parametrize("aggregator", DENSE)
def test_devices(aggregator: str, form: str, device: torch.device) -> None:
    conv, (x, own) = make(aggregator), inputs()
    expected = conv((x, own), EDGES)
    moved = FORMS[form](EDGES.to(device), (SOURCES, TARGETS))
    out = copy.deepcopy(conv).to(device)((x.to(device), own.to(device)), moved)
    torch.testing.assert_close(out.cpu(), expected)


def test_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"`aggregator` must be a known name, got 'concta'; choose from concat, gat, "
                                         r"mean, neighbor, relational; did you mean 'concat'\?"):
        KGConv(3, 4, "concta")
    for wrong in (-3, 0, (4, -2), (0, -1)):
        with pytest.raises(ValueError, match="`in_channels` must be at least 1"):
            KGConv(wrong, 4)
    with pytest.raises(TypeError, match="`aggregator` must be a name, a subclass or an instance of Aggregator"):
        KGConv(3, 4, torch.nn.ReLU)
    with pytest.raises(ValueError, match="`heads` must be a divisor of out_channels = 4, got 3"):
        KGConv(3, 4, "gat", aggregator_kwargs={"heads": 3})
    for aggregator, given in ("mean", {"heads": 4}), ("gat", {"head": 4}), (SoftmaxAggregation, {"learning": True}):
        with pytest.raises(TypeError, match=f"`aggregator_kwargs` must be options of .*, got '{next(iter(given))}'"):
            KGConv(4, 4, aggregator, aggregator_kwargs=given)
    with pytest.raises(ValueError, match="`aggregator_kwargs` must be left out beside an instance"):
        KGConv(3, 4, BiInteraction((3, 3), 4), aggregator_kwargs={"heads": 3})
    with pytest.raises(ValueError, match="`x` must be a row for each of the graph's 9 nodes, got 7"):
        KGConv(IN, OUT)(torch.randn(7, IN), csr(EDGES, (7, 9)))


def test_compiles() -> None:
    """In one graph, without a break; ``aot_eager`` traces all of it, and needs no C++ compiler."""
    conv, x = KGConv(IN, OUT), torch.randn(SOURCES, IN)
    out = torch.compile(conv, backend="aot_eager", fullgraph=True)(x, EDGES)
    torch.testing.assert_close(out, conv(x, EDGES))


class Scaled(Aggregator):
    """A user's own, with a parameter beside its parts."""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.randn(out_channels))

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return (neighbours + itself) * self.scale


def test_parameters_that_cannot_be_drawn_anew_are_named() -> None:
    conv = KGConv(4, 4, aggregator=Scaled)
    with pytest.raises(NotImplementedError, match="Scaled must have `reset_parameters`, which draws scale anew"):
        conv.reset_parameters()


@pytest.mark.parametrize("form", ["edges", "sorted", "unsorted", "undirected", "sparse", "compressed"])
def test_edges_that_lead_nowhere_never_reach_a_kernel(form: str) -> None:
    """Ids out of range, claims that do not hold, matrices made without a look; also where they were right before."""
    x, right, wrong = torch.randn(3, IN), torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0, 12], [1, 2]])
    made = {
        "edges": lambda edges: edges.clone(),
        "sorted": lambda edges: EdgeIndex(edges.clone(), sparse_size=(3, 3), sort_order="col"),
        "unsorted": lambda edges: EdgeIndex(edges.clone() if edges is right else right.flip(1), sort_order="col"),
        "undirected": lambda edges: EdgeIndex(
            torch.tensor([[1, 0], [0, 1]]) if edges is right else right.clone(), sparse_size=(3, 3), sort_order="col",
            is_undirected=True),
        "sparse": lambda edges: torch.sparse_coo_tensor(edges.flip(0).clone(), torch.ones(2), (3, 3)),
        "compressed": lambda edges: torch.sparse_csr_tensor(
            torch.tensor([0, 1, 2, 2]), edges[0].clone(), torch.ones(2), (3, 3)),
    }[form]
    conv = KGConv(IN, OUT)
    assert conv(x, made(right)).shape == (3, OUT)
    with pytest.raises((ValueError, IndexError), match="`edge_index` must be"):
        conv(x, made(wrong))
    if form in ("edges", "sorted"):
        edges = made(right)
        conv(x, edges)
        (edges.as_tensor() if isinstance(edges, EdgeIndex) else edges)[0, 1] = 12
        with pytest.raises(IndexError if form == "edges" else ValueError, match="12"):
            conv(x, edges)


def test_compressed_rows_out_of_order_are_refused() -> None:
    matrix = torch.sparse_csr_tensor(torch.tensor([0, 9, 2]), torch.tensor([0, 1]), torch.ones(2), (2, 2))
    with pytest.raises(ValueError, match="`edge_index` must be compressed rows"):
        KGConv(IN, OUT)(torch.randn(2, IN), matrix)


class Narrow(Aggregator):
    """Gives 7 channels, whatever it is asked for."""

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours[:, :1].expand(-1, 7)


def test_an_aggregator_of_other_channels_is_named() -> None:
    with pytest.raises(ValueError, match=r"`Narrow.forward` must be of the shape .* \[7, 50\], got \[7, 7\]"):
        KGConv(50, 50, Narrow())(torch.randn(7, 50), torch.tensor([[0], [1]]))


def test_a_weight_is_no_relation() -> None:
    with pytest.raises(ValueError, match="`edge_type` must be .* whole numbers.*KGConv has no edge weights"):
        KGConv(IN, OUT)(torch.randn(7, IN), EDGES, torch.rand(EDGES.size(1)))


def test_a_size_may_come_third_as_in_pygs_own_layers() -> None:
    conv, (x, own) = make("mean"), inputs()
    sizes = (SOURCES, TARGETS)
    assert torch.equal(conv((x, own), EDGES, sizes), conv((x, own), EDGES, size=sizes))
    with pytest.raises(ValueError, match="size"):
        conv((x, own), EDGES, (SOURCES + 1, TARGETS))


def test_scripting_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"torch.jit.script. cannot compile KGConv.*torch.compile"):
        torch.jit.script(KGConv(IN, OUT))


@pytest.mark.parametrize(("x", "edges", "name"), [
    (torch.randn(7, IN + 1), EDGES, "x"), (torch.randn(7), EDGES, "x"), ([[0.0]], EDGES, "x"), (None, EDGES, "x"),
    (torch.randn(7, IN), EDGES.t(), "edge_index"), (torch.randn(7, IN), EDGES[[0, 1, 1]], "edge_index"),
    (torch.randn(7, IN), EDGES.float(), "edge_index"), (torch.randn(7, IN), EDGES.tolist(), "edge_index"),
])
def test_inputs_of_another_shape_are_named(x: object, edges: object, name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must be"):
        KGConv(IN, OUT)(x, edges)
