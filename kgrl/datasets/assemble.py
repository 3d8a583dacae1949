"""The one path from raw rows to a validated ``HeteroData``; every reader ends here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from kgrl.datasets.ids import Ids, of_one_type
from kgrl.datasets.links import Links, link_items, relation_keys, typed_edges
from kgrl.datasets.names import add_names
from kgrl.datasets.ratings import (
    BINARY,
    Ratings,
    Scale,
    checked_form,
    checked_scale,
    rating_column,
    warn_if_nothing_to_learn,
    with_sampled_negatives,
)
from kgrl.datasets.table import Table
from kgrl.objects import of_class
from kgrl.options import LARGEST, at_least, between, flag, one_of
from kgrl.raw_ids import as_whole
from kgrl.texts import unwritable, with_texts


@dataclass(frozen=True)
class Raw:
    """What a reader has parsed; see :func:`kgrl.datasets.from_frames` for the columns.

    Args:
        ratings: ``user, item, rating[, time]``.
        triples: ``head, relation, tail``, or ``None``.
        links: ``item, entity``, or ``None``: an item is the entity of the same id.
        items: ``item[, title][, raw_id]``, or ``None``; ``raw_id`` where ``item`` is a number that a file gave.
        files: name → sha256 of every file read.
        entities: ``entity, name``, or ``None``.
        counts: what ``provenance["before"]`` says beyond what these tables show, or instead of it.
        part: ``[R]``, of each rating, where files split them: 0 to train on, 1 to choose by, 2 for the test.
    """

    ratings: Table
    triples: Table | None = None
    links: Table | None = None
    items: Table | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    entities: Table | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    part: np.ndarray | None = None

    @property
    def tables(self) -> list[Table]:
        """Those that there are."""
        every = (self.ratings, self.triples, self.links, self.items, self.entities)
        return [each for each in every if each is not None]


TEXTS = ("user", "item", "head", "relation", "tail", "entity", "title", "name")
"""Columns that may hold text."""


@dataclass(frozen=True)
class Rules:
    """How raw rows are treated; see :func:`kgrl.datasets.from_frames`."""

    rating_scale: Scale | None = None
    linked_only: bool = True
    min_ratings: int = 1
    bad_links: str = "error"
    positive_from: float | None = None
    seed: int = 0
    min_item_ratings: int = 0

    def __post_init__(self) -> None:
        checked_form(self.rating_scale)
        flag("linked_only", self.linked_only)
        object.__setattr__(self, "min_ratings", at_least("min_ratings", self.min_ratings, 1))
        object.__setattr__(self, "min_item_ratings", at_least("min_item_ratings", self.min_item_ratings, 0))
        object.__setattr__(self, "seed", at_least("seed", self.seed, 0))
        if self.positive_from is not None:
            between("positive_from", self.positive_from, -LARGEST, LARGEST)
        one_of("bad_links", self.bad_links, ("error", "drop"))


def assemble(raw: Raw, rules: Rules, name: str) -> HeteroData:
    """Checks, links, filters and numbers what a reader has parsed; see :func:`kgrl.datasets.from_frames`."""
    of_class("name", name, str)
    _check_columns(raw)
    if not len(raw.ratings.frame):
        raise ValueError(f"{raw.ratings.name} must have ratings, got no row at all")
    scale = checked_scale(rules.rating_scale, raw.ratings)
    users, items = Ids.sorted(raw.ratings.frame["user"]), _all_items(raw)
    every = _numbered(raw.ratings, users, items, raw.part)
    ratings = every.without_duplicates()
    links = link_items(raw.triples, raw.links, items, rules.bad_links == "drop") if raw.triples is not None else None
    _check_writable(raw, users, items, links)
    before = {"ratings": len(every), "duplicate_ratings": len(every) - len(ratings), "users": len(users),
              "items": len(items), **(links.counts() if links else {}), **raw.counts}
    kept = links.entity >= 0 if links and rules.linked_only else np.ones(len(items), bool)
    ratings = ratings[kept[ratings.item]].of_active(rules.min_ratings, rules.min_item_ratings)
    if rules.min_item_ratings:
        kept &= np.bincount(ratings.item, minlength=len(items)) >= rules.min_item_ratings
    ratings = ratings.of_items(kept)
    if rules.positive_from is not None:
        ratings, scale = with_sampled_negatives(ratings, int(kept.sum()), rules.positive_from, rules.seed), BINARY
    if not len(ratings):
        many = f", and of items with at least {rules.min_item_ratings}" if rules.min_item_ratings else ""
        raise ValueError(f"{raw.ratings.name} must have ratings of linked items by users with at least "
                         f"{rules.min_ratings} of them{many}, got none out of {len(every):,}")
    warn_if_nothing_to_learn(ratings.rating, scale, raw.ratings.name)
    data = _rated(ratings, users, items.raw(np.flatnonzero(kept)), scale)
    if raw.items is not None:
        for column in [each for each in ("title", "raw_id") if each in raw.items.frame]:
            data["item"][column] = _described(raw.items.frame, column, items.index[kept])
    _add_kg(data, links, kept, raw.triples)
    if raw.entities is not None:
        add_names(data, raw.entities, links, kept)
    data.provenance = {
        "name": name, "files": dict(raw.files), "options": asdict(rules), "before": before, "after": _counts(data),
        "relations": [str(each) for each in links.relations.index] if links else [],
    }
    with warnings.catch_warnings():  # without a KG no edge type refers to the entities, of which there are none
        warnings.filterwarnings("ignore", "The node types .* are isolated", UserWarning)
        data.validate()
    return with_texts(data)


def _check_columns(raw: Raw) -> None:
    """Ids are ids, of one type, and from here on whole numbers where they are whole; times are numbers."""
    tables = raw.tables
    items, entities = ["item"], ["head", "tail", "entity"]
    # without links an item is the entity of the same id
    for space in (["user"], ["relation"], *([items + entities] if raw.links is None else [items, entities])):
        places = [(table, column) for table in tables for column in space if column in table.frame]
        for table, column in places:
            table.complain(table.frame[column].isna(), column, "an id")
        of_one_type(*places)
        for table, column in places:
            ids = table.frame[column]
            if (whole := as_whole(ids)) is not ids:
                table.frame[column] = whole
    if "time" in raw.ratings.frame:
        there = raw.ratings.frame["time"].notna()  # a missing date would become a number
        raw.ratings.complain(~(there & np.isfinite(raw.ratings.numbers("time"))), "time", "a finite number")


def _check_writable(raw: Raw, users: Ids, items: Ids, links: Links | None) -> None:
    """Refuses text that no file could hold: looks at distinct ids, and for the row only where one is found."""
    columns = [(table, column) for table in raw.tables for column in table.frame if column in TEXTS]
    described = [table.frame[column] for table, column in columns if column in ("title", "name")]
    ids = [each.index for each in (users, items, *((links.entities, links.relations) if links else ()))]
    for texts in [each for each in (*ids, *described) if not pd.api.types.is_numeric_dtype(each.dtype)]:
        if (bad := unwritable(texts.to_numpy(object).tolist())) is not None:
            for table, column in columns:
                table.complain(table.frame[column] == bad, column, "text that UTF-8 can write, without lone surrogates "
                               "(of bytes in another encoding: name it where they are read, as read_csv(encoding=…))")


def _all_items(raw: Raw) -> Ids:
    """Listed items in their order, then the rated ones that the list lacks."""
    rated = raw.ratings.frame["item"]
    if raw.items is None:
        return Ids.sorted(rated)
    listed = raw.items.frame["item"]
    raw.items.complain(listed.duplicated(), "item", "listed once")
    return Ids.listed(listed).then(rated)


def _described(listed: pd.DataFrame, column: str, items: pd.Index) -> list[str]:
    """What the list says of each of ``items``; "" where it says nothing."""
    return listed.set_index("item")[column].reindex(items).fillna("").astype(str).tolist()


def _numbered(table: Table, users: Ids, items: Ids, part: np.ndarray | None) -> Ratings:
    frame = table.frame
    time = pd.to_numeric(frame["time"]).to_numpy() if "time" in frame else None  # "9" comes before "10"
    return Ratings(users.numbers(frame["user"]), items.numbers(frame["item"]),
                   rating_column(table).to_numpy(np.float64), time, part)


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
        whole = ratings.time.dtype.kind == "i" or (
            not np.mod(ratings.time, 1).any() and np.abs(ratings.time).max(initial=0) < 2.0**63)  # beyond, it wraps
        rates.time = torch.from_numpy(ratings.time.astype(np.int64 if whole else np.float64))
    if ratings.part is not None:
        rates.part = torch.from_numpy(ratings.part)
    return data


def _add_kg(data: HeteroData, links: Links | None, kept: np.ndarray, triples: Table | None) -> None:
    """Adds the entities that are no item, and one edge type a relation and pair of node types."""
    if links is None or triples is None:
        data["entity"].num_nodes = 0
        data.relation_names = []
        return
    num_items, linked = data["item"].num_nodes, (links.entity >= 0) & kept  # what is left out stays an entity
    node = np.full(len(links.entities), -1)
    node[links.entity[linked]] = (np.cumsum(kept) - 1)[linked]
    others = np.flatnonzero(node < 0)
    node[others] = num_items + np.arange(len(others))
    data["entity"].num_nodes, data["entity"].raw_id = len(others), links.entities.raw(others)
    data["item"].entity_id = _entity_ids(links, links.entity[kept])
    data.relation_names = relation_keys(
        links.relations.index, lambda name: triples.place(int((triples.frame["relation"] == name).argmax())))
    edges = typed_edges(node[links.head], links.relation, node[links.tail], num_items, data.relation_names)
    for kind, edge_index in edges.items():
        data[kind].edge_index = edge_index


def _entity_ids(links: Links, entity: np.ndarray) -> Any:
    """The raw id of the entity that each item is; −1, or "" among text, where it is none."""
    ids = links.entities.raw(entity)
    if isinstance(ids, list):
        return [raw if number >= 0 else "" for raw, number in zip(ids, entity.tolist(), strict=True)]
    return ids.masked_fill(torch.from_numpy(entity < 0), -1)


def _counts(data: HeteroData) -> dict[str, int]:
    rates, *triples = (data[kind].num_edges for kind in data.edge_types)
    return {"ratings": rates, "users": data["user"].num_nodes, "items": data["item"].num_nodes,
            "entities": data["item"].num_nodes + data["entity"].num_nodes, "triples": sum(triples),
            "relations": len(data.relation_names)}
