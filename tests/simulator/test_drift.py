"""Feedback that moves: satiation against a slow loop over one user at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.sessions import Sessions
from kgrl.simulator import Drift, PredictedFeedback, RatedFeedback, Satiation, Simulator
from tests.simulator.test_leaving import HORIZON, ITEMS, USERS, kinds, padded, world


@given(seed=st.integers(0, 10**6), strength=st.sampled_from([0.0, 0.5, 2.0]), retention=st.sampled_from([0.0, 0.5]))
@settings(max_examples=50, deadline=None)
def test_satiation_is_that_of_one_user_at_a_time(seed: int, strength: float, retention: float) -> None:
    feedback, table = world(seed)
    categories = kinds(seed)
    if not any(categories):
        return
    simulator = Simulator(feedback, horizon=HORIZON, drift=Satiation(padded(categories), strength, retention))
    items = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :HORIZON]
    sessions = simulator.play(torch.arange(USERS), items)
    for user in range(USERS):
        satiation = dict.fromkeys(range(5), 0.0)
        for step, item in enumerate(items[user].tolist()):
            levels = [satiation[category] for category in categories[item]]
            mean = sum(levels) / len(levels) if levels else 0.0
            now = max(-1.0, float(table[user, item]) - strength * mean)
            assert float(sessions.feedback[user, step]) == pytest.approx(now, abs=1e-6)
            assert bool(sessions.positive[user, step]) == (float(sessions.feedback[user, step]) > 0)
            assert int(sessions.streak[user, step]) == (1 if sessions.positive[user, step] else -1)
            satiation = {category: retention * (level + (category in categories[item]))
                         for category, level in satiation.items()}


def test_satiation_by_hand_and_its_recovery(device: torch.device) -> None:
    """The second of a kind loses λρ = 0.25, one more 0.375; after one of another kind, less again."""
    kind = torch.tensor([0, 0, 0, 1, 0], device=device)
    simulator = Simulator(PredictedFeedback.from_embeddings(torch.ones(1, 1, device=device),
                                                            torch.full((5, 1), 0.8, device=device)),
                          horizon=5, drift="satiation", categories=kind)
    sessions = simulator.play(torch.tensor([0]), torch.arange(5, device=device)[None])
    expected = torch.tensor([[0.8, 0.8 - 0.25, 0.8 - 0.375, 0.8, 0.8 - 0.21875]])
    torch.testing.assert_close(sessions.feedback.cpu(), expected)


class Warmer(Drift):
    """A drift of one's own: everything is liked better by the step, beyond what feedback can be."""

    def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor:
        return feedback + sessions.length.unsqueeze(1)


def test_a_drift_of_ones_own_is_kept_in_range() -> None:
    feedback, table = world(1)
    sessions = Simulator(feedback, horizon=3, drift=Warmer).play(torch.arange(2), torch.tensor([[0, 1, 2], [3, 4, 5]]))
    torch.testing.assert_close(sessions.feedback[:, 1], (table[[0, 1], [1, 4]] + 1).clamp(-1, 1))
    assert (sessions.feedback[:, 2] == 1).all()


def test_a_world_that_counts_feedback_its_own_way_is_refused() -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes, data.rating_scale = 1, 2, (1.0, 5.0, 3.5)
    data["user", "rates", "item"].edge_index = torch.tensor([[0, 0], [0, 1]])
    data["user", "rates", "item"].rating = torch.tensor([4.0, 1.0])
    with pytest.raises(ValueError, match="leaves `react` to FeedbackModel where there is a drift, got 'RatedFeedback'"):
        Simulator(RatedFeedback(data), drift=Warmer)


@pytest.mark.parametrize("answer", [torch.zeros(2), torch.zeros(2, 3, dtype=torch.long), None])
def test_a_drift_that_answers_something_else_is_named(answer: Tensor | None) -> None:
    class Wrong(Drift):
        def forward(self, feedback: Tensor, sessions: Sessions, items: Tensor) -> Tensor | None:
            return answer

    with pytest.raises(ValueError, match=r"`drift` must be a rule that says real numbers \[B, M\]"):
        Simulator(world(0)[0], drift=Wrong())


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"drift": "satiate"}, ValueError, "`drift` must be a known name.*did you mean 'satiation'"),
    ({"drift": "satiation"}, TypeError, "`categories` must be the items' categories"),
    ({"drift": Satiation(torch.zeros(3, dtype=torch.long))}, ValueError, "got 'of 3 items'"),
])
def test_wrong_options_are_named(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Simulator(world(0)[0], **options)


@pytest.mark.parametrize("options", [{"strength": -1.0}, {"strength": 3.0}, {"retention": 1.0}, {"retention": -0.1}])
def test_options_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
        Satiation(torch.zeros(3, dtype=torch.long), **options)
