"""``from_frames``: ratings and a KG that the user has in pandas."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from torch_geometric.data import HeteroData

from kgrl.datasets.assemble import Raw, Rules, assemble
from kgrl.datasets.ratings import Scale
from kgrl.datasets.table import Names, Table, looks_like, own_names

COLUMNS = {
    "ratings": (["user", "item"], ["rating", "time"]),
    "triples": (["head", "relation", "tail"], []),
    "links": (["item", "entity"], []),
    "items": (["item"], ["title"]),
    "entities": (["entity", "name"], []),
}
"""What each frame must have, and may have."""


def from_frames(
    ratings: pd.DataFrame,
    triples: pd.DataFrame | None = None,
    links: pd.DataFrame | None = None,
    rating_scale: Scale | None = None,
    *,
    items: pd.DataFrame | None = None,
    entities: pd.DataFrame | None = None,
    columns: Names | None = None,
    linked_only: bool = True,
    min_ratings: int = 1,
    min_item_ratings: int = 0,
    bad_links: str = "error",
    positive_from: float | None = None,
    seed: int = 0,
    name: str = "frames",
) -> HeteroData:
    """Ratings and a KG, in pandas frames with ids of any type, as a validated ``HeteroData``.

    Users, items and entities are numbered in the sorted order of their raw ids (items in the order of ``items``, where
    it is given), so the order of the rows does not matter to the numbers; only ids of mixed types, which have no order,
    are numbered as they first appear. Whole floating-point ids are whole numbers: 1.0 is 1.

    Warned of are items that are left out, columns that are not read, numbers in ``triples`` that were taken for items,
    and ratings that tell no likes from dislikes. Who has no triples makes them of a table of items
    (:func:`kgrl.datasets.attribute_triples`), and who has counts makes ratings of them
    (:func:`kgrl.datasets.ratings_from_counts`). Whether the links are right is not checked here;
    ``print(audit_links(data))`` tells (:func:`~kgrl.datasets.audit_links`).

    Args:
        ratings: columns ``user, item, rating[, time]``; without ``rating``, an interaction counts as 1. Times are
            numbers or pandas' dates, which count from 1970 in the unit of their column. Of several ratings of one item
            by one user the latest is kept; without ``time``, or at the same time, the last row's: there the order of
            the rows does matter.
        triples: columns ``head, relation, tail``; all are kept, duplicates too.
        links: columns ``item, entity``, one to one. ``None``: an item is the entity of the same id.
        rating_scale: ``(low, high, threshold)``; ratings above the threshold are positive. ``None``: from the lowest to
            the highest rating, halfway; where all ratings are equal, (0, 1, 0.5), which they must fit into.
        items: columns ``item[, title]``: items in the wanted order, rated or not. Rated items it lacks come after.
        entities: columns ``entity, name``: what entities of the KG are called, for those who read why an item is
            recommended; not all need be listed. An item without a title takes its entity's name as one.
        columns: names of one's own for these columns, in all frames that have them: ``{"user": "userId", "rating":
            "stars"}``. ``{"rating": None}``: there are no ratings, whatever looks like it.
        linked_only: drop items without an entity, and their ratings. Without ``triples`` nothing is dropped.
        min_ratings: drop users with fewer of the ratings that remain (KGQR: 200 on MovieLens-20M).
        min_item_ratings: drop items with fewer of the ratings that remain, and again users, until all have enough; 0:
            items stay, rated or not. Both 5: the 5-core. An item that is dropped stays an entity of the KG.
        bad_links: ``"error"``, or ``"drop"`` for leaving out links of unknown items or entities, and second links.
        positive_from: makes the ratings binary as RippleNet does: at least this is 1, and as many items that the user
            never rated are drawn as 0. ``None``: ratings stay as they are.
        seed: of that draw.
        name: for ``provenance``.

    Returns:
        Node types ``user``, ``item`` and ``entity`` (entities that are no item), each with ``num_nodes`` and ``raw_id``
        (LongTensor, or :class:`kgrl.texts.Texts` where ids are no whole numbers; without ``triples``, ``entity`` has 0
        nodes and no ``raw_id``); with ``triples``, ``data['item'].entity_id``, the raw id of the entity that each item
        is, kept as ``raw_id`` is (−1, or "" among texts, for an item that is none); ``data['item'].title`` and
        ``data['entity'].name`` where known, texts, too ("" for single ones that are not); ``('user', 'rates',
        'item')`` with ``edge_index [2, R]``, ``rating [R]`` and, where known, ``time [R]`` (int64; float64 where some
        are no whole numbers); one edge type a relation and pair of node types, head → tail; ``rating_scale``,
        ``relation_names`` (their order numbers the relations) and ``provenance`` (name, files with sha256, options,
        counts before and after).

    Raises:
        TypeError: something else than a frame.
        ValueError: a missing column or id, one column for two names, no ``rating`` but a column that looks like one, a
            rating outside the scale or complex, a scale that single precision does not hold, no scale where all ratings
            are equal and not in [0, 1], text that UTF-8 cannot write, a link that cannot stand, a name for what is no
            entity of the KG or has one already, relation names that collide, or nothing left; the text names the row
            and the value.
    """
    rules = Rules(rating_scale, linked_only, min_ratings, bad_links, positive_from, seed, min_item_ratings)
    frames = {"ratings": ratings, "triples": triples, "links": links, "items": items, "entities": entities}
    given = {name: frame for name, frame in frames.items() if frame is not None}
    there = [column for frame in given.values() for column in getattr(frame, "columns", [])]
    own = own_names(columns, [column for each in COLUMNS.values() for column in (*each[0], *each[1])], there)
    tables = {name: Table.of(frame, name, *COLUMNS[name], own) for name, frame in given.items()}
    if items is not None:  # `raw_id` has a meaning of its own there
        listed = tables["items"]
        tables["items"] = replace(listed, frame=listed.frame.drop(columns="raw_id", errors="ignore"))
        warn_of_unread_attributes(tables["items"])
    warn_of_unread_columns(tables)
    raw = Raw(tables["ratings"], tables.get("triples"), tables.get("links"), tables.get("items"),
              entities=tables.get("entities"))
    data = assemble(raw, rules, name)
    if raw.triples is not None and raw.links is None:
        warn_of_numbers_taken_for_items(raw.triples, raw.ratings, raw.items)
    warn_of_left_out_items(data)
    return data


def warn_of_numbers_taken_for_items(triples: Table, ratings: Table, items: Table | None) -> None:
    """Without links an entity is the item of the same id: a film's length of 95 minutes would be item 95."""
    known = pd.concat([each.frame["item"] for each in (ratings, items) if each is not None]).unique()
    taken = triples.frame[triples.frame["tail"].isin(known)]
    taken = taken[[_is_number(each) for each in taken["tail"]]]
    if len(taken):
        relation, tail = taken["relation"].iloc[0], taken["tail"].iloc[0]
        names = ", ".join(map(str, taken["relation"].unique()[:5]))
        warnings.warn(
            f"`triples`: {len(taken):,} tails (of {names}) are numbers that are items' ids, and were taken for these "
            f"items, as there are no `links`; if they are values, write them as text such as '{relation} {tail}'; if "
            f"they are items, give `links` to say so", stacklevel=3)


def _is_number(tail: object) -> bool:
    """Also written as text; "nan" and "infinity" are words."""
    try:
        return math.isfinite(float(tail)) and "_" not in str(tail)  # type: ignore[arg-type]  # else it is none
    except (TypeError, ValueError):
        return False


def warn_of_unread_attributes(items: Table) -> None:
    """What describes items belongs in the KG; nothing else of a list of items is read."""
    unread = [str(column) for column in items.frame if column not in ("item", "title", "raw_id")]
    if unread:
        warnings.warn(f"`items`: only item and title are read, not {', '.join(unread)}; what items have in common "
                      f"belongs in `triples`, as (entity of the item, {unread[0]!r}, value): attribute_triples(items) "
                      f"makes them", stacklevel=3)


def warn_of_unread_columns(tables: Mapping[str, Table]) -> None:
    """Names the columns that nobody reads; what looks like one of ours was asked about before."""
    for name in [name for name in tables if name != "items"]:
        needed, optional = COLUMNS[name]
        unread = [str(column) for column in tables[name].frame
                  if column not in (*needed, *optional) and looks_like(column) not in optional]
        if unread:
            warnings.warn(f"`{name}`: only {', '.join((*needed, *optional))} are read, not {', '.join(unread)}; leave "
                          f"these columns out, or say columns={{…}} where one is meant", stacklevel=3)


def warn_of_left_out_items(data: HeteroData) -> None:
    """With ``linked_only``, items without an entity are gone with their ratings."""
    before, options = data.provenance["before"], data.provenance["options"]
    gone = before["items"] - before.get("linked_items", before["items"])
    if options["linked_only"] and gone:
        warnings.warn(f"{gone:,} of {before['items']:,} items are no entity of the KG, and are left out with their "
                      f"ratings; linked_only=False keeps them", stacklevel=3)
