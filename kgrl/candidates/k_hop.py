"""``KHopCandidates``: the items k hops from what a session liked, for a whole batch of sessions at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgrl.candidates.draws import random_subsets, sample_rows
from kgrl.candidates.paths import Path, PathFinder
from kgrl.candidates.walk import WORK, KHopTable, KHopWalk, chunk_sizes
from kgrl.options import at_least, expected, one_of
from kgrl.seeding import generator_for


class KHopCandidates(nn.Module):
    r"""Neighbour-based candidate selection (KGQR equations 9 and 10), plus backfill and hub rule.

    .. math::
        E^l_t = \{tail \mid (head, relation, tail) \in G, head \in E^{l-1}_t\}, \qquad
        I_t = \Big\{item \in \bigcup_{l=1}^{k} E^l_t\Big\}

    from the seeds :math:`E^0_t`, the items the session liked. The union of the seeds' own neighbourhoods is the same
    set, so every item's is tabulated once, where that fits; else each call walks the graph. Both give the same result.

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
            session and call; ``None``: nothing. n ≥ N means all items (no candidate selection).
        max_degree: nodes with more than so many distinct neighbours (tails of their edges, inverse ones included) may
            be reached but not be walked through, be they entities or items; the seeds themselves are always left.
        table_limit: entries of 4 bytes that the table may have; above it (or at 0) each call walks the graph.

    Shapes:
        - ``select(seeds [B, L], exclude [B, L'])`` → ``items [K]``, ``batch [K]``.

    Raises:
        ValueError, TypeError: an option is out of range or lacks what it needs.
    """

    ranking: Tensor
    reach: KHopTable | KHopWalk

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
        self.num_items = int(kg.num_items)
        self.hops = at_least("hops", hops, 1)
        self.size = None if size is None else at_least("size", size, 1)
        self.max_degree = None if max_degree is None else at_least("max_degree", max_degree, 0)
        self.backfill = _checked_backfill(backfill, popular, self.num_items)
        ranking = None if popular is None else _full_ranking(popular, self.num_items).to(kg.edge_index.device)
        self.register_buffer("ranking", ranking, persistent=False)
        walk = KHopWalk(kg, self.hops, self.max_degree)
        self.reach = KHopTable.build(walk, at_least("table_limit", table_limit, 0)) or walk
        self._kg = kg
        self._paths: PathFinder | None = None

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
        device = seeds.device
        self._check(seeds, exclude)
        generator = generator_for(device, 0) if generator is None else generator
        extra = self._extra(len(seeds), generator, device)
        gone = torch.cat([seeds, exclude], dim=1)
        parts, start = [], 0
        for rows in chunk_sizes(self._cost(seeds, extra), max(1, 2**30 // max(self.num_items, 1))):
            chunk = slice(start, start + rows)
            keys = self._union(seeds[chunk], gone[chunk], extra[chunk])
            parts.append(self._finish(keys, gone[chunk], generator) + start * self.num_items)
            start += rows
        keys = torch.cat(parts) if parts else seeds.new_empty(0)
        return keys % max(self.num_items, 1), keys // max(self.num_items, 1)

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

    def _check(self, seeds: Tensor, exclude: Tensor) -> None:
        for name, ids in (("seeds", seeds), ("exclude", exclude)):
            if ids.dim() != 2 or ids.dtype != torch.long or len(ids) != len(seeds):
                raise ValueError(expected(name, f"a LongTensor [{len(seeds)}, L] padded with -1",
                                          f"{ids.dtype} {tuple(ids.shape)}"))
            if ids.numel() and bool(((ids < -1) | (ids >= self.num_items)).any()):
                wrong = ids[(ids < -1) | (ids >= self.num_items)][0].item()
                raise ValueError(expected(name, f"item ids in [0, {self.num_items}) or -1", wrong))

    def _extra(self, rows: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """The backfill items ``[B, n]``."""
        if self.backfill is None:
            return torch.empty(rows, 0, dtype=torch.long, device=device)
        kind, count = self.backfill
        if kind == "popular":
            return self.ranking[:count].expand(rows, count)
        return random_subsets(rows, count, self.num_items, generator, device)

    def _cost(self, seeds: Tensor, extra: Tensor) -> Tensor:
        """What each session's union costs, in cells or keys ``[B]``."""
        fixed = seeds.size(1) + extra.size(1) + 1
        if isinstance(self.reach, KHopTable) and self.reach.mask is not None:
            return torch.full((len(seeds),), self.num_items + fixed, dtype=torch.float64, device=seeds.device)
        cost = torch.cat([self.reach.cost, self.reach.cost.new_zeros(1)])  # padding (-1) is the last
        return cost[seeds].sum(dim=1, dtype=torch.float64) + fixed

    def _union(self, seeds: Tensor, gone: Tensor, extra: Tensor) -> Tensor:
        """(k-hop items ∪ ``extra``) minus ``gone`` as sorted keys ``row · N + item``."""
        if isinstance(self.reach, KHopTable) and self.reach.mask is not None:
            return self._union_of_masks(self.reach.mask, seeds, gone, extra)
        rows, size = len(seeds), self.num_items
        first = torch.arange(rows, device=seeds.device)[:, None] * size
        row, column = (seeds >= 0).nonzero().unbind(1)
        wanted = torch.cat([self.reach(row, seeds[row, column], rows), (first + extra).view(-1)])
        unwanted = (first + gone)[gone >= 0]
        # One sort does union and difference: unwanted keys become even and come just before their odd twins.
        # 32 bits are enough for a chunk and sort twice as fast.
        keys = torch.cat([unwanted * 2, wanted * 2 + 1]).int().sort().values
        before = torch.cat([keys.new_full((1,), -2), keys[:-1]])
        return keys[(keys & 1 == 1) & (before < keys - 1)].long() >> 1

    def _union_of_masks(self, mask: Tensor, seeds: Tensor, gone: Tensor, extra: Tensor) -> Tensor:
        size = self.num_items
        wanted = mask.new_zeros(len(seeds), size + 1)  # the last column takes the padding
        for seed in seeds.unbind(1):  # over the steps of the sessions
            wanted |= mask.index_select(0, seed.where(seed >= 0, size))
        wanted.scatter_(1, extra, True)
        wanted.scatter_(1, gone.where(gone >= 0, size), False)
        wanted[:, size] = False
        row, item = wanted.nonzero().unbind(1)
        return row * size + item

    def _finish(self, keys: Tensor, gone: Tensor, generator: torch.Generator) -> Tensor:
        """Backfills sessions left with nothing, then cuts every session to ``size``."""
        batch = keys // max(self.num_items, 1)
        counts = torch.bincount(batch, minlength=len(gone))
        if self.backfill is not None and bool((counts == 0).any()):
            empty = (counts == 0).nonzero().view(-1)
            spare = [self._spare(rows, gone, generator) for rows in empty.split(max(1, WORK // self.num_items))]
            keys = torch.cat([keys, *spare]).sort().values
            batch = keys // self.num_items
            counts = torch.bincount(batch, minlength=len(gone))
        if self.size is None:
            return keys
        return keys[sample_rows(batch, counts, self.size, generator)]

    def _spare(self, rows: Tensor, gone: Tensor, generator: torch.Generator) -> Tensor:
        """Backfill for the sessions ``rows`` out of the items that are not ``gone``, as keys."""
        assert self.backfill is not None
        kind, count = self.backfill
        left = torch.ones(len(rows), self.num_items + 1, dtype=torch.bool, device=gone.device)
        left.scatter_(1, gone[rows].where(gone[rows] >= 0, self.num_items), False)
        left = left[:, : self.num_items]
        if kind == "popular":
            ranked = left[:, self.ranking]
            row, rank = (ranked & (ranked.cumsum(1) <= count)).nonzero().unbind(1)
            return rows[row] * self.num_items + self.ranking[rank]
        row, item = left.nonzero().unbind(1)
        kept = sample_rows(row, torch.bincount(row, minlength=len(rows)), count, generator)
        return rows[row[kept]] * self.num_items + item[kept]


def _checked_backfill(
    backfill: tuple[str, int] | None, popular: Tensor | None, num_items: int
) -> tuple[str, int] | None:
    if backfill is None:
        return None
    if not isinstance(backfill, (tuple, list)) or len(backfill) != 2:
        raise TypeError(expected("backfill", 'None, ("popular", n) or ("random", n)', backfill))
    kind, count = one_of("backfill", backfill[0], ("popular", "random")), at_least("backfill's n", backfill[1], 1)
    if kind == "popular" and popular is None:
        raise ValueError(expected("popular", 'a ranking of the items, as backfill is ("popular", n)', None,
                                  "see popular_items in kgrl.datasets"))
    return kind, min(count, num_items)


def _full_ranking(popular: Tensor, num_items: int) -> Tensor:
    """``popular``, checked, and behind it the items it lacks."""
    if popular.dim() != 1 or popular.dtype != torch.long:
        raise ValueError(expected("popular", "a LongTensor of item ids", f"{popular.dtype} {tuple(popular.shape)}"))
    if len(popular) and not (int(popular.min()) >= 0 and int(popular.max()) < num_items):
        raise ValueError(expected("popular", f"item ids in [0, {num_items})", [int(popular.min()), int(popular.max())]))
    times = torch.bincount(popular, minlength=num_items)
    if bool((times > 1).any()):
        raise ValueError(expected("popular", "every item at most once", int(times.argmax())))
    return torch.cat([popular, (times == 0).nonzero().view(-1)])
