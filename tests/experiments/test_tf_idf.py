"""``TfIdfProfile`` against the formula, one user and one entity at a time."""

import math

import pytest
import torch

from kgrl.experiments.tf_idf import TfIdfProfile
from kgrl.sessions import Sessions
from tests.agents.planted_readers import ITEMS, planted_readers


def test_against_a_slow_version():
    _, kg = planted_readers()
    agent = TfIdfProfile(kg)
    has = {item: set() for item in range(ITEMS)}
    for (head, tail), kind in zip(torch.as_tensor(kg.edge_index).T.tolist(), kg.edge_type.tolist(), strict=True):
        if head < ITEMS:
            has[head].add((kind, tail))
    count = {}
    for own in has.values():
        for each in own:
            count[each] = count.get(each, 0) + 1
    weight = {each: math.log(ITEMS / number) for each, number in count.items() if number >= 3}
    vectors = {}
    for item, own in has.items():
        length = math.sqrt(sum(weight[each] ** 2 for each in own if each in weight)) or 1
        vectors[item] = {each: weight[each] / length for each in own if each in weight}
    past = Sessions.from_history([[3, 17, 40], [5]], [[1.0, -1.0, 1.0], [1.0]])
    scores = agent._scores(past)
    for row, liked in enumerate(([3, 40], [5])):
        for item in (0, 23, 77):
            slow = sum(value * vectors[item].get(each, 0) for one in liked for each, value in vectors[one].items())
            assert float(scores[row, item]) == pytest.approx(slow, abs=1e-5)
    assert scores[0, 17] == -math.inf
    assert set(agent.restrict(torch.tensor([23, 25])).recommend(past, 3)[0].tolist()) == {23, 25, -1}
