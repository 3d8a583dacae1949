"""The DDPG methods among TPGR's timed decision networks: an actor's vector, and what item it stands for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.func import functional_call

from kgrl.experiments.decider import HIDDEN, STATE, Decider, bootstrapped, few_rows, highest, highest_item, network
from kgrl.options import at_least

ITEM, NOISE = 8, 0.1
"""Length of an item's vector, as in the authors' code, and deviation of the noise that explores."""


class RankingDecider(Decider):
    r"""DDPG-R: the actor gives a ranking vector, the item of the highest product with it is taken (Zhao et al., 2018a).

    .. math:: \arg\max_i\ \mathbf w(s)^\top \mathbf e_i

    Items lie where the untrained actor points: a trained one points at items, and how long some searches take depends
    on that. Differs from the paper: no target copies, whose upkeep is small beside the rest.
    """

    items: Tensor

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(*network(STATE, *HIDDEN, ITEM))
        self.critic = Critic()
        with torch.no_grad():
            self.register_buffer("items", self.actor(torch.randn(at_least("num_items", num_items, 1), STATE)))
        self.optimizer = torch.optim.Adam(self.parameters(), fused=True)

    @torch.no_grad()
    def decide(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return highest_item(lambda some, action: action @ self.items[some].T, len(self.items),
                         self._action(state, generator))

    def _action(self, state: Tensor, generator: torch.Generator | None) -> Tensor:
        action: Tensor = self.actor(state)
        if generator is None:
            return action
        return action + NOISE * torch.randn(action.shape, generator=generator, device=action.device, dtype=torch.float)

    def loss(self, state: Tensor, items: Tensor, rewards: Tensor) -> Tensor:
        """The critic's squared error less the value it sees in the actor's vector; each part trains its own network.

        The item of the next step, which the target needs, is decided as any other (Dulac-Arnold et al., 2015).
        """
        values = self.critic(state, F.embedding(items, self.items))
        error = F.mse_loss(values, bootstrapped(rewards, state, self._decided_value))
        fixed = {name: parameter.detach() for name, parameter in self.critic.named_parameters()}
        return error - functional_call(self.critic, fixed, (state, self.actor(state))).mean()

    def _decided_value(self, state: Tensor) -> Tensor:
        value: Tensor = self.critic(state, F.embedding(self.decide(state), self.items))
        return value


class NearestDecider(RankingDecider):
    r"""DDPG-KNN: of the k items nearest to the actor's vector, the one that the critic likes best.

    .. math:: \arg\max_{i \in \mathrm{kNN}(\mathbf w(s))} Q(s, \mathbf e_i)

    From Dulac-Arnold et al. (2015), as are the targets. With k = N nothing is searched, and noise explores nothing.

    Differs from the paper: the search is exact, the paper's approximate; so k = 1 grows with N here. It is
    :func:`kgrl.agents.ddpg_knn.nearest` without what masks the items shown before.

    Args:
        num_items: N.
        neighbours: k.
        tree: for k = 1, search a k-d tree of the items (on the CPU; exact, too) rather than all of them.
    """

    def __init__(self, num_items: int, neighbours: int, tree: bool = False) -> None:
        super().__init__(num_items)
        self.neighbours = min(at_least("neighbours", neighbours, 1), num_items)
        self.tree = cKDTree(self.items.numpy()) if tree else None

    @torch.no_grad()
    def decide(self, state: Tensor, generator: torch.Generator | None = None) -> Tensor:
        action = self._action(state, generator)
        if self.tree is not None:
            return torch.from_numpy(self.tree.query(action.cpu().numpy())[1]).to(action.device)
        half, number = self.items.square().sum(1) / -2, len(self.items)  # nearest: the highest w·e − e·e/2
        if self.neighbours == 1:
            return highest_item(lambda some, near: torch.addmm(half[some], near, self.items[some].T), number, action)
        asked, terms = self.critic.from_state(state).unsqueeze(1), self.critic.from_item(self.items)
        if self.neighbours == number:
            return highest_item(lambda some, asked: self.critic.pairs(asked, terms[some]), number, asked,
                                width=HIDDEN[0])
        parts = few_rows(max(number, self.neighbours * HIDDEN[0]), action, asked)
        return torch.cat([self._best_near(near, some, half, terms) for near, some in parts])

    def _best_near(self, action: Tensor, asked: Tensor, half: Tensor, terms: Tensor) -> Tensor:
        near = torch.addmm(half, action, self.items.T).topk(self.neighbours, sorted=False).indices
        best = highest(self.critic.pairs(asked, F.embedding(near, terms)))
        return near.gather(1, best.unsqueeze(1)).squeeze(1)


class Critic(nn.Module):
    """Q of state and item: layers of 32 and 16 on [s ‖ i], the first kept in two parts, as an item's serves many."""

    def __init__(self) -> None:
        super().__init__()
        self.from_state, self.from_item = nn.Linear(STATE, HIDDEN[0]), nn.Linear(ITEM, HIDDEN[0], bias=False)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), *network(*HIDDEN, 1))

    def forward(self, state: Tensor, items: Tensor) -> Tensor:
        """``[…]``, of states ``[…, s]`` and item vectors ``[…, d]``."""
        return self.pairs(self.from_state(state), self.from_item(items))

    def pairs(self, asked: Tensor, terms: Tensor) -> Tensor:
        """The same of what the first layer made of states and items, which broadcast."""
        value: Tensor = self.rest(asked + terms)
        return value.squeeze(-1)
