"""Relations that come after release: what they say of an item is known only once people have received it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch_geometric.data import HeteroData

from kgrl.options import did_you_mean, expected

LATE_RELATIONS: dict[str, tuple[str, ...]] = {
    "Freebase, films": (  # as MovieLens100K names them
        "film_film_award_nomination", "film_film_award_won", "film_film_prequel", "film_film_sequel",
    ),
}
"""Known relations that come after release, by KG. A film is nominated, wins and is continued because people liked it,
and *prequel* is the inverse of *sequel*."""


def late_relations(data: HeteroData, late: Sequence[str] | None = None) -> list[str]:
    """The relations of ``data`` that come after release, by name.

    Args:
        data: a data set.
        late: names, or parts of names, e.g. ``["award"]``. ``None``: ``data.late_relations`` where the data set has
            it, else those of its relations that :data:`LATE_RELATIONS` knows, which may be none.

    Returns:
        Names among the relations of ``data``, in their order.

    Raises:
        TypeError: ``late`` is one text, not several.
        ValueError: an entry of ``late`` that is in no relation's name.
    """
    names = _relations(data)
    if late is None:
        known = {name for group in LATE_RELATIONS.values() for name in group}
        late = data.late_relations if "late_relations" in data else [name for name in names if name in known]
    if isinstance(late, str):
        raise TypeError(expected("late", "a list of names", late, f"say late=[{late!r}]"))
    if not isinstance(late, Collection):
        raise TypeError(expected("late", "a list of names", late))
    for part in late:
        if not isinstance(part, str):
            raise TypeError(expected("late", "a list of names", part))
        if not any(part in name for name in names):
            raise ValueError(expected("late", "relations of the data, or parts of their names", part,
                                      did_you_mean(part, names) if names else "the data has no KG"))
    return [name for name in names if any(part in name for part in late)]


def _relations(data: HeteroData) -> list[str]:
    """The names of the KG's relations, in order."""
    kinds = [kind for kind in data.edge_types if "user" not in (kind[0], kind[2])]
    return list(dict.fromkeys(relation for _, relation, _ in kinds))
