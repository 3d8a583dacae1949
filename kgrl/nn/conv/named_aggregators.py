"""The aggregators that have a name and know no relations: mean, concat, neighbor, and the attention of ``"gat"``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter
from torch_geometric.nn.inits import glorot

from kgrl.nn.conv.aggregator import Aggregator, uniform_linear
from kgrl.options import at_least, between, expected


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


class AttentionAggregator(Aggregator):
    r"""Graph attention (Velickovic et al. 2018; reference 28 of KGQR) over the neighbours alone, H heads side by side.

    .. math::
        \mathbf{x}^{\prime}_i &= \sigma \left( \mathbf{W} \sum_{j \in \mathcal{N}(i)} \alpha_{ij} \mathbf{x}_j +
        \mathbf{B} \, \mathbf{x}_i + \mathbf{b} \right)

        \alpha_{ij} &= \mathrm{softmax}_{j \in \mathcal{N}(i)} \, \mathrm{LeakyReLU} \left(
        \mathbf{a}_s^{\top} \mathbf{W} \mathbf{x}_j + \mathbf{a}_t^{\top} \mathbf{B} \mathbf{x}_i \right)

    Each head has its own rows of **W** and **B** and its own :math:`\alpha`. The paper is silent on the form; unlike in
    GAT the node is not its own neighbour (it enters through **B**, as in equation 6), so its weight does not shrink as
    its neighbours grow in number.

    Args:
        heads (int): H; divides ``out_channels``.
        negative_slope (float): of the LeakyReLU.
        dropout (float): share of the weights :math:`\alpha` that are dropped in training, as in GAT; the others are
            scaled up. Drawn from PyTorch's global generator, as by :class:`torch.nn.Dropout`.
    """

    def __init__(
        self,
        in_channels: tuple[int, int],
        out_channels: int,
        bias: bool = True,
        heads: int = 1,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = at_least("heads", heads, 1)
        if out_channels % heads:
            raise ValueError(expected("heads", f"a divisor of out_channels = {out_channels}", heads))
        self.negative_slope, self.dropout = negative_slope, between("dropout", dropout, 0, 1)
        self.neighbours = uniform_linear(in_channels[0], out_channels, bias=False)
        self.itself = uniform_linear(in_channels[1], out_channels, bias=False)
        self.att_src = Parameter(torch.empty(heads, out_channels // heads))
        self.att_dst = Parameter(torch.empty(heads, out_channels // heads))
        self.bias = Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        glorot(self.att_src)
        glorot(self.att_dst)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor]:
        # a score belongs to a node, and is linear in it: H more rows of W give it along with the vectors
        weight, score = _weight(self.neighbours, x_src), _weight(self.itself, x_dst)
        sent = F.linear(x_src, torch.cat([weight, self._by_head(weight, self.att_src)]))
        return sent, F.linear(x_dst, self._by_head(score, self.att_dst))

    def score(self, sent_j: Tensor, asked_i: Tensor) -> Tensor:
        return F.leaky_relu(sent_j[:, -self.heads :] + asked_i, self.negative_slope)

    def message(self, sent_j: Tensor) -> Tensor:
        return sent_j[:, : -self.heads]

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        out = neighbours + self.itself(itself)
        return out if self.bias is None else out + self.bias

    def _by_head(self, weight: Tensor, att: Tensor) -> Tensor:
        """``[H, in]``, the attention vector of each head times that head's rows of ``weight [out, in]``."""
        return (weight.unflatten(0, (self.heads, -1)) * att.unsqueeze(-1)).sum(1)

    @property
    def options(self) -> str:
        return f", heads={self.heads}" + (f", dropout={self.dropout}" if self.dropout else "")


def _weight(linear: Linear, x: Tensor) -> Tensor:
    """Its weight, drawn first if it waits for an input."""
    if is_uninitialized_parameter(linear.weight):
        linear(x[:0])
    return linear.weight
