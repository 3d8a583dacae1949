"""What an agent starts from that it has not learned: tastes that it is given, and rows for nodes that are new to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from kgrl.agents.shared.catalogue import Match
from kgrl.files import below
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class
from kgrl.options import at_least, expected
from kgrl.pretrain.kg_tastes import through_kg

START = "network.state.taste.model.start_"
"""What the names of a Q-network's tensors begin with that hold what its taste state started from."""
SURE = 1_000_000
"""How many ratings a known item's terms are taken to rest on: a file does not say, and they stand as they are."""


def checked_start(
    tastes: TasteTerms | None, taste_channels: int | None, num_items: int
) -> tuple[TasteTerms | None, int | None]:
    """What the taste state starts from, and its length: that of the tastes, where there are any.

    Raises:
        ValueError: another length was asked for, tastes of other items, or tastes that are none.
    """
    if taste_channels is not None:
        at_least("taste_channels", taste_channels, 0)
    if tastes is None:
        return None, taste_channels
    of_class("tastes", tastes, TasteTerms, "kgrl.pretrain.item_tastes makes them")
    start = TasteTerms(*(part.detach().float() for part in tastes.checked("tastes"))).checked("tastes")
    items, length = start.loading.shape
    if items != num_items:
        raise ValueError(expected("tastes", f"of {num_items} items", items))
    if taste_channels == 0:
        raise ValueError(expected("tastes", "left out, as taste_channels=0 is no taste state", "some"))
    if taste_channels not in (None, length):
        raise ValueError(expected("taste_channels", f"{length}, the length of `tastes`, or left out", taste_channels))
    return start, length


def saved_tastes(
    tensors: Mapping[str, Tensor], options: Mapping[str, Any], anew: bool = False, at: str = START
) -> TasteTerms | None:
    """What the taste state of a saved agent started from.

    Args:
        tensors: the agent's.
        options: what it is loaded with.
        anew: whether ``options`` may have others in its place, as its items are others.
        at: what the names of its tensors begin with.

    Raises:
        ValueError: ``options`` have others, and may not, or the agent started from none.
    """
    parts = below(at, tensors)
    if "tastes" in options and not (anew and parts):
        why = "the file has those that the agent started from" if parts else "the agent did not start from any"
        raise ValueError(expected("tastes", f"left out, as {why}", "some"))
    return TasteTerms(**parts) if parts else None


def moved_rows(rows: Tensor, place: Tensor, kg: Data) -> Tensor:
    """The rows of a saved agent's nodes, as a KG numbers them now, with rows for the new ones.

    A new node has the mean of its neighbours' rows; where these are new themselves, that of theirs, and so on; where
    nothing known is connected to it, the mean of all.

    Args:
        rows: ``[E', d]``, or of the items alone, ``[N', d]``.
        place: ``[E]``, each node's earlier number; −1, or beyond the rows: it has none.
        kg: of E nodes.

    Returns:
        ``[E, d]``.
    """
    known = (place >= 0) & (place < len(rows))
    moved = rows[torch.where(known, place, 0)]
    return _spread(moved, known, _neighbours(kg), average=moved[known].mean(0))


def moved_tastes(terms: TasteTerms, match: Match, kg: Data) -> TasteTerms:
    """What a saved agent's taste state starts from, as items are numbered now; see :func:`prior_of_new_items`."""
    known = match.item >= 0
    moved = TasteTerms(*(part[match.item.clamp(min=0)] for part in terms))
    return moved if bool(known.all()) else prior_of_new_items(moved, known, kg)


def prior_of_new_items(terms: TasteTerms, known: Tensor, kg: Data) -> TasteTerms:
    """What is expected of items that nobody has rated: the mean item, and what their entities tell.

    That is what :func:`kgrl.pretrain.kg_tastes` makes of an item without ratings, learned from the terms of the known
    items: how much an entity tells depends on its relation, and on how many known items have it. Where nothing known
    shares an entity with a new item, it is the mean item. Its noise is their mean noise, and what is not known of its
    terms on top.

    Args:
        terms: of N items; those of new ones are not looked at.
        known: ``[N]``, which items are not new; their terms stay as they are.
        kg: of the N items first.
    """
    made = through_kg(kg, terms, known * SURE)
    return TasteTerms(*(torch.where(known.view(-1, *[1] * (old.dim() - 1)), old, new)
                        for old, new in zip(terms, made, strict=True)))


def heard_graph(kg: Data, untrained: Tensor) -> Data:
    """``kg`` without the edges by which a trained node would hear of an untrained one.

    Messages go from tail to head. New nodes hear of what is known; what is known does not hear of them, so that items
    keep their scores when others come, and vectors that nobody trained disturb none that were.

    Args:
        kg: of E nodes.
        untrained: ``[E]``.
    """
    heads, tails = kg.edge_index
    untrained = untrained.to(heads.device)
    kept = untrained[heads] | ~untrained[tails]
    heard = copy.copy(kg)
    heard.edge_index, heard.edge_type = kg.edge_index[:, kept], kg.edge_type[kept]
    if kg.get("edge_attr") is not None:
        heard.edge_attr = kg.edge_attr[kept]
    return heard


def _neighbours(kg: Data) -> Tensor:
    """``[2, M]``, each pair of neighbours once in either direction, on the CPU."""
    both = torch.cat([kg.edge_index, kg.edge_index.flip(0)], 1)
    return coalesce(both, num_nodes=kg.num_nodes).cpu()


def _spread(rows: Tensor, known: Tensor, pairs: Tensor, average: Tensor) -> Tensor:
    """``rows`` with those of unknown nodes from around them, step by step; ``average`` where nothing known is near."""
    while True:
        rows, reached = _one_step_out(rows, known, pairs)
        if torch.equal(reached, known):
            return torch.where(known.unsqueeze(1), rows, average)
        known = reached


def _one_step_out(rows: Tensor, known: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """``rows`` with those of unknown nodes next to known ones, the mean of these; and which are known then."""
    heads, tails = pairs[:, known[pairs[1]] & ~known[pairs[0]]]
    count = torch.bincount(heads, minlength=len(rows)).unsqueeze(1)
    total = torch.zeros_like(rows).index_add_(0, heads, rows.index_select(0, tails))
    return torch.where(count > 0, total / count.clamp(min=1), rows), known | (count > 0).squeeze(1)
