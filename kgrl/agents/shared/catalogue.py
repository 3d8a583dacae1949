"""``Catalogue``: by which raw ids an agent finds its items and entities again when they are numbered otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.options import expected
from kgrl.raw_ids import RawIds, as_list, as_tensor, checked_ids, from_tensor, missing_ids, places, same_ids

ITEM, ENTITY, UNTRAINED = "catalogue.item", "catalogue.entity", "catalogue.untrained"
"""The names of its tensors in an agent's file."""


class Match(NamedTuple):
    """Where the rows of a catalogue of N items and E nodes were in an earlier one of N' items.

    Args:
        item: ``[N]``, each item's earlier number; −1: it is new.
        node: ``[E]``, each node's earlier number as an entity, or else as an item; −1: it is new.
        number: ``[N']``, each earlier item's number now; −1: it is gone.
    """

    item: Tensor
    node: Tensor
    number: Tensor

    def moved(self, items: Tensor) -> Tensor:
        """Earlier item numbers ``[n]`` as they are now, in their order, without those that are gone."""
        now = self.number[items]
        return now[now >= 0]

    def untrained(self, before: Tensor | None) -> Tensor | None:
        """``[E]``, which nodes no agent was trained with; ``None``: all have been.

        Args:
            before: the same of the earlier catalogue.
        """
        new = self.node < 0
        if before is not None:
            new |= before[self.node.clamp(min=0)]
        return new if bool(new.any()) else None


class Catalogue(NamedTuple):
    """The raw ids of an agent's items, and of all its nodes as entities.

    Args:
        item: ``[N]``.
        entity: ``[E]``, the items' first; an item that is no entity, or of an agent without a KG, has none.
    """

    item: RawIds
    entity: RawIds

    @classmethod
    def of(cls, kg: Data) -> Self | None:
        """That of a KG's nodes; ``None`` where it has no raw ids."""
        return cls(kg.item_id, kg.entity_id) if "item_id" in kg else None

    @classmethod
    def of_items(cls, item: RawIds | None, count: int | None = None) -> Self | None:
        """That of items without a KG; ``None`` where they have no raw ids.

        Raises:
            TypeError: ``item`` is nothing that holds ids.
            ValueError: an id that comes twice, or another number of ids than the ``count`` of the items.
        """
        if item is None:
            return None
        checked = checked_ids("ids", item, count)
        return cls(checked, missing_ids(len(checked), checked))

    @classmethod
    def taken_from(cls, tensors: MutableMapping[str, Tensor]) -> Self | None:
        """That of a saved agent, whose ``tensors`` lose it; ``None`` where there is none."""
        stored = [tensors.pop(name, None) for name in (ITEM, ENTITY)]
        return None if stored[0] is None or stored[1] is None else cls(from_tensor(stored[0]), from_tensor(stored[1]))

    def tensors(self) -> Mapping[str, Tensor]:
        """What a file keeps."""
        return {ITEM: as_tensor(self.item), ENTITY: as_tensor(self.entity)}

    def equals(self, other: Catalogue) -> bool:
        """Whether all is numbered alike."""
        return same_ids(self.item, other.item) and same_ids(self.entity, other.entity)

    def found_in(self, before: Catalogue) -> Match:
        """Where its items and nodes were in ``before``.

        A node follows its entity's raw id, so that what was an entity may be an item now, and the other way round. An
        item whose entity is not known follows its own.

        Raises:
            ValueError: no item is found.
        """
        item, node = places(self.item, before.item), places(self.entity, before.entity)
        own = node[: len(item)]
        node[: len(item)] = torch.where(own < 0, item, own)
        if not bool((item >= 0).any()):
            known, came = (", ".join(str(raw) for raw in as_list(ids[:3])) for ids in (before.item, self.item))
            raise ValueError(expected("the items' raw ids", f"at least one that the saved agent knows ({known}, …)",
                                      f"{came}, …", "load the agent with a later state of its own data set"))
        number, found = torch.full((len(before.item),), -1), (item >= 0).nonzero().view(-1)
        number[item[found]] = found
        return Match(item, node, number)


def same_items(path: str | os.PathLike[str], before: Catalogue, now: Catalogue) -> Match | None:
    """Where the items of a saved agent are now, which cannot do with others.

    Args:
        path: the agent's file.
        before: the catalogue in it.
        now: the one it is loaded with.

    Returns:
        ``None``: where they were.

    Raises:
        ValueError: these are other items.
    """
    if same_ids(before.item, now.item):
        return None
    came, gone = (_first_not_in(*pair) for pair in ((now.item, before.item), (before.item, now.item)))
    if came or gone:
        got = [f"{raw}, which it does not know" for raw in came] + [f"no {raw}" for raw in gone]
        raise ValueError(f"{path} is of an agent over other items: " + expected(
            "ids", f"the raw ids of its {len(before.item)} items, in any order", ", and ".join(got), "load it with the "
            "data set that it was trained on, or train an agent on this one (KGQR and TPGR serve new items, too)"))
    return now.found_in(before)


def _first_not_in(ids: RawIds, others: RawIds) -> list[str]:
    """The first of ``ids`` that is not among ``others``, as it would be typed; none where all are."""
    other = (places(ids, others) < 0).nonzero().view(-1)[:1].tolist()
    return [repr(as_list(ids[place : place + 1])[0]) for place in other]


def matched(
    path: str | os.PathLike[str], before: Catalogue | None, now: Catalogue | None, same: bool, what: str
) -> Match | None:
    """Where the catalogue that an agent is loaded with is found in the one that it was saved with.

    Args:
        path: the agent's file.
        before: the catalogue in it.
        now: the one it is loaded with.
        same: whether all else that the numbers depend on is the same.
        what: what else that is, for the error.

    Returns:
        ``None``: nothing has changed.

    Raises:
        ValueError: something has changed, and one of the catalogues has no raw ids, or they share no item.
    """
    if before is not None and now is not None:
        return None if same and now.equals(before) else now.found_in(before)
    if same:
        return None
    lacking = "is of an agent whose items have no raw ids" if before is None else "is loaded with one without raw ids"
    raise ValueError(f"{path} was trained on another {what}, and {lacking}, so that nothing can be found again: load "
                     "the same data set with the same options, or train an agent on a data set with raw ids (see "
                     "`item_id` and `entity_id` of kgrl.graph.knowledge_graph)")
