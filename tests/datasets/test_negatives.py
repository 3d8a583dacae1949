from __future__ import annotations

import numpy as np

from kgrl.datasets.negatives import draw_distinct, with_sampled_negatives
from kgrl.datasets.ratings import Ratings


def rated(user: list, item: list, rating: list) -> Ratings:
    return Ratings(np.array(user), np.array(item), np.array(rating, dtype=float), None)


def test_treatment_against_its_rules():
    rng = np.random.default_rng(0)
    pair = rng.choice(30 * 40, size=300, replace=False)
    ratings = rated(pair // 40, pair % 40, rng.integers(1, 6, size=300))
    treated = with_sampled_negatives(ratings, 40, positive_from=4, seed=0)
    for user in range(30):
        mine = treated.user == user
        positive = set(treated.item[mine & (treated.rating == 1)].tolist())
        negative = treated.item[mine & (treated.rating == 0)].tolist()
        seen = set(ratings.item[ratings.user == user].tolist())
        assert positive == set(ratings.item[(ratings.user == user) & (ratings.rating >= 4)].tolist())
        assert len(negative) == len(set(negative)) == len(positive)
        assert not seen & set(negative)
    assert (np.diff(treated.user) >= 0).all()


def test_same_seed_same_draw():
    ratings = rated([0, 0, 1], [0, 1, 5], [1, 1, 1])
    first, again, other = (with_sampled_negatives(ratings, 1000, 1, seed) for seed in (0, 0, 1))
    assert first.item.tolist() == again.item.tolist() != other.item.tolist()


def test_user_who_rated_nearly_all_gets_the_rest():
    treated = with_sampled_negatives(rated([0] * 4, [0, 1, 2, 3], [1] * 4), 5, 1, seed=0)
    assert treated.item[treated.rating == 0].tolist() == [4]


def test_users_without_positives_are_left_out():
    assert with_sampled_negatives(rated([0, 1], [0, 1], [1, 5]), 9, 4, seed=0).user.tolist() == [1, 1]


def test_draws_are_uniform():
    rng = np.random.default_rng(0)
    pairs = draw_distinct(np.full(20_000, 2), 5, lambda user: rng.integers(5, size=len(user)), np.arange(20_000) * 5)
    share = np.bincount(pairs % 5, minlength=5) / 20_000
    assert share[0] == 0
    assert len(np.unique(pairs)) == len(pairs) == 40_000
    assert np.abs(share[1:] - 0.5).max() < 0.02  # five standard errors
