"""What an agent's taste state starts from: checked when it is given, found again in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kgrl.files import below
from kgrl.nn.state.taste import TasteTerms
from kgrl.objects import of_class
from kgrl.options import at_least, expected

START = "network.state.taste.model.start_"
"""What the names of a Q-network's tensors begin with that hold what its taste state started from."""


def checked_start(
    tastes: TasteTerms | None, taste_channels: int | None, num_items: int
) -> tuple[TasteTerms | None, int | None]:
    """What the taste state starts from, and its length: that of the tastes, where there are any.

    Raises:
        ValueError: another length was asked for, tastes of other items, or tastes that are none.
    """
    if taste_channels is not None:
        at_least("taste_channels", taste_channels, 0)
    if tastes is None:
        return None, taste_channels
    of_class("tastes", tastes, TasteTerms, "kgrl.pretrain.item_tastes makes them")
    start = TasteTerms(*(part.detach().float() for part in tastes.checked("tastes"))).checked("tastes")
    items, length = start.loading.shape
    if items != num_items:
        raise ValueError(expected("tastes", f"of {num_items} items", items))
    if taste_channels == 0:
        raise ValueError(expected("tastes", "left out, as taste_channels=0 is no taste state", "some"))
    if taste_channels not in (None, length):
        raise ValueError(expected("taste_channels", f"{length}, the length of `tastes`, or left out", taste_channels))
    return start, length


def saved_tastes(
    tensors: Mapping[str, Tensor], options: Mapping[str, Any], anew: bool = False, at: str = START
) -> TasteTerms | None:
    """What the taste state of a saved agent started from.

    Args:
        tensors: the agent's.
        options: what it is loaded with.
        anew: whether ``options`` may have others in its place, as its items are others.
        at: what the names of its tensors begin with.

    Raises:
        ValueError: ``options`` have others, and may not, or the agent started from none.
    """
    parts = below(at, tensors)
    if "tastes" in options and not (anew and parts):
        why = "the file has those that the agent started from" if parts else "the agent did not start from any"
        raise ValueError(expected("tastes", f"left out, as {why}", "some"))
    return TasteTerms(**parts) if parts else None
