"""``KHopCandidates``: the items k hops from what a session liked, for a whole batch of sessions at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.candidates.fixed import check_rows, checked_pool, random_cells, random_subsets, sample_rows
from kgrl.candidates.k_hop_index import KHopIndex, KHopWalk, tabulate
from kgrl.candidates.paths import Path, PathFinder
from kgrl.options import at_least, expected, ids, one_of
from kgrl.seeding import given_or_new

_CELLS = 2**22  # of the sessions × items masks that are laid out at once


class KHopCandidates(nn.Module):
    r"""Neighbour-based candidate selection (KGQR equations 9 and 10), plus backfill and hub rule.

    .. math::
        E^l_t = \{tail \mid (head, relation, tail) \in G, head \in E^{l-1}_t\}, \qquad
        I_t = \Big\{item \in \bigcup_{l=1}^{k} E^l_t\Big\}

    from the seeds :math:`E^0_t`, the items the session liked. The union of the seeds' own neighbourhoods is the same
    set, so every item's is tabulated once, where that fits; else each call walks the graph. Both give the same sets;
    random draws may differ between the two, as large batches are taken in other portions.

    Differs from the paper: the k-hop neighbourhood can be empty (nothing liked yet), small, or nearly everything, so
    ``backfill`` items are added, ``max_degree`` keeps the walk out of hubs, and ``size`` is reached by a uniform
    sample. The paper is silent on how more than ``size`` items are cut. With ``size=None``, no backfill and no
    ``max_degree`` the result is equation 10 to the letter: the items of
    ``torch_geometric.utils.k_hop_subgraph(..., flow="target_to_source")`` without the seeds and without ``exclude``.

    All buffers are non-persistent: ``.to(device)`` moves them, a ``state_dict`` does not hold them.

    Args:
        kg: from :func:`kgrl.graph.knowledge_graph`; with ``inverse=False`` the walk goes head → tail only.
        hops: k.
        size: the most candidates a session gets; ``None``: all.
        popular: ``[≤ N]``, items ranked by popularity, the first the most popular; for ``("popular", n)``. Items that
            it lacks rank last, by id.
        backfill: ``("popular", n)``: the first n of ``popular``; ``("random", n)``: n distinct uniform random items a
            session and call; ``("fill", n)``: so many of these that there are n candidates, as far as items are left,
            none where the k-hop items are more; ``None``: nothing. n ≥ N means all items (no candidate selection).
        max_degree: nodes with more than so many distinct neighbours (tails of their edges, inverse ones included) may
            be reached but not be walked through, be they entities or items; the seeds themselves are always left.
        table_limit: entries of 4 bytes that the table may have; above it (or at 0) each call walks the graph.

    Shapes:
        - ``select(seeds [B, L], exclude [B, L'])`` → ``items [K]``, ``batch [K]``.

    Raises:
        ValueError, TypeError: an option is out of range or lacks what it needs, or ``kg`` comes from elsewhere.
    """

    ranking: Tensor
    index: KHopIndex
    _allowed: Tensor | None
    _outside: Tensor | None

    def __init__(
        self,
        kg: Data,
        hops: int = 2,
        size: int | None = 1000,
        popular: Tensor | None = None,
        backfill: tuple[str, int] | None = None,
        max_degree: int | None = None,
        table_limit: int = 50_000_000,
    ) -> None:
        super().__init__()
        self.hops = at_least("hops", hops, 1)
        self.size = None if size is None else at_least("size", size, 1)
        self.max_degree = None if max_degree is None else at_least("max_degree", max_degree, 0)
        walk = KHopWalk(kg, self.hops, self.max_degree)
        self.num_items = walk.num_items
        self.backfill = _checked_backfill(backfill, popular, self.num_items)
        ranking = None if popular is None else _full_ranking(popular, self.num_items).to(kg.edge_index.device)
        self.register_buffer("ranking", ranking, persistent=False)
        self.register_buffer("_allowed", None, persistent=False)
        self.register_buffer("_outside", None, persistent=False)
        self.index = tabulate(walk, at_least("table_limit", table_limit, 0)) or walk
        self._kg = kg
        self._paths: PathFinder | None = None

    def restrict(self, items: Tensor | None) -> KHopCandidates:
        """From now on ``items [K]`` alone are candidates, k-hop items and backfill alike; ``None``: all items again.

        Returns:
            Itself.

        Raises:
            ValueError: items that can be no pool.
        """
        outside = None
        if items is not None:
            device = self.index.cost.device
            items = checked_pool("items", items, self.num_items).to(device)
            outside = torch.ones(self.index.stride, dtype=torch.bool, device=device).index_fill_(0, items, False)
        self._allowed, self._outside = items, outside
        return self

    @torch.no_grad()
    def select(
        self, seeds: Tensor, exclude: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The candidates of B sessions: k-hop items and backfill, without seeds and ``exclude``, at most ``size``.

        A session that this leaves with nothing although items are left gets backfill by the same rule from the items
        that are neither seeds nor excluded: the next n of the ranking, or n random ones. So with a backfill, only a
        session that has used up all items has no candidate; without one (``backfill=None``), any session may have
        none. Such a session does not occur in ``batch``.

        Args:
            seeds: ``[B, L]``, item ids, −1 anywhere is padding; a row may be all padding.
            exclude: ``[B, L']``, item ids that may not be recommended, padded alike.
            generator: where random backfill and sampling come from, on any device; ``None``: the same draws at every
                call.

        Returns:
            ``items [K]`` and ``batch [K]`` (the session of each), sorted by session, then item; no item twice.

        Raises:
            ValueError: ``seeds`` and ``exclude`` do not fit together, or hold ids that are no items.
        """
        check_rows(seeds, exclude, self.num_items)
        generator = given_or_new(generator, seeds.device)
        gone = torch.cat([seeds, exclude], dim=1)
        stride, start, parts = self.index.stride, 0, [seeds.new_empty(0)]
        for rows in self.index.chunks(seeds, 0 if self.backfill is None else self.backfill[1]):
            chunk = slice(start, start + rows)
            keys = self.index.union(seeds[chunk], self._backfill(rows, generator, seeds.device), gone[chunk])
            if self._outside is not None:
                keys = keys[~self._outside[keys % stride]]
            parts.append(self._finish(keys, gone[chunk], generator) + start * stride)
            start += rows
        keys = torch.cat(parts)
        batch = keys // stride
        return keys - batch * stride, batch

    def paths(self, item: int, seeds: Tensor | Sequence[int]) -> list[Path]:
        """Explains a candidate: from each seed that reaches it the path through the rarest entity, rarest path first.

        See :class:`kgrl.candidates.paths.PathFinder`. An empty list: the item is backfill.
        """
        if self._paths is None:
            self._paths = PathFinder(self._kg, self.hops, self.max_degree)
        return self._paths(item, seeds)

    def extra_repr(self) -> str:
        return (f"hops={self.hops}, size={self.size}, backfill={self.backfill}, max_degree={self.max_degree}, "
                f"num_items={self.num_items}")

    def _backfill(self, rows: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """The backfill items ``[rows, n]``, fewer where there are fewer."""
        kind, count = self.backfill or ("none", 0)
        if kind == "random":
            total = self.num_items if self._allowed is None else len(self._allowed)
            drawn = random_subsets(rows, min(count, total), total, generator, device)
            return drawn if self._allowed is None else self._allowed[drawn]
        if kind == "popular":
            ranking = self.ranking if self._outside is None else self.ranking[~self._outside[self.ranking]]
            return ranking[:count].expand(rows, -1)
        return torch.empty(rows, 0, dtype=torch.long, device=device)

    def _finish(self, keys: Tensor, gone: Tensor, generator: torch.Generator) -> Tensor:
        """Fills sessions up, backfills those left with nothing, then cuts every session to ``size``."""
        if self.backfill is not None and self.backfill[0] == "fill":
            keys = self._fill(keys, gone, generator)
        batch = keys // self.index.stride
        counts = torch.bincount(batch, minlength=len(gone))
        if self.backfill is not None and bool((counts == 0).any()):
            keys = torch.cat([keys, self._spare((counts == 0).nonzero().view(-1), gone, generator)]).sort().values
            batch = keys // self.index.stride
            counts = torch.bincount(batch, minlength=len(gone))
        if self.size is None or bool((counts <= self.size).all()):
            return keys
        return keys[sample_rows(batch, counts, self.size, generator)]

    def _fill(self, keys: Tensor, gone: Tensor, generator: torch.Generator) -> Tensor:
        """``keys``, and random items beside them that fill each session up to n candidates."""
        assert self.backfill is not None
        stride, parts = self.index.stride, []
        for some in self._portions(torch.arange(len(gone), device=gone.device)):
            start = int(some[0]) * stride
            low, high = torch.searchsorted(keys, keys.new_tensor([start, start + len(some) * stride])).tolist()
            kept = torch.zeros(len(some), stride, dtype=torch.bool, device=gone.device)
            kept.view(-1)[keys[low:high] - start] = True
            lacking = self.backfill[1] - torch.bincount(keys[low:high] // stride - int(some[0]), minlength=len(some))
            kept |= random_cells(self._left(gone[some]) & ~kept, lacking.clamp(min=0), generator)
            parts.append(kept.view(-1).nonzero().view(-1) + start)
        return torch.cat(parts)

    def _spare(self, rows: Tensor, gone: Tensor, generator: torch.Generator) -> Tensor:
        """Backfill for the sessions ``rows`` out of the items that are not ``gone``, as keys."""
        assert self.backfill is not None
        kind, count = self.backfill
        parts = []
        for some in self._portions(rows):
            left = self._left(gone[some])
            if kind == "popular":
                ranked = left[:, self.ranking]
                row, rank = (ranked & (ranked.cumsum(1) <= count)).nonzero().unbind(1)
                item = self.ranking[rank]
            else:
                row, item = random_cells(left, torch.full_like(some, count), generator).nonzero().unbind(1)
            parts.append(some[row] * self.index.stride + item)
        return torch.cat(parts)

    def _portions(self, rows: Tensor) -> tuple[Tensor, ...]:
        """``rows``, so many at a time that a mask of their items is not too large."""
        return rows.split(max(1, _CELLS // self.index.stride))

    def _left(self, gone: Tensor) -> Tensor:
        """``[R, N + 1]``, which items may be had and are not ``gone [R, L]``; the last column, padding's, never is."""
        left = torch.ones(len(gone), self.index.stride, dtype=torch.bool, device=gone.device)
        left.scatter_(1, gone.where(gone >= 0, self.num_items), False)
        left[:, self.num_items] = False
        return left if self._outside is None else left.masked_fill_(self._outside, False)


def _checked_backfill(
    backfill: tuple[str, int] | None, popular: Tensor | None, num_items: int
) -> tuple[str, int] | None:
    if backfill is None:
        return None
    if not isinstance(backfill, (tuple, list)) or len(backfill) != 2:
        raise TypeError(expected("backfill", 'None, ("popular", n), ("random", n) or ("fill", n)', backfill))
    kind = one_of("backfill", backfill[0], ("popular", "random", "fill"))
    count = at_least("backfill's n", backfill[1], 1)
    if kind == "popular" and popular is None:
        raise ValueError(expected("popular", 'a ranking of the items, as backfill is ("popular", n)', None,
                                  "see popular_items in kgrl.datasets"))
    return kind, min(count, num_items)


def _full_ranking(popular: Tensor, num_items: int) -> Tensor:
    """``popular``, checked, and behind it the items it lacks."""
    popular = ids("popular", popular)
    if len(popular) and not (int(popular.min()) >= 0 and int(popular.max()) < num_items):
        raise ValueError(expected("popular", f"item ids in [0, {num_items})", [int(popular.min()), int(popular.max())]))
    times = torch.bincount(popular, minlength=num_items)
    if bool((times > 1).any()):
        raise ValueError(expected("popular", "every item at most once", int(times.argmax())))
    return torch.cat([popular, (times == 0).nonzero().view(-1)])
