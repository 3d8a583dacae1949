"""Logged ratings against a walk over a dictionary; planted tastes against what the KG says, pair by pair."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from kgrl.datasets import SyntheticKGRec
from kgrl.simulator import PlantedFeedback, RatedFeedback, Simulator, feedback_models

USERS, ITEMS = 6, 8


def dataset(ratings: dict[tuple[int, int], float], scale: tuple[float, float, float]) -> HeteroData:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    edges = data["user", "rates", "item"]
    edges.edge_index = torch.tensor(list(ratings), dtype=torch.long).T.reshape(2, -1)
    edges.rating = torch.tensor(list(ratings.values()))
    data.rating_scale = scale
    return data


pairs = st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1))
tables = st.dictionaries(pairs, st.sampled_from([1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]), min_size=1)


@pytest.mark.parametrize("cells", [USERS * ITEMS, USERS * ITEMS - 1])
@given(tables, st.sampled_from([(1.0, 5.0, 3.5), (0.0, 5.0, 3.5), (1.0, 10.0, 5.0)]), st.sampled_from([3.0, 2.25]))
@settings(max_examples=60, deadline=None)
def test_equals_a_dictionary(cells: int, ratings: dict, scale: tuple[float, float, float], above: float) -> None:
    with mock.patch.object(feedback_models, "CELLS", cells):  # from the table of all pairs, and by binary search
        feedback = RatedFeedback(dataset(ratings, scale), relevant_above=above)
    assert (feedback.table is not None) == (cells == USERS * ITEMS)
    low, high, _ = scale
    pairs = [(u, i) for u in range(USERS) for i in range(ITEMS)]
    users, items = torch.tensor(pairs).T
    got = feedback.react(users, items)
    normalised = [2 * (ratings[p] - low) / (high - low) - 1 if p in ratings else 0.0 for p in pairs]
    torch.testing.assert_close(got.feedback, torch.tensor(normalised))
    hits = [p in ratings and ratings[p] > above for p in pairs]
    assert got.positive.tolist() == hits
    exact = [(2 * ratings[p] > low + high) - (2 * ratings[p] < low + high) if p in ratings else 0 for p in pairs]
    assert got.streak.tolist() == exact
    assert torch.equal(feedback(users, items), got.feedback)
    nowhere = feedback.react(torch.tensor([0, USERS - 1, 2]), torch.tensor([-1, -1, ITEMS]))
    assert not nowhere.feedback.any()
    assert not nowhere.positive.any()
    everyone = torch.arange(USERS)
    assert torch.equal(feedback.rows(everyone), got.feedback.view(USERS, ITEMS))
    relevant = [sum(hits[u * ITEMS : (u + 1) * ITEMS]) for u in range(USERS)]
    assert feedback.num_relevant(everyone).tolist() == relevant
    some = torch.tensor([3, 0, 3])
    assert torch.equal(feedback.rows(some), feedback.rows(everyone)[some])
    torch.testing.assert_close(feedback.mean_feedback(some), feedback.rows(some).mean(0))


@pytest.mark.parametrize("cells", [0, feedback_models.CELLS])
def test_takes_over_another_worlds_state(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its most active user has more ratings than one's own."""
    monkeypatch.setattr(feedback_models, "CELLS", cells)
    few = dataset({(user, user): 4.0 for user in range(6)} | {(5, 7): 4.0, (4, 7): 2.0}, (1.0, 5.0, 3.0))
    many = dataset({(0, item): 5.0 for item in range(8)}, (1.0, 5.0, 3.0))
    world, other = RatedFeedback(few), RatedFeedback(many)
    world.load_state_dict(other.state_dict())
    assert torch.equal(world.rows(torch.arange(USERS)), other.rows(torch.arange(USERS)))
    every = torch.arange(ITEMS)
    assert torch.equal(world(torch.zeros_like(every), every), torch.ones(ITEMS))


def test_a_world_of_ones_own_may_make_other_rows() -> None:
    """They are made when they are asked for, and not from within the constructor of the class they derive from."""
    class Halved(RatedFeedback):
        def __init__(self, data: HeteroData) -> None:
            super().__init__(data)
            self.scale = 0.5

        def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
            return super().forward(users, items) * self.scale

        def rows(self, users: torch.Tensor) -> torch.Tensor:
            return super().rows(users) * self.scale

    world = Simulator(Halved(dataset({(0, 1): 5.0, (2, 3): 1.0}, (1.0, 5.0, 3.0))), horizon=2)
    assert world.feedback(torch.tensor([0, 2, 2]), torch.tensor([1, 3, 1])).tolist() == [0.5, -0.5, 0.0]


def test_middling_rating_is_positive_feedback_and_no_hit(device: torch.device) -> None:
    """TPGR's demo: 3.0 on the scale 0 to 5 counts in the streak, and is not relevant; unrated ends both streaks."""
    data = dataset({(0, 1): 3.0, (0, 2): 4.0, (0, 3): 1.0}, (0.0, 5.0, 3.5))
    simulator = Simulator(RatedFeedback(data), eta=1.0, horizon=5).to(device)
    sessions = simulator.play(torch.tensor([0]), torch.tensor([[1, 2, 0, 3, 4]], device=device))
    torch.testing.assert_close(sessions.feedback.cpu(), torch.tensor([[0.2, 0.6, 0.0, -0.6, 0.0]]))
    torch.testing.assert_close(sessions.rewards.cpu(), torch.tensor([[0.2, 1.6, 2.0, -0.6, -1.0]]))
    assert sessions.positive.tolist() == [[False, True, False, False, False]]
    assert sessions.streak.tolist() == [[1, 1, 0, -1, 0]]
    assert simulator.num_relevant(torch.tensor([0, 1])).tolist() == [1, 0]


def test_last_pair_of_the_last_user_and_a_user_without_ratings() -> None:
    feedback = RatedFeedback(dataset({(0, 0): 5.0}, (1.0, 5.0, 3.5)))
    last = torch.tensor([USERS - 1])
    assert feedback(last, torch.tensor([ITEMS - 1])).tolist() == [0.0]  # beyond every key
    assert feedback.rows(last).tolist() == [[0.0] * ITEMS]


@pytest.mark.parametrize(("above", "scale"), [(3.0, (0.0, 1.0, 0.5)), (5.0, (1.0, 5.0, 3.5)), (0.5, (1.0, 5.0, 3.5))])
def test_refuses_a_relevance_outside_the_scale(above: float, scale: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"`relevant_above`.*raw scale"):
        RatedFeedback(dataset({(0, 1): scale[1]}, scale), relevant_above=above)


def test_refuses_two_ratings_of_one_pair() -> None:
    data = dataset({(0, 1): 3.0, (4, 2): 4.0, (5, 3): 1.0}, (1.0, 5.0, 3.5))
    data["user", "rates", "item"].edge_index[:, 2] = torch.tensor([4, 2])
    with pytest.raises(ValueError, match="several of user 4 for item 2"):
        RatedFeedback(data)


@pytest.mark.parametrize("bad", [0.5, 5.5, float("nan")])
def test_refuses_ratings_outside_the_scale(bad: float) -> None:
    data = dataset({(0, 1): 3.0, (4, 2): 4.0}, (1.0, 5.0, 3.5))
    data["user", "rates", "item"].rating[1] = bad
    with pytest.raises(ValueError, match=r"`rating\[1\]`.*user 4, item 2"):
        RatedFeedback(data)


def test_refuses_data_without_ratings_or_scale() -> None:
    data = dataset({(0, 1): 3.0}, (1.0, 5.0, 3.5))
    del data["rating_scale"]
    with pytest.raises(ValueError, match="rating_scale"):
        RatedFeedback(data)
    with pytest.raises(ValueError, match="`data` must be a data set"):
        RatedFeedback(HeteroData())


@pytest.fixture(scope="module")
def demo(shared: Path) -> HeteroData:
    """The rating file that TPGR's authors ship, on their scale."""
    path = shared / "tpgr-demo" / "demo_data"
    if not path.is_file():
        pytest.skip("the TPGR demo file is not here")
    users, items, rating = torch.from_numpy(np.loadtxt(path, dtype=np.float32)).T
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 500, 100
    data["user", "rates", "item"].edge_index = torch.stack([users, items]).long()
    data["user", "rates", "item"].rating = rating
    data.rating_scale = (0.0, 5.0, 3.5)
    return data


def test_tpgr_demo_has_middling_ratings_that_are_no_hits(demo: HeteroData) -> None:
    users, items = demo["user", "rates", "item"].edge_index
    feedback, positive, streak = RatedFeedback(demo).react(users, items)
    assert int((~positive & (streak == 1)).sum()) == 5176
    assert int(RatedFeedback(demo).num_relevant(torch.arange(500)).sum()) == int(positive.sum())
    assert feedback.min() == -0.8
    assert feedback.max() == 1


def test_tpgr_demo_bounds(demo: HeteroData) -> None:
    """Measured beforehand by another program on the authors' split."""
    world = Simulator(RatedFeedback(demo), eta=0.0, horizon=32)
    bounds = world.bounds(torch.arange(400, 500), torch.arange(400))
    best, top, low = (bounds.metrics(line) for line in ("best fixed list", "all-knowing", "random"))
    assert best == pytest.approx({"reward": 0.337, "precision": 0.582, "recall": 0.501, "f1": 0.501}, abs=6e-4)
    # 0.606, not the 0.596 of a list of rated items alone: an unrated item (0) is better than a disliked one
    assert top["reward"] == pytest.approx(0.606375, abs=1e-6)
    assert top["precision"] == pytest.approx(0.833, abs=6e-4)
    assert low["reward"] == pytest.approx(0.178, abs=0.02)
    assert low["precision"] == pytest.approx(0.397, abs=0.02)


PLANTED_USERS, PLANTED_ITEMS = 30, 60


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return SyntheticKGRec(tmp_path_factory.mktemp("planted"), num_users=PLANTED_USERS, num_items=PLANTED_ITEMS,
                          num_attributes=6, ratings_per_user=12, tastes_per_user=2, num_distractors=3)[0]


def test_feedback_is_what_the_kg_says(data, device):
    attributes = [set() for _ in range(PLANTED_ITEMS)]
    for item, entity in data["item", "has_attribute", "entity"].edge_index.T.tolist():
        attributes[item].add(entity)
    feedback = PlantedFeedback(data).to(device)
    rows = feedback.rows(torch.arange(PLANTED_USERS, device=device))
    for user, taste in enumerate(data["user"].taste.tolist()):
        assert len(set(taste)) == 2
        assert rows[user].tolist() == [1.0 if set(taste) & attributes[item] else -1.0 for item in range(PLANTED_ITEMS)]
    users, items = torch.cartesian_prod(torch.arange(PLANTED_USERS), torch.arange(PLANTED_ITEMS)).T.to(device)
    assert torch.equal(feedback(users, items), rows.flatten())
    assert torch.equal(feedback.rows(torch.tensor([4, 2], device=device)), rows[[4, 2]])
    assert torch.equal(feedback.react(users, items).positive, rows.flatten() > 0)


def test_the_world_is_as_good_as_is_known(data, device):
    """Twenty items are liked by each user: ten steps of liked ones, and streaks of 0 to 9 before them."""
    world = Simulator(PlantedFeedback(data), eta=0.1, horizon=10).to(device)
    users = torch.arange(PLANTED_USERS, device=device)
    assert world.feedback.num_relevant(users).tolist() == [20] * PLANTED_USERS
    assert world.bounds(users, users).metrics("all-knowing")["reward"] == pytest.approx(1 + 0.1 * 9 / 2)


def test_data_without_planted_tastes_are_refused(data):
    for node, name in (("user", "taste"), ("item", "attribute")):
        other = data.clone()
        del other[node][name]
        with pytest.raises(ValueError, match=rf"with data\['{node}'\].{name}, got \[.*; SyntheticKGRec makes such"):
            PlantedFeedback(other)
