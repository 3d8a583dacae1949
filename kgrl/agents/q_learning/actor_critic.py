"""``ActorCritic``: the network of the DDPG agents, a Q-network over fixed item vectors and an actor beside it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from kgrl.agents.q_learning.network import ItemView, QNetwork


class ActorCritic(QNetwork):
    r"""State and critic of :class:`kgrl.agents.q_learning.network.QNetwork`, and an actor that answers with a vector.

    .. math::
        \mathbf x &= \mathbf W_3\, \sigma(\mathbf W_2\, \sigma(\mathbf W_1 \mathbf s + \mathbf b_1) + \mathbf b_2)
        + \mathbf b_3 \\
        \mu(\mathbf s) &= \mathbf c \circ \tanh(\mathbf x), \qquad c_j = \max_i |v_{ij}|

    with σ the ReLU: a *proto-action* in the range of the items' vectors. The critic takes a vector for an item, and so
    values proto-actions as it values items.

    Args:
        vectors: ``[N, d]``, the items'; they stay as they are, as the actor could not aim at what moves.
        reached: ``[P, d]``, those whose range the actor's answers are in.
        state_channels, hidden_channels, streak_state, taste_channels, horizon, recurrent: see
            :class:`kgrl.agents.q_learning.network.QNetwork`; ``hidden_channels`` is the actor's width, too.
    """

    scale: Tensor

    def __init__(
        self, vectors: Tensor, reached: Tensor, state_channels: int = 64, hidden_channels: int = 64,
        streak_state: bool = False, taste_channels: int = 0, horizon: int = 32, recurrent: nn.Module | None = None,
    ) -> None:
        size = vectors.size(1)
        super().__init__(vectors, len(vectors), None, size, state_channels, hidden_channels, streak_state,
                         taste_channels, horizon=horizon, recurrent=recurrent)
        self.items.embedding.requires_grad_(False)
        self.register_buffer("scale", reached.abs().amax(0))
        widths = (self.head.state_channels, hidden_channels, hidden_channels, size)
        first, second, last = (nn.Linear(*pair) for pair in pairwise(widths))
        self.actor = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def bounded(self, aims: Tensor) -> Tensor:
        """μ of the actor's answers **x**."""
        return self.scale * aims.tanh()

    def worth(self, state: Tensor, actions: Tensor) -> Tensor:
        """``[B]``, Q of the states ``[B, s]`` with one vector each, ``[B, d]``."""
        rows = torch.arange(len(state), device=state.device)
        return self.values(state, ItemView(actions, actions, actions, actions), rows, rows)
