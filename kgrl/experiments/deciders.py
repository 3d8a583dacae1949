"""The plain decision networks whose time TPGR's Table 3 compares, over synthetic states and items.

Paper ("Time Comparison"): every model has three fully connected layers with 32 and 16 hidden units, and items may be
repeated, so that nothing is masked. The paper is silent on what goes in and comes out; states of 36 numbers and item
vectors of 8 are the authors' code's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.policy_gradient.finished_sessions import returns
from kgrl.experiments.ddpg_deciders import ITEM, NearestDecider, RankingDecider
from kgrl.experiments.decider import GAMMA, HIDDEN, STATE, Decider, bootstrapped, highest_item, network
from kgrl.nn.policy.tree_policy import TreePolicy
from kgrl.options import at_least, one_of
from kgrl.seeding import fenced
from kgrl.sessions import Sessions
from kgrl.tree.cluster_tree import ClusterTree

EPSILON = 0.1
"""Chance of a random item where DQN-R explores."""


class DQNDecider(Decider):
    r"""DQN-R: one network with N outputs, :math:`\arg\max_a Q(s, a)` (TPGR's equation 1).

    Paper is silent: on whether the network takes the state, or state and item, as in Zheng et al. (2018). But its 19.6
    µs a decision over 10,677 items are 17 billion products and sums a second with N outputs of 16 inputs each, and
    some 2,000 billion with a network run on each pair: more than its processor can do. So: N outputs. (1,875 µs, those
    of DDPG-KNN with k = N, which does score pairs, are 22 billion.)
    """

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*network(STATE, *HIDDEN), nn.ReLU(inplace=True))
        self.last = nn.Linear(HIDDEN[-1], at_least("num_items", num_items, 1))
        self.optimizer = torch.optim.Adam(self.parameters(), fused=True)

    @torch.no_grad()
    def decide(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        weight, bias = self.last.weight, self.last.bias
        best = highest_item(lambda some, hidden: F.linear(hidden, weight[some], bias[some]), len(bias),
                            self.body(state))
        if generator is None:
            return best
        chance = torch.rand(len(best), generator=generator, device=best.device, dtype=torch.float)
        drawn = torch.randint(len(bias), best.shape, generator=generator, device=best.device)
        return torch.where(chance < EPSILON, drawn, best)

    def loss(self, state: Tensor, items: Tensor, rewards: Tensor) -> Tensor:
        """Squared error of Q of the items taken; the target is a maximum over all N."""
        target = bootstrapped(rewards, state, lambda later: self._value(later, self.decide(later)))
        return F.mse_loss(self._value(state, items), target)

    def _value(self, state: Tensor, items: Tensor) -> Tensor:
        """Q of one item a state: of the N outputs, only its own is computed."""
        weight, bias = F.embedding(items, self.last.weight), F.embedding(items, self.last.bias.unsqueeze(1))
        return (self.body(state) * weight).sum(-1) + bias.squeeze(-1)


class TreeDecider(Decider):
    """TPGR: :class:`kgrl.nn.TreePolicy` with hidden layers of 32 and 16 at every node, trained by REINFORCE.

    Args:
        num_items: N.
        depth: D.
    """

    def __init__(self, num_items: int, depth: int = 2) -> None:
        super().__init__()
        self.policy = TreePolicy(STATE, ClusterTree.build(torch.randn(num_items, ITEM), depth=depth), HIDDEN)
        self.optimizer = torch.optim.Adam(self.parameters(), fused=True)

    @torch.no_grad()
    def decide(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        walk = self.policy.greedy(state) if generator is None else self.policy.sample(state, generator=generator)
        return walk.items

    def loss(self, state: Tensor, items: Tensor, rewards: Tensor) -> Tensor:
        """Minus the mean of log π · return (Algorithm 1)."""
        sessions = Sessions.empty(torch.arange(rewards.size(1), device=rewards.device), rewards.size(0))
        sessions.rewards, sessions.step = rewards.T, rewards.size(0)
        sessions.length.fill_(sessions.step)
        log_prob = self.policy.log_prob(state.flatten(0, 1), items.flatten())
        return -(log_prob * returns(sessions, GAMMA).T.flatten()).mean()


DECIDERS: Mapping[str, Callable[[int], Decider]] = {
    "DQN-R": DQNDecider,
    "DDPG-R": RankingDecider,
    "DDPG-KNN (k=1)": partial(NearestDecider, neighbours=1),
    "DDPG-KNN (k=1, k-d tree)": partial(NearestDecider, neighbours=1, tree=True),
    "DDPG-KNN (k=0.1N)": lambda num_items: NearestDecider(num_items, max(1, num_items // 10)),
    "DDPG-KNN (k=N)": lambda num_items: NearestDecider(num_items, num_items),
    "TPGR": TreeDecider,
    **{f"TPGR (depth {depth})": partial(TreeDecider, depth=depth) for depth in (1, 3, 4)},
}
"""The rows of Table 3, and more: with a tree to search in, k = 1 need not look at every item either; and what other
depths do to the growth with N."""


def make_decider(method: str, num_items: int, seed: int = 0) -> Decider:
    """The decision network of a method over N synthetic items.

    Args:
        method: one of :data:`DECIDERS`.
        num_items: N.
        seed: of weights and items.

    Raises:
        ValueError: an unknown method, or ``num_items`` below 1.
    """
    make = DECIDERS[one_of("method", method, DECIDERS)]
    with fenced(seed):
        return make(num_items)
