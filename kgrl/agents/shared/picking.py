"""Picking items by their scores, all items' or each session's candidates'; scores that are not finite are refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import cumsum, degree, scatter

from kgrl.objects import a_generator, of_class
from kgrl.options import at_least, expected, flag
from kgrl.sessions import UNDEFINED, Sessions

HINT = ("learning has diverged, or what it was given is too large for single precision: make the agent anew, with a "
        "smaller learning rate, with smaller vectors, or in a world with a smaller eta")
WEIGHTS = "the agent's weights"
NOT_FINITE = expected("the agent's values", "finite", "NaN or infinity", HINT)
LONGEST = 2**24
"""The longest list that is recommended: more items than any catalogue has, and 128 MiB for each user."""
_CELLS = 2**22  # of the sessions × items scores that are laid out at once


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


def list_length(k: int) -> int:
    """``k`` if a list of so many items can be recommended.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1, or longer than any list may be.
    """
    if at_least("k", k, 1) > LONGEST:
        raise ValueError(expected("k", f"at most {LONGEST}", k, "k=agent.num_items is a list of all items"))
    return k


def check_turn(sessions: Sessions, explore: bool, generator: torch.Generator | None) -> None:
    """Refuses what no agent can act on.

    Raises:
        TypeError: ``sessions`` are none, ``explore`` is no bool, or ``generator`` no generator.
    """
    of_class("sessions", sessions, Sessions)
    flag("explore", explore)
    a_generator("generator", generator)


def without_shown(scores: Tensor, shown: Tensor) -> Tensor:
    """``scores [B, N]``, −∞ for what was ``shown [B, L]``; −1 for none."""
    scores = F.pad(scores, (1, 0))  # a column for "none"
    return scores.scatter_(1, shown + 1, -torch.inf)[:, 1:]


def best_item(scores: Tensor, gone: Tensor, size: int | None = None) -> Tensor:
    """``[B]``, the item of the highest score; −1 where nothing is left.

    ``UNDEFINED`` where the highest is no finite number: NaN, ∞, or −∞ although something is left.

    Args:
        scores: ``[B, N]``, −∞ for what may not be shown.
        gone: ``[B, L]``, why it may not: items of those that count, none of them twice; below 0 for none.
        size: how many items count; ``None``: N.
    """
    size = scores.size(1) if size is None else size
    best, item = scores.max(1)
    item = item.masked_fill_(~(best.abs() < torch.inf), UNDEFINED)
    if gone.size(1) < size:  # something is left, which takes no look at the sessions
        return item
    return item.masked_fill_(_num_left(gone, size) <= 0, -1)


def _num_left(gone: Tensor, size: int) -> Tensor:
    """``[B]``, how many of ``size`` items are left."""
    return size - (gone >= 0).sum(1)


def best_items(scores: Tensor, k: int, gone: Tensor, size: int | None = None) -> Tensor:
    """``[B, k]``, the items of the k highest scores, best first; −1 where fewer are left.

    Of equal scores the item of the lower id comes first, as :func:`best_item` has it, whatever the device. Arguments as
    there.

    Raises:
        ValueError: ``k`` below 1, or one of these scores is no finite number.
    """
    count = min(list_length(k), scores.size(1))
    highest = scores.topk(count, dim=1, sorted=False).values
    check_values(highest)
    few = _num_left(gone, scores.size(1) if size is None else size).clamp(max=count)
    if bool(((highest > -torch.inf).sum(1) < few).any()):
        raise ValueError(NOT_FINITE)
    least = highest.amin(1, keepdim=True)
    above, level = scores > least, scores == least  # of those at the level, the first fill up
    chosen = above | (level & (level.cumsum(1) <= count - above.sum(1, keepdim=True)))
    items = chosen.nonzero()[:, 1].view(-1, count)
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order).masked_fill_(best == -torch.inf, -1)
    return F.pad(items, (0, k - count), value=-1)


def best(scores: Tensor, count: int, gone: Tensor) -> Tensor:
    """``[B, count]``, as :func:`best_items`; of one item it is faster."""
    return best_item(scores, gone).unsqueeze(1) if count == 1 else best_items(scores, count, gone)


def best_left(scores: Tensor, gone: Tensor, count: int) -> Tensor:
    """:func:`best` of ``scores [B, N]`` without what is ``gone [B, L]``."""
    return best(without_shown(scores, gone), count, gone)


def check_values(values: Tensor) -> None:
    """Refuses an agent's ``values``, of any shape, if one of them is NaN or ∞; −∞ stands for what may not be shown.

    It looks at the device, so it is for what a user asks for, not for a rollout: there, ``UNDEFINED`` is the answer.
    """
    if not bool((values < torch.inf).all()):
        raise ValueError(NOT_FINITE)


def defined(items: Tensor) -> Tensor:
    """``items``, if none of them is ``UNDEFINED``; otherwise the error of :func:`check_values`."""
    if bool((items == UNDEFINED).any()):
        raise ValueError(NOT_FINITE)
    return items


def in_parts(rank: Callable[..., Tensor], num_items: int, *given: Tensor) -> Tensor:
    """``rank`` of what is given of B sessions, some sessions at a time: not B × N scores at once."""
    rows = max(1, _CELLS // num_items)
    return torch.cat([rank(*part) for part in zip(*(each.split(rows) for each in given), strict=True)])


def of_known_items(past: Sessions, num_items: int) -> Sessions:
    """``past``, if all its items are below N.

    Raises:
        TypeError: they are no sessions.
        ValueError: an item id the agent does not know.
    """
    of_class("past", past, Sessions, "Sessions.from_history makes them of lists")
    if (past.items >= num_items).any():
        raise ValueError(expected("past.items", f"item ids below {num_items}", int(past.items.max())))
    return past


def ragged_argmax(values: Tensor, batch: Tensor, size: int) -> Tensor:
    """``[size]``, the position in ``values`` of each session's highest one; −1 where a session has none.

    ``UNDEFINED`` where its highest is no finite number, −∞ included: what may not be shown is not among them. Of equal
    values the first wins, so that the answer does not depend on the device.
    """
    highest = scatter(values, batch, dim_size=size, reduce="max")
    at = (values == highest[batch]).nonzero().squeeze(1)
    first = torch.full((size,), len(values), device=values.device)
    first.scatter_reduce_(0, batch[at], at, reduce="amin")
    return first.masked_fill_(first == len(values), -1).masked_fill_(~(highest.abs() < torch.inf), UNDEFINED)


def ragged_topk(values: Tensor, batch: Tensor, size: int, k: int) -> Tensor:
    """``[size, k]``, the positions of each session's k highest values, best first, padded with −1."""
    order = values.argsort(descending=True, stable=True)
    order = order[batch[order].argsort(stable=True)]
    sorted_batch = batch[order]
    starts = cumsum(degree(batch, size, dtype=torch.long))[:-1]
    rank = torch.arange(len(values), device=values.device) - starts[sorted_batch]
    kept = rank < k
    top = torch.full((size, k), -1, device=values.device)
    top[sorted_batch[kept], rank[kept]] = order[kept]
    return top
