"""The protocol for new items against cheats: none of what they go by reaches a new item before the test."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from kgrl.agents import FixedList
from kgrl.datasets import as_released, from_frames, popular_items, renumbered, split_items
from kgrl.evaluate import evaluate
from kgrl.rollout import rollout
from kgrl.sessions import Sessions
from kgrl.simulator import PredictedFeedback, Simulator

USERS, ITEMS, HORIZON = 60, 100, 10
TRAIN, TEST = torch.arange(0, 40), torch.arange(40, 60)


def quality() -> Tensor:
    """The lower its raw id, the better everybody likes an item."""
    return torch.linspace(0.9, -0.9, ITEMS)


def data() -> HeteroData:
    """The better an item, the more have rated it, and the more awards it has."""
    rows = [(user, item, float(quality()[item])) for user in range(USERS) for item in range(ITEMS)
            if (user * 7 + item * 3) % ITEMS < 100 - item * 0.8]
    triples = pd.DataFrame([(item, "genre", 200 + item % 3) for item in range(ITEMS)]
                           + [(item, "film.film.award_won", 300 + item % 5) for item in range(30)],
                           columns=["head", "relation", "tail"])
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), triples, rating_scale=(-1.0, 1.0, 0.0),
                       items=pd.DataFrame({"item": range(ITEMS)}))


def feedback(of: HeteroData) -> PredictedFeedback:
    return PredictedFeedback.from_embeddings(
        torch.zeros(USERS, 1), torch.zeros(ITEMS, 1), item_bias=quality()[of["item"].raw_id])


class Cheat(nn.Module):
    """Remembers how each item was received, by its number; so far as it knows no more, it goes by what data say.

    Args:
        known: ``[N]``, what to start from: the higher, the better an item.
    """

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known, self.pool = known.clone(), torch.arange(len(known))

    def restrict(self, items: Tensor) -> Cheat:
        self.pool = items
        return self

    def act(self, sessions: Sessions, explore: bool = False, generator: torch.Generator | None = None) -> Tensor:
        scores = torch.full((len(sessions), len(self.known)), -torch.inf)
        scores[:, self.pool] = self.known[self.pool]
        if sessions.shown.size(1):
            scores.scatter_(1, sessions.shown, -torch.inf)
        return scores.argmax(1)

    def learn(self, sessions: Sessions) -> None:
        self.known[sessions.items.flatten()] = 1 + sessions.feedback.flatten()


def likes(of: HeteroData) -> Tensor:
    """``[N]``, how often each item was rated above the threshold: popularity."""
    rates = of["user", "rates", "item"]
    return torch.bincount(rates.edge_index[1][rates.rating > 0], minlength=ITEMS) / USERS


def mean_rating(of: HeteroData) -> Tensor:
    rates = of["user", "rates", "item"]
    total = torch.zeros(ITEMS).index_add_(0, rates.edge_index[1], rates.rating)
    return total / torch.bincount(rates.edge_index[1], minlength=ITEMS).clamp(min=1)


def awards(of: HeteroData) -> Tensor:
    kinds = [kind for kind in of.edge_types if "award" in kind[1] and kind[0] == "item"]
    return sum((torch.bincount(of[kind].edge_index[0], minlength=ITEMS).float() for kind in kinds), torch.zeros(ITEMS))


def by_number(of: HeteroData) -> Tensor:
    return -torch.arange(ITEMS).float()


CHEATS: dict[str, Callable[[HeteroData], Tensor]] = {
    "popularity": likes, "ratings": mean_rating, "awards": awards, "numbers": by_number,
    "the most liked list": lambda of: -popular_items(of, torch.arange(USERS)).argsort().float(),
}


def share(cheat: str, *, leak: bool, seed: int) -> float:
    """How far a cheat comes from random (0) to all-knowing (1) on new items, with the protocol or without."""
    given = data()
    whole = given if leak else renumbered(given, seed)
    old, new = split_items(whole, new=0.3, seed=seed)
    seen = whole if leak else as_released(whole, new)
    agent = Cheat(CHEATS[cheat](seen)).restrict(old)
    for round_ in range(4):  # it remembers what it is shown in training
        generator = torch.Generator().manual_seed(round_)
        agent.learn(Simulator(feedback(whole), horizon=HORIZON, items=old).play_random(TRAIN, generator))
        rollout(agent, Simulator(feedback(whole), horizon=HORIZON, items=old), TRAIN)
    test = Simulator(feedback(whole), horizon=HORIZON, items=new)
    bounds = test.bounds(TEST, TRAIN, seed=seed)
    low, high = (bounds.metrics(name)["reward"] for name in ("random", "all-knowing"))
    return (evaluate(agent.restrict(new), test, TEST).reward - low) / (high - low)


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_at_random_level(cheat: str) -> None:
    shares = torch.tensor([share(cheat, leak=False, seed=seed) for seed in range(12)])
    error = shares.std() / len(shares) ** 0.5
    assert abs(shares.mean()) < 3 * error + 0.03
    assert error < 0.12


@pytest.mark.parametrize("cheat", CHEATS)
def test_with_a_leak_it_is_not(cheat: str) -> None:
    """The test above would see one."""
    assert sum(share(cheat, leak=True, seed=seed) for seed in range(3)) / 3 > 0.6


def test_the_bound_that_knows_new_items_is_no_agent_of_the_protocol() -> None:
    whole = renumbered(data(), 1)
    new = split_items(whole, new=0.3, seed=1)[1]
    test = Simulator(feedback(whole), horizon=HORIZON, items=new)
    bounds = test.bounds(TEST, TRAIN)
    listed = FixedList(feedback(whole).mean_feedback(TRAIN).argsort(descending=True)).restrict(new)
    assert evaluate(listed, test, TEST).reward == pytest.approx(bounds.metrics("best fixed list")["reward"])
    assert bounds.metrics("best fixed list")["reward"] == pytest.approx(bounds.metrics("all-knowing")["reward"])
