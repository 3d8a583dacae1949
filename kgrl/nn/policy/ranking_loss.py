r"""``LOSSES``: how far the score of one item is from standing above those of sampled others.

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

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


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
