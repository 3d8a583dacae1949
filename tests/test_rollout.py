"""The one loop: who chooses what, in which mode, and what is left behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kgrl.rollout import evaluating, rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator


class Recorder(nn.Module):
    """Recommends the items in order, and remembers how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.frozen, self.live = nn.Dropout().eval(), nn.Dropout()
        self.asked: list[tuple[int, bool, bool, bool]] = []
        self.generators: list[torch.Generator] = []

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        training = any(part.training for part in self.modules())
        self.asked.append((sessions.step, explore, training, torch.is_grad_enabled()))
        self.generators.append(generator)
        return torch.full_like(sessions.users, sessions.step)


@pytest.fixture
def feedback() -> PredictedFeedback:
    table = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return PredictedFeedback.from_embeddings(table, torch.eye(9))


@pytest.mark.parametrize("explore", [True, False])
def test_opening_then_agent(feedback: PredictedFeedback, explore: bool, device: torch.device) -> None:
    simulator = Simulator(feedback, 0.1, 3, first=torch.tensor([8, 7])).to(device)
    agent = Recorder().to(device)
    generator = torch.Generator(device).manual_seed(0)
    sessions = rollout(agent, simulator, torch.arange(4), explore, generator)
    assert agent.asked == [(1, explore, False, False), (2, explore, False, False)]
    assert all(each is generator for each in agent.generators)
    assert set(sessions.items[:, 0].tolist()) <= ({7, 8} if explore else {8})
    assert sessions.items[:, 1:].tolist() == [[1, 2]] * 4
    played = simulator.play(torch.arange(4), sessions.items)
    assert torch.equal(sessions.rewards, played.rewards)
    assert sessions.step == 3


def test_without_opening_the_agent_chooses_all(feedback: PredictedFeedback) -> None:
    agent = Recorder()
    sessions = rollout(agent, Simulator(feedback, horizon=3), torch.tensor([2]))
    assert agent.asked == [(step, False, False, False) for step in range(3)]
    assert sessions.items.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("known", [8, 10])
def test_an_agent_over_other_items_is_refused(feedback: PredictedFeedback, known: int) -> None:
    agent, simulator = Recorder(), Simulator(feedback, horizon=3)
    agent.num_items = known
    with pytest.raises(ValueError, match=rf"`agent` must be one over the simulator's 9 items, got '{known} items'"):
        rollout(agent, simulator, torch.tensor([2]))
    agent.num_items = 9
    assert rollout(agent, simulator, torch.tensor([2])).step == 3


def test_every_part_gets_its_mode_back(feedback: PredictedFeedback) -> None:
    agent = Recorder()
    rollout(agent, Simulator(feedback, horizon=2), torch.tensor([0]))
    assert [part.training for part in (agent, agent.live, agent.frozen)] == [True, True, False]
    with pytest.raises(RuntimeError, match="inside"), evaluating(agent):
        raise RuntimeError("inside")
    assert [part.training for part in (agent, agent.live, agent.frozen)] == [True, True, False]


def test_default_generator_is_seeded_and_leaves_the_global_state(feedback: PredictedFeedback) -> None:
    simulator = Simulator(feedback, horizon=2, first=torch.arange(9))
    users = torch.arange(4).repeat(5)
    before = torch.random.get_rng_state()
    one, two = (rollout(Shifted(), simulator, users, explore=True) for _ in range(2))
    assert torch.equal(one.items, two.items)
    assert len(one.items[:, 0].unique()) > 1
    assert torch.equal(before, torch.random.get_rng_state())


class Shifted(nn.Module):
    """Recommends the neighbour of the last item."""

    def act(self, sessions: Sessions, explore: bool, generator: torch.Generator) -> Tensor:
        return (sessions.shown[:, -1] + 1) % 9
