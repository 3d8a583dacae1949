"""What an agent's learning and deciding come to, if it is finite: an agent that has diverged says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kgrl.options import expected

HINT = ("learning has diverged, or what it was given is too large for single precision: make the agent anew, with a "
        "smaller learning rate, with smaller vectors, or in a world with a smaller eta")
WEIGHTS = "the agent's weights"


def finite_report(names: Sequence[str], means: Tensor, parameters: Iterable[Tensor]) -> dict[str, float]:
    """The numbers that a learning step reports, by name; one look at the device for them and for the weights.

    Args:
        names: of the numbers.
        means: ``[len(names)]``.
        parameters: what has been learned.

    Raises:
        ValueError: a number that is not finite, or such a weight.
    """
    size = torch.stack(torch._foreach_norm([parameter.detach() for parameter in parameters])).sum()
    *found, weights = torch.cat([means, size.unsqueeze(0)]).tolist()
    for name, value in zip([*names, WEIGHTS], [*found, weights], strict=True):
        if not math.isfinite(value):
            raise ValueError(expected(name, "finite", value, HINT))
    return dict(zip(names, found, strict=True))
