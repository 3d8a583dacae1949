

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from kgrl.datasets.attributes import attribute_triples
from kgrl.datasets.frames import from_frames
from kgrl.datasets.implicit import ratings_from_counts
from kgrl.datasets.ratings import Ratings, checked_form, checked_scale, draw_distinct, with_sampled_negatives
from kgrl.datasets.recbole import from_recbole
from kgrl.datasets.table import Table


def table(rating: list) -> Table:
    return Table.of(pd.DataFrame({"rating": rating}), "ratings", [])


def make(user: list, item: list, time: list | None = None) -> Ratings:
    rating = np.arange(len(user), dtype=float)
    return Ratings(np.array(user), np.array(item), rating, None if time is None else np.array(time))


def test_last_of_duplicates_is_kept():
    kept = make([0, 1, 0, 0], [2, 2, 2, 1]).without_duplicates()
    assert list(zip(kept.user, kept.item, kept.rating, strict=True)) == [(1, 2, 1), (0, 2, 2), (0, 1, 3)]


def test_latest_of_duplicates_is_kept_where_times_are_known():
    assert make([0, 0, 0], [1, 1, 1], [5, 9, 7]).without_duplicates().rating.tolist() == [1]
    assert make([0, 0], [1, 1], [5, 5]).without_duplicates().rating.tolist() == [1]
    assert make([0, 0, 1], [1, 1, 1], [9, 5, 2]).without_duplicates().rating.tolist() == [0, 2]  # in the file's order


def test_active_users():
    assert make([0, 1, 0, 2], [0, 0, 1, 0]).of_active(2, 0).user.tolist() == [0, 0]


def core(pairs: set[tuple[int, int]], least: int) -> set[tuple[int, int]]:
    """One user or item after another, as long as one has too few."""
    for place in (0, 1):
        for node in {pair[place] for pair in pairs}:
            if sum(pair[place] == node for pair in pairs) < least:
                return core({pair for pair in pairs if pair[place] != node}, least)
    return pairs


@pytest.mark.parametrize("least", [1, 2, 3, 4])
def test_the_k_core_whatever_the_order(least):
    rng, left = np.random.default_rng(0), []
    for size in range(5, 100, 10):
        pairs = {(int(user), int(item)) for user, item in rng.integers(0, 12, (size, 2))}
        users, items = map(list, zip(*pairs, strict=True))
        kept = make(users, items).of_active(least, least)
        assert set(zip(kept.user.tolist(), kept.item.tolist(), strict=True)) == core(pairs, least)
        left.append(len(kept) / len(pairs))
    assert least == 1 or 0 < sum(left) < len(left)  # some go


def test_negatives_belong_to_their_users_parts():
    rng = np.random.default_rng(0)
    pairs = sorted({(int(user), int(item)) for user, item in rng.integers(0, 9, (40, 2))})
    users, items = (np.array(each) for each in zip(*pairs, strict=True))
    order, part = rng.permutation(len(users)), rng.integers(0, 3, len(users))
    ratings = Ratings(users[order], items[order], np.ones(len(users)), None, part)
    made = with_sampled_negatives(ratings, 30, 1, seed=0)
    for user in range(9):
        parts = [np.sort(made.part[(made.user == user) & (made.rating == label)]) for label in (0, 1)]
        assert parts[0].tolist() == parts[1].tolist() == np.sort(part[users[order] == user]).tolist()
    kept = {(user, item): number for user, item, number in zip(ratings.user, ratings.item, part, strict=True)}
    liked = made[made.rating == 1]
    assert {(user, item): number for user, item, number in zip(liked.user, liked.item, liked.part, strict=True)} == kept


def test_items_are_renumbered():
    kept = make([0, 0, 1], [0, 1, 2]).of_items(np.array([True, False, True]))
    assert kept.item.tolist() == [0, 1]
    assert kept.user.tolist() == [0, 1]


def test_scale_from_the_ratings():
    assert checked_scale(None, table([1, 5, 2])) == (1.0, 5.0, 3.0)
    assert checked_scale(None, table([1, 1])) == (0.0, 1.0, 0.5)
    assert checked_scale(None, table([])) == (0.0, 1.0, 0.5)


@pytest.mark.parametrize("rating", [5, 1.5, -1])
def test_equal_ratings_are_no_scale(rating):
    with pytest.raises(ValueError, match=rf"`rating_scale` must be given where .* equal \(here {rating}\)"):
        checked_scale(None, table([rating, rating]))
    assert checked_scale((-1, 5, 2), table([rating, rating])) == (-1.0, 5.0, 2.0)


@pytest.mark.parametrize("mark", [0, 0.5, 1])
def test_equal_marks_are_between_0_and_1(mark):
    assert checked_scale(None, table([mark, mark])) == (0.0, 1.0, 0.5)


def test_threshold_may_be_the_lowest_rating():
    assert checked_scale((1, 5, 1), table([3])) == (1.0, 5.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 6, "x"])
def test_rating_outside_the_scale(bad):
    with pytest.raises(ValueError, match=r"`ratings`, row 1: rating must be a number in \[1, 5\]"):
        checked_scale((1, 5, 3), table([3, bad]))


def test_rating_that_is_infinite_in_single_precision():
    with pytest.raises(ValueError, match=r"row 1: rating must be a finite number that single precision .* got 1e\+308"):
        checked_scale(None, table([1, 1e308]))


@pytest.mark.parametrize("as_what", [np.complex128, np.complex64, object])
@pytest.mark.parametrize("column", ["user", "item", "rating", "time"])
def test_complex_numbers_are_refused(column, as_what):
    """Not cut to their real part, which NumPy does with a warning."""
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1.0, 5.0, 3.0], "time": [1, 2, 3]})
    values = frame[column] + np.array([0, 1j, 0])
    frame[column] = [1, complex(values[1]), 3] if as_what is object else values.astype(as_what)
    with pytest.raises(ValueError, match=rf"`ratings`, row [01]: {column} must be (an id|a real number).*, got"):
        from_frames(frame)


def test_complex_counts_and_attributes_are_refused():
    plays = pd.DataFrame({"user": [1, 1], "item": [1, 2], "count": [1 + 2j, 3]})
    with pytest.raises(ValueError, match="`interactions`, row 0: count must be a real number, got"):
        ratings_from_counts(plays)
    with pytest.raises(ValueError, match="`items`, row 0: length must be a real number, got"):
        attribute_triples(pd.DataFrame({"item": [1, 2], "length": [1 + 2j, 3]}))


def test_rating_that_is_no_number_without_a_scale():
    with pytest.raises(ValueError, match="row 0: rating must be a finite number that .*, got nan"):
        checked_scale(None, table([np.nan, 1]))


@pytest.mark.parametrize("scale", [(5, 1, 3), (1, 5, 5), (1, 5, 0), (1, 5), (1, 5, np.nan), (1, np.inf, 3),
                                   (0, 1e308, 3)])
def test_scale_that_makes_no_sense(scale):
    with pytest.raises(ValueError, match="`rating_scale` must be"):
        checked_form(scale)


@pytest.mark.parametrize(("rating", "what", "option"), [
    ([1, 1, 1], "all of the 3 ratings are liked", "positive_from"),
    ([5] * 99 + [1], "nearly all of the 100 ratings", "positive_from"),
    ([1] * 99 + [5000], "nearly none of the 100 ratings are liked", "rating_scale"),
])
def test_nothing_to_learn_is_said(rating, what, option):
    frame = pd.DataFrame({"user": 1, "item": range(len(rating)), "rating": rating})
    with pytest.warns(UserWarning, match=f"{what}.*{option}"):
        from_frames(frame)


def test_positive_from_helps_clicks(write):
    clicks = "user_id:token\titem_id:token\n1\t1\n1\t2\n2\t3\n2\t4\n"
    with pytest.warns(UserWarning, match="all of the 4 ratings are liked"):
        from_recbole(write({"a.inter": clicks}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = from_recbole(write({"a.inter": clicks}), positive_from=1, seed=3)
    assert data["user", "rates", "item"].rating.sum() == 4
    assert data["user", "rates", "item"].rating.numel() == 8


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
