"""``recall`` and ``ndcg`` of ranked items, one number a user."""

from __future__ import annotations

import torch
from torch import Tensor

from kgrl.options import expected


def recall(hits: Tensor, relevant: Tensor) -> Tensor:
    r"""``[B]``, the relevant items among the first k, as a part of the most that there could be.

    .. math:: \frac{\text{hits}_k}{\min(k, \text{relevant})}

    A user with nothing relevant has 0.

    Args:
        hits: ``[B, k]``, whether the item of each rank is relevant, the best rank first.
        relevant: ``[B]``, how many items of the candidates are.
    """
    most = _checked(hits, relevant).clamp(max=hits.size(1))
    return hits.sum(1) / most.clamp(min=1)


def ndcg(hits: Tensor, relevant: Tensor) -> Tensor:
    r"""``[B]``, normalised discounted cumulative gain of the first k, with relevance 0 or 1.

    .. math:: \sum_{r=1}^{k} \frac{\text{hit}_r}{\log_2 (r + 1)} \Big/ \sum_{r=1}^{\min(k, \text{relevant})}
        \frac{1}{\log_2 (r + 1)}

    A user with nothing relevant has 0.

    Args:
        hits, relevant: see :func:`recall`.
    """
    rank = torch.arange(2, hits.size(1) + 2, device=hits.device, dtype=torch.double)
    discount = rank.log2().reciprocal()
    best = torch.cat([discount[:1], discount.cumsum(0)])  # of no relevant item: anything above 0
    return ((hits * discount).sum(1) / best[_checked(hits, relevant).clamp(max=hits.size(1))]).float()


METRICS = {"NDCG": ndcg, "recall": recall}


def _checked(hits: Tensor, relevant: Tensor) -> Tensor:
    """``relevant``, if the hits can be among so many."""
    if hits.dim() != 2 or not hits.size(1) or relevant.shape != hits.shape[:1]:
        raise ValueError(expected("hits", "[B, k], with `relevant` [B]", [list(hits.shape), list(relevant.shape)]))
    if bool((hits.sum(1) > relevant).any()):
        user = int((hits.sum(1) > relevant).nonzero()[0])
        raise ValueError(expected("relevant", f"at least the {int(hits[user].sum())} hits of row {user}",
                                  int(relevant[user]), "does an item come twice in a row?"))
    return relevant
