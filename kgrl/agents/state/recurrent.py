"""What a recurrent network keeps of a session: KGQR's state and TPGR's, by name, or one of the user's own."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgrl.agents.state.session_state import Step, checked_state
from kgrl.nn.state.recurrent_units import SRU, GRUState, SRUCarry
from kgrl.options import at_least, between
from kgrl.parts import made_part
from kgrl.sessions import Sessions


class Projected(NamedTuple):
    """Item ``vectors [N, d]``, and ``inputs [N, 3h]``, what they bring into the gates."""

    vectors: Tensor
    inputs: Tensor


class LikedItems(nn.Module):
    """KGQR's state: a gated recurrent unit over the liked items (Zhou et al., 2020, equations 7 and 8).

    Args:
        item_channels: d, of the agent's item vectors.
        channels: length h of the hidden vector.
    """

    def __init__(self, item_channels: int, channels: int) -> None:
        super().__init__()
        self.gru, self.channels = GRUState(item_channels, channels), channels

    @classmethod
    def of(cls, gru: GRUState) -> LikedItems:
        """Of a recurrent unit that is there."""
        state = cls.__new__(cls)
        nn.Module.__init__(state)
        state.gru, state.channels = gru, gru.state_channels
        return state

    def items(self, vectors: Tensor) -> Projected:
        return Projected(vectors, self.gru.project(vectors))

    def initial(self, num_sessions: int, items: Projected) -> Tensor:
        return self.gru.initial(num_sessions)

    def step(self, carry: Tensor, items: Projected, step: Step) -> Tensor:
        """An item that was not liked changes nothing."""
        stepped = self.gru.step(carry, items.inputs[step.items.clamp(min=0)])
        return torch.where((step.positive & (step.items >= 0)).unsqueeze(1), stepped, carry)

    def read(self, carry: Tensor) -> Tensor:
        return carry

    def present(self, items: Projected | Tensor, sessions: Sessions) -> Tensor:
        """All steps at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        if not sessions.step:
            return self.gru.initial(len(sessions))
        found: Tensor = self.gru(items if isinstance(items, Tensor) else items.vectors, sessions.liked)
        return found

    def over(self, vectors: Tensor, sessions: Sessions) -> Tensor:
        """All items' inputs at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        shown, liked = sessions.shown.t(), sessions.positive[:, : sessions.step].t().unsqueeze(-1)
        inputs = self.gru.project(F.embedding(shown.clamp(min=0), vectors))
        states = [self.gru.initial(len(sessions))]
        # unbind, as a gradient through x[t] is as large as x
        for given, was_liked in zip(inputs.unbind(), (liked & (shown >= 0).unsqueeze(-1)).unbind(), strict=True):
            states.append(torch.where(was_liked, self.gru.step(states[-1], given), states[-1]))
        return torch.stack(states)


class RewardedItems(nn.Module):
    r"""TPGR's state: items and rewards through a simple recurrent unit (Chen et al., 2019, Figure 2 and appendix).

    .. math:: \mathbf x_t = [\mathbf e(a_t) \Vert \mathrm{onehot}(l - \lfloor l (b - r_t) / (b - a) \rfloor)]

    Paper is silent: on (a, b] where rewards have a streak term; here b = 1 + η(T − 1) and a = −b, and a reward outside
    counts as its nearest bin (r = a is outside: the range is half open).

    Args:
        item_channels: d, of the agent's item vectors.
        channels: length h of the hidden vector.
        bins: l, length of the one-hot reward.
        highest: b.
    """

    def __init__(self, item_channels: int, channels: int, bins: int = 10, highest: float = 1.0) -> None:
        super().__init__()
        self.bins, self.highest = at_least("bins", bins, 1), between("highest", highest, 1e-12, float("inf"))
        self.channels = channels
        self.sru = SRU(item_channels + bins, channels)

    def items(self, vectors: Tensor) -> Tensor:
        return vectors

    def initial(self, num_sessions: int, items: Tensor) -> SRUCarry:
        return self.sru.initial(num_sessions)

    def step(self, carry: SRUCarry, items: Tensor, step: Step) -> SRUCarry:
        return self.sru.step(carry, self._inputs(items, step.items, step.rewards))

    def read(self, carry: SRUCarry) -> Tensor:
        return carry.output

    def over(self, vectors: Tensor, sessions: Sessions) -> Tensor:
        """All items' inputs at once; see :class:`kgrl.agents.state.session_state.SessionState`."""
        shown = sessions.shown.t()
        inputs = self._inputs(vectors, shown, sessions.rewards[:, : sessions.step].t())
        carry, states = self.sru.initial(len(sessions)), []
        for column, given in enumerate(inputs.unbind()):  # as a gradient through x[t] is as large as x
            states.append(carry.output)
            later = self.sru.step(carry, given)
            carry = later if column >= sessions.begin else _where_shown(shown[column], later, carry)
        return torch.stack([*states, carry.output])

    def _inputs(self, vectors: Tensor, items: Tensor, rewards: Tensor) -> Tensor:
        """What steps bring in, ``[…, parts · h]``."""
        onehot = F.one_hot(self.bin(rewards), self.bins)
        items = F.embedding(items.clamp(min=0), vectors)
        return self.sru.project(torch.cat([items, onehot.to(items.dtype)], -1))

    def bin(self, rewards: Tensor) -> Tensor:
        """The position of the one in the one-hot reward, counted from 0."""
        below = torch.floor(self.bins * (self.highest - rewards) / (2 * self.highest)).long()
        return (self.bins - 1 - below).clamp_(0, self.bins - 1)


def _where_shown(items: Tensor, later: SRUCarry, carry: SRUCarry) -> SRUCarry:
    """A past begins where its first item stands."""
    there = (items >= 0).unsqueeze(1)
    return SRUCarry(*(torch.where(there, *pair) for pair in zip(later, carry, strict=True)))


STATES: dict[str, type[nn.Module]] = {"gru": LikedItems, "sru": RewardedItems}
"""``"gru"``: KGQR's, the liked items; ``"sru"``: TPGR's, the items and how they were rewarded."""


def made_state(
    name: str, state: Any, num_items: int, item_channels: int, channels: int, **options: Any
) -> nn.Module:
    """The state, checked.

    Args:
        name: what it is called in an error.
        state: a name among :data:`STATES`; a class, called with those of ``item_channels``, ``channels`` and
            ``options`` that it names; or an instance, see :class:`kgrl.agents.state.session_state.SessionState`.
        num_items, item_channels: shape of the agent's item vectors.
        channels: length of the state, where it is made here.
        **options: for a state that is made here.

    Raises:
        TypeError: it is no session state.
        ValueError: an unknown name, or one whose carry changes its shape.
    """
    if isinstance(state, str | type):
        state = made_part(name, state, STATES, nn.Module, item_channels=item_channels, channels=channels, **options)
    if isinstance(state, nn.Module):
        state.float()  # as the vectors, whatever PyTorch's default was where it was made
    own = [*state.parameters(), *state.buffers()] if isinstance(state, nn.Module) else []
    vectors = torch.zeros(num_items, item_channels, device=own[0].device if own else "cpu", dtype=torch.float)
    return cast(nn.Module, checked_state(name, state, vectors))
