"""The loop that the agents share: report, target, running average, what a checkpoint holds."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from kgrl.agents.q_learning.learner import OffPolicyAgent
from kgrl.agents.q_learning.network import Outlook, QNetwork
from kgrl.files import below
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from tests.agents.planted_items import AGENTS, USERS, make, predicted
from tests.agents.q_learning.test_kgqr_step import transitions


class Always(OffPolicyAgent):
    """Credits every step with item 2, or with what it is told."""

    def __init__(self, **options) -> None:
        super().__init__({"own": 1}, state_channels=2, hidden_channels=3, **options)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            network = QNetwork(torch.randn(3, 2), 3, None, 2, 2, 3)
        self._begin(network, [network.items.embedding], None)
        self.credited = torch.full((4,), 2)

    def _following(
        self, online: Outlook, delayed: Outlook, sessions: Sessions, generator: torch.Generator | None
    ) -> Tensor:
        return self.credited


def played() -> Sessions:
    sessions = Sessions.from_history([[0, 1, 2], [2]], [[0.5, -0.5, 1.0], [1.0]])
    sessions.rewards.add_(0.25).masked_fill_(sessions.items < 0, 0.0)
    return sessions


@pytest.mark.parametrize("target", ["head", "all"])
def test_targets_are_the_targets_values_of_what_follows(target) -> None:
    agent, batch = Always(target=target, gamma=0.5), transitions()
    with torch.no_grad():
        for parameter in agent.target.parameters():
            parameter.mul_(1.5)
    agent.credited = torch.tensor([2, 0, 1, -1])
    other = agent.target if target == "all" else agent.network
    view = other.view(project=False)
    head = agent.target.head if target == "all" else agent.target
    values = other.values(other.states(view, batch.after), view, torch.tensor([2, 0, 1, 0]), torch.arange(4), head)
    found = agent._targets(agent.network.view(project=False), batch, None)
    torch.testing.assert_close(found, (batch.rewards + 0.5 * values * torch.tensor([1, 0, 1, 0])).detach())
    assert torch.equal(Always(gamma=0.0)._targets(agent.network.view(False), batch, None), batch.rewards)


def test_learning_reports_means_and_goes_through_the_replay() -> None:
    agent, generator = Always(gradient_steps=3, batch_size=4), torch.Generator().manual_seed(0)
    seen: list[Tensor] = []
    step = agent._gradient_step
    agent._gradient_step = lambda batch, generator: seen.append(step(batch, generator)) or seen[-1]
    report = agent.learn(played(), generator)
    assert report == pytest.approx({"loss": float(torch.stack(seen)[:, 0].mean()),
                                    "q": float(torch.stack(seen)[:, 1].mean()), "gradient_steps": 3})
    assert len(agent.replay) == 2
    assert agent.steps_taken == 3
    idle = Always(gradient_steps=0)
    assert idle.learn(played(), generator) == {"loss": 0.0, "q": 0.0, "gradient_steps": 0}


def test_every_step_has_gradients_of_its_own() -> None:
    agent = Always(lr=0.0)
    for _ in range(2):
        agent._gradient_step(transitions(), None)
        once = [parameter.grad.clone() for parameter in agent.network.parameters()]
    again = Always(lr=0.0)
    again._gradient_step(transitions(), None)
    assert all(torch.equal(a, b.grad) for a, b in zip(once, again.network.parameters(), strict=True))


def test_target_and_running_average_follow() -> None:
    agent = Always(tau=0.25, average=0.5)
    old, mean = agent.target.value[0].weight.clone(), agent.averaged.items.embedding.clone()
    for step in range(1, 4):
        agent._gradient_step(transitions(), None)
        old = 0.75 * old + 0.25 * agent.network.head.value[0].weight.detach()
        mean = mean + (agent.network.items.embedding.detach() - mean) / (1 + 0.5 * step)
    torch.testing.assert_close(agent.target.value[0].weight, old)
    torch.testing.assert_close(agent.averaged.items.embedding, mean)
    assert agent.acting is agent.averaged
    assert Always(average=0.0).acting.items.embedding.requires_grad


def test_what_is_known_of_the_items_ends_with_the_weights(device) -> None:
    agent, past = Always(average=0.0).to(device), played().to(device)
    before = agent._look(past)
    assert agent._look(past).view is before.view
    for change in (lambda: agent._gradient_step(moved(device), None),
                   lambda: agent.load_state_dict({k: 2 * v for k, v in agent.state_dict().items()}),
                   lambda: agent.to(torch.float64)):
        change()
        seen = agent._look(past)
        view = agent.network.view()
        torch.testing.assert_close(seen.view.vectors, view.vectors)
        torch.testing.assert_close(seen.state, agent.network.states(view, past).detach())


def moved(device: torch.device):
    batch = transitions()
    return type(batch)(*(part.to(device) for part in batch))


def test_training_goes_on_exactly_from_its_state() -> None:
    one, two = Always(gradient_steps=2, batch_size=4), Always(gradient_steps=2, batch_size=4)
    one.learn(played(), torch.Generator().manual_seed(0))
    state = {name: value.clone() for name, value in one.training_state().items()}
    assert {name.split(".")[0] for name in state} == {"optimizer", "replay", "steps_taken"}
    assert below("replay.", state).keys() >= {"items", "rewards", "length", "next"}
    two.load_state_dict(one.state_dict())
    two.load_training_state(state)
    for agent in (one, two):
        agent.learn(played(), torch.Generator().manual_seed(1))
    for (name, value), other in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_options_are_its_own_and_the_shared_ones() -> None:
    assert Always(epsilon=0.25).options["epsilon"] == [0.25, 0.25]
    assert Always().options["own"] == 1
    for option in ({"lr": 2.0}, {"batch_size": 0}, {"tau": -0.1}, {"average": 1.5}, {"replay_size": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be"):
            Always(**option)


@pytest.mark.parametrize("options", [{}, {"streak_state": True, "taste_channels": 2, "gamma": 0.0}])
@pytest.mark.parametrize("name", AGENTS)
def test_learns_in_mixed_precision_what_it_learns_in_full(name, options, device) -> None:
    """Within what eight bits of mantissa leave; and its decisions are made in mixed precision, too."""
    full = make(name, **options).to(device)
    mixed, world = copy.deepcopy(full), predicted().to(device)
    sessions = rollout(full, world, torch.arange(USERS, device=device))
    reports = []
    for agent, on in ((full, False), (mixed, True)):
        with torch.autocast(device.type, torch.bfloat16, enabled=on):
            reports.append(agent.learn(sessions, torch.Generator(device).manual_seed(0)))
            shown = rollout(agent, world, torch.arange(USERS, device=device)).items
        assert (shown >= 0).all()
    assert reports[1]["loss"] == pytest.approx(reports[0]["loss"], rel=0.1)
    assert all(parameter.dtype == torch.float32 and parameter.isfinite().all() for parameter in mixed.parameters())
