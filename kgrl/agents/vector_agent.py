"""``VectorAgent``: what the agents over item vectors share, and the pool of items they recommend from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kgrl.agents.dense_q import DenseQ
from kgrl.agents.off_policy import OffPolicyAgent, Outlook
from kgrl.agents.picking import best_item, best_items, of_known_items, without_shown
from kgrl.agents.random import unshown_items
from kgrl.files import digest, load_tensors, save_tensors
from kgrl.options import at_least, expected
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions

_CELLS = 2**22  # of the sessions × items scores that are laid out at once


class VectorAgent(OffPolicyAgent):
    """An agent that knows items by their vectors, and recommends any of them or any of a pool.

    A subclass makes its network of the vectors and calls ``_begin``; it defines ``_ranked`` and ``_following``. It
    counts items by their place in the pool (*places*, −1 for none); only what leaves it are item ids.

    Args:
        vectors: ``[N, d]``, one an item.
        pool: ``[P]``, the items that may be recommended; ``None``: all.
        own: the subclass's own options, checked.
        **options: see :class:`kgrl.agents.off_policy.OffPolicyAgent`.

    Raises:
        ValueError: vectors of another shape, or not finite, a pool that is none, or an option outside its range.
    """

    pool: Tensor | None
    place: Tensor | None

    def __init__(self, vectors: Tensor, pool: Tensor | None, own: Mapping[str, Any], **options: Any) -> None:
        super().__init__(own, **options)
        if vectors.layout != torch.strided or vectors.dim() != 2 or not vectors.numel():
            raise ValueError(expected("vectors", "dense [N, d]", f"{vectors.layout} {list(vectors.shape)}"))
        if not vectors.isfinite().all():
            raise ValueError(expected("vectors", "finite numbers", "NaN or infinity"))
        self.num_items = len(vectors)
        self.pool_size = self.num_items if pool is None else len(_checked_pool(pool, self.num_items))
        self.data_digest = digest(vectors, pool)
        place = None
        if pool is not None:
            place = torch.full((self.num_items + 1,), -1, device=pool.device)  # the last one is that of −1
            place[pool] = torch.arange(len(pool), device=pool.device)
        self.register_buffer("pool", None if pool is None else pool.clone())
        self.register_buffer("place", place, persistent=False)

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the next item of every session; −1 where nothing is left to recommend.

        Args:
            sessions: the sessions so far.
            explore: whether to explore.
            generator: of what exploring draws, on the sessions' device; default a new one with seed 0.
        """
        generator = generator_for(self.device, 0) if generator is None else generator
        gone = self._places(sessions.shown)
        places = self._ranked(self._look(sessions), gone, 1, generator if explore else None).squeeze(1)
        if explore and any(self.epsilon):
            stray = self._strays(len(sessions), generator)
            places = torch.where(stray, unshown_items(gone, self.pool_size, generator), places)
        return self._items(places)

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the k best items of each real user, best first, padded with −1 where there are fewer.

        Args:
            past: what was shown and how it was received, see :meth:`kgrl.sessions.Sessions.from_history`.
            k: how many.

        Raises:
            ValueError: an item id the agent does not know.
        """
        past = of_known_items(past, self.num_items).to(self.device)
        return self._items(self._ranked(self._look(past), self._places(past.shown), at_least("k", k, 1), None))

    def _ranked(self, seen: Outlook, gone: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        """``[B, count]``, the places of each session's best items, best first, −1 where there are fewer.

        Args:
            seen: the sessions, as the deciding network sees them.
            gone: ``[B, L]``, places that may not be recommended; −1, anywhere, is skipped.
            count: how many.
            generator: of noise, where the agent is to explore.
        """
        raise NotImplementedError

    def _highest_q(self, seen: Outlook, gone: Tensor, count: int) -> Tensor:
        """``[B, count]``, as :meth:`_ranked`: the places of the highest Q-values, of all that are left."""
        values = DenseQ(seen.network, seen.head, seen.view, self.pool)
        return self._in_parts(lambda state, shown: best(without_shown(values(state), shown), count), seen.state, gone)

    def _in_parts(self, rank: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """``rank`` of what is given of B sessions, some sessions at a time: not B × N scores at once."""
        rows = max(1, _CELLS // self.pool_size)
        return torch.cat([rank(*part) for part in zip(*(each.split(rows) for each in given), strict=True)])

    def _places(self, items: Tensor) -> Tensor:
        """Where in the pool items are; −1 for others and for −1."""
        return items if self.place is None else self.place[items]

    def _items(self, places: Tensor) -> Tensor:
        """The items at these places; −1 for −1."""
        return places if self.pool is None else F.pad(self.pool, (0, 1), value=-1)[places]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, item vectors and options to one safetensors file, whole or not at all."""
        metadata = {"kind": f"{type(self).__name__} agent", "options": self.options, "data": self.data_digest}
        save_tensors(path, self.state_dict(), metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """The agent that :meth:`save` wrote, item vectors included.

        Args:
            path: the file.
            **options: over those in the file.

        Raises:
            ValueError: a damaged or foreign file.
        """
        tensors, metadata = load_tensors(path, f"{cls.__name__} agent")
        given: dict[str, Any] = {"pool": tensors.get("pool")} | metadata["options"] | options
        agent = cls(tensors["network.embedding"], **given)
        agent.load_state_dict(tensors)
        agent.data_digest = metadata["data"]  # of the vectors that training began with
        return agent


def best(scores: Tensor, count: int) -> Tensor:
    """``[B, count]``, where the highest ``scores [B, N]`` are, best first; −1 where fewer are above −∞."""
    return best_item(scores).unsqueeze(1) if count == 1 else best_items(scores, count)


def _checked_pool(pool: Tensor, num_items: int) -> Tensor:
    if pool.dim() != 1 or pool.dtype != torch.long or not len(pool):
        raise ValueError(expected("pool", "a LongTensor of at least one item id", f"{pool.dtype} {list(pool.shape)}"))
    if int(pool.min()) < 0 or int(pool.max()) >= num_items:
        raise ValueError(expected("pool", f"item ids in [0, {num_items})", [int(pool.min()), int(pool.max())]))
    if len(pool.unique()) < len(pool):
        raise ValueError(expected("pool", "every item at most once", f"{len(pool) - len(pool.unique())} repeated"))
    return pool
