"""``AttentionAggregator``: a node listens to some neighbours more than to others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.inits import glorot
from torch_geometric.utils import softmax

from kgrl.nn.aggregator import Aggregator, uniform_linear
from kgrl.options import at_least, expected


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
    """

    aggr = "sum"

    def __init__(
        self,
        in_channels: tuple[int, int],
        out_channels: int,
        bias: bool = True,
        heads: int = 1,
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__()
        self.heads = at_least("heads", heads, 1)
        if out_channels % heads:
            raise ValueError(expected("heads", f"a divisor of out_channels = {out_channels}", heads))
        self.negative_slope = negative_slope
        self.neighbours = uniform_linear(in_channels[0], out_channels, bias=False)
        self.itself = uniform_linear(in_channels[1], out_channels, bias=False)
        self.att_src = Parameter(torch.empty(1, heads, out_channels // heads))
        self.att_dst = Parameter(torch.empty(1, heads, out_channels // heads))
        self.bias = Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        glorot(self.att_src)
        glorot(self.att_dst)
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def project(self, x_src: Tensor, x_dst: Tensor) -> tuple[Tensor, Tensor]:
        # scores belong to nodes, not to edges: computed here once a node, they only meet along the edges
        sent, asked = self._by_head(self.neighbours(x_src)), self._by_head(self.itself(x_dst))
        score = (sent * self.att_src).sum(-1)
        return torch.cat([sent.flatten(1), score], dim=-1), (asked * self.att_dst).sum(-1)

    def message(self, sent_j: Tensor, asked_i: Tensor | None, index: Tensor, ptr: Tensor | None, size: int) -> Tensor:
        assert asked_i is not None
        vectors, score = sent_j[:, : -self.heads], sent_j[:, -self.heads :]
        score = F.leaky_relu(score + asked_i, self.negative_slope)
        weight = softmax(score, index, num_nodes=size)
        return (self._by_head(vectors) * weight.unsqueeze(-1)).flatten(1)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        out = neighbours + self.itself(itself)
        return out if self.bias is None else out + self.bias

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))

    @property
    def options(self) -> str:
        return f", heads={self.heads}"
