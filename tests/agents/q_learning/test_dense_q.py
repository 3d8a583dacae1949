"""Q of every session with every item against Q pair by pair."""

from __future__ import annotations

import pytest
import torch

from kgrl.agents.q_learning.dense_q import DenseQ
from kgrl.agents.q_learning.network import QNetwork
from kgrl.nn import TasteTerms
from kgrl.sessions import Sessions

ITEMS = 11


def network(**options) -> QNetwork:
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
    net, past = network(**options).to(device), PAST.to(device)
    view = net.view(project)
    state = net.states(view, past)
    items = torch.arange(ITEMS) if pool is None else torch.tensor(pool)
    places = None if pool is None else items.to(device)
    found = DenseQ(net, net.head, view, places)(state)
    index, batch = items.repeat(3).to(device), torch.arange(3).repeat_interleave(len(items)).to(device)
    torch.testing.assert_close(found, net.values(state, view, index, batch).view(3, -1).detach())
    assert not found.requires_grad


def test_another_head_than_the_networks_own() -> None:
    net, other = network(), network()
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
    net = network()
    with torch.no_grad():
        net.head.advantage.weight.abs_().mul_(sign)
    view = net.view()
    state = net.states(view, PAST)
    index, batch = torch.arange(ITEMS).repeat(3), torch.arange(3).repeat_interleave(ITEMS)
    alone = net.values(state, view, index, batch).view(3, ITEMS)
    torch.testing.assert_close(DenseQ(net, net.head, view)(state), alone.detach())
