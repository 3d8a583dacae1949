r"""``NextItem``: GRU4Rec's network, which scores the items that may come next, and the losses that rank them.

A loss says how far the score of one item is from standing above those of sampled others.

With :math:`r_i` the score of the target, :math:`r_j` those of :math:`N_S` negatives, σ the logistic function and
:math:`s_j = e^{r_j} / \sum_k e^{r_k}` the softmax over the negatives alone:

.. math::
    \begin{aligned}
    \text{bpr} &= -\tfrac 1 {N_S} \textstyle\sum_j \log \sigma(r_i - r_j) &
    \text{top1} &= \tfrac 1 {N_S} \textstyle\sum_j \sigma(r_j - r_i) + \sigma(r_j^2) \\
    \text{bpr-max} &= -\log \textstyle\sum_j s_j\, \sigma(r_i - r_j) + \lambda \sum_j s_j\, r_j^2 &
    \text{top1-max} &= \textstyle\sum_j s_j \bigl(\sigma(r_j - r_i) + \sigma(r_j^2)\bigr) \\
    \text{cross-entropy} &= -\log \frac{e^{r_i}}{e^{r_i} + \sum_j e^{r_j}}
    \end{aligned}

BPR and TOP1 are those of `"Session-based Recommendations with Recurrent Neural Networks"
<https://arxiv.org/abs/1511.06939>`_ (Hidasi et al., ICLR 2016, section 3.1.3), the others those of `"Recurrent Neural
Networks with Top-k Gains for Session-based Recommendations" <https://arxiv.org/abs/1706.03847>`_ (Hidasi and
Karatzoglou, CIKM 2018). They are computed from logarithms of σ and of the softmax, which no score can overflow; the
second paper adds 10⁻²⁴ to the softmax of cross-entropy for that end.

Paper is silent: on a target that has no negative; its loss is 0.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from kgrl.nn.state.recurrent_units import GRUState
from kgrl.options import at_least, between, expected, flag


class NextItem(torch.nn.Module):
    r"""The network of GRU4Rec: a gated recurrent unit over item vectors, and a score of every item.

    From `"Session-based Recommendations with Recurrent Neural Networks" <https://arxiv.org/abs/1511.06939>`_ (Hidasi et
    al., ICLR 2016, equations 1 to 4, which are :class:`kgrl.nn.GRUState`):

    .. math:: \mathbf h_t = \operatorname{GRU}(\mathbf e_{i_t}, \mathbf h_{t-1}), \qquad
        r_{t,j} = \mathbf w_j^\top \mathbf h_t + b_j

    With ``tied`` an item has one vector for both ends, :math:`\mathbf w_j = \mathbf e_j`: the "constrained embedding"
    of Hidasi and Karatzoglou (CIKM 2018).

    Differs from the paper: one GRU layer, no feed-forward layers between it and the scores, and no tanh on these (the
    second paper drops it, too); **h** starts from zero and the first item of a session is predicted from there, by b
    alone, where the paper predicts the second item first.

    Args:
        num_items: N.
        dim: length d of **e**.
        state_channels: length h of **h**; d where ``tied``.
        tied: whether **w** is **e**.
        dropout: of **h** on its way to the scores, in training.

    Shapes:
        - ``forward(items [L, B], first [L, B], hidden [B, h])`` → **h** before each item ``[L, B, h]``, and after the
          last ``[B, h]``. Where ``first``, an item begins a session and the state is zero before it.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, num_items: int, dim: int, state_channels: int, tied: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        at_least("num_items", num_items, 1)
        at_least("dim", dim, 1)
        if at_least("state_channels", state_channels, 1) != dim and tied:
            raise ValueError(expected("state_channels", f"dim = {dim} where `tied`", state_channels))
        self.tied, self.dropout = flag("tied", tied), between("dropout", dropout, 0, 1)
        self.embedding = Parameter(torch.empty(num_items, dim))
        self.gru = GRUState(dim, state_channels)
        self.output = None if tied else Parameter(torch.empty(num_items, state_channels))
        self.bias = Parameter(torch.empty(num_items))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Vectors uniform in ±1/√d, **w** (where it is not **e**) and b zero: no item stands above another at first."""
        bound = 1 / math.sqrt(self.embedding.size(1))
        torch.nn.init.uniform_(self.embedding, -bound, bound)
        self.gru.reset_parameters()
        if self.output is not None:
            torch.nn.init.zeros_(self.output)
        torch.nn.init.zeros_(self.bias)

    @property
    def weight(self) -> Tensor:
        """``[N, h]``, **w**."""
        return self.embedding if self.output is None else self.output

    def forward(self, items: Tensor, first: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.gru.project(F.embedding(items.clamp(min=0), self.embedding))
        before = []
        for given, begins in zip(inputs.unbind(), first.unbind(), strict=True):
            hidden = hidden.masked_fill(begins.unsqueeze(1), 0)
            before.append(hidden)
            hidden = self.gru.step(hidden, given)
        return torch.stack(before), hidden

    def scores(self, hidden: Tensor) -> Tensor:
        """``[B, N]``, r of every item after the states ``[B, h]``."""
        return F.linear(hidden, self.weight, self.bias)

    def against(self, before: Tensor, items: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scores that a ranking loss compares: the next item's, and those of others.

        The others are the next items of the other sessions (section 3.1.2) and some drawn besides, which are the same
        for all. Paper is silent on a negative that happens to be the target: it does not count.

        Args:
            before: ``[L, B, h]``, the states.
            items: ``[L, B]``, the items that came next; −1 for none.
            drawn: ``[n]``, item ids.

        Returns:
            ``target [L·B]``, ``negatives [L·B, B + n]``, and ``counts``, of the same shape, which of them count.
        """
        before = F.dropout(before, self.dropout, self.training)
        ids = items.clamp(min=0)
        beside = torch.baddbmm(F.embedding(ids, self.bias.unsqueeze(1)).transpose(1, 2), before,
                               F.embedding(ids, self.weight).transpose(1, 2))  # [L, B, B]
        far = F.linear(before, F.embedding(drawn, self.weight), self.bias.index_select(0, drawn))  # [L, B, n]
        shown = items.unsqueeze(1).expand(-1, items.size(1), -1), drawn.expand(*items.shape, -1)
        others = torch.cat(shown, 2)
        counts = (others != items.unsqueeze(2)) & (others >= 0)
        target = beside.diagonal(dim1=1, dim2=2)
        return target.reshape(-1), torch.cat([beside, far], 2).flatten(0, 1), counts.flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{len(self.bias)}, tied={self.tied}, dropout={self.dropout}"


class RankingLoss(Protocol):
    """One loss a target.

    Args:
        target: ``[K]``, the scores :math:`r_i`.
        negatives: ``[K, M]``, the scores :math:`r_j`.
        counts: ``[K, M]``, which of them count, :math:`N_S` in a row.
        regularisation: λ ≥ 0 of BPR-max; the others have none.

    Returns:
        ``[K]``.
    """

    def __call__(self, target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float) -> Tensor: ...


def bpr(target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float = 0.0) -> Tensor:
    """Bayesian personalised ranking: every negative weighs the same."""
    return _mean(-F.logsigmoid(target.unsqueeze(1) - negatives), counts)


def top1(target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float = 0.0) -> Tensor:
    """The target's relative rank, and negatives' scores towards 0."""
    return _mean(_relative_rank(target, negatives), counts)


def bpr_max(target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float = 1.0) -> Tensor:
    """BPR against the highest of the negatives, softly, and a penalty on high ones."""
    log_share = _log_share(negatives, counts)
    wins = torch.logsumexp(log_share + F.logsigmoid(target.unsqueeze(1) - negatives), 1)
    penalty = (log_share.exp() * negatives.square()).sum(1)
    return (regularisation * penalty - wins).masked_fill(~counts.any(1), 0)


def top1_max(target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float = 0.0) -> Tensor:
    """TOP1 against the highest of the negatives, softly."""
    return (_log_share(negatives, counts).exp() * _relative_rank(target, negatives)).sum(1)


def cross_entropy(target: Tensor, negatives: Tensor, counts: Tensor, regularisation: float = 0.0) -> Tensor:
    """The surprise at the target among itself and the negatives."""
    scores = torch.cat([target.unsqueeze(1), negatives.masked_fill(~counts, -torch.inf)], 1)
    return scores.logsumexp(1) - target


def _relative_rank(target: Tensor, negatives: Tensor) -> Tensor:
    return torch.sigmoid(negatives - target.unsqueeze(1)) + torch.sigmoid(negatives.square())


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).sum(1) / counts.sum(1).clamp(min=1)


def _log_share(negatives: Tensor, counts: Tensor) -> Tensor:
    """``[K, M]``, log s; a huge negative number, which has no weight and is no NaN, for what does not count."""
    lowest = torch.finfo(negatives.dtype).min / 4
    return F.log_softmax(negatives.masked_fill(~counts, lowest), 1).masked_fill(~counts, lowest)


LOSSES: dict[str, RankingLoss] = {
    "bpr": bpr, "top1": top1, "bpr-max": bpr_max, "top1-max": top1_max, "cross-entropy": cross_entropy,
}
