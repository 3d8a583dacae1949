"""The treatment that RippleNet, and after it KGCN and KGQR, gave their ratings: binary, with sampled negatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kgrl.datasets.ratings import Ratings


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
    return Ratings(user[order], item[order], label[order], None)


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
