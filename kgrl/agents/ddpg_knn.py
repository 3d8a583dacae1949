"""``DDPGKNN``: an actor that points near items, and a critic that picks among the nearest."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.agents.q_learning.ddpg import DDPG
from kgrl.agents.q_learning.network import Outlook
from kgrl.agents.shared.picking import best, best_item, in_parts, without_shown
from kgrl.options import at_least, between, one_of
from kgrl.raw_ids import RawIds
from kgrl.sessions import UNDEFINED

SEARCHES = ("exact", "faiss")
LINKS = 32
"""Neighbours that the graph of the approximate search links an item to."""


class DDPGKNN(DDPG):
    r"""DDPG with the nearest items (the Wolpertinger policy; Dulac-Arnold et al., 2015), a baseline of both papers.

    "The actor selects a proto-action in the continuous space and then chooses the item with the max Q-value from the
    candidate items selected via K-nearest-neighbor (KNN) according to the proto-action" (KGQR, Zhou et al., 2020,
    section 5.1.4). Among the items not yet shown:

    .. math:: \pi(s) = \arg\max_{i \in \mathrm{KNN}_k(\mu(s))} Q(s, i), \qquad
        \mathrm{KNN}_k(\mathbf a) = \text{the } k \text{ items of least } \lVert \mathbf a - \mathbf v_i \rVert^2

    The papers have k = 1, 0.1·N and N. With k = N the actor has no say, and neither has its ``noise``: only
    ``epsilon`` explores then. The search is exact, one product O(N·d) a decision, or FAISS's approximate one for very
    many items; Q is O(k).

    Args:
        vectors: ``[N, d]``, the items' vectors.
        k: how many, an int; or a share of the items (of the pool, where there is one), a float in (0, 1], 1.0 for N.
        search: ``"exact"``, or ``"faiss"``, see :class:`kgrl.agents.ddpg_knn.FaissIndex`.
        pool, ..., seed: see :class:`kgrl.agents.q_learning.ddpg.DDPG`.

    Raises:
        ImportError: ``search="faiss"`` without FAISS.
        TypeError: ``k`` is not a number.
        ValueError: vectors of another shape, or not finite, a pool that is none, or an option outside its range.
    """

    def __init__(
        self, vectors: Tensor, *, k: int | float = 0.1, search: str = "exact", pool: Tensor | None = None,
        ids: RawIds | None = None, actor_lr: float | None = None, restraint: float = 0.3, noise: float = 0.1,
        state: Any = "gru", preset: str = "default", state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool | None = None, horizon: int = 32, taste_channels: int | None = None, gamma: float = 0.1,
        epsilon: float | tuple[float, float] = 0.05, lr: float = 3e-3, weight_decay: float = 0.0,
        batch_size: int = 128, gradient_steps: int = 64, tau: float = 0.01, target: str = "head",
        average: float | None = None, replay_size: int = 100_000, seed: int = 0,
    ) -> None:
        k = between("k", k, 1e-12, 1) if isinstance(k, float) else at_least("k", k, 1)
        own = {"k": k, "search": one_of("search", search, SEARCHES)}
        super().__init__(
            vectors, own=own, pool=pool, ids=ids, actor_lr=actor_lr, restraint=restraint, noise=noise,
            state=state, preset=preset, state_channels=state_channels, hidden_channels=hidden_channels,
            streak_state=streak_state, horizon=horizon, taste_channels=taste_channels, gamma=gamma, epsilon=epsilon,
            lr=lr, weight_decay=weight_decay, batch_size=batch_size, gradient_steps=gradient_steps, tau=tau,
            target=target, average=average, replay_size=replay_size, seed=seed,
        )
        self._index = FaissIndex() if search == "faiss" else None

    @property
    def k(self) -> int:
        """How many of the items that it may recommend it decides among."""
        k = self.options["k"]
        return max(1, round(k * self.pool.size)) if isinstance(k, float) else min(k, self.pool.size)

    def restrict(self, items: Tensor | None) -> Self:
        """As :meth:`kgrl.agents.q_learning.vector_agent.VectorAgent.restrict`; a share ``k`` is one of these items."""
        if self._index is not None:
            self._index = FaissIndex()
        return super().restrict(items)

    def _answers(self, seen: Outlook, actions: Tensor, gone: Tensor, count: int) -> Tensor:
        if self.k >= self.pool.size:
            return seen.highest(self.pool, gone, count)
        near = self._near(actions, gone, min(max(self.k, count), self.pool.size))
        if count > self.k:  # more than it decides among: what is farther off comes behind
            near = self._by_distance(near, actions)
        answers = torch.cat([self._of_highest_value(seen, near[:, : self.k], min(count, self.k)), near[:, self.k :]], 1)
        return F.pad(answers, (0, count - answers.size(1)), value=-1)

    def _of_highest_value(self, seen: Outlook, places: Tensor, count: int) -> Tensor:
        """``[B, count]`` of the ``places [B, k]``, the highest Q-value first, −1 last."""
        if self.k == 1:
            return places
        rows = torch.arange(len(places), device=places.device).repeat_interleave(self.k)
        values = seen.values(self.pool.items(places.clamp(min=0)).flatten(), rows).view_as(places)
        top = best(values.masked_fill(places < 0, -torch.inf), count, gone=~places)  # what is below 0 is at or above it
        columns = F.pad(F.pad(places, (1, 0), value=-1), (1, 0), value=UNDEFINED)  # for what is none of them
        return columns.gather(1, top + 2)

    def _by_distance(self, places: Tensor, actions: Tensor) -> Tensor:
        """``places [B, k′]``, nearest first, −1 last."""
        squared = (self.vectors[places.clamp(min=0)] - actions.unsqueeze(1)).square().sum(2)
        order = squared.masked_fill(places < 0, torch.inf).argsort(dim=1, stable=True)
        return places.gather(1, order)

    def _near(self, actions: Tensor, gone: Tensor, k: int) -> Tensor:
        """``[B, k]``, the places nearest to proto-actions, in no order."""
        vectors = self.vectors
        if self._index is not None:
            return self._index(vectors, actions, gone, k)
        return in_parts(lambda action, shown: nearest(vectors, action, shown, k), self.pool.size, actions, gone)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        if self._index is not None:
            self._index = FaissIndex()
        return super().load_state_dict(*args, **kwargs)


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
