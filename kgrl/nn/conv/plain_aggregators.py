"""Mean, concat and neighbor: the aggregators that take the mean of the neighbours, of whatever relation."""

from __future__ import annotations

import torch
from torch import Tensor

from kgrl.nn.conv.aggregator import Aggregator, uniform_linear


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
