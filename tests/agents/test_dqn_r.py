"""DQN-R: KGQR without its graph, and one learning step against formulas worked out by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from kgrl.agents import DQNR, KGQR
from kgrl.graph import knowledge_graph
from kgrl.rollout import rollout
from tests.agents.planted_items import ITEMS, USERS, predicted, vectors
from tests.agents.q_learning.test_kgqr_step import STEPS, by_hand_values, head_of, transitions

# ----------------------------------------------------------------------------------------------- against KGQR-KG


@pytest.mark.parametrize("options", [{}, {"taste_channels": 2, "streak_state": True, "target": "all"}])
def test_is_kgqr_without_candidates_convolution_and_graph(options) -> None:
    """The same start, the same decisions and the same weights after learning from the same sessions."""
    options = {"state_channels": 8, "hidden_channels": 16, "gradient_steps": 5, "horizon": 6, "seed": 3, **options}
    kg = knowledge_graph(torch.tensor([[0], [ITEMS]]), num_nodes=ITEMS + 1, num_items=ITEMS)
    kgqr = KGQR(kg, embedding=vectors(), variant="KGQR-KG", embedding_lr=1e-3, **options)
    dqn = DQNR(vectors(), embedding_lr=1e-3, **options)
    world, users = predicted(), torch.arange(USERS)
    for _ in range(3):
        sessions = rollout(dqn, world, users)
        assert torch.equal(rollout(kgqr, world, users).items, sessions.items)
        reports = [agent.learn(sessions, torch.Generator().manual_seed(0)) for agent in (kgqr, dqn)]
        assert reports[0] == pytest.approx(reports[1])
    for (name, value), other in zip(dqn.state_dict().items(), kgqr.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, msg=lambda text, name=name: f"{name}: {text}")


# ------------------------------------------------------------------------------------------- the step, by hand


def small_agent(**options) -> DQNR:
    start = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    given = {"state_channels": 2, "hidden_channels": 3, "gamma": 0.7, "lr": 0.01, "tau": 0.25, "average": 0.0,
             "seed": 2}
    agent = DQNR(start, **(given | options))
    with torch.no_grad():  # the target must differ from the online head, or no test could tell them apart
        for parameter in agent.target.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return agent


def by_hand_targets(agent: DQNR, weights: dict[str, Tensor]) -> Tensor:
    vectors, target = list(weights["items.embedding"]), dict(agent.target.named_parameters())
    expected = []
    for step in STEPS:
        y = torch.tensor(step["reward"])
        if not step["last"]:
            values = {i: by_hand_values(weights, vectors, step, "after", i, head_of(weights))[0] for i in step["left"]}
            picked = max(values, key=lambda i: values[i].item())
            y = y + 0.7 * by_hand_values(weights, vectors, step, "after", picked, target)[0]
        expected.append(y.detach())
    return torch.stack(expected)


@pytest.mark.parametrize("taste_channels", [0, 2])
def test_targets_are_those_of_double_q_learning(taste_channels) -> None:
    agent = small_agent(taste_channels=taste_channels)
    found = agent._targets(agent.network.view(project=False), transitions(), None)
    torch.testing.assert_close(found, by_hand_targets(agent, dict(agent.network.named_parameters())))
    assert found[1] == -0.4  # nothing is bootstrapped from beyond the end


@pytest.mark.parametrize("taste_channels", [0, 2])
def test_one_gradient_step_is_the_hand_computed_one(taste_channels) -> None:
    agent = small_agent(taste_channels=taste_channels)
    weights = dict(copy.deepcopy(agent.network).named_parameters())
    losses = []
    for step, y in zip(STEPS, by_hand_targets(agent, weights), strict=True):
        q, feedback = by_hand_values(weights, list(weights["items.embedding"]), step, "before", step["item"],
                                     head_of(weights))
        losses.append((q - y) ** 2 + ((feedback - step["feedback"]) ** 2 if taste_channels else 0))
    loss = sum(losses) / len(losses)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    torch.testing.assert_close(agent._gradient_step(transitions(), None)[0], loss.detach())
    for (name, value), gradient in zip(agent.network.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(value.grad, gradient, msg=lambda text, name=name: f"{name}: {text}")
        first_adam_step = 0.01 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value.detach(), weights[name].detach() - first_adam_step, atol=1e-6, rtol=1e-4)


def test_a_pool_limits_what_may_follow() -> None:
    """The last of the steps has items 0 and 2 left; the others 2, which is not in the pool, or nothing."""
    agent = small_agent(pool=torch.tensor([1, 0]))
    weights = dict(agent.network.named_parameters())
    target = dict(agent.target.named_parameters())
    follows = by_hand_values(weights, list(weights["items.embedding"]), STEPS[3], "after", 0, target)[0].detach()
    found = agent._targets(agent.network.view(project=False), transitions(), None)
    torch.testing.assert_close(found, torch.tensor([0.9, -0.4, 0.3, 0.5]) + 0.7 * torch.stack([0 * follows] * 3 +
                                                                                              [follows]))
