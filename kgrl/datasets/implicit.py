"""``ratings_from_counts``: ratings of what people did (clicks, plays, purchases), who said nothing of liking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kgrl.datasets.ratings import BINARY, Scale, draw_distinct
from kgrl.datasets.table import Names, Table, looks_like, own_names
from kgrl.objects import of_class
from kgrl.options import LARGEST, at_least, between, expected, one_of
from kgrl.rating_scale import a_scale

COLUMNS = ["user", "item", "count", "time"]
KINDS = ("log", "counts", "binary")


def ratings_from_counts(
    interactions: pd.DataFrame,
    kind: str = "log",
    *,
    liked_from: float = 1.0,
    negatives: float = 1.0,
    seed: int = 0,
    items: Any = None,
    columns: Names | None = None,
) -> tuple[pd.DataFrame, Scale]:
    r"""Implicit feedback as ratings, with items that a user never had as not liked.

    ``ratings, scale = ratings_from_counts(plays)``, then ``from_frames(ratings, triples, links, scale)``. With count c
    of a user and an item, the sum over their rows, the rating is

    - ``"log"``: :math:`\log(1 + c)`, the confidence of Hu, Koren and Volinsky (2008, section 4) with
      :math:`\alpha = \epsilon = 1`: the second play says more than the two hundredth;
    - ``"counts"``: c itself, of which a few large ones make the scale;
    - ``"binary"``: 1 where c is at least ``liked_from``, else 0.

    Drawn items are rated 0. They are drawn uniformly and without replacement from those the user never had, as
    RippleNet does (section 4.1), so none of them hits an item that she had. Many are items that she never saw: what is
    measured against them says how well had and never had are told apart, not liked and disliked.

    Args:
        interactions: columns ``user, item[, count][, time]``; without ``count``, a row counts as 1. Of several rows of
            one user and item, the counts add up and the latest time stands.
        kind: see above.
        liked_from: the count from which an item is liked.
        negatives: how many items are drawn per liked one; a user who has fewer left gets them all. 0: none.
        seed: of that draw.
        items: ids of all items, as ``films["item"]``, where some were never had: they are drawn, too.
        columns: own names of the columns: ``{"count": "plays"}``; ``{"count": None}``: there are no counts.

    Returns:
        ``ratings`` with ``user, item, rating[, time]``, and their scale (low, high, threshold). Where there are times,
        a drawn item has that of a liked one of the same user, so that a split by time shares both out alike.

    Raises:
        TypeError: something else than a frame.
        ValueError: a missing column or id, a column that looks like a count and is not read, a count that is negative
            or no number (the text names the row), an option out of range, or nothing that is liked.
    """
    own = own_names(columns, COLUMNS, list(of_class("interactions", interactions, pd.DataFrame)))
    table = Table.of(interactions, "interactions", COLUMNS[:2], COLUMNS[2:], own)
    one_of("kind", kind, KINDS)
    between("liked_from", liked_from, 1e-9, LARGEST)
    between("negatives", negatives, 0, 1e6)
    seed = at_least("seed", seed, 0)
    known = None if items is None else _listed(items)
    had = _summed(table, own)
    if not (had["count"] >= liked_from).any():
        raise ValueError(expected("liked_from", "at most the largest count, as nothing is liked otherwise", liked_from))
    ratings, scale = _rated(had, kind, liked_from)
    a_scale(f"scale of kind={kind!r}", scale)
    if negatives:
        ratings = pd.concat([ratings, _drawn(had, liked_from, negatives, seed, known)], ignore_index=True)
    return ratings, scale


def _listed(items: Any) -> pd.Series:
    if not isinstance(items, pd.Series | pd.Index | np.ndarray | list | tuple) or np.ndim(items) != 1:
        raise TypeError(expected("items", "a column of ids", type(items).__name__))
    listed = pd.Series(items).reset_index(drop=True)
    if not len(listed) or listed.isna().any():
        raise ValueError(expected("items", "ids, none of them missing", list(listed[:3])))
    return listed


def _summed(table: Table, own: Names) -> pd.DataFrame:
    """One row per user and item, in the order of their first rows: ``user, item, count[, time]``."""
    frame = table.frame
    likely = next((column for column in frame if column not in COLUMNS and looks_like(column) == "rating"), "")
    if "count" not in frame and "count" not in own and likely:
        raise ValueError(f"`interactions` has no column for 'count', but {likely!r}, which is not read; pass "
                         f"columns={{'count': {likely!r}}} to read it, or columns={{'count': None}} if it is none")
    for column in COLUMNS[:2]:
        table.complain(frame[column].isna(), column, "an id")
    if not len(frame):
        raise ValueError(expected("interactions", "a frame with rows", "none"))
    count = pd.Series(table.numbers("count") if "count" in frame else 1.0, frame.index)
    table.complain(~((count >= 0) & (count <= LARGEST)), "count", "a number of at least 0")
    kept = frame[["user", "item", *(["time"] if "time" in frame else [])]].assign(count=count)
    how = {"count": "sum", **({"time": "max"} if "time" in frame else {})}
    return kept.groupby(["user", "item"], sort=False, observed=True).agg(how).reset_index()


def _rated(had: pd.DataFrame, kind: str, liked_from: float) -> tuple[pd.DataFrame, Scale]:
    """The interactions as ratings, and their scale."""
    count = had["count"]
    ratings = had.drop(columns="count")
    if kind == "binary":
        ratings.insert(2, "rating", (count >= liked_from).astype(float))
        return ratings, BINARY
    below = float(count[count < liked_from].max()) if (count < liked_from).any() else 0.0
    border = (below + liked_from) / 2  # between what is liked and what is not, where no count is
    made = np.log1p if kind == "log" else np.float64
    ratings.insert(2, "rating", made(count.to_numpy()))
    return ratings, (0.0, float(made(count.max())), float(made(border)))


def _drawn(had: pd.DataFrame, liked_from: float, negatives: float, seed: int, known: pd.Series | None) -> pd.DataFrame:
    """Items that users never had, rated 0."""
    user, users = pd.factorize(had["user"])
    item, every = pd.factorize(had["item"] if known is None else pd.concat([had["item"], known], ignore_index=True))
    item, num_items = item[: len(had)], len(every)
    liked = np.flatnonzero(had["count"] >= liked_from)
    liked = liked[np.argsort(user[liked], kind="stable")]
    count = np.bincount(user[liked], minlength=len(users))
    wanted = np.minimum(np.round(negatives * count).astype(np.int64), num_items - np.bincount(user))
    rng = np.random.default_rng(seed)
    pair = np.sort(draw_distinct(wanted, num_items, lambda users: rng.integers(num_items, size=len(users)),
                                 user * num_items + item))
    of_user, drawn = pair // num_items, pair % num_items
    made = pd.DataFrame({"user": users[of_user], "item": every[drawn], "rating": 0.0})
    if "time" in had:
        rank = np.arange(len(pair)) - np.searchsorted(of_user, of_user)
        start = np.cumsum(count) - count
        made["time"] = had["time"].to_numpy()[liked[start[of_user] + rank % count[of_user]]]
    return made
