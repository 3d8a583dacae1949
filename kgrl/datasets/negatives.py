"""The treatment that RippleNet, and after it KGCN and KGQR, gave their ratings: binary, with sampled negatives."""

from __future__ import annotations

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
    rated = ratings.user * num_items + ratings.item
    num_users = int(ratings.user.max(initial=-1)) + 1
    unrated = num_items - np.bincount(ratings.user, minlength=num_users)
    wanted = np.minimum(np.bincount(positive.user, minlength=num_users), unrated)
    negative = _draw(rated, wanted, num_items, np.random.default_rng(seed))
    user = np.concatenate([positive.user, negative // num_items])
    item = np.concatenate([positive.item, negative % num_items])
    label = np.repeat([1.0, 0.0], [len(positive), len(negative)])
    order = np.argsort(user, kind="stable")
    return Ratings(user[order], item[order], label[order], None)


def _draw(taken: np.ndarray, wanted: np.ndarray, num_items: int, rng: np.random.Generator) -> np.ndarray:
    """For each user, ``wanted`` distinct pairs (user · N + item) outside ``taken``: drawn, and drawn again where taken."""
    taken, drawn = np.unique(taken), [np.empty(0, np.int64)]
    while wanted.any():
        user = np.repeat(np.arange(len(wanted)), wanted)
        pair = user * num_items + rng.integers(num_items, size=len(user))
        pair = np.setdiff1d(pair, taken)  # sorted and distinct: at most ``wanted`` a user, whatever the order
        drawn.append(pair)
        wanted = wanted - np.bincount(pair // num_items, minlength=len(wanted))
        taken = np.union1d(taken, pair)
    return np.concatenate(drawn)
