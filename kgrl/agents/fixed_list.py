"""``FixedList``: one ranking of the items for everybody."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from kgrl.agents.shared.catalogue import Catalogue, Catalogued, Match
from kgrl.agents.shared.picking import check_turn, list_length, of_known_items
from kgrl.candidates.fixed import checked_pool
from kgrl.files import load_tensors
from kgrl.objects import of_class
from kgrl.options import expected
from kgrl.pretrain.items import item_ranking
from kgrl.raw_ids import RawIds
from kgrl.sessions import Sessions

MOST_ITEMS = 1 << 28  # a table of 2 GiB says where in the ranking each is

class FixedList(Catalogued, nn.Module):
    """Recommends the items of a ranking in turn, the same to every user: what can be had without any personal taste.

    The ranking makes the method:

    - **Popularity** (TPGR, Chen et al., 2019, section 5.1: "the item with highest average rating"):
      ``FixedList.from_ratings(data, train)``;
    - most often rated: ``FixedList.from_ratings(data, train, by="count")``;
    - most often liked: ``FixedList(kgrl.datasets.popular_items(data, train))``;
    - the best fixed list of a world, a bound rather than a method, as it is chosen by the world's own feedback:
      ``FixedList(world.feedback.mean_feedback(train).argsort(descending=True, stable=True))``.

    It learns nothing. Unlike a played list, it steps over an item that the cold-start protocol has shown already.

    Args:
        ranking: ``[≤ N]``, distinct item ids, best first, as a tensor, a list or an array; items that are not in it are
            never recommended.
        ids: ``[N]``, the items' raw ids (``data["item"].raw_id``), by which its file is checked when it is loaded.

    Raises:
        ValueError: a ranking that is empty, of no whole numbers, or holds an item twice, an id below 0 or one that has
            no raw id.
    """

    ranking: Tensor
    position: Tensor
    _list: Tensor | None
    _places: Tensor | None

    def __init__(self, ranking: Tensor, *, ids: RawIds | None = None) -> None:
        super().__init__()
        ranking = checked_pool("ranking", ranking, MOST_ITEMS)
        self.catalogue = Catalogue.of_items(ids)
        if self.catalogue is not None and int(ranking.max()) >= (named := len(self.catalogue.item)):
            raise ValueError(expected("ids", f"a raw id for each item up to {int(ranking.max())}", f"{named} of them"))
        self.register_buffer("ranking", ranking.clone())
        self.register_buffer("position", _positions(ranking))
        self.register_buffer("_list", None, persistent=False)
        self.register_buffer("_places", None, persistent=False)

    def restrict(self, items: Tensor | None) -> FixedList:
        """From now on it recommends ``items [K]`` alone, in its order; ``None``: the whole ranking. Not kept in files.

        Raises:
            ValueError: items that are none or repeated, or none that the ranking holds.
        """
        kept = None
        if items is not None:
            items = checked_pool("items", items, sys.maxsize).to(self.ranking.device)
            kept = self.ranking[torch.isin(self.ranking, items)]
            if not len(kept):
                raise ValueError(expected("items", "some items that the ranking holds", f"{len(items)} others"))
        self._list, self._places = kept, None if kept is None else _positions(kept)
        return self

    @classmethod
    def from_ratings(
        cls, data: HeteroData, users: Tensor, by: str = "average", *, min_ratings: int = 0, shrinkage: float = 0.0
    ) -> FixedList:
        """The list that training users' ratings give; TPGR's Popularity by default.

        Args:
            data: a data set.
            users: ``[U]``, training users.
            by, min_ratings, shrinkage: see :func:`kgrl.pretrain.item_ranking`.
        """
        ranking = item_ranking(data, users, by, min_ratings=min_ratings, shrinkage=shrinkage)
        return cls(ranking, ids=data["item"].get("raw_id"))

    @torch.no_grad()
    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """``[B]``, the first of the ranking not yet shown, exploring or not; −1 where all of it has been."""
        check_turn(sessions, explore, generator)
        return self._next(sessions.shown, 1).squeeze(1)

    @torch.no_grad()
    def recommend(self, past: Sessions, k: int = 10) -> Tensor:
        """``[B, k]``, the first k of the ranking that each user was not shown, padded with −1 where there are fewer.

        Items that the ranking does not hold may be among the past ones.

        Raises:
            ValueError: an item id that has no raw id, where the agent knows the items' raw ids.
        """
        if self.catalogue is not None:
            past = of_known_items(past, len(self.catalogue.item))
        return self._next(of_class("past", past, Sessions).to(self.ranking.device).shown, list_length(k))

    def learn(self, sessions: Sessions, generator: torch.Generator | None = None) -> dict[str, float]:
        """Nothing."""
        return {"gradient_steps": 0}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the ranking and raw ids to one safetensors file, whole or not at all."""
        self._write(path, {"ranking": self.ranking}, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], ids: RawIds | None = None) -> FixedList:
        """The agent that :meth:`save` wrote.

        Args:
            path: the file.
            ids: ``[N]``, the raw ids of the items as they are numbered now: those of the file, in any order. ``None``:
                they are numbered as they were, which is not checked.

        Raises:
            ValueError: a damaged or foreign file, or one of other items.
        """
        tensors, _ = load_tensors(path, f"{cls.__name__} agent")
        known, _ = cls._found(path, tensors, ids)
        return cls(tensors["ranking"], ids=known)

    @classmethod
    def _renumbered(cls, tensors: Mapping[str, Tensor], match: Match) -> Mapping[str, Tensor]:
        return {"ranking": match.moved(tensors["ranking"])}

    def _next(self, shown: Tensor, k: int) -> Tensor:
        """``[B, k]``, the first k of the ranking that are not in ``shown [B, L]``."""
        ranking = self.ranking if self._list is None else self._list
        position = self.position if self._places is None else self._places
        width = min(len(ranking), shown.size(1) + k)  # L can hide no more than L: k of these are left, or all are
        known = shown.clamp(0, len(position) - 1)
        place = position[known].masked_fill(known != shown, width).clamp(max=width)
        gone = torch.zeros(len(shown), width + 1, dtype=torch.bool, device=shown.device)
        gone = gone.scatter_(1, place, True)[:, :width]
        first = gone.to(torch.uint8).sort(dim=1, stable=True).indices[:, :k]
        items = ranking[first].masked_fill(gone.gather(1, first), -1)
        return nn.functional.pad(items, (0, k - items.size(1)), value=-1)

    def extra_repr(self) -> str:
        return f"{len(self.ranking)} items"


def _positions(ranking: Tensor) -> Tensor:
    """Of every item in the ranking; its length where it is not in it."""
    position = torch.full((int(ranking.max()) + 1,), len(ranking), device=ranking.device)
    position[ranking] = torch.arange(len(ranking), device=ranking.device)
    return position
