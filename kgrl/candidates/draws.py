"""Uniform random subsets for a whole batch at once, exact and without a dense [B, N] tensor."""

from __future__ import annotations

import torch
from torch import Tensor

_NOISE = 2**38  # random numbers a candidate is ranked by; times the longest row it stays below 2 ** 63


def randint(high: int, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Whole numbers in [0, ``high``) on ``device``; with a generator on the CPU the same on every device."""
    return torch.randint(high, shape, generator=generator, device=generator.device).to(device)


def random_subsets(rows: int, size: int, total: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """``[rows, size]``: in each row ``size`` distinct numbers of [0, ``total``), every subset equally likely.

    Repeated draws are drawn again. A round never draws more than a row lacks, so this is drawing one by one until
    ``size`` different numbers have come. Above ``total / 2`` it is the numbers to leave out that are drawn.
    """
    if 2 * size > total:
        kept = torch.ones(rows, total, dtype=torch.bool, device=device)
        kept.scatter_(1, random_subsets(rows, total - size, total, generator, device), False)
        return kept.nonzero()[:, 1].view(rows, size)
    drawn = randint(total, (rows, size), generator, device).sort(dim=1).values
    open_rows = torch.arange(rows, device=device)
    while True:
        repeated = drawn[open_rows, 1:] == drawn[open_rows, :-1]
        unfinished = repeated.any(dim=1)
        open_rows, repeated = open_rows[unfinished], repeated[unfinished]
        if not len(open_rows):
            return drawn
        again = drawn[open_rows]
        again[:, 1:][repeated] = randint(total, (int(repeated.sum()),), generator, device)
        drawn[open_rows] = again.sort(dim=1).values


def sample_rows(batch: Tensor, counts: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Which entries of a ragged batch stay if no row may keep more than ``size``: uniform, without replacement.

    Args:
        batch: ``[K]``, each entry's row, sorted.
        counts: ``[B]``, entries a row.
        size: how many a row may keep.
        generator: what the draw comes from; rows that are small enough consume nothing.

    Returns:
        A mask ``[K]``.
    """
    keep = torch.ones(len(batch), dtype=torch.bool, device=batch.device)
    crowded = counts > size
    entries = crowded[batch].nonzero().view(-1)
    if not len(entries):
        return keep
    rows = batch[entries]
    column = entries - (counts.cumsum(0) - counts)[rows]
    # the column makes the noise of a row distinct: never one too many because of a tie
    noise = randint(_NOISE, (len(entries),), generator, batch.device) * counts.max() + column
    # rows of like length are ranked together, so that padding at most doubles what there is
    octave = counts.log2().floor().long()
    for level in octave[crowded].unique().tolist():
        members = (crowded & (octave == level)).nonzero().view(-1)
        slot = torch.full_like(counts, -1).index_copy_(0, members, torch.arange(len(members), device=batch.device))
        here = slot[rows] >= 0
        row, own = slot[rows[here]], noise[here]
        padded = own.new_full((len(members), int(counts[members].max())), torch.iinfo(torch.long).max)
        padded[row, column[here]] = own
        last = padded.kthvalue(size, dim=1).values
        keep[entries[here]] = own <= last[row]
    return keep
