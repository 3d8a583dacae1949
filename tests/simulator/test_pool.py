"""A simulator that shows some of its items, against one of a world that has no others."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor

from kgrl.datasets import from_frames
from kgrl.simulator import PredictedFeedback, RatedFeedback, Simulator
from kgrl.simulator.pool import check_sessions

USERS, ITEMS = 6, 20
SHOWN = torch.tensor([17, 2, 5, 11, 3])


def table(seed: int = 0) -> Tensor:
    return torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def predicted(values: Tensor) -> PredictedFeedback:
    return PredictedFeedback.from_embeddings(values, torch.eye(values.size(1)))


def test_bounds_are_those_of_a_world_without_the_other_items(device: torch.device) -> None:
    users, train = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    popular = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(1))
    place = {item: number for number, item in enumerate(SHOWN.tolist())}
    ranked = torch.tensor([place[item] for item in popular.tolist() if item in place])
    whole = Simulator(predicted(table()).to(device), eta=0.1, horizon=3, first=popular, items=SHOWN)
    alone = Simulator(predicted(table()[:, SHOWN]).to(device), eta=0.1, horizon=3, first=ranked)
    bounds, expected = whole.bounds(users, train), alone.bounds(users, train)
    assert bounds.upper == pytest.approx(expected.upper)
    assert torch.equal(bounds.num_relevant, expected.num_relevant)
    for name in ("all-knowing", "best fixed list", "most liked list"):
        assert bounds.metrics(name) == pytest.approx(expected.metrics(name))
        assert torch.equal(bounds.lines[name].items, SHOWN.to(device)[expected.lines[name].items])
    assert set(bounds.lines["random"].items.unique().tolist()) <= set(SHOWN.tolist())
    assert whole.opening(whole.reset(users), False, torch.Generator(device))[0] == SHOWN[ranked[0]]


def test_random_sessions_show_each_item_of_the_pool_alike() -> None:
    world = Simulator(predicted(table()), horizon=2, items=SHOWN)
    sessions = world.play_random(torch.zeros(2_000, dtype=torch.long), torch.Generator().manual_seed(0))
    counts = torch.bincount(sessions.items.flatten(), minlength=ITEMS)
    assert counts.nonzero().flatten().tolist() == sorted(SHOWN.tolist())
    assert counts[SHOWN].min() > 700  # of 800 each
    assert Simulator(predicted(table()), horizon=9, items=SHOWN).play_random(
        torch.tensor([0]), torch.Generator()).length.tolist() == [5]


def test_relevant_items_are_counted_within_the_pool() -> None:
    rows = [(0, 0, 5), (0, 1, 5), (0, 2, 4), (0, 3, 1), (1, 3, 5), (1, 0, 3), (2, 1, 2)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "rating"]), rating_scale=(1, 5, 3.5))
    users = torch.tensor([0, 1, 2, 1])
    world = Simulator(RatedFeedback(data, relevant_above=2), horizon=2, items=torch.tensor([3, 0]))
    assert world.num_relevant(users).tolist() == [1, 2, 0, 2]  # an item without a rating is no hit, though 0 > -0.5
    assert Simulator(RatedFeedback(data, relevant_above=2), horizon=2).num_relevant(users).tolist() == [3, 2, 0, 2]
    world = Simulator(predicted(table()), items=SHOWN)
    for _ in range(2):  # counted, then remembered
        assert torch.equal(world.num_relevant(users), (table()[users][:, SHOWN] > 0).sum(1))


def test_ties_are_broken_at_random_by_the_seed() -> None:
    world = Simulator(predicted(torch.zeros(USERS, ITEMS)), horizon=1, items=torch.arange(10, 20))
    users = torch.arange(USERS)

    def first(seed: int) -> int:
        return int(world.bounds(users, users, seed=seed).lines["best fixed list"].items[0, 0])

    assert first(1) == first(1)
    assert len({first(seed) for seed in range(20)}) > 5


def test_an_item_outside_the_pool_is_named(device: torch.device) -> None:
    world = Simulator(predicted(table()), horizon=2, items=SHOWN).to(device)
    sessions = world.reset(torch.tensor([4, 2]))
    message = r"one of the 5 `items` that the simulator shows, got 7; session 1 \(user 2\), step 1.*restrict"
    with pytest.raises(ValueError, match=message):
        for items in ([17, 2], [3, 7]):  # off the CPU the error comes with the last of them
            world.step(sessions, torch.tensor(items, device=device))


def test_the_put_off_check_knows_the_pool() -> None:
    """The check that runs at the last step on a GPU, run here by hand."""
    world = Simulator(predicted(table()), horizon=2, items=SHOWN)
    sessions = world.play(torch.tensor([0, 1]), torch.tensor([[2, 5], [17, -1]]))
    check_sessions(sessions, ITEMS, world.pool)
    sessions.items[0, 1] = 4
    with pytest.raises(ValueError, match=r"got 4; session 0 \(user 0\), step 1"):
        check_sessions(sessions, ITEMS, world.pool)


@pytest.mark.parametrize(("items", "message"), [
    ([], "`items` must be at least one id"), ([0, ITEMS], f"ids from 0 to {ITEMS - 1}, got {ITEMS}"), ([-1], "got -1"),
    ([3, 4, 3], "each item once, got 'item 3 more than once'"),
])
def test_refuses_a_pool(items: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Simulator(predicted(table()), items=torch.tensor(items, dtype=torch.long))


def test_refuses_a_ranking_without_items_of_the_pool() -> None:
    message = "`{}` must be a ranking with some of the simulator's `items`"
    with pytest.raises(ValueError, match=message.format("first")):
        Simulator(predicted(table()), items=SHOWN, first=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=message.format("popular")):
        Simulator(predicted(table()), items=SHOWN).bounds(torch.tensor([0]), torch.tensor([1]), torch.tensor([0, 1]))


def test_without_a_pool_nothing_is_saved_of_one() -> None:
    """A checkpoint remembers the world by its state: old ones still fit."""
    assert "pool" not in " ".join(Simulator(predicted(table())).state_dict())
    assert "pool.items" in Simulator(predicted(table()), items=SHOWN).state_dict()
