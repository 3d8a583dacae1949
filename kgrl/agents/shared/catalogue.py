"""By which raw ids an agent finds its items and entities again when they are numbered otherwise, also in its file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents.shared.pretrained import Pretrained
from kgrl.files import save_tensors
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
        found = (item >= 0).nonzero().view(-1)
        number = item.new_full((len(before.item),), -1)
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


class Catalogued(Pretrained):
    """An agent that, where it is told its items' raw ids, writes them into its file and finds its items by them again.

    A subclass sets :attr:`catalogue`. :class:`kgrl.agents.KGQR` and :class:`kgrl.agents.TPGR` know what to make of a
    catalogue that has changed. The others are given ``ids`` when they are made, and again when they are loaded: the
    same items in another order are put in that order, and other items are refused. What they need for it is
    :meth:`_renumbered`.
    """

    catalogue: Catalogue | None = None

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        made = fn(torch.zeros(1, dtype=torch.float, device="cpu"))
        if made.is_floating_point() and made.dtype.itemsize < 4:
            raise ValueError(expected("dtype", "torch.float or torch.double: an agent is not meant for half precision",
                                      made.dtype, 'fit(…, precision="bf16-mixed") computes its networks in bfloat16'))
        return super()._apply(fn, *args, **kwargs)  # type: ignore[misc]

    def _write(self, path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Writes tensors, metadata and raw ids to one safetensors file, whole or not at all."""
        known = {} if self.catalogue is None else self.catalogue.tensors()
        save_tensors(path, {**tensors, **known}, {"kind": f"{type(self).__name__} agent", **metadata})

    @classmethod
    def _found(
        cls, path: str | os.PathLike[str], tensors: MutableMapping[str, Tensor], ids: RawIds | None
    ) -> tuple[RawIds | None, bool]:
        """Puts a saved agent's ``tensors`` in the order of ``ids``, and takes the raw ids out of them.

        Args:
            path: the agent's file, for an error.
            tensors: of the file; those that have to do with items are replaced.
            ids: ``[N]``, of the catalogue that the agent is loaded with; ``None``: whatever the file has.

        Returns:
            The raw ids to make the agent with, and whether anything has changed its place.

        Raises:
            ValueError: ``ids`` of other items.
        """
        before, now = Catalogue.taken_from(tensors), Catalogue.of_items(ids)
        if before is None:
            if ids is not None:
                warnings.warn(f"{path} has no raw ids, as the agent was made without: its items are taken for those of "
                              "`ids`, in their order. Save it again to have them checked", stacklevel=3)
            return ids, False
        match = None if now is None else same_items(path, before, now)
        if match is not None:
            tensors.update(cls._renumbered(tensors, match))
        return (before if now is None else now).item, match is not None

    @classmethod
    def _renumbered(cls, tensors: Mapping[str, Tensor], match: Match) -> Mapping[str, Tensor]:
        """Those of a file's ``tensors`` that depend on how items are numbered, by the numbers they have now.

        Here all of them have a row an item.
        """
        return {name: tensor[match.item] for name, tensor in tensors.items()}
