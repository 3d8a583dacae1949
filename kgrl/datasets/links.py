"""Which entity of the KG each item is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kgrl.datasets.ids import Ids
from kgrl.datasets.table import Table


@dataclass(frozen=True)
class Links:
    """The triples in numbers, and the items among their entities.

    Args:
        entities: of the KG.
        relations: of the KG.
        head: ``[M]``, entity numbers.
        relation: ``[M]``, relation numbers.
        tail: ``[M]``, entity numbers.
        entity: ``[N]``, the entity that each item is, −1 where it is none.
        dropped: how many links were left out.
    """

    entities: Ids
    relations: Ids
    head: np.ndarray
    relation: np.ndarray
    tail: np.ndarray
    entity: np.ndarray
    dropped: int

    def counts(self) -> dict[str, int]:
        """For ``provenance``."""
        return {"linked_items": int((self.entity >= 0).sum()), "dropped_links": self.dropped,
                "entities": len(self.entities), "triples": len(self.head), "relations": len(self.relations)}


def link_items(triples: Table, links: Table | None, items: Ids, drop_bad: bool) -> Links:
    """Numbers the triples and finds the entity of each item, one to one.

    Args:
        triples: columns ``head, relation, tail``.
        links: columns ``item`` and ``entity``; ``None``: an item is the entity of the same id, where there is one.
        items: every known item.
        drop_bad: leave out a link that cannot stand (and count it), instead of raising.

    Raises:
        ValueError: a link of an unknown item or entity, a second link of an item or of an entity, or no link at all.
    """
    frame = triples.frame
    entities, relations = Ids.sorted(frame["head"], frame["tail"]), Ids.sorted(frame["relation"])
    given = links
    if links is None:
        entity, dropped = entities.numbers(pd.Series(items.index)), 0
    else:
        links, dropped = _sound(links, items, entities, drop_bad)
        entity = np.full(len(items), -1)
        entity[items.numbers(links.frame["item"])] = entities.numbers(links.frame["entity"])
    if not (entity >= 0).any():
        source = f"the items' own ids (the first triple: {triples.place()})" if given is None else \
            f"{given.name} (the first link: {given.place()})"
        raise ValueError(f"{triples.name} must have the items among its {len(entities):,} entities, got none of the "
                         f"{len(items):,} items by {source}; do links, ratings and triples belong together?")
    return Links(entities, relations, entities.numbers(frame["head"]), relations.numbers(frame["relation"]),
                 entities.numbers(frame["tail"]), entity, dropped)


def _sound(links: Table, items: Ids, entities: Ids, drop_bad: bool) -> tuple[Table, int]:
    """The links that can stand; the first of several for one item or one entity stands."""
    rules: list[tuple[str, str, Callable[[pd.Series], np.ndarray | pd.Series]]] = [
        ("item", "a known item (rated or listed)", lambda ids: items.numbers(ids) < 0),
        ("entity", "an entity of some triple of the KG", lambda ids: entities.numbers(ids) < 0),
        ("item", "an item not linked before", pd.Series.duplicated),
        ("entity", "an entity not linked to another item", pd.Series.duplicated),
    ]
    before = len(links.frame)
    for column, what, breaks in rules:
        bad = np.asarray(breaks(links.frame[column]))
        if drop_bad:
            links = Table(links.frame[~bad], links.name, links.locate)
        else:
            helps = not bad.all()  # else the next error would be that no link is left
            links.complain(bad, column, f"{what}, or pass bad_links='drop'" if helps else
                           f"{what}, as no link can stand; do links, ratings and triples belong together?")
    return links, before - len(links.frame)
