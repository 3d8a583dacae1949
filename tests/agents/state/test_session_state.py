"""``SessionState`` and the histories: batched and step by step, against the layers they are made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kgrl.agents.state.history import KGHistory, SRUHistory
from kgrl.agents.state.session_state import Follower, SessionState
from kgrl.graph import knowledge_graph
from kgrl.nn import KGEncoder, TasteTerms
from kgrl.nn.state.sru import SRU
from kgrl.sessions import Sessions

ITEMS, HORIZON = 9, 6


def sru_history() -> SRUHistory:
    return SRUHistory(torch.randn(ITEMS, 4), channels=5, bins=4, highest=1.5)


def kg_history() -> KGHistory:
    kg = knowledge_graph(torch.stack([torch.arange(ITEMS), ITEMS + torch.arange(ITEMS) % 2]), num_nodes=11, num_items=9)
    encoder = KGEncoder.from_kg(kg, channels=[4, 4, 4], hops=2, aggregator="mean")
    return KGHistory(torch.randn(11, 4), encoder, item_channels=4, channels=5)


HISTORIES: dict[str, Callable[[], torch.nn.Module]] = {"sru": sru_history, "kg": kg_history}


def make(history: str = "sru", taste: bool = True) -> SessionState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        terms = TasteTerms(torch.randn(ITEMS), torch.randn(ITEMS, 3), torch.rand(ITEMS) + 0.1)
        return SessionState(HISTORIES[history](), HORIZON, terms if taste else None)


def played(sessions: int = 7) -> Sessions:
    """Finished sessions with random items and feedback, rewards with a streak term."""
    generator = torch.Generator().manual_seed(1)
    made = Sessions.empty(torch.arange(sessions), HORIZON)
    made.items = torch.stack([torch.randperm(ITEMS, generator=generator)[:HORIZON] for _ in range(sessions)])
    made.feedback = torch.rand(sessions, HORIZON, generator=generator) * 2 - 1
    made.rewards = made.feedback * 1.4
    made.positive, made.streak = made.feedback > 0.2, made.feedback.sign().to(torch.int8)
    made.length[:], made.step = HORIZON, HORIZON
    return made


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("taste", [False, True])
def test_step_by_step_equals_all_at_once(history: str, taste: bool) -> None:
    state, sessions, follower = make(history, taste), played(), Follower()
    whole = state(sessions)
    assert whole.shape == (HORIZON + 1, 7, state.channels)
    growing = Sessions.empty(sessions.users, HORIZON)
    for step in range(HORIZON):
        torch.testing.assert_close(follower.states(state, growing, version=0), whole[step])
        for name, column in growing.tensors().items():
            if column.dim() == 2:
                column[:, step] = getattr(sessions, name)[:, step]
        growing.step += 1
    torch.testing.assert_close(follower.states(state, growing, version=0), whole[HORIZON])


def test_the_follower_starts_anew_for_other_sessions_and_other_weights() -> None:
    state, first, second, follower = make(), played(), played(3), Follower()
    follower.states(state, first, version=0)
    torch.testing.assert_close(follower.states(state, second, version=0), state(second)[-1])
    with torch.no_grad():
        state.history.embedding.add_(1.0)
    torch.testing.assert_close(follower.states(state, second, version=1), state(second)[-1])
    torch.testing.assert_close(follower.states(state, second.before(2), version=1)[:, -3:], state(second)[2][:, -3:])


def test_parts_are_history_status_and_taste() -> None:
    state, sessions = make(), played()
    found = state(sessions)[4]
    torch.testing.assert_close(found[:, 5 + 9 :], state.taste.infer(sessions.items[:, :4], sessions.feedback[:, :4]))
    ups = (sessions.feedback[:, :4] > 0).sum(1) / HORIZON
    torch.testing.assert_close(found[:, 5], ups)
    torch.testing.assert_close(found[:, 8], torch.full((7,), 4 / HORIZON))


def test_the_sru_reads_item_and_one_hot_reward() -> None:
    state, sessions = make(), played()
    history = state.history
    onehot = torch.zeros(7, HORIZON, 4)
    for row in range(7):
        for step in range(HORIZON):  # bins (−1.5, −0.75], (−0.75, 0], (0, 0.75], (0.75, 1.5]
            reward = float(sessions.rewards[row, step])
            onehot[row, step, next(k for k, end in enumerate((-0.75, 0.0, 0.75, 1.5)) if reward <= end)] = 1
    sru: SRU = history.sru
    expected = sru(torch.cat([history.embedding[sessions.items], onehot], 2))
    torch.testing.assert_close(state(sessions)[1:, :, :5], expected.transpose(0, 1))


@pytest.mark.parametrize(("reward", "bin"), [(-1.5, 0), (-1.4, 0), (-0.75, 0), (-0.74, 1), (0.0, 1), (1e-6, 2),
                                             (1.5, 3), (9.0, 3), (-9.0, 0)])
def test_bins_are_half_open_and_clamped(reward: float, bin: int) -> None:
    assert sru_history().bin(torch.tensor([reward])).tolist() == [bin]


def test_the_kg_history_is_the_gru_of_the_liked_items() -> None:
    state, sessions = make("kg"), played()
    history = state.history
    for step in range(HORIZON + 1):
        expected = history.gru(history.vectors(), sessions.before(step).liked)
        torch.testing.assert_close(state(sessions)[step][:, :5], expected)


def test_gradients_reach_the_history_and_the_taste_is_no_parameter() -> None:
    state = make()
    state(played()).square().sum().backward()
    assert state.history.embedding.grad.any()
    assert not any("taste" in name for name, _ in state.named_parameters())
    assert {name for name, _ in state.named_buffers()} == {"taste_expected", "taste_loading", "taste_noise"}
