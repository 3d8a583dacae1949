"""``FixedCandidates``: the same candidates for every session."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kgrl.candidates.draws import unshown_items
from kgrl.objects import shaped
from kgrl.options import at_least, expected, ids
from kgrl.seeding import given_or_new


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
