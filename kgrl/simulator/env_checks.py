"""What a Gymnasium environment is given, checked: actions, and the options of a reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kgrl.objects import of_class
from kgrl.options import did_you_mean, expected, ids

OPTIONS = ("reset_mask", "users")


def actions_of(actions: Any, count: int) -> Tensor:
    """``actions`` as a LongTensor ``[count]``.

    Raises:
        TypeError: they are no numbers.
        ValueError: they are not one whole number per sub-environment.
    """
    try:
        chosen = actions if isinstance(actions, Tensor) else torch.as_tensor(actions, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(expected("actions", "an array of whole numbers", type(actions).__name__)) from error
    if chosen.shape != (count,) or chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
        came = f"{chosen.dtype} {list(chosen.shape)}"
        raise ValueError(expected("actions", f"one whole number per sub-environment, [{count}]", came))
    return chosen.long()


def check_actions(actions: Tensor, items: Tensor, playing: Tensor, masked: Tensor, count: int) -> None:
    """Refuses an action that there is not, and one that is masked.

    Args:
        actions: ``[B]``.
        items: ``[B]``, the item of each.
        playing: ``[B]``, whether the action is looked at at all.
        masked: ``[B]``, whether the item has been shown already.
        count: how many actions there are.

    Raises:
        ValueError: with the first sub-environment where it is so, and the item.
    """
    unknown = (actions < 0) | (actions >= count)
    bad = playing & (unknown | masked)
    if not bad.any():
        return
    row = int(bad.nonzero()[0])
    what, where = f"an action from 0 to {count - 1}", f"sub-environment {row}"
    if not unknown[row]:
        what = "an action that info['action_mask'] allows"
        where += f", where item {int(items[row])} has been shown already"
    raise ValueError(expected("actions", what, int(actions[row]), where))


def reset_options(options: Mapping[str, Any] | None, count: int, num_users: int) -> tuple[Tensor, Tensor | None]:
    """(which of ``count`` sub-environments to reset ``[count]``, bool; of which users ``[count]``, where it is said).

    Raises:
        TypeError: no dict, or a mask that is no array of bools.
        ValueError: an unknown option; a mask of another length, or with nothing to reset; not one user for each, or
            an unknown one.
    """
    options = {} if options is None else of_class("options", options, Mapping)
    for name in options:
        if name not in OPTIONS:
            raise ValueError(expected("options", "known to this environment", name, did_you_mean(name, OPTIONS)))
    users, mask = options.get("users"), options.get("reset_mask")
    if users is not None:
        users = ids("options['users']", users, num_users)
        if len(users) != count:
            raise ValueError(expected("options['users']", f"one per sub-environment, {count}", len(users)))
    if mask is None:
        return torch.ones(count, dtype=torch.bool, device="cpu"), users
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(expected("options['reset_mask']", "a NumPy array of bools", mask))
    if mask.shape != (count,) or not mask.any():
        what = f"of shape [{count}], with at least one True"
        raise ValueError(expected("options['reset_mask']", what, f"{mask.sum()} True of {list(mask.shape)}"))
    return torch.from_numpy(mask.copy()), users
