"""``as_released``: a data set as it was on the day that its new items came out, without what comes after release."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage

from kgrl.datasets.links import EdgeType
from kgrl.objects import a_data_set
from kgrl.options import did_you_mean, expected, flag, ids, one_of

LATE_RELATIONS: dict[str, tuple[str, ...]] = {
    "Freebase, films": (  # as MovieLens100K names them
        "film_film_award_nomination", "film_film_award_won", "film_film_prequel", "film_film_sequel",
    ),
}
"""Known relations that come after release, by KG. A film is nominated, wins and is continued because people liked it,
and *prequel* is the inverse of *sequel*."""


def late_relations(data: HeteroData, late: Sequence[str] | None = None) -> list[str]:
    """The relations of ``data`` that come after release, by name.

    Args:
        data: a data set.
        late: names, or parts of names, e.g. ``["award"]``. ``None``: ``data.late_relations`` where the data set has
            it, else those of its relations that :data:`LATE_RELATIONS` knows, which may be none.

    Returns:
        Names among the relations of ``data``, in their order.

    Raises:
        TypeError: ``late`` is one text, not several.
        ValueError: an entry of ``late`` that is in no relation's name.
    """
    names = _relations(data)
    if late is None:
        known = {name for group in LATE_RELATIONS.values() for name in group}
        late = data.late_relations if "late_relations" in data else [name for name in names if name in known]
    if isinstance(late, str):
        raise TypeError(expected("late", "a list of names", late, f"say late=[{late!r}]"))
    if not isinstance(late, Collection):
        raise TypeError(expected("late", "a list of names", late))
    for part in late:
        if not isinstance(part, str):
            raise TypeError(expected("late", "a list of names", part))
        if not any(part in name for name in names):
            raise ValueError(expected("late", "relations of the data, or parts of their names", part,
                                      did_you_mean(part, names) if names else "the data has no KG"))
    return [name for name in names if any(part in name for part in late)]


def _relations(data: HeteroData) -> list[str]:
    """The names of the KG's relations, in order."""
    kinds = [kind for kind in data.edge_types if "user" not in (kind[0], kind[2])]
    return list(dict.fromkeys(relation for _, relation, _ in kinds))


TREE = ("cluster_path", "cluster_children")
"""What :meth:`kgrl.tree.ClusterTree.attach` writes."""


def drop_tree(data: HeteroData) -> None:
    """Forgets, in place, a tree that was attached: it may be built on ratings that are gone."""
    for name in set(TREE) & set(data["item"].keys()):
        del data["item"][name]


def as_released(
    data: HeteroData, new: Tensor, known_at: str = "release", late: Sequence[str] | None = None, *, evenly: bool = True
) -> HeteroData:
    """A copy of ``data`` as it was before anybody rated the new items: what an agent may be made from.

    The ratings of the new items are gone; users keep their numbers, also those who rated nothing else. So is a tree
    that was attached: it may be built on these ratings.

    Some relations come after release: a film wins its awards because people like it. With ``known_at="release"`` the
    new items have no edge of such a relation. If old items kept theirs, an agent could learn that an item without
    awards is a bad one, and hold that against all new items, which have none yet. What is known of some items and never
    of others teaches nothing about the others. So by default (``evenly``) old items lose these edges, too.

    Args:
        data: a data set; it stays as it is, and tensors that do not change are shared with it.
        new: ``[K]``, the new items, or a mask of them, see :func:`kgrl.datasets.split_items`.
        known_at: ``"release"``: without what comes after it; ``"ever"``: all edges are kept.
        late: which relations come after release; see :func:`kgrl.datasets.released.late_relations`.
        evenly: whether ``known_at="release"`` takes their edges from all items, or from the new ones alone.

    Returns:
        The copy, with ``data["item"].new`` (a bool mask ``[N]``), and ``data.provenance["released"]``, which says what
        was left out. An edge type without any edge left is gone; relations keep their numbers.

    Raises:
        ValueError: ``new`` that are no distinct item ids, or all rated items; an unknown ``known_at``; an entry of
            ``late`` that is in no relation's name; ``late`` or ``evenly`` where all edges are kept.
        TypeError: ``data`` is no data set, or ``new`` are no ids.
    """
    one_of("known_at", known_at, ("release", "ever"))
    if known_at == "ever" and (late is not None or not flag("evenly", evenly)):
        name, given = ("evenly", evenly) if late is None else ("late", late)
        raise ValueError(expected(name, "left out with known_at='ever', which keeps all edges", given))
    flag("evenly", evenly)
    is_new = _mask(a_data_set("data", data), new)
    number = int(is_new.sum())
    relations = late_relations(data, late) if known_at == "release" else []
    released = copy.copy(data)
    ratings, triples = 0, 0
    for kind in data.edge_types:
        if "user" in (kind[0], kind[2]):
            ratings += drop_edges(released, kind, _touched(data, kind, is_new))
        elif kind[1] in relations:
            triples += drop_edges(released, kind, None if evenly else _touched(data, kind, is_new))
    if not any("user" in (kind[0], kind[2]) for kind in released.edge_types):
        raise ValueError(expected("new", "some of the rated items", f"all of them ({number})"))
    drop_tree(released)
    released["item"].new = is_new
    note = {"new": number, "known_at": known_at, "late": relations, "evenly": evenly, "ratings": ratings,
            "triples": triples}
    released.provenance = {**(data.provenance if "provenance" in data else {}), "released": note}
    return released


def _mask(data: HeteroData, new: Tensor) -> Tensor:
    """``[N]``, whether an item is new."""
    num_items = int(data["item"].num_nodes)
    new = ids("new", new, num_items)
    distinct, times = new.unique(return_counts=True)
    if len(distinct) < len(new):
        raise ValueError(expected("new", "every item once", f"item {int(distinct[times > 1][0])} more than once"))
    device = next((data[kind].edge_index.device for kind in data.edge_types), new.device)
    return torch.zeros(num_items, dtype=torch.bool, device=device).index_fill_(0, new.to(device), True)


def _touched(data: HeteroData, kind: EdgeType, is_new: Tensor) -> Tensor:
    """``[M]``, whether an edge has a new item at an end."""
    ends = zip((kind[0], kind[2]), data[kind].edge_index, strict=True)
    touched = [is_new[nodes] for node, nodes in ends if node == "item"]
    return torch.stack([torch.zeros_like(data[kind].edge_index[0], dtype=torch.bool), *touched]).any(0)


def drop_edges(data: HeteroData, kind: EdgeType, gone: Tensor | None) -> int:
    """Drops the edges that are ``gone`` (``None``: all) with all that is known of them; returns how many.

    Args:
        data: changed in place, but none of its tensors is.
        kind: which edge type; it is gone, too, where no edge of it is left.
        gone: ``[M]``, a mask.
    """
    store: EdgeStorage = data[kind]
    number = store.edge_index.size(1)
    if gone is None or bool(gone.all()):
        del data[kind]
        return number
    for name in [name for name in store.keys() if store.is_edge_attr(name)]:  # noqa: SIM118  # a store is no dict
        value = store[name]
        store[name] = value[..., ~gone] if name == "edge_index" else value[~gone]
    return int(gone.sum())
