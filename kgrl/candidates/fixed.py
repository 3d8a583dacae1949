"""``FixedCandidates``: candidates that are the same for every session, and fair draws among items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.objects import shaped
from kgrl.options import at_least, expected, ids
from kgrl.seeding import given_or_new

_NOISE = 2**38  # random numbers that candidates are ranked by; times the longest row it stays below 2 ** 63
_CROWDED = 3  # from one number in so many on, ranking all of them beats drawing until enough different ones have come


def randint(high: int, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Whole numbers in [0, ``high``) on ``device``; with a generator on the CPU the same on every device."""
    return torch.randint(high, shape, generator=generator, device=generator.device).to(device)


def random_subsets(rows: int, size: int, total: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """``[rows, size]``: in each row ``size`` distinct numbers of [0, ``total``), each subset equally likely; sorted."""
    first = torch.arange(rows, device=device)[:, None] * total
    if _CROWDED * size > total:
        batch = torch.arange(rows, device=device).repeat_interleave(total)
        kept = sample_rows(batch, first.new_full((rows,), total), size, generator)
        return kept.nonzero().view(rows, size) - first
    # Numbers drawn twice are drawn again. No round draws more than a row lacks, so this is the same as drawing one by
    # one until enough different numbers have come. One flat sort: 32 bits, where they do, are sorted twice as fast.
    keys = first + randint(total, (rows, size), generator, device)
    keys = keys.to(torch.int32 if rows * total < 2**31 else torch.int64).view(-1).sort().values
    while len(again := (keys[1:] == keys[:-1]).nonzero().view(-1)):
        row = keys[again].long() // total
        keys[again] = (row * total + randint(total, row.shape, generator, device)).to(keys.dtype)
        keys = keys.sort().values
    return keys.long().view(rows, size) - first


def sample_rows(batch: Tensor, counts: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Which entries of a ragged batch stay if no row may keep more than ``size``: uniform, without replacement.

    Args:
        batch: ``[K]``, each entry's row, sorted.
        counts: ``[B]``, entries a row.
        size: how many a row may keep.
        generator: what the draw comes from; rows that are small enough take nothing from it.

    Returns:
        A mask ``[K]``.
    """
    keep = torch.ones(len(batch), dtype=torch.bool, device=batch.device)
    # rows of like length are ranked together: padding at most doubles what there is
    octave = counts.double().log2().floor().masked_fill(counts <= size, -1)
    for level in octave[octave >= 0].unique().tolist():
        members = (octave == level).nonzero().view(-1)
        lengths = counts[members]
        column = torch.arange(int(lengths.max()), device=batch.device)
        valid = column < lengths[:, None]
        # the column makes the noise of a row distinct: never one too many because of a tie
        noise = randint(_NOISE, tuple(valid.shape), generator, batch.device) * len(column) + column
        noise.masked_fill_(~valid, torch.iinfo(torch.long).max)
        kept = noise <= noise.kthvalue(size, dim=1, keepdim=True).values
        keep.masked_scatter_((octave == level).index_select(0, batch), kept.masked_select(valid))
    return keep


def random_cells(free: Tensor, count: Tensor, generator: torch.Generator) -> Tensor:
    """A mask like ``free [R, S]``: in each row ``count [R]`` of its cells, or all if they are fewer; all sets alike.

    Cells are drawn one by one until enough different ones have come; of a row that more than half of is wanted, those
    that are left out. As in :func:`random_subsets`, no round draws more than a row lacks.
    """
    flat, width, left = free.view(-1), free.size(1), _sums(free)
    inverse = 2 * count > left
    wanted = torch.where(inverse, left - torch.minimum(count, left), count)
    # where few cells are free they are drawn by their rank; else among all, and those that are not free do not count
    cells = flat.nonzero().view(-1) if bool((2 * left < width).any()) else None
    first, drawn = left.cumsum(0) - left, torch.zeros_like(free)
    rows, lacking = torch.arange(len(free), device=free.device), wanted
    while len(row := rows.repeat_interleave(lacking)):
        if cells is None:
            at = row * width + randint(width, row.shape, generator, free.device)
            at = at[flat.index_select(0, at)]
        else:  # of 62 bits, so that the remainder favours no cell in a way that could be noticed
            at = cells[first[row] + randint(2**62, row.shape, generator, free.device) % left[row]]
        drawn.view(-1)[at] = True
        lacking = wanted[rows] - _sums(drawn[rows])
        rows, lacking = rows[lacking > 0], lacking[lacking > 0]
    drawn[inverse] = free[inverse] & ~drawn[inverse]
    return drawn


def _sums(mask: Tensor) -> Tensor:
    """``[R]``, how many cells of each row are set; in 32 bits, four times as fast as what bools are added up in."""
    return mask.sum(1, dtype=torch.int32).long()


def unshown_items(shown: Tensor, num_items: int, generator: torch.Generator) -> Tensor:
    r"""``[B]``, an item that is not in ``shown [B, L]``, each equally likely; −1 where none is left.

    A rank among the items that are left is drawn: no table of sessions × items. The item of rank r is r plus the number
    of shown items below it: of the shown ones in ascending order, :math:`s_0 < s_1 < \dots`, those with
    :math:`s_j - j \le r`, as :math:`s_j - j` items that are left lie below :math:`s_j`.

    Args:
        shown: distinct ids in each row; −1, anywhere, is skipped.
        num_items: N.
        generator: on the device of ``shown``.
    """
    none = (shown < 0) | (shown >= num_items)
    left = num_items - (~none).sum(1)
    # of 62 bits, so that the remainder favours no rank in a way that could be noticed
    rank = torch.randint(2**62, left.shape, generator=generator, device=shown.device) % left.clamp(min=1)
    gone = shown.masked_fill(none, num_items + shown.size(1)).sort(1).values
    below = gone - torch.arange(shown.size(1), device=shown.device) <= rank.unsqueeze(1)
    return (rank + below.sum(1)).masked_fill(left == 0, -1)


class FixedCandidates(nn.Module):
    """Every item, or those of a pool, whoever is asked for: no candidate selection, as in KGQR's Table 5 (KGQR-CS).

    As the candidates are no session's own, an agent can score them as one dense matrix. It knows them by their *places*
    in the pool, −1 for none; only what leaves it are item ids. :meth:`restrict` puts other items in its place; a
    ``state_dict`` does not hold these.

    Args:
        num_items: N.
        pool: ``[P]``, the items that may be recommended, e.g. the 300 most liked; ``None``: all.

    Shapes:
        - ``select(seeds [B, L], exclude [B, L'])`` → ``items [K]``, ``batch [K]``.

    Raises:
        ValueError: a pool that is none: of another type, with unknown or repeated items, or empty.
    """

    pool: Tensor | None
    candidates: Tensor | None
    _place: Tensor | None

    def __init__(self, num_items: int, pool: Tensor | None = None) -> None:
        super().__init__()
        self.num_items = at_least("num_items", num_items, 1)
        self.register_buffer("pool", None if pool is None else checked_pool("pool", pool, num_items).clone())
        self._take(self.pool)

    def restrict(self, items: Tensor | None) -> FixedCandidates:
        """From now on the candidates are ``items [K]``; ``None``: those of the pool again.

        Returns:
            Itself.

        Raises:
            ValueError: items that can be no pool.
        """
        device = None if self.candidates is None else self.candidates.device
        self._take(self.pool if items is None else checked_pool("items", items, self.num_items).to(device))
        return self

    def _take(self, candidates: Tensor | None) -> None:
        """Makes the table of their places."""
        place = None
        if candidates is not None:
            place = torch.full((self.num_items + 1,), -1, device=candidates.device)  # the last one is that of −1
            place[candidates] = torch.arange(len(candidates), device=candidates.device)
        self.size = self.num_items if candidates is None else len(candidates)
        self.register_buffer("candidates", candidates, persistent=False)
        self.register_buffer("_place", place, persistent=False)

    def places(self, items: Tensor) -> Tensor:
        """Where in the pool items are; −1 for others and for −1."""
        return items if self._place is None else self._place[items]

    def items(self, places: Tensor) -> Tensor:
        """The items at these places; what is below 0, and so no place, as it is."""
        if self.candidates is None:
            return places
        return torch.where(places < 0, places, self.candidates[places.clamp(min=0)])

    def of(self, table: Tensor) -> Tensor:
        """``[P, …]``, the candidates' rows of a table ``[N, …]`` of the items."""
        return table if self.candidates is None else table[self.candidates]

    def draw(self, shown: Tensor, generator: torch.Generator) -> Tensor:
        """``[B]``, a uniformly random candidate that is not among ``shown [B, L]``; −1 where none is left."""
        return self.items(unshown_items(self.places(shown), self.size, generator))

    def select(
        self, seeds: Tensor, exclude: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is left for each session, ragged, as other rules have it: a B × P mask is made.

        Args:
            seeds: ``[B, L]``, item ids, −1 anywhere is padding; they are no candidates.
            exclude: ``[B, L']``, likewise.
            generator: makes no difference.

        Returns:
            ``items [K]`` and ``batch [K]`` (the session of each), sorted by session, in the order of the pool.
        """
        check_rows(seeds, exclude, self.num_items)
        given_or_new(generator, seeds.device)
        gone = self.places(torch.cat([seeds, exclude], 1))
        left = torch.ones(len(gone), self.size + 1, dtype=torch.bool, device=gone.device)  # the last one is that of −1
        batch, places = left.scatter_(1, gone.where(gone >= 0, self.size), False)[:, :-1].nonzero().unbind(1)
        return self.items(places), batch

    def extra_repr(self) -> str:
        return f"{self.size} of {self.num_items} items"


def check_rows(seeds: Tensor, exclude: Tensor, num_items: int) -> None:
    """Refuses what is no row of item ids for each session.

    Raises:
        TypeError: they are no tensors.
        ValueError: they do not fit together, or hold ids that are no items.
    """
    for name, nodes in (("seeds", shaped("seeds", seeds, None, None, whole=True)),
                        ("exclude", shaped("exclude", exclude, len(seeds), None, whole=True))):
        if nodes.numel() and bool(((nodes < -1) | (nodes >= num_items)).any()):
            wrong = nodes[(nodes < -1) | (nodes >= num_items)][0].item()
            raise ValueError(expected(name, f"item ids in [0, {num_items}) or -1", wrong))


def checked_pool(name: str, pool: Tensor, num_items: int) -> Tensor:
    """``pool`` as a LongTensor, if it can be one; ``name`` is what it is called in the error.

    Raises:
        TypeError: it is nothing that holds ids.
        ValueError: it is of another type, has unknown or repeated items, or is empty.
    """
    if not len(pool := ids(name, pool)):
        raise ValueError(expected(name, "a LongTensor of at least one item id", []))
    if int(pool.min()) < 0 or int(pool.max()) >= num_items:
        raise ValueError(expected(name, f"item ids in [0, {num_items})", [int(pool.min()), int(pool.max())]))
    if len(pool.unique()) < len(pool):
        raise ValueError(expected(name, "every item at most once", f"{len(pool) - len(pool.unique())} repeated"))
    return pool
