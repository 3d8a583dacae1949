"""KGQR: one learning step against formulas worked out by hand on a world of three items."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from kgrl.agents import KGQR
from kgrl.agents.q_learning.replay import Transitions
from kgrl.graph import knowledge_graph
from kgrl.sessions import Sessions

THREE_ITEMS = torch.tensor([[0, 1, 1, 2], [3, 3, 4, 4]])  # items 0, 1 share entity 3, items 1, 2 share entity 4
NEIGHBOURS = {0: [3], 1: [3, 4], 2: [4], 3: [0, 1], 4: [1, 2]}


def three_item_kg() -> Data:
    return knowledge_graph(THREE_ITEMS, num_nodes=5, num_items=3)


def small_agent(**options) -> KGQR:
    embedding = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    given = {"preset": "paper",
             "embedding": embedding, "dim": 2, "state_channels": 2, "hidden_channels": 3, "num_candidates": None,
             "backfill": None, "gamma": 0.7, "lr": 0.01, "tau": 0.25, "average": 0.0, "seed": 2}
    return KGQR(three_item_kg(), **(given | options))


# -------------------------------------------------------------------- the formulas, one number at a time


def by_hand_vectors(weights: dict[str, Tensor]) -> list[Tensor]:
    """Equations 5 and 6, twice, node by node."""
    vectors = list(weights["items.embedding"])
    for layer in range(2):
        prefix = f"items.encoder.convs.{layer}.aggregator."
        w, b = weights[prefix + "neighbours.weight"], weights[prefix + "neighbours.bias"]
        own = weights[prefix + "itself.weight"]
        vectors = [
            torch.relu(w @ (sum(vectors[t] for t in NEIGHBOURS[h]) / len(NEIGHBOURS[h])) + own @ vectors[h] + b)
            for h in range(5)
        ]
    return vectors[:3]


def by_hand_state(weights: dict[str, Tensor], vectors: list[Tensor], liked: list[int]) -> Tensor:
    """Equations 7 and 8."""
    w_z, w_r, w_h = weights["state.recurrent.gru.weight"].chunk(3)
    b_z, b_r, b_h = weights["state.recurrent.gru.bias"].chunk(3)
    u_z, u_r = weights["state.recurrent.gru.recurrent_gates"].chunk(2)
    u_h = weights["state.recurrent.gru.recurrent_candidate"]
    h = torch.zeros(2)
    for item in liked:
        z = torch.sigmoid(w_z @ vectors[item] + u_z @ h + b_z)
        r = torch.sigmoid(w_r @ vectors[item] + u_r @ h + b_r)
        candidate = torch.tanh(w_h @ vectors[item] + u_h @ (r * h) + b_h)
        h = (1 - z) * h + z * candidate
    return h


def by_hand_taste(weights: dict[str, Tensor], vectors: list[Tensor], shown: list[int], feedback: list[float]) -> Tensor:
    """The posterior mean of the taste, from the joint covariance of the feedbacks rather than of the taste."""
    if not shown:
        return torch.zeros(2)
    loading = torch.stack([weights["state.taste.model.loading.weight"] @ vectors[item] for item in shown])
    surprise = torch.stack([f - by_hand_expected(weights, vectors[item])
                            for item, f in zip(shown, feedback, strict=True)])
    covariance = loading @ loading.T + weights["state.taste.model.log_noise"].exp() * torch.eye(len(shown))
    return loading.T @ torch.linalg.inv(covariance) @ surprise


def by_hand_expected(weights: dict[str, Tensor], vector: Tensor) -> Tensor:
    mean = "state.taste.model.expected."
    hidden = torch.relu(weights[mean + "0.weight"] @ vector + weights[mean + "0.bias"])
    return weights["state.taste.model.expected.2.weight"][0] @ hidden + weights["state.taste.model.expected.2.bias"][0]


def by_hand_values(
    weights: dict[str, Tensor], vectors: list[Tensor], step: dict, when: str, item: int, head: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Q and, where there is a taste state, the expected feedback of one item, ``"before"`` or ``"after"`` a step."""
    state = by_hand_state(weights, vectors, step["liked" if when == "before" else "after"])
    if "state.taste.model.log_noise" not in weights:
        return by_hand_q(head, state, vectors[item]), torch.zeros(())
    shown, feedback = step["shown"], step["received"]
    if when == "after":
        shown, feedback = [*shown, step["item"]], [*feedback, step["feedback"]]
    taste = by_hand_taste(weights, vectors, shown, feedback)
    loading = weights["state.taste.model.loading.weight"] @ vectors[item]
    expected = by_hand_expected(weights, vectors[item]) + loading @ taste
    return by_hand_q(head, torch.cat([state, taste]), vectors[item]) + expected, expected


def by_hand_q(head: dict[str, Tensor], state: Tensor, vector: Tensor) -> Tensor:
    """Equation 11: V(i) + A(s, i), each of two fully connected layers."""
    value = head["value.2.weight"][0] @ torch.relu(head["value.0.weight"] @ vector + head["value.0.bias"])
    first = torch.cat([head["from_state.weight"], head["from_item.weight"]], 1)
    advantage = head["advantage.weight"][0] @ torch.relu(first @ torch.cat([state, vector]) + head["from_state.bias"])
    return value + head["value.2.bias"][0] + advantage + head["advantage.bias"][0]


def head_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}


# session 0: showed 0 (liked), now 1 (liked); then only 2 is left. Session 1: showed 1 (disliked), now 2: the end.
STEPS = [
    {"shown": [0], "received": [0.8], "liked": [0], "item": 1, "feedback": 0.8, "reward": 0.9, "after": [0, 1],
     "left": [2], "last": False},
    {"shown": [1], "received": [-0.2], "liked": [], "item": 2, "feedback": -0.3, "reward": -0.4, "after": [],
     "left": [], "last": True},
    {"shown": [1], "received": [0.6], "liked": [1], "item": 0, "feedback": 0.1, "reward": 0.3, "after": [1],
     "left": [2], "last": False},
    {"shown": [], "received": [], "liked": [], "item": 1, "feedback": 0.5, "reward": 0.5, "after": [1],
     "left": [0, 2], "last": False},
]


def transitions() -> Transitions:
    def sessions(shown: list[list[int]], feedback: list[list[float]], liked: list[list[int]]) -> Sessions:
        made = Sessions.empty(torch.full((len(shown),), -1), 3)
        for row, items in enumerate(shown):
            made.items[row, : len(items)] = torch.tensor(items, dtype=torch.long)
            made.feedback[row, : len(items)] = torch.tensor(feedback[row])
            made.positive[row, : len(items)] = torch.tensor([item in liked[row] for item in items], dtype=torch.bool)
            made.length[row] = len(items)
        made.step = 3
        return made

    return Transitions(
        before=sessions([s["shown"] for s in STEPS], [s["received"] for s in STEPS], [s["liked"] for s in STEPS]),
        items=torch.tensor([s["item"] for s in STEPS]),
        feedback=torch.tensor([s["feedback"] for s in STEPS]),
        rewards=torch.tensor([s["reward"] for s in STEPS]),
        after=sessions([[*s["shown"], s["item"]] for s in STEPS], [[*s["received"], s["feedback"]] for s in STEPS],
                       [s["after"] for s in STEPS]),
        last=torch.tensor([s["last"] for s in STEPS]),
    )


@pytest.mark.parametrize("taste_channels", [0, 2])
def test_targets_are_those_of_double_q_learning(taste_channels):
    agent = small_agent(taste_channels=taste_channels)
    with torch.no_grad():  # the target must differ from the online head, or the test could not tell them apart
        for parameter in agent.target.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    weights = dict(agent.network.named_parameters())
    vectors = by_hand_vectors(weights)
    expected = []
    for step in STEPS:
        y = torch.tensor(step["reward"])
        if not step["last"]:
            picked = max(step["left"], key=lambda i: by_hand_values(
                weights, vectors, step, "after", i, head_of(weights))[0].item())
            target = dict(agent.target.named_parameters())
            y = y + 0.7 * by_hand_values(weights, vectors, step, "after", picked, target)[0]
        expected.append(y.detach())
    found = agent._targets(agent.network.view(project=False), transitions(), None)
    torch.testing.assert_close(found, torch.stack(expected))
    assert found[1] == -0.4  # nothing is bootstrapped from beyond the end


@pytest.mark.parametrize("taste_channels", [0, 2])
def test_one_gradient_step_is_the_hand_computed_one(taste_channels):
    agent = small_agent(taste_channels=taste_channels)
    twin = copy.deepcopy(agent.network)
    weights = dict(twin.named_parameters())
    targets = agent._targets(agent.network.view(project=False), transitions(), None)
    vectors = by_hand_vectors(weights)
    losses = []
    for step, y in zip(STEPS, targets, strict=True):
        q, expected = by_hand_values(weights, vectors, step, "before", step["item"], head_of(weights))
        losses.append((q - y) ** 2 + ((expected - step["feedback"]) ** 2 if taste_channels else 0))
    loss = sum(losses) / len(losses)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    before = {name: value.detach().clone() for name, value in weights.items()}
    old_target = {name: value.clone() for name, value in agent.target.named_parameters()}

    reported = agent._gradient_step(transitions(), None)

    torch.testing.assert_close(reported[0], loss.detach())
    for (name, value), gradient in zip(agent.network.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(value.grad, gradient, msg=lambda text, name=name: f"{name}: {text}")
        first_adam_step = 0.01 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value.detach(), before[name] - first_adam_step, atol=1e-6, rtol=1e-4)
    for name, value in agent.target.named_parameters():  # equation 15
        online = dict(agent.network.head.named_parameters())[name].detach()
        torch.testing.assert_close(value, 0.25 * online + 0.75 * old_target[name])


def test_target_all_values_with_a_copy_of_the_whole_network():
    agent = small_agent(target="all")
    with torch.no_grad():
        agent.target.items.embedding.add_(1.0)
    weights, copied = dict(agent.network.named_parameters()), dict(agent.target.named_parameters())
    step = STEPS[0]
    own = by_hand_vectors(copied)
    expected = 0.9 + 0.7 * by_hand_q(head_of(copied), by_hand_state(copied, own, step["after"]), own[2])
    found = agent._targets(agent.network.view(project=False), transitions(), None)[0]
    torch.testing.assert_close(found, expected.detach())
    assert not torch.equal(weights["items.embedding"], copied["items.embedding"])
