"""Ratings as arrays: checks, duplicates, what is kept, and negatives that are drawn for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kgrl.datasets.table import Table
from kgrl.options import expected
from kgrl.rating_scale import MOST, a_scale

Scale = tuple[float, float, float]
BINARY: Scale = (0.0, 1.0, 0.5)
RARE = 0.01  # the share of liked, or of other, ratings up to which there is nothing to learn


@dataclass(frozen=True)
class Ratings:
    """One rating a row.

    Args:
        user: ``[R]``, numbers from 0.
        item: ``[R]``, numbers from 0.
        rating: ``[R]``, on the raw scale.
        time: ``[R]``, or ``None`` where it is not known.
        part: ``[R]``, 0 to train on, 1 to choose by, 2 for the test, or ``None`` where files do not split them.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    time: np.ndarray | None
    part: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray) -> Ratings:
        time, part = (None if each is None else each[rows] for each in (self.time, self.part))
        return Ratings(self.user[rows], self.item[rows], self.rating[rows], time, part)

    def without_duplicates(self) -> Ratings:
        """The last rating of each (user, item): the latest where times are known, else the last of the file.

        Where files split them, that of the first part: an item that a user is trained with is no test.
        """
        pair = pd.Series(self.user * (int(self.item.max(initial=0)) + 1) + self.item)
        if not pair.duplicated().any():
            return self
        oldest_first = np.arange(len(self)) if self.time is None else np.argsort(self.time, kind="stable")
        if self.part is not None:
            oldest_first = oldest_first[np.argsort(-self.part[oldest_first], kind="stable")]
        last = oldest_first[~pair.iloc[oldest_first].duplicated(keep="last").to_numpy()]
        return self[np.sort(last)]

    def of_items(self, kept: np.ndarray) -> Ratings:
        """The ratings of the items where the mask ``kept [N]`` is true, with the items numbered among those."""
        chosen = self[kept[self.item]]
        return replace(chosen, item=(np.cumsum(kept) - 1)[chosen.item])

    def of_active(self, min_ratings: int, min_item_ratings: int) -> Ratings:
        """Those of users with at least ``min_ratings`` and of items with at least ``min_item_ratings`` of what is left.

        With two equal numbers k that is the k-core of the graph of users and items (Seidman 1983): the largest part
        that has it, which dropping the others again and again ends in, whatever the order.
        """
        left = self
        while True:
            enough = np.bincount(left.user)[left.user] >= min_ratings
            enough &= np.bincount(left.item)[left.item] >= min_item_ratings
            if enough.all():
                return left
            left = left[enough]


def rating_column(table: Table) -> pd.Series:
    """The ratings; where there is no such column, an interaction counts as 1."""
    frame = table.frame
    return frame["rating"] if "rating" in frame else pd.Series(1.0, index=frame.index)


def checked_scale(scale: Scale | None, table: Table) -> Scale:
    """``(low, high, threshold)`` as floats; ``None``: from the lowest to the highest rating, halfway.

    Where all ratings are equal, that is no scale: up to 1 they are taken for marks between 0 and 1, as interactions
    without a rating are; others do not tell whether they were good ones.

    Raises:
        ValueError: not low ≤ threshold < high, a rating that is no number or outside the scale, or ``None`` where all
            ratings are the same number outside [0, 1].
    """
    values = table.numbers("rating") if "rating" in table.frame else np.ones(len(table.frame))
    if scale is None:
        table.complain(~(np.abs(values) <= MOST), "rating", f"a finite number that single precision holds twice of: up "
                       f"to {MOST:.1e}")
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if low == high and not 0 <= low <= 1:
            raise ValueError(f"{table.name}, column rating: " + expected(
                "rating_scale", f"given where all ratings are equal (here {low:g})", None,
                "give (low, high, threshold), e.g. (1, 5, 3)"))
        scale = BINARY if low == high else a_scale(f"{table.name}, column rating", (low, high, (low + high) / 2))
    low, high, threshold = map(float, scale)
    table.complain(~((values >= low) & (values <= high)), "rating", f"a number in [{low:g}, {high:g}]")
    return low, high, threshold


def checked_form(scale: Scale | None) -> Scale | None:
    """``scale``, if it is ``None`` or a :func:`kgrl.rating_scale.a_scale`."""
    return None if scale is None else a_scale("rating_scale", scale)


def warn_if_nothing_to_learn(rating: np.ndarray, scale: Scale, name: str) -> None:
    """Says so where (nearly) all ratings are liked, or none: in a world fitted to them there is no taste to find.

    Args:
        rating: ``[R]``.
        scale: ``(low, high, threshold)``.
        name: where they came from.
    """
    liked = float((rating > scale[2]).mean())
    if liked >= 1 - RARE:
        much, hint = "all", "positive_from=… (from_kgcn: threshold=…, from_kgat: negatives=True) draws items that a " \
                            "user never rated as not liked"
    elif liked <= RARE:
        much, hint = "none", "rating_scale=(low, high, threshold) says where liking begins, positive_from=… makes the "\
                             "ratings binary (counts, such as plays, are liked from 1 on)"
    else:
        return
    much = f"nearly {much}" if 0 < liked < 1 else much
    warnings.warn(f"{name}: {much} of the {len(rating):,} ratings are liked ({liked:.1%} are above the "
                  f"threshold {scale[2]:g}), so there is no taste to learn from them; {hint}", stacklevel=5)


def with_sampled_negatives(ratings: Ratings, num_items: int, positive_from: float, seed: int) -> Ratings:
    """Positives become 1; as many items a user that the user never rated are drawn as 0 (RippleNet, section 4.1).

    The user's own ratings below ``positive_from`` are left out, and so are users without a positive: the authors'
    ``preprocess.py`` does the same. They draw with NumPy's global generator; here the draw is seeded, uniform, without
    replacement. A user with fewer unrated items than positives gets them all.

    Args:
        ratings: without duplicates.
        num_items: N; the negatives come from these.
        positive_from: a rating of at least this is positive.
        seed: of the draw.

    Returns:
        The ratings by user. Where files split them, a user's parts have as many negatives as positives.
    """
    positive = ratings[ratings.rating >= positive_from]
    num_users = int(ratings.user.max(initial=-1)) + 1
    unrated = num_items - np.bincount(ratings.user, minlength=num_users)
    wanted = np.minimum(np.bincount(positive.user, minlength=num_users), unrated)
    rng = np.random.default_rng(seed)
    negative = draw_distinct(wanted, num_items, lambda user: rng.integers(num_items, size=len(user)),
                             ratings.user * num_items + ratings.item)
    user = np.concatenate([positive.user, negative // num_items])
    item = np.concatenate([positive.item, negative % num_items])
    label = np.repeat([1.0, 0.0], [len(positive), len(negative)])
    order = np.argsort(user, kind="stable")
    return Ratings(user[order], item[order], label[order], None, _parts_for(positive, negative // num_items, order))


def _parts_for(positive: Ratings, users: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """``[R]``, in ``order``, the parts of positives and of as many negatives: a user's k-th is of her k-th's part."""
    if positive.part is None:
        return None
    of_user = np.argsort(positive.user, kind="stable")
    first = np.searchsorted(positive.user[of_user], users)
    by_user = np.argsort(users, kind="stable")
    rank = np.empty_like(users)
    rank[by_user] = np.arange(len(users)) - np.searchsorted(users[by_user], users[by_user])
    return np.concatenate([positive.part, positive.part[of_user[first + rank]]])[order]


def draw_distinct(
    wanted: np.ndarray, num_items: int, pick: Callable[[np.ndarray], np.ndarray], taken: np.ndarray
) -> np.ndarray:
    """Draws items for all users at once; where a pair is taken or drawn twice, draws again.

    Args:
        wanted: ``[U]``, how many items each user gets; no more than ``pick`` can give outside ``taken``.
        num_items: N.
        pick: users ``[K]`` → one random item each ``[K]``.
        taken: distinct pairs user · N + item that may not be drawn.

    Returns:
        Distinct pairs user · N + item.
    """
    drawn = [np.empty(0, np.int64)]
    while wanted.any():
        user = np.repeat(np.arange(len(wanted)), wanted)
        pair = np.sort(user * num_items + pick(user))
        pair = pair[np.diff(pair, prepend=-1) != 0]  # distinct, so at most ``wanted`` a user
        pair = pair[~np.isin(pair, taken, assume_unique=True, kind="sort")]
        drawn.append(pair)
        wanted = wanted - np.bincount(pair // num_items, minlength=len(wanted))
        taken = np.concatenate([taken, pair])
    return np.concatenate(drawn)
