"""``KGConv``: one hop of graph convolution over a knowledge graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation, MultiAggregation
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.resolver import activation_resolver
from torch_geometric.typing import Adj, OptTensor, PairTensor, Size

from kgrl.nn.conv.aggregator import Aggregator, ConcatAggregator, MeanAggregator, NeighborAggregator
from kgrl.nn.conv.attention import AttentionAggregator
from kgrl.nn.conv.edges import checked_edges
from kgrl.nn.conv.neighbours import neighbour_sum, plain_edges
from kgrl.nn.conv.relational import RelationalAggregator, checked_types
from kgrl.nn.conv.weighted import weighted_messages, weighted_sum
from kgrl.objects import of_class
from kgrl.options import a_table, a_tensor, at_least, expected, flag, resolve

AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean": MeanAggregator,
    "concat": ConcatAggregator,
    "neighbor": NeighborAggregator,
    "gat": AttentionAggregator,
    "relational": RelationalAggregator,
}

AggregatorLike: TypeAlias = str | type[Aggregator] | Aggregator | type[Aggregation] | Aggregation
"""What an ``aggregator`` option takes."""


class KGConv(MessagePassing):
    r"""The graph convolutional embedding layer: a node's neighbours are aggregated, then integrated with itself.

    From the `"Interactive Recommender System via Knowledge Graph-enhanced Reinforcement Learning"
    <https://arxiv.org/abs/2006.10389>`_ paper (KGQR, equations 5 and 6):

    .. math::
        \mathbf{x}^{\prime}_i = \sigma \left( \mathbf{W} \, \frac{1}{|\mathcal{N}(i)|} \sum_{j \in \mathcal{N}(i)}
        \mathbf{x}_j + \mathbf{B} \, \mathbf{x}_i + \mathbf{b} \right)

    for the default aggregator; a target without neighbours has the mean zero. As every PyG layer, it reduces what it is
    given, from source to target: parallel edges count each, and the direction is the caller's.
    :meth:`KGEncoder.from_kg <kgrl.nn.KGEncoder.from_kg>` makes of a knowledge graph the edges the paper means.

    Differs from the paper: equation 6 has no bias; ``bias=False`` restores its letter.

    Args:
        in_channels (int or tuple): Size of each input sample, or :obj:`-1` to derive it from the first input. A tuple
            is for sources and targets.
        out_channels (int): Size of each output sample.
        aggregator (str, class or instance): :obj:`"mean"`, :obj:`"concat"`, :obj:`"neighbor"`, :obj:`"gat"`,
            :obj:`"relational"`; an :class:`~kgrl.nn.Aggregator` class or instance; or a PyG
            :class:`~torch_geometric.nn.aggr.Aggregation`, which then stands where the mean stands in the formula above.
            (default: :obj:`"mean"`)
        act (str, Callable or None): The non-linearity :math:`\sigma`. (default: :obj:`"relu"`)
        bias (bool): If :obj:`False`, no additive bias is learned. (default: :obj:`True`)
        aggregator_kwargs (dict, optional): What the aggregator's constructor gets besides, *e.g.*,
            :obj:`{"heads": 5}` for :obj:`"gat"` or :obj:`{"num_relations": 48}` for :obj:`"relational"`.

    Shapes:
        - **inputs:**
          node features :math:`(|\mathcal{V}|, F_{in})` or
          :math:`((|\mathcal{V_s}|, F_{s}), (|\mathcal{V_t}|, F_{t}))` if bipartite,
          edge indices :math:`(2, |\mathcal{E}|)`, as a tensor, an :class:`~torch_geometric.EdgeIndex` (sorted by column
          it takes the fused path), or a transposed adjacency matrix (:obj:`torch.sparse` or :obj:`SparseTensor`; its
          values are not looked at, and edge types cannot go along with it),
          edge types :math:`(|\mathcal{E}|)` for :obj:`"relational"`; the other aggregators do not look at them
        - **outputs:** node features :math:`(|\mathcal{V}|, F_{out})` or :math:`(|\mathcal{V_t}|, F_{out})` if bipartite
    """

    SUPPORTS_FUSED_EDGE_INDEX: Final[bool] = True
    fuse: bool

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggregator: AggregatorLike = "mean",
        act: str | Callable[[Tensor], Tensor] | None = "relu",
        bias: bool = True,
        aggregator_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        at_least("out_channels", out_channels, 1)
        sigma = _activation(act)
        kwargs = {} if aggregator_kwargs is None else of_class("aggregator_kwargs", aggregator_kwargs, Mapping)
        part, aggr = _resolved(aggregator, in_channels, out_channels, flag("bias", bias), dict(kwargs))
        super().__init__(aggr=aggr)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.aggregator = part
        self.act = sigma
        # without messages of its own, an aggregator lets the sum run over the compressed rows directly
        self._plain = type(part).message is Aggregator.message
        self.fuse = self._plain and self.aggr in ("mean", "sum")

    @property
    def gathers_nothing(self) -> bool:
        """Whether sources that no edge uses cost nothing (on the fused path, without a projection of each source)."""
        return self.fuse and type(self.aggregator).project is Aggregator.project

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        super().reset_parameters()
        self.aggregator.reset_parameters()

    def forward(
        self, x: Tensor | PairTensor, edge_index: Adj, edge_type: Tensor | Size = None, size: Size = None,
        edge_norm: OptTensor = None,
    ) -> Tensor:
        """The targets' new vectors.

        Args:
            x: ``[V, F_in]``, or one such tensor for the sources and one for the targets.
            edge_index: ``[2, M]``, source → target, or as the class says.
            edge_type: ``[M]``, the relation of each edge, in the edges' order. A tuple in its place is a ``size``.
            size: number of sources and targets, as in PyG.
            edge_norm: ``[M]``, what ``aggregator.edge_norm`` gives for these edges, where it is known; it is computed
                otherwise, for which the edges are sorted.

        Raises:
            IndexError: an edge's end is no node.
            ValueError: ``x`` or the edges are of another shape, or what the aggregator returns is; a third argument of
                real numbers: there are no edge weights; the aggregator uses edge types, and they are missing, do not
                fit the edges, are out of range, or come with a sparse matrix.
        """
        if isinstance(edge_type, tuple | list):
            edge_type, size = None, edge_type
        x_src, x_dst = self._features(x)
        checked_edges(edge_index, x_src.size(0), x_dst.size(0))
        relation, weight = self._typed(edge_index, edge_type, edge_norm, x_dst.size(0))
        sent, asked = self.aggregator.project(x_src, x_dst)
        # propagate_type: (sent: PairTensor, asked: Tuple[OptTensor, OptTensor], relation: OptTensor, weight: OptTensor)
        neighbours = self.propagate(edge_index, sent=(sent, x_dst), asked=(None, asked), relation=relation,
                                    weight=weight, size=size)
        out = self.aggregator(neighbours, x_dst)
        if out.shape != (x_dst.size(0), self.out_channels):
            raise ValueError(expected(f"{type(self.aggregator).__name__}.forward",
                                      f"of the shape [targets, out_channels] = [{x_dst.size(0)}, {self.out_channels}]",
                                      list(out.shape)))
        return self.act(out)

    def __prepare_scriptable__(self) -> None:
        """``torch.jit.script`` asks for it first.

        Raises:
            TypeError: always.
        """
        raise TypeError("`torch.jit.script` cannot compile KGConv, whose inputs and aggregators are of several types; "
                        "use torch.compile or torch.export")

    def _features(self, x: Tensor | PairTensor) -> PairTensor:
        """The features of sources and targets, if they are as wide as the layer was told."""
        if isinstance(x, tuple | list) and len(x) != 2:
            raise ValueError(expected("x", "the features of all nodes, or a pair: of sources and of targets", len(x)))
        parts = (x, x) if isinstance(x, Tensor) else x
        if not isinstance(parts, tuple | list):
            raise TypeError(expected("x", "a tensor, or a pair: of sources and of targets", type(x).__name__))
        wide = (self.in_channels,) * 2 if isinstance(self.in_channels, int) else self.in_channels
        for part, channels in zip(parts, wide, strict=True):
            if channels not in (-1, a_table("x", part).size(1)):
                raise ValueError(expected("x", f"[nodes, {channels}], as `in_channels` says", list(part.shape)))
        return parts[0], parts[1]

    def _typed(
        self, edge_index: Adj, edge_type: OptTensor, edge_norm: OptTensor, num_targets: int
    ) -> tuple[OptTensor, OptTensor]:
        """The checked relations of the edges, and their weights; nothing for aggregators that do not use them."""
        if not self.aggregator.uses_edge_types:
            if edge_type is not None and a_tensor("edge_type", edge_type).is_floating_point():
                hint = "KGConv has no edge weights"
                raise ValueError(expected("edge_type", "the edges' relations, whole numbers", edge_type.dtype, hint))
            return None, None
        target = plain_edges(edge_index)[1]
        edge_type = checked_types(edge_type, target.numel())
        if edge_norm is None:
            edge_norm = self.aggregator.edge_norm(edge_type, target, num_targets)
        return edge_type, self.aggregator.edge_weight(edge_type, edge_norm)

    def message(
        self, sent_j: Tensor, asked_i: OptTensor, relation: OptTensor, weight: OptTensor, index: Tensor,
        ptr: OptTensor, size_i: int,
    ) -> Tensor:
        typed = () if relation is None or self._plain else (relation,)
        messages = self.aggregator.message(sent_j, asked_i, index, ptr, size_i, *typed)
        return messages if weight is None else weighted_messages(messages, weight)

    def message_and_aggregate(self, adj_t: Adj, sent: PairTensor, weight: OptTensor) -> Tensor:
        num_targets, mean = sent[1].size(0), self.aggr == "mean"
        if weight is None:
            return neighbour_sum(sent[0], adj_t, num_targets, mean)
        return weighted_sum(sent[0], weight, adj_t, num_targets, mean)

    def __repr__(self) -> str:
        kind = type(self.aggregator)
        name = next((key for key, known in AGGREGATORS.items() if known is kind), kind.__name__)
        options = self.aggregator.options + (f", aggr={self.aggr}" if self.aggr != kind.aggr else "")
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, aggregator={name}{options})"


def _activation(act: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    what = "the name of an activation, a callable or None"
    if not (act is None or isinstance(act, str) or (callable(act) and not isinstance(act, type))):
        raise TypeError(expected("act", what, act))
    try:
        return torch.nn.Identity() if act is None else activation_resolver(act)
    except (TypeError, ValueError) as error:
        raise type(error)(expected("act", what, act)) from error


def uses_edge_types(aggregator: AggregatorLike) -> bool:
    """Whether an ``aggregator`` option asks for the relation of each edge."""
    made = AGGREGATORS.get(aggregator.lower()) if isinstance(aggregator, str) else aggregator
    return bool(getattr(made, "uses_edge_types", False))


def _resolved(
    aggregator: AggregatorLike,
    in_channels: int | tuple[int, int],
    out_channels: int,
    bias: bool,
    kwargs: dict[str, Any],
) -> tuple[Aggregator, str | Aggregation]:
    """The aggregator, and what reduces its messages."""
    pair = in_channels if isinstance(in_channels, tuple | list) else (in_channels, in_channels)
    if len(pair) != 2:
        raise ValueError(expected("in_channels", "one size, or a pair: of sources and of targets", in_channels))
    source, target = pair
    for size in (source, target):
        if isinstance(size, bool) or size != -1:  # which is known at the first input
            at_least("in_channels", size, 1)
    if kwargs and isinstance(aggregator, torch.nn.Module):
        raise ValueError(expected("aggregator_kwargs", "left out beside an instance", kwargs))
    if isinstance(aggregator, type) and issubclass(aggregator, Aggregation):
        aggregator, kwargs = aggregator(**kwargs), {}
    if isinstance(aggregator, Aggregation):
        wide = aggregator.get_out_channels(source) if isinstance(aggregator, MultiAggregation) else source
        return MeanAggregator((wide, target), out_channels, bias), aggregator
    options = {"in_channels": (source, target), "out_channels": out_channels, "bias": bias, **kwargs}
    part = resolve("aggregator", aggregator, AGGREGATORS, Aggregator, **options)
    return part, part.aggr
