"""Are the items linked to the right entities? The people who like them tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch_geometric.data import HeteroData

from kgrl.datasets.item_pairs import Exchange, ItemPairs, item_pairs, likeness_of, likers_of_items
from kgrl.objects import of_class
from kgrl.options import at_least

SURE = 3.0  # z from which links are told apart from exchanged ones


@dataclass(frozen=True)
class RelationLift:
    """What one relation tells: the lift of the pairs of items that share an entity by it.

    Args:
        relation: its name, as in the edge types.
        words: what the sentence calls it.
        lift: see :class:`LinkAudit`.
        z: likewise.
        pairs: how many.
    """

    relation: str
    words: str
    lift: float
    z: float
    pairs: int


@dataclass(frozen=True)
class LinkAudit:
    """What :func:`audit_links` found; ``str()`` gives it as a sentence.

    Args:
        lift: how much more alike the likers of two items that share an entity are than with exchanged links; 1 is
            what wrong links have, NaN where it cannot be told.
        z: by how many standard deviations of the exchanged links' likeness; NaN likewise.
        pairs: of items that share an entity.
        relations: those that carry it first: by pairs times what their likeness is above that with exchanged links.
        sound: whether the links are told apart from exchanged ones: z of at least 3.
        unclear: why nothing can be told, "" where something can.
    """

    lift: float
    z: float
    pairs: int
    relations: tuple[RelationLift, ...]
    sound: bool
    unclear: str = ""

    def __str__(self) -> str:
        if self.unclear:
            return f"The links cannot be checked: {self.unclear}"
        found = (f"Items that share an entity are liked by the same people {self.lift:.2f} times as often as items of "
                 f"like popularity (z = {self.z:.{1 if abs(self.z) < 10 else 0}f}, {self.pairs:,} pairs): ")
        if not self.sound:
            return found + "the links are not told apart from shuffled ones"
        carry = [each for each in self.relations if each.z >= SURE]
        carry = [each for place, each in enumerate(carry) if not _twin(each, carry[:place])][:3]
        return found + "the links carry meaning" + ("; most through " if carry else "") + ", ".join(
            f"{each.words} (lift {each.lift:.1f})" for each in carry)

    def plain(self) -> dict[str, Any]:
        """The same in values that JSON knows, NaN as ``None``, with the sentence: what ``provenance`` keeps."""

        def known(values: dict[str, Any]) -> dict[str, Any]:
            return {name: None if isinstance(value, float) and math.isnan(value) else value
                    for name, value in values.items()}

        relations = [known(asdict(each)) for each in self.relations]
        return {**known(asdict(self)), "relations": relations, "sentence": str(self)}


def _twin(relation: RelationLift, others: Sequence[RelationLift]) -> bool:
    """Whether one of ``others`` says the same: Freebase has many a relation twice, once from either end."""
    return any((each.lift, each.pairs) == (relation.lift, relation.pairs) for each in others)


ENOUGH = 10  # pairs of items that must have someone in common, or nothing is told


def audit_links(
    data: HeteroData, *, max_items: int = 20, shufflings: int = 20, max_pairs: int = 100_000, seed: int = 0
) -> LinkAudit:
    r"""Tests whether the items are linked to the right entities; no labels are needed, and no reader of ours.

    Items that share a rare entity, a director or an author, should be liked by the same people more often than items
    of like popularity that share none. With :math:`\mathbf u_i` the unit vector of who likes item i, the likeness of
    the links is the mean of :math:`\mathbf u_i^\top \mathbf u_j` over the pairs (i, j) that share one. It is compared
    with the same mean after the links are exchanged at random among items of like popularity: lift is the quotient, z
    the difference in standard deviations of such exchanges. Links by the wrong numbers have lift 1 and z about 0.

    Time and memory grow as ratings and triples do.

    Args:
        data: node types ``user`` and ``item``, edge type ``('user', 'rates', 'item')`` with ``edge_index`` and, unless
            every edge is a liking, ``rating``, with ``data.rating_scale = (low, high, threshold)``: above the threshold
            an item is liked; edge types between items and entities.
        max_items: an entity is rare if at most so many items have it; where none is, it is doubled until some are.
        shufflings: how often the links are exchanged.
        max_pairs: of more pairs, so many are drawn.
        seed: of all draws.

    Returns:
        The audit; where there is too little to compare, it says so in ``unclear``.

    Raises:
        TypeError: ``data`` is no ``HeteroData``.
        ValueError: ``data`` has no ratings, no KG, or an edge that points nowhere.
    """
    of_class("data", data, HeteroData)
    max_items, max_pairs = at_least("max_items", max_items, 2), at_least("max_pairs", max_pairs, 1)
    shufflings = at_least("shufflings", shufflings, 2)
    rng = np.random.default_rng(at_least("seed", seed, 0))
    pairs = item_pairs(data, max_items, max_pairs, rng)
    likers = likers_of_items(data, rng)
    if not len(pairs):
        return _unclear(0, "no two items share an entity")
    if not likers.nnz:
        return _unclear(len(pairs), "nobody likes any item, as no rating is above the threshold")
    likeness = likeness_of(likers)
    exchange = Exchange(np.diff(likers.indptr), pairs.linked, rng)
    sums, in_common = [], []
    for shuffling in range(1 + shufflings):
        other = exchange.draw() if shuffling else np.arange(likers.shape[0])
        found = likeness(other[pairs.first], other[pairs.second])
        sums.append(_sums(found, pairs))
        in_common.append(int(np.count_nonzero(found)))
    if max(in_common[0], sum(in_common[1:]) / shufflings) < ENOUGH:
        return _unclear(len(pairs), f"only {in_common[0]:,} of the {len(pairs):,} pairs of items that share an entity "
                                    f"have anyone who likes both")
    return _compared(np.stack(sums), sum(in_common), pairs, _words(data, pairs.names))


def _sums(likeness: np.ndarray, pairs: ItemPairs) -> np.ndarray:
    """``[R + 1]``, the sum over the pairs of each relation, and over all."""
    by_relation = np.bincount(pairs.relation, likeness[pairs.pair], minlength=len(pairs.names))
    return np.append(by_relation, likeness.sum(dtype=np.float64))


def _compared(sums: np.ndarray, in_common: int, pairs: ItemPairs, words: list[str]) -> LinkAudit:
    """The audit from the sums ``[1 + S, R + 1]``: first as linked, then with links exchanged.

    Where the exchanges found next to nothing, they count as if one of them had found one pair of middling likeness:
    ``in_common`` is the number of pairs with any likeness in all sums together.
    """
    seen, null = sums[0], sums[1:]
    if np.ptp(sums[:, -1]) <= 1e-5 * seen[-1]:
        return _unclear(len(pairs), "exchanging them changes nothing, as the same people like all these items")
    one = sums[:, -1].sum() / in_common
    mean = np.maximum(null.mean(0), one / len(null))
    lift, z = seen / mean, (seen - mean) / np.maximum(null.std(0, ddof=1), one / math.sqrt(len(null)))
    count = np.bincount(pairs.relation, minlength=len(pairs.names))
    carrying = [r for r in np.argsort(mean - seen, kind="stable").tolist() if r < len(count) and count[r]]
    relations = tuple(RelationLift(pairs.names[r], words[r], float(lift[r]), float(z[r]), int(count[r]))
                      for r in carrying)
    return LinkAudit(float(lift[-1]), float(z[-1]), len(pairs), relations, bool(z[-1] >= SURE))


def _words(data: HeteroData, names: list[str]) -> list[str]:
    """What the relations are called: of Freebase's ``film.producer.film`` the "producer"."""
    provenance = data.get("provenance")
    known = provenance.get("relations", ()) if isinstance(provenance, Mapping) else ()
    raw = dict(zip(data["relation_names"] if known else (), map(str, known), strict=True))

    def word(name: str) -> str:
        parts = raw.get(name, name).split(".")
        if len(parts) == 3:  # domain, type, property; a film's own type says nothing
            parts = parts[2:] if parts[1] == parts[0] else parts[1:2]
        return f"relation {parts[-1]}" if parts[-1].isdecimal() else parts[-1].replace("_", " ")

    return [word(name) for name in names]


def _unclear(pairs: int, why: str) -> LinkAudit:
    return LinkAudit(math.nan, math.nan, pairs, (), False, why)
