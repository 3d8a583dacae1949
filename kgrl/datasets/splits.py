"""Splits of the users and of the items, the popularity ranking of the training users, and items in another order."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.objects import a_data_set, a_rated_set
from kgrl.options import between, expected, ids, one_of
from kgrl.seeding import generator_for

UNKNOWN = -1


def release_years(data: HeteroData) -> Tensor:
    """``[N]``, int64: ``data["item"].year`` where the data set has it, else the years that its titles end in.

    "Toy Story (1995)" came out in 1995. An item whose year is not known has −1.

    Raises:
        ValueError: years of another shape or type, or a data set with neither years nor titles.
    """
    store = data["item"]
    if "year" in store:
        year = store.year
        if not isinstance(year, Tensor) or year.shape != (store.num_nodes,) or year.dtype != torch.long:
            came = f"{year.dtype} {list(year.shape)}" if isinstance(year, Tensor) else type(year).__name__
            what = f"a LongTensor [{store.num_nodes}], {UNKNOWN} where unknown"
            raise ValueError(expected('data["item"].year', what, came))
        return year
    if "title" not in store:
        raise ValueError(expected("data", 'one with data["item"].year, or with titles that have the year',
                                  list(store.keys()), f'set data["item"].year, a LongTensor [N], {UNKNOWN}: unknown'))
    # the last one counts: "2001: A Space Odyssey (1968)", "Dracula (1931) (V)"
    found = pd.Series(list(store.title), dtype=object).str.extract(r"^.*\((\d{4})\)", expand=False)
    return torch.from_numpy(pd.to_numeric(found).fillna(UNKNOWN).to_numpy("int64", copy=True))


def split_users(
    data: HeteroData, train: float = 0.7, valid: float = 0.1, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Splits the users at random into those to train on, to choose by, and to report on.

    Args:
        data: the data set.
        train: share of the users to train on.
        valid: share to choose hyper-parameters by; the rest is for the tables.
        seed: of the split.

    Returns:
        (train, valid, test): sorted LongTensors of user ids, disjoint, every user in one of them; where the data are.

    Raises:
        ValueError: shares outside [0, 1] or above 1 together, or a share that leaves its set without a user.
    """
    num_users, device = a_data_set("data", data, "user")["user"].num_nodes, _device(data)
    between("train", train, 0, 1)
    between("valid", valid, 0, 1)
    rest = 1 - train - valid
    if rest < -1e-9:
        raise ValueError(expected("train + valid", "at most 1", train + valid))
    # rounding the two borders, not the three sizes, makes the sizes add up
    first, second = round(train * num_users), round((train + valid) * num_users)
    users = torch.randperm(num_users, generator=generator_for("cpu", seed), device="cpu")
    parts = users[:first], users[first:second], users[second:]
    for name, share, part in zip(("train", "valid", "test"), (max(train, 1e-6), valid, rest), parts, strict=True):
        if share > 1e-9 and not len(part):
            what = f"a share that gives at least one of the {num_users} users"
            raise ValueError(expected(name, what, round(share, 6)))
    return tuple(part.sort().values.to(device) for part in parts)  # type: ignore[return-value]


def split_items(data: HeteroData, new: float = 0.2, seed: int = 0, by: str = "random") -> tuple[Tensor, Tensor]:
    """Splits the items into old ones, to train with, and new ones, which nobody has rated before the test.

    :func:`kgrl.datasets.as_released` makes the data set that training may see.

    Args:
        data: the data set.
        new: share of the items that are new.
        seed: of the split.
        by: ``"random"``; or ``"time"``: the items that came out last are new, by
            :func:`kgrl.datasets.splits.release_years`. Of one year, chance decides; an item of unknown year is old.

    Returns:
        (old, new): sorted LongTensors of item ids, disjoint, every item in one of them; where the data are.

    Raises:
        ValueError: a share outside [0, 1] or that leaves either set without an item; an unknown ``by``; by time, no
            years in the data or fewer items of known year than are to be new.
    """
    between("new", new, 0, 1)
    one_of("by", by, ("random", "time"))
    num_items = a_data_set("data", data)["item"].num_nodes
    count = round(new * num_items)
    if not 0 < count < num_items:
        what = f"a share that leaves at least one of the {num_items} items new and one old"
        raise ValueError(expected("new", what, new))
    order = torch.randperm(num_items, generator=generator_for("cpu", seed), device="cpu")
    if by == "time":
        year = release_years(data).cpu()
        if count > (known := int((year != UNKNOWN).sum())):
            raise ValueError(expected("new", f"a share of at most {known / num_items:.3f} by time, as the year of "
                                      f"{known} of {num_items} items is known", new))
        order = order[year[order].argsort(descending=True, stable=True)]
    old, new_ones = order[count:].sort().values, order[:count].sort().values
    return old.to(_device(data)), new_ones.to(_device(data))


def _device(data: HeteroData) -> torch.device:
    """Where the data set is, and so what is made of it."""
    return next((store.edge_index.device for store in data.edge_stores if "edge_index" in store), torch.device("cpu"))


def popular_items(data: HeteroData, users: Tensor) -> Tensor:
    """All items, most often liked first: by how many of ``users`` rated them above the threshold.

    Args:
        data: the data set.
        users: ``[U]``, the users who count: the training users.

    Returns:
        LongTensor ``[N]``; of items liked equally often, the lower id first.

    Raises:
        ValueError: no users, or ids out of range.
    """
    num_users, rates = a_rated_set("data", data)["user"].num_nodes, data["user", "rates", "item"]
    users = ids("users", users, num_users)
    counted = torch.zeros(num_users, dtype=torch.bool, device=users.device).index_fill_(0, users, True)
    user, item = rates.edge_index.to(users.device)
    liked = counted[user] & (rates.rating.to(users.device) > data.rating_scale[2])
    likes = torch.bincount(item[liked], minlength=data["item"].num_nodes)
    return likes.argsort(descending=True, stable=True)


def renumbered(data: HeteroData, seed: int = 0) -> HeteroData:
    """A copy of ``data`` in which items are numbered at random, as item numbers give fame away.

    Files tend to list well-known items first. On MovieLens-100K an agent that knows nothing of new films, and takes the
    first by number, goes 40 % of the way from random to all-knowing. So every protocol with new items numbers items at
    random.

    Args:
        data: a data set; it stays as it is, and what does not change is shared with it.
        seed: of the numbering, the same on every device.

    Returns:
        The copy. All that is known of items goes along (``raw_id``, ``title``, …), and every edge type with an item at
        an end. Users and entities keep their numbers. ``data.provenance["renumbered"]`` is the seed.
    """
    store = a_data_set("data", data)["item"]
    # new number → old number, and old → new
    order = torch.randperm(int(store.num_nodes), generator=generator_for("cpu", seed), device="cpu")
    place = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device="cpu"))
    copied = copy.copy(data)
    for name in [name for name in store.keys() if _of_each(store[name], len(order), name)]:  # noqa: SIM118  # no dict
        copied["item"][name] = _taken(store[name], order)
    for kind in data.edge_types:
        if "item" in (kind[0], kind[2]):
            edges = data[kind].edge_index
            ends = zip((kind[0], kind[2]), edges, strict=True)
            copied[kind].edge_index = torch.stack(
                [place.to(edges.device)[nodes] if node == "item" else nodes for node, nodes in ends])
    copied.provenance = {**(data.provenance if "provenance" in data else {}), "renumbered": seed}
    return copied


def _of_each(value: Any, num_items: int, name: str) -> bool:
    """Whether ``value`` says something of each item."""
    if name == "num_nodes" or isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    return len(value) == num_items if not isinstance(value, Tensor) or value.dim() else False


def _taken(values: Any, order: Tensor) -> Any:
    """``values`` in another order, be they a tensor, an array or a list."""
    if isinstance(values, Tensor):
        return values[order.to(values.device)]
    if isinstance(values, list | tuple):
        return type(values)(map(values.__getitem__, order.tolist()))
    return values[order.numpy()]
