"""``KGEncoder``: item vectors from their surroundings in the knowledge graph, several hops deep."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.typing import Adj

from kgrl.nn.conv.aggregator import Aggregator
from kgrl.nn.conv.kg_conv import KGConv
from kgrl.nn.conv.layer_options import AggregatorLike, graph_options
from kgrl.nn.conv.neighbours import Rows
from kgrl.nn.conv.plan import Along, Graph, Hop, Plan, graph_of, plan, target_ids
from kgrl.nn.conv.relational import relation_count
from kgrl.objects import of_class
from kgrl.options import a_table, at_least, expected


class KGEncoder(torch.nn.Module):
    r"""Several layers of :class:`~kgrl.nn.KGConv`, computed for a few targets only: the items of a KG.

    From the `"Interactive Recommender System via Knowledge Graph-enhanced Reinforcement Learning"
    <https://arxiv.org/abs/2006.10389>`_ paper (KGQR, section 4.1.1):

    .. math::
        \mathbf{e}^{k} = \mathrm{KGConv}_k(\mathbf{e}^{k-1}, \mathcal{G}), \qquad
        \mathbf{i}_t(\mathcal{G}) = \mathbf{e}^{L}_{i_t}

    Edges are those of a knowledge graph, head → tail, wherever they are handed over: to ``forward``, to :meth:`plan`,
    or within the ``kg`` of :meth:`from_kg`, with the same result. Messages go from tail to head (equation 5:
    :math:`\mathcal{N}(h)` are the tails of h), along distinct (head, tail) pairs: :math:`\mathcal{N}(h)` is a set,
    several relations between the same two entities count once. For an aggregator that asks for edge types they go along
    distinct triples; for one that asks for edge attributes each edge counts, as it has its own.
    :class:`~kgrl.nn.KGConv` is the layer for edges source → target that count each.

    Only what the targets can see is computed: layer l on the nodes within L − l hops of a target. Outputs and gradients
    are those of the whole graph. For a graph that stays the same, :meth:`plan` (or :meth:`from_kg`) works out once
    which nodes and edges these are, and keeps them in buffers that move with the module but are not saved with it.

    Args:
        channels (int or list): Size of every layer; or the sizes of the input and of each layer, L + 1 numbers. The
            input's may be :obj:`-1`.
        hops (int): L; :obj:`0` hands the targets' input rows through.
        aggregator (str, class or instance): As in :class:`~kgrl.nn.KGConv`. Each layer has its own weights: the
            first takes an instance as it is, the others take copies with weights drawn anew. (default: :obj:`"mean"`)
        act (str, Callable or None): :math:`\sigma`, after every layer. (default: :obj:`"relu"`)
        bias (bool): If :obj:`False`, no layer learns an additive bias. (default: :obj:`True`)
        aggregator_kwargs (dict, optional): As in :class:`~kgrl.nn.KGConv`.

    Shapes:
        - **inputs:** node features :math:`(|\mathcal{V}|, F_{in})`, edge indices :math:`(2, |\mathcal{E}|)` head →
          tail, or a sparse matrix whose row h has entries at the tails of h, targets :math:`(T)`, edge types
          :math:`(|\mathcal{E}|)` and attributes :math:`(|\mathcal{E}|, \ldots)` for aggregators that ask for them
        - **outputs:** :math:`(T, F_{out})`
    """

    graph_ptr: Tensor
    graph_columns: Tensor
    plan_nodes: Tensor
    plan_order: Tensor | None

    def __init__(
        self,
        channels: int | Sequence[int],
        hops: int = 2,
        aggregator: AggregatorLike = "mean",
        act: str | Callable[[Tensor], Tensor] | None = "relu",
        bias: bool = True,
        aggregator_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.hops = at_least("hops", hops, 0)
        if not isinstance(channels, int | list | tuple):
            raise TypeError(expected("channels", "one size or a list of sizes", channels))
        self.channels = [channels] * (hops + 1) if isinstance(channels, int) else list(channels)
        for place, size in enumerate(self.channels):
            at_least("channels", size, 1 if place else -1)  # the first may be known at the first input
        if len(self.channels) != hops + 1:
            raise ValueError(expected("channels", f"one size or hops + 1 = {hops + 1} sizes", channels))
        layers: list[KGConv] = []
        for wide, out in pairwise(self.channels):
            if layers and isinstance(aggregator, torch.nn.Module):
                layers.append(KGConv(wide, out, copy.deepcopy(aggregator), act, bias, aggregator_kwargs))
                layers[-1].reset_parameters()
            else:
                layers.append(KGConv(wide, out, aggregator, act, bias, aggregator_kwargs))
        self.convs = torch.nn.ModuleList(layers)
        self.num_nodes: int | None = None
        self._whole = bool(layers) and layers[0].gathers_nothing

    @classmethod
    def from_kg(cls, kg: Data, channels: int | Sequence[int], hops: int = 2, **options: Any) -> KGEncoder:
        r"""An encoder planned for the items of a knowledge graph.

        The graph is that of the class. An aggregator's name or class gets ``num_relations`` and ``edge_dim``, the size
        of ``kg.edge_attr``, where its constructor takes them.

        Args:
            kg: with ``edge_index`` (head → tail), ``num_nodes`` and ``num_items``, items first; and ``edge_type`` or
                ``edge_attr`` for an aggregator that asks for it.
            channels: see the class.
            hops: see the class.
            **options: the class's further arguments.

        Returns:
            The encoder; ``encoder(x)`` with ``x [num_nodes, channels]`` gives ``[num_items, channels]``.
        """
        _checked_kg(kg)
        attributes = kg.get("edge_attr")
        known = {"num_relations": relation_count(kg)}
        if isinstance(attributes, Tensor):
            known["edge_dim"] = math.prod(attributes.shape[1:])
        if known := graph_options(options.get("aggregator", "mean"), known):
            given = dict(of_class("aggregator_kwargs", options.get("aggregator_kwargs") or {}, Mapping))
            options["aggregator_kwargs"] = known | given
        return cls(channels, hops, **options).plan_kg(kg)

    def plan_kg(self, kg: Data) -> KGEncoder:
        """:meth:`plan` for the items of a knowledge graph, as :meth:`from_kg` does it; returns the encoder itself."""
        targets = torch.arange(_checked_kg(kg).num_items, device=kg.edge_index.device)
        return self.plan(kg.edge_index, int(kg.num_nodes), targets, kg.get("edge_type"), kg.get("edge_attr"))

    def plan(
        self, edge_index: Adj, num_nodes: int, targets: Tensor, edge_type: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> KGEncoder:
        """Fixes the graph, and what is computed when ``forward`` is given neither edges nor targets.

        Args:
            edge_index: ``[2, M]``, head → tail.
            num_nodes: of the whole graph.
            targets: ``[T]``, node ids, repeats allowed, or a bool mask ``[num_nodes]``.
            edge_type: ``[M]``, the relation of each edge, for an aggregator that asks for it.
            edge_attr: ``[M, …]``, the attributes of each edge, for an aggregator that asks for them; kept as they are
                now, without a gradient.

        Returns:
            The encoder itself.
        """
        given = Along(edge_type, edge_attr.detach() if isinstance(edge_attr, Tensor) else edge_attr)
        graph = graph_of(edge_index, at_least("num_nodes", num_nodes, 0), given, self._asking)
        planned = plan(graph, target_ids(targets, num_nodes), self.hops, self._whole)
        self.num_nodes = num_nodes
        kept = {"graph_ptr": graph.rows.ptr, "graph_columns": graph.rows.columns, "plan_nodes": planned.nodes,
                "plan_order": planned.order} | _named("graph", graph.along)
        for layer, hop in enumerate(planned.hops):
            kept |= {f"plan_hop{layer}": hop.edges} | _named(f"plan_hop{layer}", hop.along)
        for name, values in kept.items():
            self.register_buffer(name, values, persistent=False)
        return self

    def forward(
        self, x: Tensor, edge_index: Adj | None = None, targets: Tensor | None = None, edge_type: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """The targets' vectors.

        Args:
            x: ``[num_nodes, F_in]``, of every node of the graph.
            edge_index: ``[2, M]``, head → tail, or as the class says; ``None``: the planned graph. What is found out
                about edges without types is kept for as long as their tensor lives and stays as it is.
            targets: ``[T]``, repeats allowed, or a bool mask ``[num_nodes]``, whose T nodes come in their order;
                ``None``: the planned targets, or with an ``edge_index`` every node.
            edge_type: ``[M]``, the relation of each edge of ``edge_index``, for an aggregator that asks for it.
            edge_attr: ``[M, …]``, their attributes, for an aggregator that asks for them.

        Returns:
            ``[T, F_out]``.

        Raises:
            ValueError: neither edges nor a planned graph, or ``x``, a mask or what goes along does not fit.
            IndexError: an edge's end or a target that is no node.
        """
        given = Along(edge_type, edge_attr)
        if edge_index is not None and targets is None:
            hop = graph_of(edge_index, a_table("x", x).size(0), given, self._asking).whole
            for conv in self.convs:
                x = conv(x, hop.edges, **hop.along._asdict())
            return x
        return self._run(x, self._planned_for(x, edge_index, targets, given))

    @property
    def _asking(self) -> Aggregator | None:
        """The first layer's aggregator, if it wants anything of single edges."""
        part = self.convs[0].aggregator if self.hops else None
        return part if isinstance(part, Aggregator) and part.looks_at_edges else None

    def _planned_for(self, x: Tensor, edge_index: Adj | None, targets: Tensor | None, given: Along) -> Plan:
        a_table("x", x)
        if edge_index is not None:
            graph = graph_of(edge_index, x.size(0), given, self._asking)
        elif self.num_nodes is None:
            raise ValueError("`edge_index` is needed where no graph is planned; give it, or call `plan` or `from_kg`")
        elif x.size(0) != self.num_nodes:
            raise ValueError(expected("x", f"one row for each of the graph's {self.num_nodes} nodes", tuple(x.shape)))
        elif targets is None:
            hops = (Hop(getattr(self, f"plan_hop{layer}"), self._along(f"plan_hop{layer}"))
                    for layer in range(self.hops))
            return Plan(self.plan_nodes, tuple(hops), self.plan_order)
        else:
            graph = Graph(Rows(self.graph_ptr, self.graph_columns), self._along("graph"))
        assert targets is not None
        return plan(graph, target_ids(targets, x.size(0)), self.hops, self._whole)

    def _along(self, edges: str) -> Along:
        """What goes along with edges that are kept under this name."""
        return Along(*(getattr(self, name) for name in _named(edges, Along())))

    def _run(self, x: Tensor, planned: Plan) -> Tensor:
        out = x.index_select(0, planned.nodes)
        x = x if self._whole else out
        for conv, hop in zip(self.convs, planned.hops, strict=True):
            x = out = conv((x, out[: hop.edges.num_cols]), hop.edges, **hop.along._asdict())
        # repeats: embedding, as its gradient adds in a fixed order, which that of out[order] does not
        return out if planned.order is None else F.embedding(planned.order, out)

    def reset_parameters(self) -> None:
        """Draws the weights of every layer anew."""
        for conv in self.convs:
            assert isinstance(conv, KGConv)
            conv.reset_parameters()

    def extra_repr(self) -> str:
        return "" if self.num_nodes is None else f"num_nodes={self.num_nodes}"


def _named(edges: str, along: Along) -> dict[str, Tensor | None]:
    """What goes along with edges, each part under a name of its own."""
    return {f"{edges}_{name}": values for name, values in along._asdict().items()}


def _checked_kg(kg: Data) -> Data:
    """``kg``, if the items' graph can be read off it."""
    if not isinstance(kg, Data) or "edge_index" not in kg or "num_items" not in kg:
        raise ValueError(expected("kg", "a graph with `edge_index`, `num_nodes` and `num_items`",
                                  kg if isinstance(kg, Data) else type(kg).__name__,
                                  "`kgrl.graph.knowledge_graph` makes one"))
    return kg
