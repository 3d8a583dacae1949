"""Triples in numbers: which entity of the KG each item is, and one PyG edge type per relation and node types."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kgrl.datasets.ids import Ids
from kgrl.datasets.table import Table

EdgeType = tuple[str, str, str]


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


def relation_keys(names: Sequence[object], place: Callable[[object], str] = lambda name: "triples") -> list[str]:
    """Relation names as PyG can use them in module keys: letters, digits and single underscores.

    ``film.film.directed_by`` becomes ``film_film_directed_by``; the number 3 becomes ``relation_3``. Letters are
    ASCII's, without which ``torch_geometric.nn.to_hetero`` fails: ``réalisé`` becomes ``realise``, and a letter that is
    no such letter with an accent its number, as ``u5bfc``.

    Args:
        names: as they are in the data.
        place: name → where it was first written, for the error.

    Raises:
        ValueError: a name without any letter or digit, or two names that become one.
    """
    known: dict[str, object] = {}
    for name in names:
        key = re.sub(r"[\W_]+", "_", _ascii(str(name))).strip("_")
        key = f"relation_{key}" if key.isdecimal() else key
        if not key:
            raise ValueError(f"{place(name)}: a relation's name must have a letter or digit, got {name!r}")
        if key in known:
            raise ValueError(f"{place(name)}: relation names must stay distinct as module keys, got {known[key]!r} and "
                             f"{name!r}, both {key!r}; rename one")
        known[key] = name
    return list(known)


def _ascii(name: str) -> str:
    """Without accents; other letters and digits past ASCII by their number."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return "".join(f"_u{ord(each):x}_" if not each.isascii() and each.isalnum() else each for each in plain)


def typed_edges(
    head: np.ndarray, relation: np.ndarray, tail: np.ndarray, num_items: int, keys: Sequence[str]
) -> dict[EdgeType, Tensor]:
    """Splits the triples by relation and node types; the triples of one edge type stay in order.

    Args:
        head: ``[M]``, nodes: item i is i, entity j is ``num_items`` + j.
        relation: ``[M]``, numbers of ``keys``.
        tail: ``[M]``, nodes.
        num_items: N.
        keys: the relations' names.

    Returns:
        (source type, relation, target type) → ``edge_index [2, m]``, numbered within the types, ordered as ``keys``.
    """
    kind = relation * 4 + (head >= num_items) * 2 + (tail >= num_items)
    order = np.argsort(kind, kind="stable")
    edges = np.stack([head, tail])[:, order]
    edges -= num_items * (edges >= num_items)
    kinds, starts = np.unique(kind[order], return_index=True)
    types = ("item", "entity")
    return {
        (types[int(each) // 2 % 2], keys[int(each) // 4], types[int(each) % 2]): torch.from_numpy(part.copy())
        for each, part in zip(kinds, np.split(edges, starts[1:], axis=1), strict=True)
    }
