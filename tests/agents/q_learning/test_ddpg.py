"""DDPG: one learning step of critic and actor against formulas worked out by hand on a world of three items."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from kgrl.agents import DDPGKNN, DDPGR
from kgrl.agents.q_learning.ddpg import DDPG
from kgrl.agents.q_learning.vector_agent import VectorAgent
from kgrl.sessions import Sessions
from tests.agents.planted_items import make, vectors
from tests.agents.q_learning.test_kgqr_step import (
    STEPS,
    by_hand_expected,
    by_hand_q,
    by_hand_state,
    by_hand_taste,
    transitions,
)

Weights = dict[str, Tensor]
BOTH = pytest.mark.parametrize("agent", [DDPGR, DDPGKNN])
STATES = pytest.mark.parametrize("taste_channels", [0, 2])


def small_agent(agent: type[DDPG], **options) -> DDPG:
    start = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    given = {"state_channels": 2, "hidden_channels": 3, "gamma": 0.7, "lr": 0.01, "actor_lr": 0.02, "tau": 0.25,
             "average": 0.0, "seed": 2, **({"k": 1} if agent is DDPGKNN else {})}
    made = agent(start, **(given | options))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():  # the target must differ from the online network, or no test could tell them apart
        for name, parameter in made.target.named_parameters():
            if name != "items.embedding":
                parameter.add_(torch.randn(parameter.shape, generator=generator))
    return made


# -------------------------------------------------------------------- the formulas, one number at a time


def by_hand_sight(weights: Weights, step: dict, when: str) -> tuple[Tensor, Tensor | None]:
    """The GRU's state and the taste."""
    items = list(weights["items.embedding"])
    state = by_hand_state(weights, items, step["liked" if when == "before" else "after"])
    if "state.taste.model.log_noise" not in weights:
        return state, None
    shown, feedback = step["shown"], step["received"]
    if when == "after":
        shown, feedback = [*shown, step["item"]], [*feedback, step["feedback"]]
    return state, by_hand_taste(weights, items, shown, feedback)


def by_hand_worth(weights: Weights, head: Weights, sight: tuple[Tensor, Tensor | None], vector: Tensor) -> Tensor:
    """Q of a vector, be it an item's or a proto-action."""
    state, taste = sight
    if taste is None:
        return by_hand_q(head, state, vector)
    feedback = by_hand_expected(weights, vector) + weights["state.taste.model.loading.weight"] @ vector @ taste
    return by_hand_q(head, torch.cat([state, taste]), vector) + feedback


def by_hand_aim(actor: Weights, sight: tuple[Tensor, Tensor | None]) -> Tensor:
    """What the actor's tanh is taken of."""
    hidden = torch.cat([part for part in sight if part is not None])
    for layer in (0, 2):
        hidden = torch.relu(actor[f"{layer}.weight"] @ hidden + actor[f"{layer}.bias"])
    return actor["4.weight"] @ hidden + actor["4.bias"]


def by_hand_action(weights: Weights, aim: Tensor) -> Tensor:
    highest = weights["items.embedding"].abs().tolist()
    return torch.stack([max(row[j] for row in highest) * torch.tanh(aim[j]) for j in range(2)])


def part(weights: Weights, name: str) -> Weights:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def by_hand_targets(agent: DDPG) -> Tensor:
    """y_t with the target's actor and head, and, with ``target="all"``, its state."""
    target = dict(agent.target.named_parameters())
    weights = target if agent.options["target"] == "all" else dict(agent.network.named_parameters())
    weights, target = ({name: value.detach() for name, value in each.items()} for each in (weights, target))
    head, actor, items, expected = part(target, "head"), part(target, "actor"), weights["items.embedding"], []
    for step in STEPS:
        y = torch.tensor(step["reward"])
        if not step["last"]:
            sight = by_hand_sight(weights, step, "after")
            action = by_hand_action(weights, by_hand_aim(actor, sight))
            if isinstance(agent, DDPGR):
                picked = max(step["left"], key=lambda i: float(action @ items[i]))
            else:
                near = sorted(step["left"], key=lambda i: float((action - items[i]).square().sum()))
                picked = max(near[: agent.k], key=lambda i: by_hand_worth(weights, head, sight, items[i]))
            y = y + 0.7 * by_hand_worth(weights, head, sight, items[picked])
        expected.append(y)
    return torch.stack(expected)


# ------------------------------------------------------------------------------------------------- one step


@BOTH
@STATES
@pytest.mark.parametrize("target", ["head", "all"])
def test_targets_are_the_target_policys(agent, taste_channels, target) -> None:
    made = small_agent(agent, taste_channels=taste_channels, target=target)
    found = made._targets(made.network.view(project=False), transitions(), None)
    torch.testing.assert_close(found, by_hand_targets(made))
    assert found[1] == -0.4  # nothing is bootstrapped from beyond the end


def test_with_every_item_near_the_target_critic_picks() -> None:
    """Which here thinks the opposite of what the online critic thinks."""
    made, one = (small_agent(DDPGKNN, k=k) for k in (3, 1))
    for each in (made, one):
        head = each.target.head
        head.load_state_dict(each.network.head.state_dict())
        for layer in (head.value[2], head.advantage, each.target.actor[4]):
            layer.weight.data.neg_()
            layer.bias.data.neg_()
    found, nearest = (each._targets(each.network.view(project=False), transitions(), None) for each in (made, one))
    torch.testing.assert_close(found, by_hand_targets(made))
    assert found[3] > nearest[3]  # of the two items left the nearest is not the best: the test can tell


@BOTH
@STATES
@pytest.mark.parametrize("restraint", [0.0, 0.4])
def test_one_gradient_step_is_the_hand_computed_one(agent, taste_channels, restraint) -> None:
    made = small_agent(agent, taste_channels=taste_channels, restraint=restraint)
    weights = dict(copy.deepcopy(made.network).named_parameters())
    items = weights["items.embedding"]
    own = {name: value for name, value in weights.items() if name != "items.embedding"}
    head, losses, worths, aims = part(weights, "head"), [], [], []
    for step, y in zip(STEPS, by_hand_targets(made), strict=True):
        sight = by_hand_sight(weights, step, "before")
        loss = (by_hand_worth(weights, head, sight, items[step["item"]]) - y) ** 2
        if sight[1] is not None:
            feedback = (by_hand_expected(weights, items[step["item"]])
                        + weights["state.taste.model.loading.weight"] @ items[step["item"]] @ sight[1])
            loss = loss + (feedback - step["feedback"]) ** 2
        losses.append(loss)
        fixed = tuple(None if x is None else x.detach() for x in sight)
        aims.append(by_hand_aim(part(weights, "actor"), fixed))
        worths.append(by_hand_worth(weights, head, fixed, by_hand_action(weights, aims[-1])))
    critic_loss, worth = sum(losses) / len(losses), sum(worths) / len(worths)
    actor_loss = -worth + restraint * torch.stack(aims).square().mean()
    names = {kind: [name for name in own if name.startswith("actor.") == (kind == "actor")]
             for kind in ("actor", "critic")}
    gradients = {name: gradient for kind, of in (("actor", actor_loss), ("critic", critic_loss))
                 for name, gradient in zip(names[kind], torch.autograd.grad(of, [own[name] for name in names[kind]]),
                                           strict=True)}

    reported = made._gradient_step(transitions(), None)

    torch.testing.assert_close(reported[0], critic_loss.detach())
    torch.testing.assert_close(reported[2], worth.detach())
    for name, value in made.network.named_parameters():
        if name == "items.embedding":
            assert torch.equal(value, items)
            continue
        gradient = gradients[name]
        torch.testing.assert_close(value.grad, gradient, msg=lambda text, name=name: f"{name}: {text}")
        rate = 0.02 if name.startswith("actor.") else 0.01
        first_adam_step = rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value.detach(), own[name].detach() - first_adam_step, atol=1e-6, rtol=1e-4)


@BOTH
@pytest.mark.parametrize(("rates", "moves"), [({"lr": 0.0}, "actor"), ({"actor_lr": 0.0}, "critic")])
def test_actor_and_critic_are_moved_apart(agent, rates, moves) -> None:
    made = small_agent(agent, taste_channels=2, **rates)
    before = {name: value.detach().clone() for name, value in made.network.named_parameters()}
    for _ in range(3):
        made._gradient_step(transitions(), None)
    changed = {name for name, value in made.network.named_parameters() if not torch.equal(value, before[name])}
    mine = {name for name in before if name.startswith("actor.") == (moves == "actor")}
    must = {"actor.0.weight", "actor.4.bias"} if moves == "actor" else {"state.recurrent.gru.weight"}
    assert must <= changed
    assert changed <= mine - {"items.embedding"}


@BOTH
@pytest.mark.parametrize("target", ["head", "all"])
def test_the_target_follows_actor_and_critic(agent, target) -> None:
    made = small_agent(agent, target=target)
    old = {name: value.clone() for name, value in made.target.named_parameters()}
    assert {name.split(".")[0] for name in old} == (
        {"actor", "head"} if target == "head" else {"actor", "head", "state", "items"})
    made._gradient_step(transitions(), None)
    online = dict(made.network.named_parameters())
    for name, value in made.target.named_parameters():
        torch.testing.assert_close(value, 0.25 * online[name].detach() + 0.75 * old[name])


def test_fixed_vectors_are_kept_once() -> None:
    made = make("DDPGR", target="all")
    assert made.averaged.items.embedding is made.network.items.embedding
    assert made.target.items.embedding is made.network.items.embedding
    assert make("DQNR").averaged.items.embedding is not make("DQNR").network.items.embedding
    assert torch.equal(made.to(torch.float64).averaged.items.embedding, made.network.items.embedding)


# --------------------------------------------------------------------------------------------------- acting


def caught_actions(agent: VectorAgent, monkeypatch, explore: bool, sessions: int) -> Tensor:
    caught = []
    monkeypatch.setattr(agent, "_answers", lambda seen, actions, gone, count: (
        caught.append(actions), torch.zeros(len(actions), 1, dtype=torch.long))[1])
    past = Sessions.empty(torch.zeros(sessions, dtype=torch.long), 6)
    agent.act(past, explore=explore, generator=torch.Generator().manual_seed(0))
    return caught[0].detach()


def test_noise_is_measured_in_the_spread_of_the_pool(monkeypatch) -> None:
    pool = torch.arange(2, 24, 4)  # vectors near (0, 0.6): a small part of the spread of all
    agent = make("DDPGR", noise=5.0, pool=pool)
    actions = caught_actions(agent, monkeypatch, True, 40_000)
    plain = caught_actions(agent, monkeypatch, False, 1)[0]
    torch.testing.assert_close(actions.mean(0), plain, atol=0.01, rtol=0)
    torch.testing.assert_close(actions.std(0), 5 * vectors()[pool].std(0, correction=0), atol=0.01, rtol=0)
    still = caught_actions(make("DDPGR", noise=0.0), monkeypatch, True, 5)
    assert torch.equal(still, still[:1].expand(5, -1))


def test_proto_actions_stay_in_the_range_of_the_pool(monkeypatch) -> None:
    pool = torch.arange(2, 24, 4)  # vectors near (0, 0.6)
    agent = make("DDPGR", pool=pool, average=0.0)
    agent.network.actor[4].bias.data.fill_(50.0)
    found = caught_actions(agent, monkeypatch, False, 1)[0]
    torch.testing.assert_close(found, vectors()[pool].abs().max(0).values)


@pytest.mark.parametrize(("option", "message"), [
    ({"noise": -0.1}, "`noise` must be"), ({"restraint": -1.0}, "`restraint` must be"),
    ({"actor_lr": 2.0}, "`actor_lr` must be"), ({"noise": float("nan")}, "`noise` must be a finite number"),
])
def test_bad_options_are_named(option, message) -> None:
    with pytest.raises(ValueError, match=message):
        make("DDPGR", **option)
