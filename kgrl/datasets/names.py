"""What the nodes of a data set are called: names that are listed, and the one list of all of them."""

from __future__ import annotations

import re

import numpy as np
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets.links import Links
from kgrl.datasets.table import Table
from kgrl.objects import a_data_set
from kgrl.options import expected

ARTICLES = "The|A|An|Le|La|Les|El|Il|Das|Der"


def node_names(data: HeteroData) -> list[str]:
    """What a person calls each node of a data set's KG, items first.

    An item goes by its title, else by its raw id after the word for what it is ("book 0195153448"); an entity by its
    name, else by "": its raw id tells a person nothing.

    Args:
        data: any ``HeteroData`` with items, and perhaps ``data["item"].title``, ``data["entity"].name`` and
            ``data.provenance["item_noun"]``.

    Returns:
        A name for each of the N items and E − N entities.
    """
    num_items, num_entities = a_data_set("data", data)["item"].num_nodes, data["entity"].num_nodes or 0
    raw = data["item"].get("raw_id", range(num_items))
    titles = data["item"].get("title") or [""] * num_items
    noun = data.provenance.get("item_noun", "item") if "provenance" in data else "item"
    items = [_as_spoken(title) or f"{noun} {each}" for title, each in
             zip(titles, raw.tolist() if isinstance(raw, Tensor) else raw, strict=True)]
    return items + list(data["entity"].get("name") or [""] * num_entities)


def _as_spoken(title: str) -> str:
    """MovieLens sorts titles by their first noun: "Crying Game, The (1992)" is "The Crying Game (1992)"."""
    return re.sub(rf"^([^(]+), ({ARTICLES})(?= \(|$)", r"\2 \1", title)


def add_names(data: HeteroData, listed: Table, links: Links | None, kept: np.ndarray) -> None:
    """Sets ``data["entity"].name`` from a list of names; an item without a title takes its entity's name as one.

    Args:
        data: with items and entities.
        listed: columns ``entity, name``.
        links: what numbered the entities.
        kept: which of the linked items ``data`` holds, as a mask.

    Raises:
        ValueError: there is no KG, or an entity that is not in it or is listed twice; the text names the row.
    """
    if links is None:
        raise ValueError(expected("entities", "None where there are no triples", f"{len(listed.frame):,} names",
                                  "give the `triples` that hold these entities, too"))
    number = links.entities.numbers(listed.frame["entity"])
    listed.complain(number < 0, "entity", "an entity of some triple of the KG")
    listed.complain(listed.frame["entity"].duplicated(), "entity", "listed once")
    names = np.full(len(links.entities), "", dtype=object)
    names[number] = listed.frame["name"].astype(object).fillna("").astype(str)
    others = np.ones(len(names), bool)
    others[links.entity[links.entity >= 0]] = False
    data["entity"].name = names[others].tolist()
    own = [names[each] if each >= 0 else "" for each in links.entity[kept]]
    if any(own):
        titles = data["item"].get("title") or [""] * len(own)
        data["item"].title = [title or name for title, name in zip(titles, own, strict=True)]
