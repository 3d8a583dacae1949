"""``Aggregator``: what a layer does with a node's neighbours and the node itself; and mean, concat and neighbor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset


class Aggregator(torch.nn.Module):
    r"""The part of :class:`~kgrl.nn.KGConv` that one swaps: everything between the neighbours and :math:`\sigma`.

    It owns its weights. KGQR (eq. 5 and 6) works in two steps, and so does this class:

    .. math::
        \mathbf{n}_i = \bigoplus_{j \in \mathcal{N}(i)} \mathrm{message}(\mathbf{x}_j)
        \qquad
        \mathbf{x}^{\prime}_i = \sigma \left( \mathrm{forward}(\mathbf{n}_i, \mathbf{x}_i) \right)

    **One's own** needs ``forward`` only (and ``reset_parameters``, if it has parameters of its own beside those of its
    parts), and a constructor that takes ``in_channels``, ``out_channels`` and ``bias``
    when it is handed over as a class::

        class BiInteraction(Aggregator):
            def __init__(self, in_channels, out_channels, bias=True):
                super().__init__()
                self.both = uniform_linear(in_channels[0], out_channels, bias)

            def forward(self, neighbours, itself):
                return self.both(neighbours * itself)

        KGConv(50, 50, aggregator=BiInteraction)

    ``aggr`` names another :math:`\bigoplus`. An attention also overrides :meth:`project` (once a node) and
    :meth:`message` (once an edge); see :class:`~kgrl.nn.conv.attention.AttentionAggregator`. An aggregator that leaves
    ``message`` alone and reduces by ``"mean"`` or ``"sum"`` takes the fused path, in which no message is ever written.

    **Relations** reach an aggregator that says ``uses_edge_types = True``. It overrides :meth:`edge_weight`, and stays
    on the fused path; or :meth:`message`, which then gets ``edge_type [M]`` as a sixth argument. Its constructor gets
    ``num_relations`` from :meth:`KGEncoder.from_kg <kgrl.nn.KGEncoder.from_kg>`. See
    :class:`~kgrl.nn.conv.relational.RelationalAggregator`.

    Args:
        in_channels (tuple): of sources and targets; −1 = known at the first input.
        out_channels (int): of the layer.
        bias (bool): whether to add **b**.
    """

    aggr: str = "mean"
    """How messages become one vector a target: the name of a PyG aggregation."""
    uses_edge_types: bool = False
    """Whether it asks for the relation of each edge; others never see it."""

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor | None]:
        """What each source sends ``[S, …]``, and what each target asks with ``[T, …]`` (``None``: nothing)."""
        return x_src, None

    def message(self, sent_j: Tensor, asked_i: Tensor | None, index: Tensor, ptr: Tensor | None, size: int) -> Tensor:
        """The messages ``[M, …]`` along M edges.

        Args:
            sent_j: ``[M, …]``, what the source of each edge sends.
            asked_i: ``[M, …]``, what the target of each edge asks with.
            index: ``[M]``, the target of each edge.
            ptr: ``[T + 1]``, where the edges of each target begin, if they are sorted by target.
            size: T.
        """
        return sent_j

    def edge_norm(self, edge_type: Tensor, index: Tensor, size: int) -> Tensor | None:
        """What :meth:`edge_weight` needs of the whole graph, ``[M]``: computed once where the graph is planned.

        Args:
            edge_type: ``[M]``, the relation of each edge.
            index: ``[M]``, the target of each edge.
            size: T.
        """
        return None

    def edge_weight(self, edge_type: Tensor, edge_norm: Tensor | None) -> Tensor | None:
        """What each message is multiplied by: ``[M]``, or ``[M, K]`` for K messages side by side (``None``: nothing).

        Args:
            edge_type: ``[M]``, the relation of each edge.
            edge_norm: what :meth:`edge_norm` gave for these edges.
        """
        return None

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        r"""What :math:`\sigma` is applied to, ``[T, out_channels]``.

        Args:
            neighbours: ``[T, …]``, the reduced messages; zero where there is none.
            itself: ``[T, in_channels[1]]``, the target's own features.
        """
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draws the weights of every part anew; who has parameters outside parts of their own says how to draw these.

        Raises:
            NotImplementedError: there are such parameters, and nobody said so.
        """
        own = [name for name, _ in self.named_parameters(recurse=False)]
        if own and type(self).reset_parameters is Aggregator.reset_parameters:
            raise NotImplementedError(f"{type(self).__name__} must have `reset_parameters`, which draws "
                                      f"{', '.join(own)} anew: layers that copy it would start alike")
        for part in self.children():
            reset(part)

    @property
    def options(self) -> str:
        """What the layer's ``repr`` adds about it."""
        return ""


def uniform_linear(in_channels: int, out_channels: int, bias: bool) -> Linear:
    """A linear map that starts uniform (Glorot) with bias zero; ``in_channels`` −1 waits for the first input."""
    return Linear(in_channels, out_channels, bias=bias, weight_initializer="glorot", bias_initializer="zeros")


class MeanAggregator(Aggregator):
    r"""The average aggregator of KGQR (eq. 5 and 6).

    .. math::
        \mathbf{x}^{\prime}_i = \sigma \left( \mathbf{W} \, \mathrm{mean}_{j \in \mathcal{N}(i)} \mathbf{x}_j +
        \mathbf{B} \, \mathbf{x}_i + \mathbf{b} \right)
    """

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.neighbours = uniform_linear(in_channels[0], out_channels, bias)
        self.itself = uniform_linear(in_channels[1], out_channels, bias=False)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.neighbours(neighbours).add_(self.itself(itself))


class ConcatAggregator(Aggregator):
    r"""Neighbours and the node itself side by side, as in GraphSAGE (Hamilton et al. 2017; reference 9 of KGQR).

    .. math::
        \mathbf{x}^{\prime}_i = \sigma \left( \left[ \mathbf{W} \, \mathrm{mean}_{j \in \mathcal{N}(i)} \mathbf{x}_j
        \, \Vert \, \mathbf{B} \, \mathbf{x}_i \right] + \mathbf{b} \right)

    The paper is silent on the split: :math:`\lceil F/2 \rceil` and :math:`\lfloor F/2 \rfloor` of F channels.
    """

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.neighbours = uniform_linear(in_channels[0], out_channels - out_channels // 2, bias)
        self.itself = uniform_linear(in_channels[1], out_channels // 2, bias)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return torch.cat([self.neighbours(neighbours), self.itself(itself)], dim=-1)


class NeighborAggregator(Aggregator):
    r"""The neighbours alone (KGQR's neighbor aggregator); a node without any becomes :math:`\sigma(\mathbf{b})`.

    .. math::
        \mathbf{x}^{\prime}_i = \sigma \left( \mathbf{W} \, \mathrm{mean}_{j \in \mathcal{N}(i)} \mathbf{x}_j +
        \mathbf{b} \right)
    """

    def __init__(self, in_channels: tuple[int, int], out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.neighbours = uniform_linear(in_channels[0], out_channels, bias)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.neighbours(neighbours)
