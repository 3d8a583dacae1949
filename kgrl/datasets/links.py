"""Which entity of the KG each item is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kgrl.datasets.ids import Ids
from kgrl.datasets.table import Table


def linked_entities(
    links: Table | None, items: Ids, entities: Ids, drop_bad: bool
) -> tuple[np.ndarray, int]:
    """The entity of each item, one to one.

    Args:
        links: columns ``item`` and ``entity``; ``None``: an item is the entity of the same id, where there is one.
        items: every known item.
        entities: every entity of the KG.
        drop_bad: leave out a link that cannot stand (and count it), instead of raising.

    Returns:
        ``[N]``, the number of each item's entity, −1 where it has none; and how many links were left out.

    Raises:
        ValueError: a link of an unknown item or entity, a second link of an item or of an entity, or no link at all.
    """
    if links is None:
        entity, dropped = entities.numbers(pd.Series(items.index)), 0
    else:
        links, dropped = _sound(links, items, entities, drop_bad)
        entity = np.full(len(items), -1)
        entity[items.numbers(links.frame["item"])] = entities.numbers(links.frame["entity"])
    if not (entity >= 0).any():
        source = "the items' own ids" if links is None else links.name
        raise ValueError(f"the KG must have the items among its {len(entities):,} entities, got none of the "
                         f"{len(items):,} items by {source}; do links, ratings and triples belong together?")
    return entity, dropped


def _sound(links: Table, items: Ids, entities: Ids, drop_bad: bool) -> tuple[Table, int]:
    """The links that can stand; the first of several for one item or one entity stands."""
    def rules(table: Table) -> list[tuple[str, str, np.ndarray | pd.Series]]:
        frame = table.frame
        return [
            ("item", "a known item (rated or listed)", items.numbers(frame["item"]) < 0),
            ("entity", "an entity of some triple of the KG", entities.numbers(frame["entity"]) < 0),
            ("item", "an item not linked before", frame["item"].duplicated()),
            ("entity", "an entity not linked to another item", frame["entity"].duplicated()),
        ]

    before = len(links.frame)
    for rule in range(4):
        column, what, bad = rules(links)[rule]
        if drop_bad:
            links = Table(links.frame[~np.asarray(bad)], links.name, links.locate)
        else:
            links.complain(bad, column, f"{what}, or pass bad_links='drop'")
    return links, before - len(links.frame)
