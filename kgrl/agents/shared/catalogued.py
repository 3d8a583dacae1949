"""``Catalogued``: what the agents share that know their items by raw ids, in memory and in a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any

from torch import Tensor

from kgrl.agents.shared.catalogue import Catalogue, Match, same_items
from kgrl.agents.shared.pretrained import Pretrained
from kgrl.files import save_tensors
from kgrl.raw_ids import RawIds


class Catalogued(Pretrained):
    """An agent that, where it is told its items' raw ids, writes them into its file and finds its items by them again.

    A subclass sets :attr:`catalogue`. :class:`kgrl.agents.KGQR` and :class:`kgrl.agents.TPGR` know what to make of a
    catalogue that has changed. The others are given ``ids`` when they are made, and again when they are loaded: the
    same items in another order are put in that order, and other items are refused. What they need for it is
    :meth:`_renumbered`.
    """

    catalogue: Catalogue | None = None

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
