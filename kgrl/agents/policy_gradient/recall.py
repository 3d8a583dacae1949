"""``Recall``: a task that teaches a recurrent state to remember."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.policy_gradient.returns import taken_steps
from kgrl.sessions import Sessions


class Recall(nn.Module):
    r"""How an item that was shown before was rewarded, from the state and the item's vector.

    From the state :math:`\mathbf h_t` after t steps, of an item shown at a step :math:`j \le t`, drawn at random:

    .. math:: \hat r_j = (\mathbf A \mathbf h_t + \mathbf b)^\top [\mathbf e(a_j) \Vert 1]

    Paper is silent (TPGR's) on how a state is pre-trained; its authors' code predicts past rewards, too.

    Args:
        state_channels: size h of the state.
        item_channels: length of an item vector.
    """

    def __init__(self, state_channels: int, item_channels: int) -> None:
        super().__init__()
        self.key = nn.Linear(state_channels, item_channels + 1)

    def forward(
        self, states: Tensor, vectors: Tensor, sessions: Sessions, generator: torch.Generator | None = None
    ) -> Tensor:
        """The mean squared error over the steps taken.

        Args:
            states: ``[T, B, h]``, after each step.
            vectors: ``[N, d]``, of the items.
            sessions: finished.
            generator: of which item is asked for.
        """
        shown, rewards = (part[:, sessions.begin : sessions.step].t() for part in (sessions.items, sessions.rewards))
        steps = torch.arange(len(shown), device=shown.device).unsqueeze(1)
        drawn = torch.rand(shown.shape, generator=generator, device=shown.device)
        asked = (drawn * (steps + 1)).long().clamp_(max=len(shown) - 1)
        items, rewards = shown.gather(0, asked), rewards.gather(0, asked)
        key, read = F.embedding(items.clamp(min=0), vectors), self.key(states)
        error = (read[..., :-1] * key).sum(-1) + read[..., -1] - rewards
        taken = taken_steps(sessions)[:, sessions.begin :].t()
        return torch.where(taken, error.square(), 0.0).sum() / taken.sum()
