"""Splits of the ratings: each user's own, or everybody's at one point in time; and the data set that is left of them.

:mod:`kgrl.datasets.splits` splits users and items, for users and items never seen before.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.utils import lexsort

from kgrl.datasets.released import drop_edges, drop_tree
from kgrl.objects import RATES, a_rated_set
from kgrl.options import at_least, between, expected, ids, one_of
from kgrl.seeding import generator_for

PARTS = ("train", "valid", "test")
"""What ``data['user', 'rates', 'item'].part`` means by 0, 1 and 2."""
WAYS = ("user", "user_time", "last", "time", "given")


def split_ratings(
    data: HeteroData, train: float | None = None, valid: float | None = None, seed: int = 0, by: str = "user"
) -> tuple[Tensor, Tensor, Tensor]:
    """Splits the ratings into those to train on, to choose by, and to report on.

    The usual protocols of top-n recommendation, where the users are known:

    - ``by="user"``: shares of each user's ratings, drawn at random (KGAT, LightGCN);
    - ``by="user_time"``: shares of each user's ratings, the latest for the test;
    - ``by="last"``: leave-last-out: each user's last rating is for the test and the one before for choosing (SASRec);
      a user with two has none for choosing, a user with one none for the test;
    - ``by="time"``: two points in time, the same for all users: nobody's test comes before anybody's training. Ratings
      of one time stay together, so the shares are met as nearly as that allows;
    - ``by="given"``: as the files were split (``part``; see :func:`kgrl.datasets.from_recbole` and
      :func:`kgrl.datasets.from_kgat`).

    Of the ratings of one user at one time chance decides which is the last. A user always keeps a rating to train on
    where each user's ratings are split, and ``train`` is above 0.

    Args:
        data: a data set.
        train: share to train on; ``None``: 0.8. Of no use with ``"last"`` and ``"given"``.
        valid: share to choose by; ``None``: 0.1. The rest is for the test.
        seed: of what chance decides.
        by: see above.

    Returns:
        (train, valid, test): sorted LongTensors of ratings, as places in ``data['user', 'rates', 'item']``, disjoint,
        every rating in one of them. :func:`kgrl.datasets.with_ratings` makes a data set of one.

    Raises:
        ValueError: an unknown ``by``; shares outside [0, 1] or above 1 together, or where they are of no use; times or
            parts that the data do not have; or a part that should have ratings and gets none.
    """
    rates = a_rated_set("data", data)[RATES]
    one_of("by", by, WAYS)
    seed = at_least("seed", seed, 0)
    for name, share in (("train", train), ("valid", valid)):
        if share is not None and by in ("last", "given"):
            raise ValueError(expected(name, f"left out with by={by!r}, which needs no shares", share))
    first, second = _borders(0.8 if train is None else train, 0.1 if valid is None else valid)
    if (key := {"user": "edge_index", "given": "part"}.get(by, "time")) not in rates:
        hint = "ratings with times, or by='user'" if key == "time" else "RecBole's benchmark files, or KGAT's, have it"
        raise ValueError(expected("by", f"another way, as the data's ratings have no `{key}`", by, hint))
    if by == "given":
        part = rates.part
    elif by == "time":
        part = _by_time(rates.time, first, second)
    else:
        part = _by_user(rates.edge_index[0], None if by == "user" else rates.time, first, second, by == "last", seed)
    wanted = (True,) * 3 if by == "last" else (first > 0, second > first, second < 1)
    found = tuple((part == number).nonzero().view(-1) for number in range(3))
    for name, share, ratings in zip(PARTS, wanted, found, strict=True):
        if share and by != "given" and not len(ratings):
            what = f"one that leaves {name} at least one of the {len(part):,} ratings"
            raise ValueError(expected("by" if by == "last" else "train", what, by if by == "last" else first))
    return found


def _borders(train: float, valid: float) -> tuple[float, float]:
    """Where the shares end."""
    between("train", train, 0, 1)
    between("valid", valid, 0, 1)
    if train + valid > 1 + 1e-9:
        raise ValueError(expected("train + valid", "at most 1", train + valid))
    second = train + valid
    return float(train), 1.0 if second > 1 - 1e-9 else float(second)


def _by_user(user: Tensor, time: Tensor | None, first: float, second: float, last: bool, seed: int) -> Tensor:
    """``[R]``, the part of each rating: of each user's, in the order of time or of chance."""
    chance = torch.rand(
        len(user), generator=generator_for("cpu", seed), device="cpu", dtype=torch.float).to(user.device)
    order = lexsort([chance, user] if time is None else [chance, time, user])
    count = torch.bincount(user)
    start = count.cumsum(0) - count
    place = torch.empty_like(user).index_copy_(0, order, torch.arange(len(user), device=user.device)) - start[user]
    if last:
        until_test = (count - 1).clamp(min=1)
        until_valid = (count - 2).clamp(min=1)
    else:  # rounding the two borders, not the three sizes, makes the sizes add up
        until_valid = (first * count.double()).round().long().clamp(min=int(first > 0))
        until_test = torch.maximum((second * count.double()).round().long(), until_valid)
    return (place >= until_valid[user]).long() + (place >= until_test[user]).long()


def _by_time(time: Tensor, first: float, second: float) -> Tensor:
    """``[R]``, the part of each rating: by two points in time."""
    in_order = time.sort().values
    part = torch.zeros(len(time), dtype=torch.long, device=time.device)
    for border in (first, second):
        place = round(border * len(time))
        if place < len(time):
            part += time >= in_order[place]
    return part


def with_ratings(data: HeteroData, ratings: Tensor) -> HeteroData:
    """A copy of ``data`` with these ratings alone: what an agent may be made from, where ratings are split.

    Users, items and entities keep their numbers, also those without a rating now. A tree that was attached is gone: it
    may be built on the others.

    Args:
        data: a data set; it stays as it is, and tensors that do not change are shared with it.
        ratings: ``[M]``, places in ``data['user', 'rates', 'item']``, or a mask of them; see
            :func:`kgrl.datasets.split_ratings`.

    Returns:
        The copy. ``data.provenance["with_ratings"]`` says how many of how many ratings are left.

    Raises:
        TypeError: ``data`` is no data set, or ``ratings`` are no ids.
        ValueError: no ratings, one twice, or one out of range.
    """
    count = a_rated_set("data", data)[RATES].edge_index.size(1)
    ratings = ids("ratings", ratings, count)
    gone = torch.ones(count, dtype=torch.bool, device=data[RATES].edge_index.device)
    gone[ratings.to(gone.device)] = False
    left = count - int(gone.sum())
    if left < len(ratings):
        raise ValueError(expected("ratings", "each rating once", f"{len(ratings):,} ids of {left:,} ratings"))
    kept = copy.copy(data)
    drop_edges(kept, RATES, gone)
    drop_tree(kept)
    note = {"ratings": left, "of": count}
    kept.provenance = {**(data.provenance if "provenance" in data else {}), "with_ratings": note}
    return kept
