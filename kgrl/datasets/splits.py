"""Splits of the users, and the popularity ranking that the training users' ratings give."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.options import a_tensor, at_least, between, expected
from kgrl.seeding import generator_for


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
        (train, valid, test): sorted LongTensors of user ids, disjoint, every user in one of them.

    Raises:
        ValueError: shares outside [0, 1] or above 1 together, or a share that leaves its set without a user.
    """
    between("train", train, 0, 1)
    between("valid", valid, 0, 1)
    rest = 1 - train - valid
    if rest < -1e-9:
        raise ValueError(expected("train + valid", "at most 1", train + valid))
    num_users = at_least("data['user'].num_nodes", data["user"].num_nodes, 1)
    # rounding the two borders, not the three sizes, makes the sizes add up
    first, second = round(train * num_users), round((train + valid) * num_users)
    users = torch.randperm(num_users, generator=generator_for("cpu", seed))
    parts = users[:first], users[first:second], users[second:]
    for name, share, part in zip(("train", "valid", "test"), (max(train, 1e-6), valid, rest), parts, strict=True):
        if share > 1e-9 and not len(part):
            what = f"a share that gives at least one of the {num_users} users"
            raise ValueError(expected(name, what, round(share, 6)))
    return tuple(part.sort().values for part in parts)  # type: ignore[return-value]


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
    num_users, rates = data["user"].num_nodes, data["user", "rates", "item"]
    if not a_tensor("users", users).numel():
        raise ValueError(expected("users", "at least one user", users))
    if users.min() < 0 or users.max() >= num_users:
        raise ValueError(expected("users", f"ids from 0 to {num_users - 1}", [int(users.min()), int(users.max())]))
    counted = torch.zeros(num_users, dtype=torch.bool, device=users.device).index_fill_(0, users, True)
    user, item = rates.edge_index.to(users.device)
    liked = counted[user] & (rates.rating.to(users.device) > data.rating_scale[2])
    likes = torch.bincount(item[liked], minlength=data["item"].num_nodes)
    return likes.argsort(descending=True, stable=True)
