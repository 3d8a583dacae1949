"""What every feedback model inherits."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.simulator import FeedbackModel, PredictedFeedback, RatedFeedback, Simulator
from kgrl.simulator import feedback as module


@pytest.fixture
def model() -> PredictedFeedback:
    generator = torch.Generator().manual_seed(3)
    user, item = torch.randn(9, 4, generator=generator), torch.randn(17, 4, generator=generator)
    return PredictedFeedback.from_embeddings(user, item, threshold=0.2)


def test_num_relevant_counts_every_item(model: PredictedFeedback, device: torch.device) -> None:
    users = torch.tensor([8, 0, 8, 3])
    slow = [sum(float(model(torch.tensor([u]), torch.tensor([i]))) > 0.2 for i in range(17)) for u in users.tolist()]
    assert model.to(device).num_relevant(users.to(device)).tolist() == slow
    assert model.num_relevant(users.to(device)).tolist() == slow  # kept from the first time
    assert model.relevant.ge(0).sum() == 3  # only who was asked for


def test_num_relevant_forgets_at_new_weights(model: PredictedFeedback) -> None:
    users = torch.arange(9)
    model.num_relevant(users)
    other = PredictedFeedback.from_embeddings(torch.ones(9, 4), torch.ones(17, 4), threshold=0.2)
    model.load_state_dict(other.state_dict())
    assert model.num_relevant(users).tolist() == [17] * 9


def test_chunks_change_nothing(model: PredictedFeedback, monkeypatch: pytest.MonkeyPatch) -> None:
    users = torch.tensor([5, 1, 1, 7])
    mean, counts = model.mean_feedback(users), model.count_relevant(users)
    torch.testing.assert_close(mean, model.rows(users).mean(0))
    monkeypatch.setattr(module, "CPU_CHUNK", 20)  # one user a chunk
    assert [len(part) for part in model.chunks(users)] == [1, 1, 1, 1]
    torch.testing.assert_close(model.mean_feedback(users), mean)
    assert model.num_relevant(users).tolist() == counts.tolist()


@pytest.mark.parametrize("kind", ["predicted", "rated"])
def test_users_are_given_as_a_list_an_array_or_a_mask(model: PredictedFeedback, kind: str) -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes, data.rating_scale = 9, 17, (1.0, 5.0, 3.0)
    data["user", "rates", "item"].edge_index = torch.tensor([[8, 0, 3, 3], [0, 16, 4, 5]])
    data["user", "rates", "item"].rating = torch.tensor([5.0, 4.0, 1.0, 5.0])
    world: FeedbackModel = model if kind == "predicted" else RatedFeedback(data)
    chosen = torch.tensor([0, 3, 8])
    mask = torch.zeros(9, dtype=torch.bool)
    mask[chosen] = True
    for users in ([0, 3, 8], (0, 3, 8), np.array([0, 3, 8]), pd.Series([0, 3, 8]), mask, mask.tolist(), chosen.int()):
        assert torch.equal(world.mean_feedback(users), world.mean_feedback(chosen))
        assert world.num_relevant(users).tolist() == world.num_relevant(chosen).tolist()
    for ask in (world.mean_feedback, world.num_relevant):
        for wrong, what in (([9], "ids from 0 to 8, got 9"), ([-1], "ids from 0 to 8, got -1"), ([], "at least one id"),
                            (mask[:4], "a mask of 9, got 4"), ("all", "a LongTensor"), ([0.5], "a LongTensor")):
            with pytest.raises((TypeError, ValueError), match=f"`users` must be {what}"):
                ask(wrong)


def test_reaction_has_two_classes(model: PredictedFeedback) -> None:
    users, items = torch.arange(9), torch.arange(9)
    feedback, positive, streak = model.react(users, items)
    assert positive.tolist() == [value > 0.2 for value in feedback.tolist()]
    assert streak.tolist() == [1 if value > 0.2 else -1 for value in feedback.tolist()]
    assert positive.any()
    assert not positive.all()


def test_copies_and_pickles(model: PredictedFeedback) -> None:
    users = torch.arange(9)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.rows(users), model.rows(users))


class Own(FeedbackModel):
    """Six users, five items, and what each method says of them."""

    def __init__(self, rows, pairs):
        super().__init__(6, 5)
        self.says = rows, pairs

    def rows(self, users):
        return self.says[0](users)

    def forward(self, users, items):
        return self.says[1](users, items)


VALUES = torch.linspace(-1, 1, 30).view(6, 5)


@pytest.mark.parametrize(("rows", "pairs", "text"), [
    (lambda u: VALUES[u][:, :4], lambda u, i: VALUES[u, i], r"`Own.rows` must be feedback of shape \[4, 5\] here, got "
     r"\[4, 4\]"),
    (lambda u: VALUES[u], lambda u, i: VALUES[u][:, i], r"`Own.forward` must be feedback of shape \[4\] here, got "
     r"\[4, 4\]"),
    (lambda u: 3 + 2 * VALUES[u], lambda u, i: VALUES[u, i], r"`Own.rows` must be feedback in \[-1, 1\], got \[1.0, .*"
     "normalise maps ratings there"),
    (lambda u: VALUES[u], lambda u, i: VALUES[u, i] + float("nan"), r"`Own.forward` must be feedback in \[-1, 1\]"),
    (lambda u: -VALUES[u], lambda u, i: VALUES[u, i], r"`Own.rows` must be what `forward` says, \[-0.931"),
], ids=["rows' shape", "forward's shape", "ratings", "NaN", "another"])
def test_a_simulator_refuses_what_is_no_feedback(rows, pairs, text) -> None:
    assert Simulator(Own(VALUES.__getitem__, lambda u, i: VALUES[u, i])).num_items == 5
    with pytest.raises(ValueError, match=text):
        Simulator(Own(rows, pairs))


class Table(FeedbackModel):
    """A table of one's own, as users have it."""

    def __init__(self, table):
        super().__init__(*table.shape)
        self.register_buffer("table", table)

    def rows(self, users):
        return self.table[users]

    def forward(self, users, items):
        return self.table[users, items]


@pytest.mark.parametrize("wrong", [float("nan"), 3.0])
@pytest.mark.parametrize("ask", [
    lambda world, users: world.bounds(users, users), lambda world, users: world.num_relevant(users),
    lambda world, users: world.feedback.mean_feedback(users),
    lambda world, users: world.bounds(users[:5], users[5:]), lambda world, users: world.bounds(users[5:], users[:5]),
    lambda world, users: world.play_random(users, torch.Generator().manual_seed(0)),
], ids=["bounds", "relevant", "mean", "of trained on", "of scored", "sessions"])
def test_of_no_user_a_number_is_made_of_what_is_no_feedback(wrong: float, ask) -> None:
    """Also beyond the first users, whom a simulator looks at when it is made."""
    table = VALUES.repeat(2, 1)
    table[9, 2:] = wrong
    world = Simulator(Table(VALUES.repeat(2, 1)), horizon=4)
    world.feedback.table.copy_(table)
    with pytest.raises(ValueError, match=r"must be (feedback|numbers) in \[-1, 1\], got"):
        ask(world, torch.arange(12))
    assert ask(Simulator(Table(VALUES.repeat(2, 1)), horizon=4), torch.arange(12)) is not None


def test_unknown_cells_are_told_what_to_be() -> None:
    table = VALUES.masked_fill(VALUES > 0.9, float("nan"))
    with pytest.raises(ValueError, match="what is not known needs a number, too, e.g. 0"):
        Simulator(Table(table))


def test_an_unknown_cell_is_found_where_the_simulator_is_made() -> None:
    table = VALUES.repeat(2, 1)
    table[9, 2] = torch.nan
    with pytest.raises(ValueError, match=r"`Table.table` must be a number .*user 9, item 2"):
        Simulator(Table(table))


def test_the_taste_share_at_a_glance_is_that_of_the_bounds() -> None:
    table, users = torch.rand(40, 30, generator=torch.Generator().manual_seed(0)), torch.arange(40)
    world = Simulator(Table(table), horizon=5)
    assert abs(world.taste_share(users, users) - world.bounds(users, users).taste_share) < 0.1
    alike = Simulator(Table(torch.linspace(-1, 1, 30).repeat(40, 1)), horizon=5)
    assert abs(alike.taste_share(users, users)) < 1e-6


@pytest.mark.parametrize(("user", "item"), [(torch.nan, 1.0), (1e30, 1.0), (1.0, torch.inf)])
def test_factors_that_make_no_feedback_are_refused(user: float, item: float) -> None:
    with pytest.raises(ValueError, match="`(user|item)` must be finite"):
        PredictedFeedback.from_embeddings(torch.full((3, 2), user), torch.full((4, 2), item))


def test_a_model_that_is_in_two_places_is_refused() -> None:
    model = Table(VALUES)
    model.register_buffer("elsewhere", torch.empty(2, device="meta"))
    with pytest.raises(ValueError, match=r"`feedback` must be on one device, got \['cpu', 'meta'\]; .*`device`"):
        Simulator(model)


def test_what_a_model_counts_is_where_its_tensors_are() -> None:
    """On a GPU, where worlds are fitted and made; here, on the device that has shapes alone."""
    assert FeedbackModel(3, 2, device="meta").relevant.device.type == "meta"
