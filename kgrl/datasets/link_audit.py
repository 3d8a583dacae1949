"""What an audit of the links found, and how it is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
