"""``RelationalAggregator``: each relation has its own mean over neighbours, and its own weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data
from torch_geometric.utils import lexsort

from kgrl.nn.conv.aggregator import Aggregator, uniform_linear
from kgrl.options import at_least, expected, one_of


class RelationalAggregator(Aggregator):
    r"""The neighbours of each relation are averaged apart; a node hears all its relations, however many tails each has.

    From the `"Modeling Relational Data with Graph Convolutional Networks" <https://arxiv.org/abs/1703.06103>`_ paper
    (R-GCN, equations 2 and 3, with K basis matrices):

    .. math::
        \mathbf{x}^{\prime}_i = \sigma \left( \sum_{k=1}^{K} \mathbf{W}_k \, \frac{1}{|\mathcal{R}(i)|}
        \sum_{r \in \mathcal{R}(i)} a_{rk} \, \frac{1}{|\mathcal{N}_r(i)|} \sum_{j \in \mathcal{N}_r(i)} \mathbf{x}_j
        + \mathbf{B} \, \mathbf{x}_i + \mathbf{b} \right)

    with :math:`\mathcal{N}_r(i)` the neighbours along relation r, and :math:`\mathcal{R}(i)` the relations that i has
    neighbours along. In a plain mean a film's forty actors leave its one genre and its one director next to no part.
    The coefficients :math:`a_{rk}` start at 1: with one relation this is :obj:`"mean"`. Parallel edges of one relation
    count each.

    Differs from R-GCN: the sum over relations is divided by their number, so that items with few and with many
    relations have vectors of like size; the coefficients are learned as differences from 1, so that weight decay pulls
    towards relations that count alike; and one basis (K = 1) is the default. Entities have embeddings of their own
    here, which a matrix per relation would add little to, and a gradient step goes over the whole graph.

    Args:
        num_relations (int): R; edge types are 0 … R − 1.
        num_bases (int): K; time grows with it.
        normalize (str): :obj:`"relation"`, as above; or :obj:`"neighbor"`: a neighbour counts
            :math:`a_{rk} / |\mathcal{N}(i)|` whatever its relation, so that training starts from the plain mean.
    """

    aggr = "sum"

    def __init__(
        self,
        in_channels: tuple[int, int],
        out_channels: int,
        bias: bool = True,
        num_relations: int | None = None,
        num_bases: int = 1,
        normalize: str = "relation",
    ) -> None:
        super().__init__()
        if num_relations is None:
            hint = "aggregator_kwargs={'num_relations': R}; KGEncoder.from_kg takes it from the graph"
            raise ValueError(expected("num_relations", "given to a relational aggregator", None, hint))
        self.num_relations = at_least("num_relations", num_relations, 0)
        self.num_bases = at_least("num_bases", num_bases, 1)
        self.normalize = one_of("normalize", normalize, ("relation", "neighbor"))
        wide = in_channels[0] if in_channels[0] == -1 else in_channels[0] * num_bases
        self.neighbours = uniform_linear(wide, out_channels, bias)
        self.itself = uniform_linear(in_channels[1], out_channels, bias=False)
        self.deviation = Parameter(torch.zeros(num_bases, num_relations))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.zeros_(self.deviation)

    @property
    def coefficients(self) -> Tensor:
        """``[R, K]``, what each relation counts in each basis."""
        return 1 + self.deviation.t()

    def edge_norm(self, edge_type: Tensor, index: Tensor, size: int) -> Tensor:
        r"""Each edge is divided by :math:`|\mathcal{R}(i)| \, |\mathcal{N}_r(i)|`, or :math:`|\mathcal{N}(i)|`."""
        if self.normalize == "neighbor":
            return torch.bincount(index, minlength=size)[index]
        return relation_norm(edge_type, index, size)

    def edge_weight(self, edge_type: Tensor, edge_norm: Tensor | None) -> Tensor:
        if edge_norm is None or edge_norm.shape != edge_type.shape:
            raise ValueError(expected("edge_norm", "what `edge_norm` gives for these edges",
                                      None if edge_norm is None else list(edge_norm.shape)))
        share = 1 / edge_norm.to(self.deviation.dtype)
        # basis by basis: the gradient of a selection from a vector adds in a fixed order, and at once
        parts = [torch.addcmul(share, share, row.index_select(0, edge_type)) for row in self.deviation]
        return torch.stack(parts, dim=1)

    def forward(self, neighbours: Tensor, itself: Tensor) -> Tensor:
        return self.neighbours(neighbours).add_(self.itself(itself))

    @property
    def options(self) -> str:
        beyond = f", num_bases={self.num_bases}" if self.num_bases > 1 else ""
        beyond += f", normalize={self.normalize}" if self.normalize != "relation" else ""
        return f", num_relations={self.num_relations}{beyond}"


def relation_norm(edge_type: Tensor, index: Tensor, size: int) -> Tensor:
    """How many relations the target of each edge has, times how many edges it has of this one.

    Messages divided by that are a target's mean over its relations of the mean over each relation's edges.

    Args:
        edge_type: ``[M]``, in any order.
        index: ``[M]``, the target of each edge.
        size: number of targets.

    Returns:
        ``[M]``, whole numbers, which no change of the module's precision rounds.
    """
    num_relations = int(edge_type.max()) + 1 if edge_type.numel() else 1
    groups, group, edges = (index * num_relations + edge_type).unique(return_inverse=True, return_counts=True)
    relations = torch.bincount(groups // num_relations, minlength=size)
    return edges[group] * relations[index]


def relation_count(kg: Data) -> int:
    """How many edge types a KG may have: those of :func:`kgrl.graph.knowledge_graph` say it, inverses included."""
    if "num_relations" in kg and "inverse" in kg:
        return int(kg.num_relations) * (2 if kg.inverse else 1)
    edge_type = kg.edge_type if "edge_type" in kg else None
    return int(edge_type.max()) + 1 if isinstance(edge_type, Tensor) and edge_type.numel() else 0


def distinct_triples(edge_index: Tensor, edge_type: Tensor) -> tuple[Tensor, Tensor]:
    """The edges head → tail ``[2, M]`` with their relations ``[M]``, each once, sorted by head."""
    heads, tails = edge_index
    order = lexsort([edge_type, tails, heads])  # unique(dim=1) takes ten times as long
    rows = torch.stack([heads, tails, edge_type])[:, order]
    new = torch.ones(rows.size(1), dtype=torch.bool, device=rows.device)
    new[1:] = (rows[:, 1:] != rows[:, :-1]).any(dim=0)
    return rows[:2, new], rows[2, new]
