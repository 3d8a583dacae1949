"""The items nearest to a vector, without those already shown: exactly, or by an index of FAISS."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from kgrl.agents.shared.picking import best_item, without_shown

LINKS = 32
"""Neighbours that the graph of the approximate search links an item to."""


def nearest(vectors: Tensor, actions: Tensor, gone: Tensor, k: int) -> Tensor:
    """``[B, k]``, the k of ``vectors [N, d]`` of least squared distance, in no order; −1 where fewer are left.

    Args:
        vectors: of the items.
        actions: ``[B, d]``, to what.
        gone: ``[B, L]``, rows of ``vectors`` that do not count; −1, anywhere, is skipped.
        k: at most N.
    """
    # ‖a − v‖² = ‖a‖² − 2 (a·v − ‖v‖²/2): the nearest is where the bracket is highest
    closeness = torch.addmm(vectors.square().sum(1) / -2, actions, vectors.T)
    closeness = without_shown(closeness, gone)
    if k == 1:
        return best_item(closeness, gone).unsqueeze(1)
    highest, rows = closeness.topk(k, dim=1, sorted=False)
    return rows.masked_fill_(highest == -torch.inf, -1)


class FaissIndex:
    """:func:`nearest` by a graph of neighbours (HNSW; Malkov and Yashunin, 2020) of FAISS: about O(log N) a search.

    Approximate: some of the k nearest may be missed, others come instead. For k of a few hundred at most, as a search
    costs by k, too, and for so many items that a product with each is slow. On the CPU. The index is made at the first
    search, on one thread, as several would make another one each time.

    Raises:
        ImportError: FAISS is not installed.
    """

    def __init__(self) -> None:
        if find_spec("faiss") is None:
            raise ImportError("search=\"faiss\" needs FAISS, which is not installed; say pip install 'kgrl[faiss]'")
        self._index: Any = None

    def __reduce__(self) -> tuple[type[FaissIndex], tuple[()]]:
        return FaissIndex, ()  # a copied or unpickled agent makes its own

    def __call__(self, vectors: Tensor, actions: Tensor, gone: Tensor, k: int) -> Tensor:
        """See :func:`nearest`; nearest first. ``vectors`` must be the same at every call."""
        if self._index is None:
            self._index = _built(vectors)
        asked = min(k + gone.size(1), len(vectors))  # of so many, k at least have not been shown
        self._index.hnsw.efSearch = max(64, 2 * asked)
        _, found = self._index.search(actions.detach().float().cpu().numpy(), asked)
        return _left(torch.from_numpy(found).to(actions.device), gone)[:, :k]


def _built(vectors: Tensor) -> Any:
    import faiss

    index, threads = faiss.IndexHNSWFlat(vectors.size(1), LINKS), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(vectors.detach().float().cpu().numpy())
    finally:
        faiss.omp_set_num_threads(threads)
    return index


def _left(found: Tensor, gone: Tensor) -> Tensor:
    """``found [B, k]`` without what is ``gone [B, L]``, moved to the left; −1 behind."""
    if not gone.size(1):
        return found
    gone = gone.sort(1).values
    at = torch.searchsorted(gone, found).clamp_(max=gone.size(1) - 1)
    drop = (gone.gather(1, at) == found) | (found < 0)
    order = drop.to(torch.uint8).argsort(dim=1, stable=True)
    return found.masked_fill(drop, -1).gather(1, order)
