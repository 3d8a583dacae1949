"""Each method's decision network against brute force: what it decides, and what it learns from."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kgrl.experiments import decider as common
from kgrl.experiments.ddpg_deciders import ITEM, NearestDecider
from kgrl.experiments.decider import GAMMA, STATE, bootstrapped
from kgrl.experiments.deciders import DECIDERS, EPSILON, make_decider

ITEMS, SESSIONS, STEPS = 60, 25, 4


@pytest.fixture(autouse=True, params=[(2**12, 2**18), (7, 40)], ids=["one block", "blocks of seven"])
def blocks(request, monkeypatch) -> None:
    """Every answer is the same whether all items are looked at together or a few at a time."""
    monkeypatch.setattr(common, "BLOCK", request.param[0])
    monkeypatch.setattr(common, "CELLS", request.param[1])


def states(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, STATE, generator=torch.Generator().manual_seed(seed))


def plain(layers: list[nn.Linear], x: torch.Tensor) -> torch.Tensor:
    """Fully connected layers with a ReLU between, in the plainest way."""
    for depth, layer in enumerate(layers):
        x = layer.weight @ (x.relu() if depth else x) + (0 if layer.bias is None else layer.bias)
    return x


def q_of_pair(decider, state: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    critic = decider.critic
    hidden = critic.from_state.weight @ state + critic.from_state.bias + critic.from_item.weight @ vector
    return plain([layer for layer in critic.rest if isinstance(layer, nn.Linear)], hidden.relu())[0]


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def brute_force(decider, method: str, state: torch.Tensor) -> int:
    if method == "DQN-R":
        return int(plain(linear_layers(decider), state).argmax())
    vector = plain(linear_layers(decider.actor), state)
    if method == "DDPG-R":
        return int((decider.items @ vector).argmax())
    near = (decider.items - vector).square().sum(1).argsort()
    number = {"k=N": ITEMS, "k=0.1N": ITEMS // 10}.get(method[method.index("(") + 1 : -1], 1)
    return max(near[:number].tolist(), key=lambda item: float(q_of_pair(decider, state, decider.items[item])))


@pytest.mark.parametrize("method", [name for name in DECIDERS if not name.startswith("TPGR")])
def test_decisions_against_brute_force(method):
    decider = make_decider(method, ITEMS, seed=3)
    state = states(SESSIONS)
    found = decider.decide(state).tolist()
    assert found == [brute_force(decider, method, each) for each in state]
    assert len(set(found)) > 1


def test_ddpg_knn_among_all_items_takes_the_critics_best():
    decider = make_decider("DDPG-KNN (k=N)", ITEMS)
    state = states(SESSIONS)
    with torch.no_grad():
        values = decider.critic(state.unsqueeze(1).expand(-1, ITEMS, -1), decider.items.expand(SESSIONS, -1, -1))
        by_hand = float(q_of_pair(decider, state[2], decider.items[5]))
    assert decider.decide(state).tolist() == values.argmax(1).tolist()
    assert float(values[2, 5]) == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("method", ["TPGR", "TPGR (depth 3)"])
def test_tpgr_walks_its_tree(method):
    decider, state = make_decider(method, ITEMS), states(SESSIONS)
    assert decider.policy.depth == (3 if "3" in method else 2)
    assert decider.decide(state).tolist() == decider.policy.greedy(state).items.tolist()
    drawn, known = (torch.Generator().manual_seed(4) for _ in range(2))
    assert decider.decide(state, drawn).tolist() == decider.policy.sample(state, generator=known).items.tolist()


@pytest.mark.parametrize("method", DECIDERS)
def test_all_have_hidden_layers_of_32_and_16(method):
    decider = make_decider(method, ITEMS)
    if method.startswith("TPGR"):
        sizes = [[weight.size(1) for weight in decider.policy.weights]]
    elif method == "DQN-R":
        sizes = [[layer.in_features for layer in linear_layers(decider)]]
    else:
        critic = [layer.in_features for layer in linear_layers(decider.critic)]
        assert critic == [STATE, ITEM, 32, 16]
        sizes = [[layer.in_features for layer in linear_layers(decider.actor)]]
    assert sizes == [[STATE, 32, 16]]


@pytest.mark.parametrize("method", DECIDERS)
def test_exploring_is_random_and_seeded(method):
    decider, state = make_decider(method, ITEMS), states(400)
    best, one, two, other = (decider.decide(state, seed if seed is None else torch.Generator().manual_seed(seed))
                             for seed in (None, 1, 1, 2))
    assert torch.equal(one, two)
    if method == "DDPG-KNN (k=N)":  # wherever the noise takes the actor's vector, all items are near
        assert torch.equal(one, best)
    else:
        assert not torch.equal(one, other)
        assert not torch.equal(one, best)
    assert 0 <= int(one.min()) <= int(one.max()) < ITEMS
    if method == "DQN-R":
        assert float((one != best).float().mean()) == pytest.approx(EPSILON, abs=0.06)


def episodes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return (states(STEPS, SESSIONS), torch.randint(ITEMS, (STEPS, SESSIONS), generator=generator),
            torch.rand(STEPS, SESSIONS, generator=generator))


def value_of(decider, method: str, state: torch.Tensor, item: int) -> torch.Tensor:
    if method == "DQN-R":
        return plain(linear_layers(decider), state)[item]
    return q_of_pair(decider, state, decider.items[item])


@pytest.mark.parametrize("method", ["DQN-R", "DDPG-R", "DDPG-KNN (k=1)", "DDPG-KNN (k=0.1N)", "DDPG-KNN (k=N)"])
def test_temporal_differences_against_a_loop(method):
    decider, (state, items, rewards) = make_decider(method, ITEMS), episodes()
    errors, aims = [], []
    for t, b in itertools.product(range(STEPS), range(SESSIONS)):
        target = rewards[t, b]
        if t + 1 < STEPS:
            following = brute_force(decider, method, state[t + 1, b])
            target = target + GAMMA * value_of(decider, method, state[t + 1, b], following)
        errors.append((value_of(decider, method, state[t, b], int(items[t, b])) - target) ** 2)
        if method != "DQN-R":
            vector = plain(linear_layers(decider.actor), state[t, b])
            aims.append(q_of_pair(decider, state[t, b], vector))
    by_hand = sum(errors) / len(errors) - (sum(aims) / len(aims) if aims else 0)
    assert decider.loss(state, items, rewards).item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_actor_and_critic_learn_each_from_its_own_part():
    decider, (state, items, rewards) = make_decider("DDPG-R", ITEMS), episodes()
    decider.loss(state, items, rewards).backward()
    error = F.mse_loss(decider.critic(state, decider.items[items]),
                       bootstrapped(rewards, state, decider._decided_value))
    aim = -decider.critic(state, decider.actor(state)).mean()
    for own, part in ((decider.critic, error), (decider.actor, aim)):
        wanted = torch.autograd.grad(part, list(own.parameters()), retain_graph=True)
        for parameter, gradient in zip(own.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def test_the_policy_gradient_against_a_loop():
    decider, (state, items, rewards) = make_decider("TPGR", ITEMS), episodes()
    gain = 0.0
    for b in range(SESSIONS):
        for t in range(STEPS):
            later = sum(GAMMA ** (after - t) * float(rewards[after, b]) for after in range(t, STEPS))
            chance = decider.policy.probabilities(state[t, b : b + 1])[0, items[t, b]]
            gain += float(chance.detach().log()) * later
    assert decider.loss(state, items, rewards).item() == pytest.approx(-gain / (STEPS * SESSIONS), rel=1e-4)


@pytest.mark.parametrize("method", DECIDERS)
def test_updates_lower_the_loss(method):
    decider, batch = make_decider(method, ITEMS), episodes()
    before = decider.loss(*batch).item()
    for _ in range(5):
        decider.update(*batch)
    assert decider.loss(*batch).item() < before


def test_the_seed_decides_the_weights_and_leaves_no_trace():
    state = torch.get_rng_state()
    one, two, other = (make_decider("DDPG-R", ITEMS, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["items"], other["items"])


def test_no_such_method_and_no_items_are_refused():
    with pytest.raises(ValueError, match="did you mean 'DQN-R'"):
        make_decider("DQNR", ITEMS)
    for method in DECIDERS:
        with pytest.raises(ValueError, match=r"at least 1|N and|\[N, F\]"):
            make_decider(method, 0)
    with pytest.raises(ValueError, match="`neighbours` must be at least 1"):
        NearestDecider(ITEMS, 0)


def test_one_item_and_more_neighbours_than_items():
    for method in DECIDERS:
        assert make_decider(method, 1).decide(states(3)).tolist() == [0, 0, 0]
    assert NearestDecider(5, 50).neighbours == 5


def test_on_every_device(device):
    for method in DECIDERS:
        decider = make_decider(method, ITEMS).to(device)
        state = states(STEPS, SESSIONS).to(device)
        generator = torch.Generator(device).manual_seed(0)
        items = torch.stack([decider.decide(now, generator) for now in state])
        decider.update(state, items, torch.rand(STEPS, SESSIONS, generator=generator, device=device))
        assert items.device.type == device.type
