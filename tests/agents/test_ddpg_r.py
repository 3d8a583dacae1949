"""DDPG-R: the item of the highest product with the ranking vector."""

from __future__ import annotations

import pytest
import torch

from kgrl.rollout import rollout
from tests.agents.planted_items import ITEMS, make, predicted, vectors


@pytest.mark.parametrize("pool", [None, torch.tensor([3, 20, 11, 6, 9, 14, 17])])
def test_takes_the_highest_product_of_what_is_left(pool) -> None:
    agent = make("DDPGR", pool=pool, taste_channels=2)
    generator = torch.Generator().manual_seed(0)
    agent.learn(rollout(agent, predicted(), torch.arange(9), True, generator), generator)
    sessions, net = rollout(agent, predicted(), torch.arange(9)), agent.acting
    for step in range(1, 6):
        then = sessions.before(step)
        answers = net.bounded(net.actor(net.states(net.view(), then))).detach()
        for row in range(9):
            left = [item for item in (range(ITEMS) if pool is None else pool.tolist())
                    if item not in then.items[row].tolist()]
            score = {item: float(sum(answers[row] * vectors()[item])) for item in left}
            assert score[int(sessions.items[row, step])] == pytest.approx(max(score.values()), abs=1e-6)
    ranked = agent.recommend(sessions.before(2).rows(torch.tensor([0])), k=3)[0].tolist()
    scores = answers.new_tensor([float(net.bounded(net.actor(net.states(net.view(), sessions.before(2))))[0]
                                       @ vectors()[item]) for item in ranked])
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
