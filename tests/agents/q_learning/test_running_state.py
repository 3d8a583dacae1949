"""The running GRU states against those computed from the whole sequence."""

from __future__ import annotations

import torch

from kgrl.agents.q_learning.network import QNetwork
from kgrl.agents.q_learning.running_state import RunningState
from kgrl.sessions import Sessions


def network(seed: int = 0) -> QNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return QNetwork(torch.randn(9, 4), num_items=9, encoder=None, item_channels=4, state_channels=5)


def advance(sessions: Sessions, generator: torch.Generator) -> None:
    """One step with random items and random feedback, as a simulator records it."""
    step = sessions.step
    sessions.items[:, step] = torch.randint(9, (len(sessions),), generator=generator)
    sessions.positive[:, step] = torch.rand(len(sessions), generator=generator) < 0.6
    sessions.length += 1
    sessions.step += 1


def test_equals_the_whole_sequence_whatever_is_asked_in_between():
    net, running, generator = network(), RunningState(), torch.Generator().manual_seed(0)
    first, second = (Sessions.empty(torch.arange(7), 10) for _ in range(2))
    view = net.view()
    # steps in a row, the same step twice, other sessions in between, a step left out, another parameter version
    for sessions, steps, other_view in [
        (first, 1, False), (first, 1, False), (first, 0, False), (second, 1, False), (second, 1, False),
        (first, 1, False), (first, 2, False), (first, 1, True), (first, 1, False), (second, 1, False),
    ]:
        for _ in range(steps):
            advance(sessions, generator)
        if other_view:
            net = network(seed=1)
            view = net.view()
        found = running.advance(net, view, sessions)
        torch.testing.assert_close(found, net.state(view.vectors, sessions.liked))
