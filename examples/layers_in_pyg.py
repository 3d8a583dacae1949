"""The KG layers in PyG's own containers and tools, and aggregators of one's own that look at relations.

    python examples/layers_in_pyg.py                        # MovieLens-100K
    python examples/layers_in_pyg.py --dataset synthetic    # a made world: no files needed

A model tells items' mean ratings from their places in the KG; a fifth of the items is held out. It is built with
`Sequential`, with `HeteroConv` and with `to_hetero`, trained on the whole graph and from loaders, explained, and
compiled. Prints what each of them did; what a loader or an explainer lacks on this machine is said and skipped.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.explain import AttentionExplainer, CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.loader import NeighborLoader, RandomNodeLoader
from torch_geometric.nn import HeteroConv, Sequential, to_hetero
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from kgrl.datasets import node_names
from kgrl.experiments.arguments import whole_from
from kgrl.experiments.data_sets import DATASETS
from kgrl.graph import knowledge_graph, shuffled, without_edges
from kgrl.nn import Aggregator, KGConv

CHANNELS = 16


class OwnMatrices(Aggregator):
    """As R-GCN: each relation has a matrix of its own, a mixture of two. What it asks for is in arguments' names."""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True, num_relations: int = 1):
        super().__init__()
        self.bases = nn.Linear(in_channels[0], 2 * out_channels, bias=False)
        self.shares = nn.Embedding(num_relations, 2)
        self.itself = nn.Linear(in_channels[1], out_channels, bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, None]:
        return self.bases(x_src).unflatten(1, (2, -1)), None                        # once for each node: [S, 2, out]

    def message(self, sent_j: Tensor, edge_type: Tensor) -> Tensor:
        return (self.shares(edge_type).unsqueeze(-1) * sent_j).sum(1)               # along each edge: [M, out]

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return neighbours + self.itself(itself)                                     # neighbours: their mean, [T, out]


class ByRelation(Aggregator):
    """As KGAT: how much a node listens to a neighbour depends on the relation. Attention has a `score`."""

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True, num_relations: int = 1):
        super().__init__()
        self.relations = nn.Embedding(num_relations, in_channels[0])
        self.both = nn.Linear(in_channels[0], out_channels, bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor]:
        return x_src, x_dst                                                         # what is sent, and what asks

    def score(self, sent_j: Tensor, asked_i: Tensor, edge_type: Tensor) -> Tensor:
        return (sent_j * (asked_i + self.relations(edge_type)).tanh()).sum(-1)      # [M]; the softmax is the layer's

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.both(neighbours + itself)


def vectors(num_nodes: int) -> nn.Embedding:
    """Small ones, so that a node that nobody trains disturbs little."""
    return nn.Embedding.from_pretrained(0.1 * torch.randn(num_nodes, CHANNELS), freeze=False)


def two_layers(aggregator: Any, num_relations: int) -> nn.Module:
    kwargs = {"num_relations": num_relations} if isinstance(aggregator, type) else None
    return Sequential("x, edge_index, edge_type", [
        (KGConv(CHANNELS, CHANNELS, aggregator, aggregator_kwargs=kwargs), "x, edge_index, edge_type -> x"),
        (KGConv(CHANNELS, CHANNELS, aggregator, aggregator_kwargs=kwargs), "x, edge_index, edge_type -> x"),
        (nn.Linear(CHANNELS, 1), "x -> x")])


def along(kg: Data) -> tuple[EdgeIndex, Tensor]:
    """The KG's edges from tail to head, in the order of the heads: the fused path."""
    size = (kg.num_nodes, kg.num_nodes)
    return EdgeIndex(kg.edge_index.flip(0), sparse_size=size, sort_order="col").fill_cache_(), kg.edge_type


def fit(out: Callable[[], Tensor], modules: list[nn.Module], wanted: Tensor, held_out: Tensor, epochs: int) -> str:
    """Trains on the items not held out; which share of the others' variance is told, and how long an epoch took."""
    optimiser = torch.optim.Adam([p for module in modules for p in module.parameters()], lr=1e-2, weight_decay=1e-4)
    started = time.perf_counter()
    for _ in range(epochs):
        optimiser.zero_grad()
        (out()[: len(wanted), 0] - wanted)[~held_out].square().mean().backward()
        optimiser.step()
    seconds = (time.perf_counter() - started) / epochs
    with torch.no_grad():
        wrong = (out()[: len(wanted), 0] - wanted)[held_out].square().mean()
    return f"R² {1 - wrong / wanted[held_out].var():6.3f}, {seconds:.3f} s per epoch"


def mean_ratings(data: HeteroData) -> Tensor:
    """``[N]``, standardised; of few ratings drawn towards the mean of all."""
    rates = data["user", "rates", "item"]
    item, rating, count = rates.edge_index[1], rates.rating.float(), data["item"].num_nodes
    total = torch.zeros(count).index_add(0, item, rating - rating.mean())
    mean = total / (torch.bincount(item, minlength=count) + 5)
    return (mean - mean.mean()) / mean.std()


def in_sequential(kg: Data, wanted: Tensor, held_out: Tensor, args: argparse.Namespace) -> tuple[nn.Module, Tensor]:
    """Each aggregator over the KG, and the controls: the same number of triples with other tails, and none."""
    trained: dict[str, tuple[nn.Module, Tensor]] = {}
    rows: list[tuple[Any, Data, str]] = [
        ("mean", kg, ""), ("mean", shuffled(kg), ", shuffled KG"), ("mean", without_edges(kg), ", no KG"),
        ("gat", kg, ""), (OwnMatrices, kg, ""), (ByRelation, kg, "")]
    for aggregator, graph, words in rows:
        torch.manual_seed(args.seed)
        model, table = two_layers(aggregator, 2 * kg.num_relations), vectors(kg.num_nodes)
        edges, kinds = along(graph)
        name = (aggregator if isinstance(aggregator, str) else aggregator.__name__) + words
        told = fit(partial(model, table.weight, edges, kinds), [model, table], wanted, held_out, args.epochs)
        print(f"  Sequential, {name}: {told}")
        trained[name] = model, table.weight.detach()
    return trained["gat"]


def in_hetero(data: HeteroData, wanted: Tensor, held_out: Tensor, args: argparse.Namespace) -> None:
    """One layer for each relation, made by hand and by PyG."""
    kinds = [kind for kind in data.edge_types if {kind[0], kind[2]} == {"item", "entity"}]
    kinds = sorted(kinds, key=lambda kind: -data[kind].num_edges)[:6]
    edges = {kind: data[kind].edge_index for kind in kinds} | {
        (kind[2], f"rev_{kind[1]}", kind[0]): data[kind].edge_index.flip(0) for kind in kinds}
    torch.manual_seed(args.seed)
    tables = nn.ModuleDict({kind: vectors(data[kind].num_nodes) for kind in ("item", "entity")})
    x = {kind: table.weight for kind, table in tables.items()}
    head = nn.Linear(CHANNELS, 1)
    by_hand = HeteroConv({kind: KGConv(CHANNELS, CHANNELS, "mean") for kind in edges}, aggr="mean")
    told = fit(lambda: head(by_hand(x, edges)["item"]), [by_hand, tables, head], wanted, held_out, args.epochs)
    print(f"  HeteroConv, {len(by_hand.convs)} relations: {told}")
    layer, last = KGConv(CHANNELS, CHANNELS, "mean"), nn.Linear(CHANNELS, 1)
    one = Sequential("x, edge_index", [(layer, "x, edge_index -> x"), last])
    by_pyg = to_hetero(one, (["item", "entity"], list(edges)), aggr="mean")
    told = fit(lambda: by_pyg(x, edges)["item"], [by_pyg, tables], wanted, held_out, args.epochs)
    print(f"  to_hetero, {len(edges)} relations: {told}")


def from_loaders(kg: Data, wanted: Tensor, held_out: Tensor, args: argparse.Namespace) -> None:
    """A pass over the graph in parts; each part is a graph of its own, so a layer sees what is in it."""
    torch.manual_seed(args.seed)
    model, table = two_layers("gat", 2 * kg.num_relations), vectors(kg.num_nodes)
    optimiser = torch.optim.Adam([*model.parameters(), *table.parameters()], lr=1e-2)
    graph = Data(edge_index=kg.edge_index.flip(0), edge_type=kg.edge_type, n_id=torch.arange(kg.num_nodes),
                 num_nodes=kg.num_nodes)
    loaders = {"RandomNodeLoader": lambda: RandomNodeLoader(graph, num_parts=4, shuffle=True)}
    if WITH_PYG_LIB or WITH_TORCH_SPARSE:
        loaders["NeighborLoader"] = lambda: NeighborLoader(graph, [10, 10], torch.arange(len(wanted)), batch_size=256)
    else:
        print("  NeighborLoader: skipped, it needs pyg-lib or torch-sparse")
    for name, loader in loaders.items():
        means = []
        for _ in range(max(2, args.epochs // 5)):
            losses = []
            for part in loader():
                rows = (part.n_id < len(wanted)).nonzero().view(-1)
                rows = rows[~held_out[part.n_id[rows]]]
                told = model(table(part.n_id), part.edge_index, part.edge_type)[rows, 0]
                loss = (told - wanted[part.n_id[rows]]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            means.append(sum(losses) / len(losses))
        print(f"  {name}: {len(losses)} parts, loss {means[0]:.3f} in the first pass, {means[-1]:.3f} in the last")


def explained(model: nn.Module, x: Tensor, kg: Data, names: list[str], args: argparse.Namespace) -> None:
    """Which edges the score of one item comes from."""
    edges = kg.edge_index.flip(0)
    item = int(torch.bincount(edges[1], minlength=kg.num_nodes)[: kg.num_items].median(0).indices)
    heard = (edges[1] == item).nonzero().view(-1)
    ways: dict[str, Any] = {"AttentionExplainer": AttentionExplainer(), "GNNExplainer": GNNExplainer(epochs=10)}
    if importlib.util.find_spec("captum"):
        ways["CaptumExplainer"] = CaptumExplainer("Saliency")
    else:
        print("  CaptumExplainer: skipped, captum is not installed")
    for name, algorithm in ways.items():
        own = copy.deepcopy(model).eval()  # of its own: what GNNExplainer leaves behind, Captum trips over
        explain = Explainer(own, algorithm, explanation_type="model", edge_mask_type="object",
                            model_config={"mode": "regression", "task_level": "node", "return_type": "raw"})
        mask = explain(x, edges, index=item, edge_type=kg.edge_type).edge_mask
        most = heard[mask[heard].argsort(descending=True)[:3]].tolist()
        words = [f"{kg.relation_names[int(kg.edge_type[edge]) % kg.num_relations]} "
                 f"{names[int(edges[0, edge])] or int(edges[0, edge])} ({mask[edge]:.3f})" for edge in most]
        print(f"  {name}: {names[item]} hears most of {', '.join(words)}")


def compiled(kg: Data) -> None:
    """The same numbers, sooner: forward and backward of a layer over the whole graph."""
    if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        print("  torch.compile: skipped, there is no C++ compiler")
        return
    x, edges, kinds = torch.randn(kg.num_nodes, CHANNELS, requires_grad=True), kg.edge_index.flip(0), kg.edge_type
    for aggregator in ("mean", "gat", ByRelation):
        kwargs = {"num_relations": 2 * kg.num_relations} if isinstance(aggregator, type) else None
        plain = KGConv(CHANNELS, CHANNELS, aggregator, aggregator_kwargs=kwargs)
        best, out = [], []
        for conv in (plain, torch.compile(plain)):
            out.append(conv(x, edges, kinds))
            took = []
            for _ in range(6):
                started = time.perf_counter()
                conv(x, edges, kinds).sum().backward()
                took.append(time.perf_counter() - started)
            best.append(min(took))
        print(f"  torch.compile, {plain}: {best[0] / best[1]:.1f} times as fast ({1e3 * best[0]:.0f} → "
              f"{1e3 * best[1]:.0f} ms), difference {(out[0] - out[1]).abs().max():.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=[name for name in DATASETS if name != "netflix"], default="ml-100k")
    add("--source", type=Path, help="folder that already holds the raw files; default: download them")
    add("--data", type=Path, default=Path(__file__).resolve().parents[1] / "data", help="where data sets are kept")
    add("--epochs", type=whole_from(1), default=30)
    add("--compile", action=argparse.BooleanOptionalAction, default=True, help="whether torch.compile is tried")
    add("--seed", type=whole_from(0), default=0)
    args = parser.parse_args()
    data = DATASETS[args.dataset](args.data / args.dataset, source=args.source)[0]
    kg, wanted = knowledge_graph(data), mean_ratings(data)
    held_out = torch.rand(len(wanted), generator=torch.Generator().manual_seed(args.seed)) < 0.2
    print(f"{kg.num_items:,} items of {kg.num_nodes:,} nodes, {kg.num_edges:,} edges, {2 * kg.num_relations} relations "
          f"with the inverse ones; {int(held_out.sum())} items held out, R² is theirs")
    print("the whole graph")
    model, x = in_sequential(kg, wanted, held_out, args)
    in_hetero(data, wanted, held_out, args)
    print("parts of the graph")
    from_loaders(kg, wanted, held_out, args)
    print("explanations of the attention's model")
    explained(model, x, kg, node_names(data), args)
    if args.compile:
        print("compiled")
        compiled(kg)


if __name__ == "__main__":
    main()
