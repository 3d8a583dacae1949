"""A recurrent state by its name, its class or an instance of it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from kgrl.agents.state.recurrent import LikedItems, RewardedItems
from kgrl.agents.state.session_state import checked_state
from kgrl.parts import made_part

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
    return cast(nn.Module, checked_state(name, state, torch.zeros(num_items, item_channels)))
