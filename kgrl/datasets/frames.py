"""The one path from raw rows to a validated ``HeteroData``; every reader ends here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets.ids import Ids
from kgrl.datasets.links import linked_entities
from kgrl.datasets.negatives import with_sampled_negatives
from kgrl.datasets.ratings import BINARY, Ratings, Scale, checked_scale, rating_column
from kgrl.datasets.relations import relation_keys, typed_edges
from kgrl.datasets.table import Table
from kgrl.options import at_least, one_of


@dataclass(frozen=True)
class Raw:
    """What a reader has parsed; see :func:`from_frames` for the columns.

    Args:
        ratings: ``user, item, rating[, time]``.
        triples: ``head, relation, tail``, or ``None``.
        links: ``item, entity``, or ``None``: an item is the entity of the same id.
        items: ``item[, title][, raw_id]``, or ``None``; ``raw_id`` where ``item`` is a number that a file gave.
        files: name → sha256 of every file read.
    """

    ratings: Table
    triples: Table | None = None
    links: Table | None = None
    items: Table | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How raw rows are treated; see :func:`from_frames`."""

    rating_scale: Scale | None = None
    linked_only: bool = True
    min_ratings: int = 1
    bad_links: str = "error"
    positive_from: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("min_ratings", self.min_ratings, 1)
        one_of("bad_links", self.bad_links, ("error", "drop"))


def from_frames(
    ratings: pd.DataFrame,
    triples: pd.DataFrame | None = None,
    links: pd.DataFrame | None = None,
    rating_scale: Scale | None = None,
    *,
    items: pd.DataFrame | None = None,
    linked_only: bool = True,
    min_ratings: int = 1,
    bad_links: str = "error",
    positive_from: float | None = None,
    seed: int = 0,
    name: str = "frames",
) -> HeteroData:
    """Ratings and a KG, in pandas frames with ids of any type, as a validated ``HeteroData``.

    Users, items and entities are numbered in the sorted order of their raw ids (items in the order of ``items``, where
    it is given), so the order of the rows does not matter.

    Args:
        ratings: columns ``user, item, rating[, time]``; without ``rating``, an interaction counts as 1. Of several
            ratings of one item by one user the last is kept.
        triples: columns ``head, relation, tail``; all are kept, duplicates too.
        links: columns ``item, entity``, one to one. ``None``: an item is the entity of the same id.
        rating_scale: ``(low, high, threshold)``; ratings above the threshold are positive. ``None``: from the lowest to
            the highest rating, halfway.
        items: columns ``item[, title]``: items in the wanted order, rated or not. Rated items it lacks come after.
        linked_only: drop items without an entity, and their ratings. Without ``triples`` nothing is dropped.
        min_ratings: drop users with fewer of the ratings that remain (KGQR: 200 on MovieLens-20M).
        bad_links: ``"error"``, or ``"drop"`` for leaving out links of unknown items or entities, and second links.
        positive_from: makes the ratings binary as RippleNet does: at least this is 1, and as many items that the user
            never rated are drawn as 0. ``None``: ratings stay as they are.
        seed: of that draw.
        name: for ``provenance``.

    Returns:
        Node types ``user``, ``item`` and ``entity`` (entities that are no item), each with ``num_nodes`` and ``raw_id``
        (LongTensor or list); ``data['item'].title`` where known; ``('user', 'rates', 'item')`` with ``edge_index
        [2, R]``, ``rating [R]`` and, where known, ``time [R]``; one edge type a relation and pair of node types,
        head → tail; ``rating_scale``, ``relation_names`` (their order numbers the relations) and ``provenance``
        (name, files with sha256, options, counts before and after).

    Raises:
        ValueError: a missing column or id, a rating outside the scale, a link that cannot stand, relation names that
            collide, or nothing left; the text names the row and the value.
    """
    raw = Raw(
        Table.of(ratings, "ratings", ["user", "item"]),
        None if triples is None else Table.of(triples, "triples", ["head", "relation", "tail"]),
        None if links is None else Table.of(links, "links", ["item", "entity"]),
        None if items is None else Table.of(items, "items", ["item"]),
    )
    return assemble(raw, Rules(rating_scale, linked_only, min_ratings, bad_links, positive_from, seed), name)


def assemble(raw: Raw, rules: Rules, name: str) -> HeteroData:
    """Checks, links, filters and numbers what a reader has parsed; see :func:`from_frames`."""
    for table in filter(None, (raw.ratings, raw.triples, raw.links, raw.items)):
        for column in {"user", "item", "head", "relation", "tail", "entity"} & set(table.frame.columns):
            table.complain(table.frame[column].isna(), column, "an id")
    scale = checked_scale(rules.rating_scale, raw.ratings)
    users, items = Ids.sorted(raw.ratings.frame["user"]), _all_items(raw)
    every = _numbered(raw.ratings, users, items)
    ratings = every.without_duplicates()
    before = {"ratings": len(every), "duplicate_ratings": len(every) - len(ratings), "users": len(users),
              "items": len(items)}
    kept = np.ones(len(items), bool)
    if raw.triples is not None:
        entities = Ids.sorted(raw.triples.frame["head"], raw.triples.frame["tail"])
        entity, dropped = linked_entities(raw.links, items, entities, rules.bad_links == "drop")
        before |= {"linked_items": int((entity >= 0).sum()), "dropped_links": dropped, "entities": len(entities),
                   "triples": len(raw.triples.frame)}
        if rules.linked_only:
            kept = entity >= 0
            ratings = ratings[kept[ratings.item]]
    item_number = np.cumsum(kept) - 1
    ratings = Ratings(ratings.user, item_number[ratings.item], ratings.rating, ratings.time)
    ratings = ratings.of_active_users(rules.min_ratings)
    if rules.positive_from is not None:
        ratings, scale = with_sampled_negatives(ratings, int(kept.sum()), rules.positive_from, rules.seed), BINARY
    if not len(ratings):
        raise ValueError(f"{raw.ratings.name} must have ratings of linked items by users with at least "
                         f"{rules.min_ratings} of them, got none out of {len(every):,}")

    data = _rated(ratings, users, items.raw(np.flatnonzero(kept)), scale)
    if raw.items is not None:
        for column in [each for each in ("title", "raw_id") if each in raw.items.frame]:
            data["item"][column] = _described(raw.items.frame, column, items.index[kept])
    relations: list[Any] = []
    if raw.triples is None:
        data["entity"].num_nodes = 0
        data.relation_names = []
    else:
        linked = entity >= 0  # kept, all of them
        relations = _add_kg(data, raw.triples, entities, item_number[linked], entity[linked])
    after = {"ratings": len(ratings), "users": data["user"].num_nodes, "items": data["item"].num_nodes,
             "entities": data["item"].num_nodes + data["entity"].num_nodes,
             "triples": sum(data[kind].num_edges for kind in data.edge_types[1:]), "relations": len(relations)}
    data.provenance = {"name": name, "files": dict(raw.files), "options": asdict(rules), "before": before,
                       "after": after, "relations": relations}
    data.validate()
    return data


def _all_items(raw: Raw) -> Ids:
    """Listed items in their order, then the rated ones that the list lacks."""
    rated = raw.ratings.frame["item"]
    if raw.items is None:
        return Ids.sorted(rated)
    listed = raw.items.frame["item"]
    raw.items.complain(listed.duplicated(), "item", "listed once")
    if isinstance(listed.dtype, pd.CategoricalDtype):
        listed = listed.astype(listed.cat.categories.dtype)
    return Ids(pd.Index(listed)).then(rated)


def _described(listed: pd.DataFrame, column: str, items: pd.Index) -> list[str]:
    """What the list says of each of ``items``; "" where it says nothing."""
    return listed.set_index("item")[column].reindex(items).fillna("").astype(str).tolist()


def _numbered(table: Table, users: Ids, items: Ids) -> Ratings:
    frame = table.frame
    time = frame["time"].to_numpy() if "time" in frame else None
    return Ratings(users.numbers(frame["user"]), items.numbers(frame["item"]),
                   rating_column(table).to_numpy(np.float64), time)


def _rated(ratings: Ratings, users: Ids, item_ids: Any, scale: Scale) -> HeteroData:
    """The part of the ``HeteroData`` that the ratings make; users without any are left out."""
    present, user = np.unique(ratings.user, return_inverse=True)
    data = HeteroData()
    data.rating_scale = scale
    data["user"].num_nodes, data["user"].raw_id = len(present), users.raw(present)
    data["item"].num_nodes, data["item"].raw_id = len(item_ids), item_ids
    rates = data["user", "rates", "item"]
    rates.edge_index = torch.from_numpy(np.stack([user, ratings.item]).astype(np.int64))
    rates.rating = torch.from_numpy(ratings.rating.astype(np.float32))
    if ratings.time is not None:
        rates.time = torch.from_numpy(ratings.time.astype(np.int64))
    return data


def _add_kg(data: HeteroData, triples: Table, entities: Ids, item: np.ndarray, entity: np.ndarray) -> list[Any]:
    """Adds entities and edges, where ``item[i]`` is ``entity[i]``; returns the relations' raw names."""
    num_items = data["item"].num_nodes
    node = np.full(len(entities), -1)
    node[entity] = item
    others = np.flatnonzero(node < 0)
    node[others] = num_items + np.arange(len(others))
    data["entity"].num_nodes, data["entity"].raw_id = len(others), entities.raw(others)
    relations = Ids.sorted(triples.frame["relation"])
    data.relation_names = relation_keys(relations.index)
    head, relation, tail = (ids.numbers(triples.frame[column])
                            for ids, column in ((entities, "head"), (relations, "relation"), (entities, "tail")))
    for kind, edge_index in typed_edges(node[head], relation, node[tail], num_items, data.relation_names).items():
        data[kind].edge_index = edge_index
    return [str(name) for name in relations.index]
