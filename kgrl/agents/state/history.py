"""``SRUHistory`` and ``KGHistory``: what a recurrent network keeps of a session, one step at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.state.gru import GRUState
from kgrl.nn.state.sru import SRU, SRUCarry
from kgrl.sessions import Sessions


class Step(NamedTuple):
    """What one step showed of B users, each ``[B]``, or T steps, ``[T, B]``; see :class:`kgrl.sessions.Sessions`."""

    items: Tensor
    feedback: Tensor
    rewards: Tensor
    positive: Tensor
    streak: Tensor

    @classmethod
    def of(cls, sessions: Sessions, step: int) -> Step:
        """What column ``step`` holds."""
        return cls(*(getattr(sessions, name)[:, step] for name in cls._fields))

    @classmethod
    def all_of(cls, sessions: Sessions) -> Step:
        """Every step so far, a past's too, ``[T, B]``."""
        return cls(*(getattr(sessions, name)[:, : sessions.step].t() for name in cls._fields))


class SRUHistory(nn.Module):
    r"""Items and rewards through a simple recurrent unit (TPGR, Figure 2 and appendix "Reward Mapping Function").

    .. math:: \mathbf x_t = [\mathbf e(a_t) \Vert \mathrm{onehot}(l - \lfloor l (b - r_t) / (b - a) \rfloor)]

    Paper is silent: on (a, b] where rewards have a streak term; here b = 1 + η(T − 1) and a = −b, and a reward outside
    counts as its nearest bin (r = a is outside: the range is half open).

    Args:
        embedding: ``[N, d]``, the items' embeddings to start from; learned along.
        channels: size h of the hidden vector.
        bins: l, length of the one-hot reward.
        highest: b.
    """

    def __init__(self, embedding: Tensor, channels: int, bins: int, highest: float) -> None:
        super().__init__()
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.bins, self.highest, self.channels, self.item_channels = bins, highest, channels, embedding.size(1)
        self.sru = SRU(embedding.size(1) + bins, channels)

    def vectors(self) -> Tensor:
        """``[N, d]``."""
        return self.embedding

    def initial(self, num_sessions: int) -> SRUCarry:
        return self.sru.initial(num_sessions)

    def inputs(self, vectors: Tensor, steps: Step) -> Tensor:
        """What steps bring in, ``[…, parts · h]``."""
        items = F.embedding(steps.items.clamp(min=0), vectors)
        rewards = F.one_hot(self.bin(steps.rewards), self.bins).to(items.dtype)
        return self.sru.project(torch.cat([items, rewards], -1))

    def step(self, carry: SRUCarry, inputs: Tensor) -> SRUCarry:
        """One step later."""
        return self.sru.step(carry, inputs)

    def output(self, carry: SRUCarry) -> Tensor:
        """``[B, h]``."""
        return carry.output

    def bin(self, rewards: Tensor) -> Tensor:
        """The position of the one in the one-hot reward, counted from 0."""
        below = torch.floor(self.bins * (self.highest - rewards) / (2 * self.highest)).long()
        return (self.bins - 1 - below).clamp_(0, self.bins - 1)


class KGHistory(nn.Module):
    """KGQR's state in TPGR: a GRU over the liked items' vectors from a graph convolution (KGQR, equations 5 to 8).

    Args:
        embedding: ``[E, d]``, the entities' embeddings to start from; learned along.
        encoder: planned for the items.
        channels: size h of the hidden vector.
    """

    def __init__(self, embedding: Tensor, encoder: KGEncoder, item_channels: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(embedding.detach().clone())
        self.encoder, self.channels, self.item_channels = encoder, channels, item_channels
        self.gru = GRUState(item_channels, channels)

    def vectors(self) -> Tensor:
        """``[N, d]``, i(G)."""
        return self.encoder(self.embedding)

    def initial(self, num_sessions: int) -> Tensor:
        return self.gru.initial(num_sessions)

    def inputs(self, vectors: Tensor, steps: Step) -> tuple[Tensor, Tensor]:
        """What steps bring in: the gates' parts ``[…, 3h]``, and whether each was liked."""
        return self.gru.project(F.embedding(steps.items.clamp(min=0), vectors)), steps.positive.unsqueeze(-1)

    def step(self, carry: Tensor, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """One step later; an item that was not liked changes nothing."""
        return torch.where(inputs[1], self.gru.step(carry, inputs[0]), carry)

    def output(self, carry: Tensor) -> Tensor:
        """``[B, h]``."""
        return carry


History = Any
"""Any module with ``channels``, ``item_channels``, ``vectors()``, ``initial(B)``, ``inputs(vectors, steps)``,
``step(carry, inputs)`` and ``output(carry)``."""
