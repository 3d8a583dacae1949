"""``KGConv``: one hop of graph convolution over a knowledge graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.typing import Adj, OptTensor, PairTensor, Size
from torch_geometric.utils import is_torch_sparse_tensor, softmax, to_edge_index

from kgrl.nn.conv.aggregator import Aggregator, rows_of, told
from kgrl.nn.conv.edges import checked_attributes, checked_edges, checked_types
from kgrl.nn.conv.layer_options import AGGREGATORS, AggregatorLike, activation, flow_of, resolved_aggregator
from kgrl.nn.conv.neighbours import neighbour_sum, plain_edges
from kgrl.nn.conv.weighted import attended, weighted_messages, weighted_sum
from kgrl.objects import of_class
from kgrl.options import a_table, a_tensor, at_least, expected, flag


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
        **kwargs (optional): Of :class:`~torch_geometric.nn.conv.MessagePassing`: :obj:`flow`, which is
            :obj:`"source_to_target"` or :obj:`"target_to_source"` (then messages go from :obj:`edge_index[1]` to
            :obj:`edge_index[0]`, as from tail to head, and never on the fused path).

    Shapes:
        - **inputs:**
          node features :math:`(|\mathcal{V}|, F_{in})` or
          :math:`((|\mathcal{V_s}|, F_{s}), (|\mathcal{V_t}|, F_{t}))` if bipartite,
          edge indices :math:`(2, |\mathcal{E}|)`, as a tensor, an :class:`~torch_geometric.EdgeIndex` (sorted by column
          it takes the fused path), or a transposed adjacency matrix (:obj:`torch.sparse` or :obj:`SparseTensor`; its
          values are not looked at, and edge types cannot go along with it),
          edge types :math:`(|\mathcal{E}|)` and attributes :math:`(|\mathcal{E}|, \ldots)` for aggregators that ask for
          them, as :obj:`"relational"` does for types; the others do not look at them
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
        **kwargs: Any,
    ) -> None:
        at_least("out_channels", out_channels, 1)
        sigma = activation(act)
        given = {} if aggregator_kwargs is None else of_class("aggregator_kwargs", aggregator_kwargs, Mapping)
        flow = flow_of(kwargs)
        self._sender = 0 if flow == "source_to_target" else 1
        ends = in_channels if self._sender == 0 or not isinstance(in_channels, tuple | list) else in_channels[::-1]
        part, aggr = resolved_aggregator(aggregator, ends, out_channels, flag("bias", bias), dict(given))
        super().__init__(aggr=aggr, flow=flow, node_dim=0)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.aggregator = part
        self.act = sigma
        self._attends = type(part).score is not Aggregator.score
        self._weighs = type(part).edge_weight is not Aggregator.edge_weight
        self._alpha: Tensor | None = None  # during a forward pass; PyG's AttentionExplainer looks for it
        # without messages of its own, an aggregator lets the sum run over the compressed rows directly
        plain = type(part).message is Aggregator.message and not self._attends
        self.fuse = plain and self.aggr in ("mean", "sum") and self._sender == 0

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
        edge_norm: OptTensor = None, edge_attr: OptTensor = None, return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """The targets' new vectors.

        Args:
            x: ``[V, F_in]``, or one such tensor for the sources and one for the targets.
            edge_index: ``[2, M]``, source → target, or as the class says.
            edge_type: ``[M]``, the relation of each edge, in the edges' order. A tuple in its place is a ``size``.
            size: number of sources and targets, as in PyG.
            edge_norm: ``[M]``, what ``aggregator.edge_norm`` gives for these edges, where it is known; it is computed
                otherwise, for which the edges are sorted.
            edge_attr: ``[M, …]``, the attributes of each edge, in the edges' order.
            return_attention_weights: ``True``: return the attention's weights, too. They are those that were used: in
                training after ``dropout``.

        Returns:
            ``[T, F_out]``; with ``return_attention_weights`` ``(out, (edge_index, alpha))`` as PyG's ``GATConv``, with
            ``alpha [M]`` or ``[M, H]`` as the aggregator's ``score``, and ``edge_index [2, M]`` also of a matrix.

        Raises:
            IndexError: an edge's end is no node.
            ValueError: ``x`` or the edges are of another shape, or what the aggregator returns is; a third argument of
                real numbers: there are no edge weights; the aggregator uses edge types or attributes, and they are
                missing, do not fit the edges, are out of range, or come with a sparse matrix; attention weights of an
                aggregator that has none.
        """
        if isinstance(edge_type, tuple | list):
            edge_type, size = None, edge_type
        if flag("return_attention_weights", return_attention_weights) and not self._attends:
            raise ValueError(expected("return_attention_weights", "left out for an aggregator without `score`", True,
                                      "\"gat\" has one"))
        ends = self._features(x)
        checked_edges(edge_index, ends[0].size(0), ends[1].size(0))
        x_src, x_dst = ends[self._sender], ends[1 - self._sender]
        kinds, weight = self._along(edge_index, edge_type, edge_attr, edge_norm, x_dst.size(0))
        sent, asked = self.aggregator.project(x_src, x_dst)
        rows_of(self.aggregator, "project", sent, x_src.size(0), "sources")
        if asked is not None:
            rows_of(self.aggregator, "project", asked, x_dst.size(0), "targets")
        # propagate_type: (sent: PairTensor, asked: Tuple[OptTensor, OptTensor], kinds: Tuple[OptTensor, OptTensor], weight: OptTensor)  # noqa: E501
        neighbours = self.propagate(edge_index, sent=self._by_row(sent, x_dst), asked=self._by_row(None, asked),
                                    kinds=kinds, weight=weight, size=size)
        alpha, self._alpha = self._alpha, None
        out = self.aggregator(neighbours, x_dst)
        if out.shape != (x_dst.size(0), self.out_channels):
            raise ValueError(expected(f"{type(self.aggregator).__name__}.forward",
                                      f"of the shape [targets, out_channels] = [{x_dst.size(0)}, {self.out_channels}]",
                                      list(out.shape)))
        out = self.act(out)
        return (out, (_pairs(edge_index), alpha)) if return_attention_weights and alpha is not None else out

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

    def _by_row(self, of_sources: OptTensor, of_targets: OptTensor) -> tuple[OptTensor, OptTensor]:
        """The two in the order of ``edge_index``'s rows."""
        return (of_sources, of_targets) if self._sender == 0 else (of_targets, of_sources)

    def _along(
        self, edge_index: Adj, edge_type: OptTensor, edge_attr: OptTensor, edge_norm: OptTensor, num_targets: int
    ) -> tuple[tuple[OptTensor, OptTensor], OptTensor]:
        """The checked relations and attributes of the edges, where they are asked for, and the edges' weights."""
        part = self.aggregator
        if "edge_type" not in part.asks:
            if edge_type is not None and a_tensor("edge_type", edge_type).is_floating_point():
                hint = "KGConv has no edge weights; attributes are `edge_attr=`"
                raise ValueError(expected("edge_type", "the edges' relations, whole numbers", edge_type.dtype, hint))
            edge_type = None
        if not part.looks_at_edges:
            return (None, None), None
        target = plain_edges(edge_index)[1 - self._sender]
        if "edge_type" in part.asks:
            edge_type = checked_types(edge_type, target.numel(), part.num_relations)
        edge_attr = checked_attributes(edge_attr, target.numel()) if "edge_attr" in part.asks else None
        if not self._weighs:
            return (edge_type, edge_attr), None
        known = {"edge_type": edge_type, "edge_attr": edge_attr}
        if edge_norm is None:
            edge_norm = told(part, "edge_norm", **known, index=target, size=num_targets)
        weight = told(part, "edge_weight", **known, edge_norm=edge_norm)
        if weight is not None:
            rows_of(part, "edge_weight", weight, target.numel(), "edges", (1, 2))
        return (edge_type, edge_attr), weight

    def message(
        self, sent_j: Tensor, asked_i: OptTensor, kinds: tuple[OptTensor, OptTensor], weight: OptTensor, index: Tensor,
        ptr: OptTensor, size_i: int,
    ) -> Tensor:
        part = self.aggregator
        known = {"sent_j": sent_j, "asked_i": asked_i, "edge_type": kinds[0], "edge_attr": kinds[1], "index": index,
                 "ptr": ptr, "size": size_i}
        messages = rows_of(part, "message", told(part, "message", **known), index.numel(), "edges")
        if self._attends:
            score = rows_of(part, "score", told(part, "score", **known), index.numel(), "edges", (1, 2))
            alpha = softmax(score, index, num_nodes=size_i)
            if part.dropout:
                alpha = F.dropout(alpha, part.dropout, self.training)
            self._alpha = alpha
            messages = attended(messages, alpha)
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


def _pairs(edge_index: Adj) -> Tensor:
    """``[2, M]``, source above target, in the order in which the messages of a matrix go."""
    if isinstance(edge_index, Tensor) and not is_torch_sparse_tensor(edge_index):
        return edge_index
    return to_edge_index(edge_index)[0].flip(0)
