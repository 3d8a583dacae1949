"""What the network makes of a session, with and without the streak's extras; Q of all pairs against pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgrl.agents.q_learning.network import DenseQ, QNetwork
from kgrl.nn import TasteTerms
from kgrl.nn.policy.dueling import StreakHead
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
    torch.testing.assert_close(net.states(net.view(), sessions), net.state.recurrent.gru(net.items(), liked))


def test_the_extras_are_streaks_and_step():
    net, sessions = network(streak_state=True), past()
    extras = net.states(net.view(), sessions)[:, 5:] * 32**0.5
    torch.testing.assert_close(extras, torch.tensor([[2.0, 0, 2], [0, 2, 4], [0, 0, 0]]))


def test_the_streak_adds_the_same_to_every_item():
    net, sessions = network(streak_state=True), past()
    assert isinstance(net.head, StreakHead)
    state, vectors = net.states(net.view(), sessions), net.items()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    with_streak = net.head(state, vectors, index, batch).view(3, 9)
    with torch.no_grad():
        net.head.streak.weight.add_(torch.tensor([[1.0, 10.0, 100.0]]))
    added = net.head(state, vectors, index, batch).view(3, 9) - with_streak
    counted = torch.tensor([[2 + 200.0], [20 + 400.0], [0.0]])
    torch.testing.assert_close(added, (counted / 32**0.5).expand(3, 9))


def test_a_state_is_that_of_the_session_whatever_its_room():
    """A real user's past has no steps to come, a simulated session has; neither depends on who else is in the batch."""
    net, together = network(streak_state=True, taste_channels=2), past()
    room = Sessions.empty(torch.zeros(3, dtype=torch.long), 40)
    for name in ("items", "feedback", "rewards", "positive", "streak"):
        getattr(room, name)[:, :4] = getattr(together, name)
    room.length, room.step = together.length, 4
    with torch.no_grad():
        states = net.states(net.view(), together)
        torch.testing.assert_close(net.states(net.view(), room), states)
        for row, alone in enumerate([([0, 1], [1.0, 1.0]), ([2, 3, 4, 5], [1.0, 1.0, -1.0, -1.0]), ([], [])]):
            found = net.states(net.view(), Sessions.from_history([alone[0]], [alone[1]]))
            torch.testing.assert_close(found[0], states[row])


def test_taste_stands_between_the_gru_and_the_extras():
    net, sessions = network(streak_state=True, taste_channels=2), past()
    plain = network(streak_state=True)
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if name in plain.state_dict()
                           and value.shape == plain.state_dict()[name].shape}, strict=False)
    state = net.states(net.view(), sessions)
    torch.testing.assert_close(state[:, [0, 1, 2, 3, 4, 7, 8, 9]], plain.states(plain.view(), sessions))
    torch.testing.assert_close(state[:, 5:7], net.taste(net.items.embedding, sessions.items, sessions.feedback))


def test_q_is_the_expected_feedback_and_the_head():
    """With a view of all items or without, and the expected feedback is that of the taste state's formula."""
    net, sessions = network(streak_state=True, taste_channels=2), past()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    for project in (True, False):
        view = net.view(project)
        state = net.states(view, sessions)
        vectors = net.items.embedding
        expected = net.taste.expected(vectors).squeeze(1) + state[:, 5:7] @ net.taste.loading(vectors).T
        head = net.head(state, net.items.embedding, index, batch)
        torch.testing.assert_close(net.values(state, view, index, batch), head + expected.flatten())
        torch.testing.assert_close(net.feedback(state, view, index, batch), expected.flatten())


def test_what_all_items_have_in_common_is_least_squares_of_the_extras():
    """Against NumPy, for values that are linear in the extras but for noise."""
    net = network(streak_state=True)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(500, 8, generator=generator)
    values = state[:, 5:] @ torch.tensor([0.5, -0.4, 0.1]) + 2 + 0.1 * torch.randn(500, generator=generator)
    net.head.fit_common(state, values)
    inputs = np.concatenate([state[:, 5:].numpy(), np.ones((500, 1))], 1)
    found = np.linalg.lstsq(inputs, values.numpy(), rcond=None)[0]
    torch.testing.assert_close(net.head.streak.weight[0], torch.from_numpy(found[:3]).float(), atol=1e-3, rtol=1e-3)
    assert net.head.value[-1].bias.item() == pytest.approx(found[3], abs=1e-3)


def test_extras_that_never_moved_are_no_obstacle():
    net = network(streak_state=True)
    state = torch.zeros(50, 8)
    net.head.fit_common(state, torch.full((50,), 0.7))
    assert net.head.value[-1].bias.item() == pytest.approx(0.7, abs=1e-3)
    assert torch.equal(net.head.streak.weight, torch.zeros(1, 3))


@pytest.mark.parametrize("streak_state", [False, True])
def test_with_tastes_to_start_from_q_is_the_feedback_expected(streak_state):
    tastes = TasteTerms(torch.linspace(-1, 1, 9), torch.randn(9, 2, generator=torch.Generator().manual_seed(1)),
                        torch.full((9,), 0.3))
    net = QNetwork(torch.randn(9, 4), num_items=9, encoder=None, item_channels=4, state_channels=5,
                   streak_state=streak_state, taste_channels=2, start=tastes)
    sessions = past()
    index, batch = torch.arange(9).repeat(3), torch.arange(3).repeat_interleave(9)
    expected = tastes.predict(tastes.infer(sessions.shown, sessions.feedback), index, batch)
    for project in (True, False):
        view = net.view(project)
        torch.testing.assert_close(net.values(net.states(view, sessions), view, index, batch), expected)


ITEMS = 11


def random_network(**options) -> QNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return QNetwork(torch.randn(ITEMS, 4), ITEMS, None, 4, state_channels=5, hidden_channels=7, **options)


START = TasteTerms(torch.linspace(-1, 1, ITEMS), torch.linspace(1, 2, 2 * ITEMS).view(-1, 2), torch.ones(ITEMS))
PAST = Sessions.from_history([[0, 1], [2, 3, 4, 5], []], [[1.0, 0.2], [1.0, 0.7, -1.0, -0.4], []])


@pytest.mark.parametrize("options", [{}, {"streak_state": True}, {"taste_channels": 2},
                                     {"streak_state": True, "taste_channels": 3},
                                     {"taste_channels": 2, "start": START}])
@pytest.mark.parametrize("project", [True, False])
@pytest.mark.parametrize("pool", [None, [7, 2, 9, 0]])
def test_every_pair_has_the_q_it_has_alone(options, project, pool, device) -> None:
    net, past = random_network(**options).to(device), PAST.to(device)
    view = net.view(project)
    state = net.states(view, past)
    items = torch.arange(ITEMS) if pool is None else torch.tensor(pool)
    places = None if pool is None else items.to(device)
    found = DenseQ(net, net.head, view, places)(state)
    index, batch = items.repeat(3).to(device), torch.arange(3).repeat_interleave(len(items)).to(device)
    torch.testing.assert_close(found, net.values(state, view, index, batch).view(3, -1).detach())
    assert not found.requires_grad


def test_another_head_than_the_networks_own() -> None:
    net, other = random_network(), random_network()
    with torch.no_grad():
        for parameter in other.head.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    view = net.view(project=False)
    state = net.states(view, PAST)
    index, batch = torch.arange(ITEMS).repeat(3), torch.arange(3).repeat_interleave(ITEMS)
    alone = net.values(state, view, index, batch, head=other.head).view(3, ITEMS)
    torch.testing.assert_close(DenseQ(net, other.head, view)(state), alone.detach())


@pytest.mark.parametrize("sign", [-1, 1])
def test_all_hidden_units_may_weigh_alike(sign: int) -> None:
    net = random_network()
    with torch.no_grad():
        net.head.advantage.weight.abs_().mul_(sign)
    view = net.view()
    state = net.states(view, PAST)
    index, batch = torch.arange(ITEMS).repeat(3), torch.arange(3).repeat_interleave(ITEMS)
    alone = net.values(state, view, index, batch).view(3, ITEMS)
    torch.testing.assert_close(DenseQ(net, net.head, view)(state), alone.detach())
