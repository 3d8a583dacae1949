"""What the network makes of a session, with and without the streak's extras."""

from __future__ import annotations

import torch

from kgrl.agents.q_network import QNetwork, StreakHead
from kgrl.sessions import Sessions


def network(streak_state: bool, taste_channels: int = 0) -> QNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return QNetwork(torch.randn(9, 4), num_items=9, encoder=None, item_channels=4, state_channels=5,
                        streak_state=streak_state, taste_channels=taste_channels)


def past() -> Sessions:
    """Two likes in a row, two dislikes in a row, nothing yet; a horizon of four."""
    return Sessions.from_history([[0, 1], [2, 3, 4, 5], []], [[1.0, 1.0], [1.0, 1.0, -1.0, -1.0], []])


def test_the_state_is_the_gru_of_the_liked_items():
    net, sessions = network(streak_state=False), past()
    liked = torch.tensor([[0, 1], [2, 3], [-1, -1]])
    torch.testing.assert_close(net.states(net.view(), sessions), net.state(net.embedding, liked))


def test_the_extras_are_streaks_and_step():
    net, sessions = network(streak_state=True), past()
    extras = net.states(net.view(), sessions)[:, 5:] * sessions.horizon**0.5
    torch.testing.assert_close(extras, torch.tensor([[2.0, 0, 2], [0, 2, 4], [0, 0, 0]]))


def test_the_streak_adds_the_same_to_every_item():
    net, sessions = network(streak_state=True), past()
    assert isinstance(net.head, StreakHead)
    state, vectors = net.states(net.view(), sessions), net.vectors()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    with_streak = net.head(state, vectors, index, batch).view(3, 9)
    with torch.no_grad():
        net.head.streak.weight.add_(torch.tensor([[1.0, 10.0, 100.0]]))
    added = net.head(state, vectors, index, batch).view(3, 9) - with_streak
    torch.testing.assert_close(added, (torch.tensor([[2 + 200.0], [20 + 400.0], [0.0]]) / 2).expand(3, 9))


def test_taste_stands_between_the_gru_and_the_extras():
    net, sessions = network(streak_state=True, taste_channels=2), past()
    plain = network(streak_state=True)
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if name in plain.state_dict()
                           and value.shape == plain.state_dict()[name].shape}, strict=False)
    state = net.states(net.view(), sessions)
    torch.testing.assert_close(state[:, [0, 1, 2, 3, 4, 7, 8, 9]], plain.states(plain.view(), sessions))
    torch.testing.assert_close(state[:, 5:7], net.taste(net.embedding, sessions.items, sessions.feedback))


def test_q_is_the_expected_feedback_and_the_head():
    """With a view of all items or without, and the expected feedback is that of the taste state's formula."""
    net, sessions = network(streak_state=True, taste_channels=2), past()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    for project in (True, False):
        view = net.view(project)
        state = net.states(view, sessions)
        expected = net.taste.expected(net.embedding).squeeze(1) + state[:, 5:7] @ net.taste.loading(net.embedding).T
        head = net.head(state, net.embedding, index, batch)
        torch.testing.assert_close(net.values(state, view, index, batch), head + expected.flatten())
        torch.testing.assert_close(net.feedback(state, view, index, batch), expected.flatten())
