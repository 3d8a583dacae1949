from __future__ import annotations

import math
import random
from collections import Counter

import pandas as pd
import pytest

from kgrl.datasets.frames import from_frames
from kgrl.datasets.implicit import ratings_from_counts
from kgrl.rating_scale import normalised_ratings

PLAYS = pd.DataFrame([("a", 7, 3, 10), ("b", 8, 1, 11), ("a", 7, 2, 4), ("a", 9, 1, 12)],
                     columns=["user", "item", "count", "time"])


def rows(frame: pd.DataFrame) -> list[tuple]:
    return [tuple(row) for row in frame.itertuples(index=False)]


@pytest.mark.parametrize(("kind", "ratings", "scale"), [
    ("counts", [5, 1, 1], (0, 5, 0.5)), ("binary", [1, 1, 1], (0, 1, 0.5)),
    ("log", [math.log(6), math.log(2), math.log(2)], (0, math.log(6), math.log(1.5)))])
def test_counts_add_up(kind, ratings, scale):
    made, found = ratings_from_counts(PLAYS, kind, negatives=0)
    assert rows(made[["user", "item", "time"]]) == [("a", 7, 10), ("b", 8, 11), ("a", 9, 12)]
    assert made["rating"].tolist() == pytest.approx(ratings)
    assert found == pytest.approx(scale)


@pytest.mark.parametrize(("kind", "scale"), [("counts", (0, 5, 2)), ("binary", (0, 1, 0.5)),
                                             ("log", (0, math.log(6), math.log(3)))])
def test_liked_from_a_count_on(kind, scale):
    ratings, found = ratings_from_counts(PLAYS, kind, liked_from=3, negatives=0)
    assert found == pytest.approx(scale)
    assert (ratings["rating"] > found[2]).tolist() == [True, False, False]


def test_without_counts_a_row_is_one():
    made, _ = ratings_from_counts(PLAYS[["user", "item"]], "counts", negatives=0)
    assert rows(made) == [("a", 7, 2), ("b", 8, 1), ("a", 9, 1)]


def many(seed: int = 0, users: int = 12, items: int = 15) -> pd.DataFrame:
    rng = random.Random(seed)
    return pd.DataFrame([(f"u{rng.randrange(users)}", rng.randrange(items), rng.randrange(4), rng.randrange(100))
                         for _ in range(120)], columns=["user", "item", "count", "time"])


@pytest.mark.parametrize("negatives", [0.5, 1, 3, 100])
@pytest.mark.parametrize("seed", range(3))
def test_negatives_never_hit_what_a_user_had(negatives, seed):
    plays = many(seed)
    made, _ = ratings_from_counts(plays, "counts", liked_from=2, negatives=negatives, seed=seed, items=range_of(20))
    had = {(row.user, row.item) for row in plays.itertuples()}
    seen, drawn = made[: len(had)], made[len(had):]
    assert {(row.user, row.item) for row in seen.itertuples()} == had
    pairs = [(row.user, row.item) for row in drawn.itertuples()]
    assert not had & set(pairs)
    assert len(set(pairs)) == len(pairs)
    assert (drawn["rating"] == 0).all()
    counts = plays.groupby(["user", "item"])["count"].sum()
    for user in plays["user"].unique():
        liked = sum(counts[user] >= 2)
        left = 20 - len(counts[user])
        assert Counter(drawn["user"])[user] == min(round(negatives * liked), left)
        times = set(seen[(seen["user"] == user) & (seen["rating"] >= 2)]["time"])
        assert set(drawn[drawn["user"] == user]["time"]) <= times


def range_of(number: int) -> pd.Series:
    return pd.Series(range(number), name="item")


def test_negatives_depend_on_the_seed_alone():
    first, again, other = (ratings_from_counts(many(), seed=seed)[0] for seed in (4, 4, 5))
    assert first.equals(again)
    assert not first.equals(other)


def test_negatives_are_uniform():
    """One user had item 0; each of the nine others comes as often, within six deviations."""
    plays = pd.DataFrame({"user": range(9000), "item": 0})
    drawn = ratings_from_counts(plays, items=range_of(10))[0]["item"][9000:]
    counts = Counter(drawn)
    assert set(counts) == set(range(1, 10))
    assert all(abs(count - 1000) < 6 * math.sqrt(1000) for count in counts.values())


@pytest.mark.parametrize("kind", ["log", "counts", "binary"])
def test_the_ratings_make_a_data_set(kind):
    ratings, scale = ratings_from_counts(many(), kind, liked_from=3)
    data = from_frames(ratings, rating_scale=scale)
    values = normalised_ratings(data)
    liked = (values.values > values.threshold).sum()
    counts = many().groupby(["user", "item"])["count"].sum()
    assert liked == (counts >= 3).sum()


def test_own_names():
    plays = PLAYS.rename(columns={"count": "plays", "user": "listener"})
    made, _ = ratings_from_counts(plays, "counts", columns={"user": "listener", "count": "plays"}, negatives=0)
    assert made["rating"].tolist() == [5, 1, 1]
    alone, _ = ratings_from_counts(plays, "counts", columns={"user": "listener", "count": None}, negatives=0)
    assert alone["rating"].tolist() == [2, 1, 1]
    with pytest.raises(ValueError, match="no column for 'count', but 'plays', which is not read"):
        ratings_from_counts(plays, columns={"user": "listener"})


@pytest.mark.parametrize(("column", "value", "message"), [
    ("count", -1, "`interactions`, row 2: count must be a number of at least 0, got -1"),
    ("count", float("nan"), "row 2: count must be"), ("count", float("inf"), "row 2: count must be"),
    ("count", "many", "row 2: count must be a number of at least 0, got 'many'"),
    ("user", None, "row 2: user must be an id"), ("item", None, "row 2: item must be an id")])
def test_wrong_values(column, value, message):
    plays = PLAYS.astype(object)
    plays.loc[2, column] = value
    with pytest.raises(ValueError, match=message):
        ratings_from_counts(plays)


@pytest.mark.parametrize(("frame", "options", "message"), [
    (PLAYS, {"kind": "lgo"}, "did you mean 'log'"), (PLAYS, {"liked_from": 0}, "`liked_from`"),
    (PLAYS, {"liked_from": 6}, "at most the largest count"), (PLAYS, {"negatives": -1}, "`negatives`"),
    (PLAYS, {"items": [None]}, "`items` must be ids"), (PLAYS[:0], {}, "`interactions` must be a frame with rows"),
    (PLAYS.drop(columns="user"), {}, "must have the columns user, item, got item, count, time; missing: user")])
def test_wrong_options(frame, options, message):
    with pytest.raises(ValueError, match=message):
        ratings_from_counts(frame, **options)
