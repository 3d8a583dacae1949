"""What the network makes of a session, with and without the streak's extras."""

from __future__ import annotations

import torch

from kgrl.agents.q_network import QNetwork, StreakHead
from kgrl.sessions import Sessions


def network(streak_state: bool) -> QNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return QNetwork(torch.randn(9, 4), num_items=9, encoder=None, item_channels=4, state_channels=5,
                        streak_state=streak_state)


def past() -> Sessions:
    """Two likes in a row, two dislikes in a row, nothing yet; a horizon of four."""
    return Sessions.from_history([[0, 1], [2, 3, 4, 5], []], [[1.0, 1.0], [1.0, 1.0, -1.0, -1.0], []])


def test_the_state_is_the_gru_of_the_liked_items():
    net, sessions = network(streak_state=False), past()
    liked = torch.tensor([[0, 1], [2, 3], [-1, -1]])
    torch.testing.assert_close(net.states(net.vectors(), sessions), net.state(net.embedding, liked))


def test_the_extras_are_streaks_and_step():
    net, sessions = network(streak_state=True), past()
    extras = net.states(net.vectors(), sessions)[:, 5:] * sessions.horizon**0.5
    torch.testing.assert_close(extras, torch.tensor([[2.0, 0, 2], [0, 2, 4], [0, 0, 0]]))


def test_the_streak_adds_the_same_to_every_item():
    net, sessions = network(streak_state=True), past()
    assert isinstance(net.head, StreakHead)
    state, vectors = net.states(net.vectors(), sessions), net.vectors()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    with_streak = net.head(state, vectors, index, batch).view(3, 9)
    with torch.no_grad():
        net.head.streak.weight.add_(torch.tensor([[1.0, 10.0, 100.0]]))
    added = net.head(state, vectors, index, batch).view(3, 9) - with_streak
    torch.testing.assert_close(added, (torch.tensor([[2 + 200.0], [20 + 400.0], [0.0]]) / 2).expand(3, 9))
