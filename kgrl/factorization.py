"""Biased matrix factorization of ratings: the simulator's world and the baselines' item vectors both come from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kgrl.seeding import generator_for


class Factors(nn.Module):
    r"""Matrix factorization :math:`\hat r_{ui} = p_u^\top q_i + b_u + b_i` (Koren et al., 2009).

    Embeddings start from :math:`\mathcal N(0, 0.1^2)`, biases from 0.

    Args:
        num_users: U.
        num_items: N.
        dim: length of the embeddings.
        biases: whether :math:`b_u` and :math:`b_i` are there.
        seed: of the initial embeddings.

    Shapes:
        - ``forward(users [K], items [K])`` → ``[K]``, one prediction a pair.
        - ``rows(users [B])`` → ``[B, N]``, every item's prediction.
    """

    def __init__(self, num_users: int, num_items: int, dim: int, biases: bool = True, seed: int = 0) -> None:
        super().__init__()
        generator = generator_for("cpu", seed)
        made: dict[str, Any] = {"device": "cpu", "dtype": torch.float}
        self.user = nn.Parameter(0.1 * torch.randn(num_users, dim, generator=generator, **made))
        self.item = nn.Parameter(0.1 * torch.randn(num_items, dim, generator=generator, **made))
        self.user_bias = nn.Parameter(torch.zeros(num_users, **made), requires_grad=biases)
        self.item_bias = nn.Parameter(torch.zeros(num_items, **made), requires_grad=biases)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        # embedding and index_select add up their gradients in a fixed order on the CPU; plain indexing does not
        dot = (F.embedding(users, self.user) * F.embedding(items, self.item)).sum(-1)
        return dot + self.user_bias.index_select(0, users) + self.item_bias.index_select(0, items)

    def rows(self, users: Tensor) -> Tensor:
        return torch.addmm(self.item_bias, self.user[users], self.item.T).add_(self.user_bias[users, None])


def training_epochs(
    factors: Factors, users: Tensor, items: Tensor, values: Tensor, *,
    lr: float = 0.01, weight_decay: float = 1e-5, batch_size: int = 8192, seed: int = 0,
) -> Iterator[float]:
    """Trains ``factors`` in place on the squared error, for as long as the caller iterates.

    Args:
        factors: what is trained; its device is where the work happens.
        users, items, values: ``[R]``, one rating an entry.
        lr, weight_decay: of Adam (L2 in the gradient, not decoupled).
        batch_size: ratings a step.
        seed: of the order of the ratings.

    Yields:
        The epoch's mean squared error, after each epoch.
    """
    device = factors.user.device
    users, items, values = users.to(device), items.to(device), values.to(device, torch.float)
    generator = generator_for("cpu", seed)
    parameters = [p for p in factors.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    while True:
        total = 0.0
        for batch in torch.randperm(len(values), generator=generator, device="cpu").to(device).split(batch_size):
            error = factors(users[batch], items[batch]) - values[batch]
            loss = error.square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
        yield total / max(len(values), 1)
