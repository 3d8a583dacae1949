"""What a Gymnasium environment shows of sessions, as arrays: other libraries know no ``Sessions``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from kgrl.objects import of_class
from kgrl.options import dense_vectors, expected, single
from kgrl.sessions import Sessions
from kgrl.simulator.simulator import Simulator

if TYPE_CHECKING:
    from gymnasium import Space
    from gymnasium.spaces import Box

Observed = Tensor | Mapping[str, Tensor]
Observe = Callable[[Sessions], Observed]
"""Sessions → a tensor ``[B, …]`` or a dict of such. One with a method ``space(simulator)`` says what it gives, too."""

SLACK = 1e-4
"""Rounding may carry a mean of vectors past the largest of them by so much of its size."""


def session_history(sessions: Sessions) -> dict[str, Tensor]:
    """All that a session tells: ``items [B, L + T]``, −1 where there is none yet, and their ``feedback [B, L + T]``."""
    return {"items": sessions.items, "feedback": sessions.feedback}


class SessionSummary:
    """A session as one vector, for libraries whose networks take no sequences.

    It has, for d-dimensional item vectors, 2d + 4 numbers: the mean of the items that were received positively; the
    mean of all items shown, each times its feedback; the share of the L + T columns that was received positively; and,
    as shares of T, the steps taken and the streak (c_p, c_n). A past counts in the means and in the first share.

    Args:
        vectors: ``[N, d]``, what is known of each item, e.g. of :func:`kgrl.pretrain.item_vectors`.

    Raises:
        TypeError: they are no tensor.
        ValueError: they are no finite ``[N, d]``.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = single("vectors", dense_vectors("vectors", vectors))

    def __call__(self, sessions: Sessions) -> Tensor:
        """``[B, 2d + 4]``."""
        until = max(sessions.step, 1)  # of no columns at all there is no sum
        items, feedback = sessions.items[:, :until], sessions.feedback[:, :until]
        self.vectors = self.vectors.to(items.device)
        seen, positive = items >= 0, sessions.positive[:, :until].float()
        shown, liked = seen.sum(1, keepdim=True), positive.sum(1, keepdim=True)
        places = items.clamp(min=0)  # weighted with 0 where there is none
        taste = embedding_bag(places, self.vectors, mode="sum", per_sample_weights=feedback) / shown.clamp(min=1)
        likes = embedding_bag(places, self.vectors, mode="sum", per_sample_weights=positive) / liked.clamp(min=1)
        counts = torch.stack([sessions.length, *sessions.streak_counts()], 1).float() / sessions.horizon
        return torch.cat([likes, taste, liked / sessions.items.size(1), counts], 1)

    def space(self, simulator: Simulator) -> Box:
        """The ``Box`` that the vectors are in.

        Raises:
            ValueError: the simulator has another number of items.
        """
        from gymnasium.spaces import Box

        dense_vectors("vectors", self.vectors, simulator.num_items)
        low, high = self.vectors.amin(0).clamp(max=0), self.vectors.amax(0).clamp(min=0)
        most = self.vectors.abs().amax(0)
        low, high = torch.cat([low, -most]), torch.cat([high, most])
        slack = SLACK * torch.cat([most, most]) + SLACK
        low, high = torch.cat([low - slack, low.new_zeros(4)]), torch.cat([high + slack, high.new_ones(4)])
        return Box(low.numpy(force=True), high.numpy(force=True), dtype=np.float32)


def observation_space_of(observe: Observe, simulator: Simulator, user: Tensor) -> Space[Any]:
    """The space of what ``observe`` gives: its own ``space(simulator)``, or one without bounds that fits.

    Args:
        observe: a function of sessions.
        simulator: whose sessions.
        user: ``[1]``, whose session it is tried on.

    Raises:
        TypeError: it gives neither tensors nor a dict of them.
        ValueError: it does not give one row per session.
    """
    from gymnasium.spaces import Box, Dict

    if observe is session_history:
        shape = (simulator.reset(user).items.size(1),)
        return Dict({"items": Box(-1, simulator.num_items - 1, shape, np.int64), "feedback": Box(-1, 1, shape)})
    if callable(getattr(observe, "space", None)):
        return observe.space(simulator)  # type: ignore[attr-defined]
    seen = observe(simulator.reset(user))
    if isinstance(seen, Mapping):
        return Dict({name: _box(f"observe(sessions)[{name!r}]", value) for name, value in seen.items()})
    return _box("observe(sessions)", seen)


def _box(name: str, value: Tensor) -> Space[Any]:
    from gymnasium.spaces import Box

    if of_class(name, value, Tensor, "or a dict of tensors").shape[:1] != (1,):
        raise ValueError(expected(name, "one row per session, [1, …] of one", list(value.shape)))
    array, low, high = value.numpy(force=True), -np.inf, np.inf
    if array.dtype == np.bool_:
        low, high = 0, 1
    elif not np.issubdtype(array.dtype, np.floating):
        low, high = np.iinfo(array.dtype).min, np.iinfo(array.dtype).max
    return Box(low, high, array.shape[1:], array.dtype.type)


def arrays_of(seen: Observed, sessions: Sessions, space: Space[Any]) -> Any:
    """What was seen of ``sessions``, as NumPy has it, in memory that these go on without.

    Args:
        seen: a tensor ``[B, …]``, or a dict of such.
        sessions: whose tables are changed in place.
        space: of all sub-environments.

    Raises:
        ValueError: another shape than the space has.
    """
    own = {value.untyped_storage().data_ptr() for value in sessions.tensors().values()}

    def kept(value: Tensor, space: Space[Any]) -> np.ndarray:
        if tuple(value.shape) != space.shape:
            raise ValueError(expected("observe(sessions)", f"of shape {space.shape} by the observation space",
                                      list(value.shape), "what grows with a session needs all columns"))
        return as_array(value.clone() if value.untyped_storage().data_ptr() in own else value)

    if isinstance(seen, Mapping):
        return {name: kept(value, space[name]) for name, value in seen.items()}  # type: ignore[index]
    return kept(seen, space)


def as_array(values: Tensor) -> np.ndarray:
    """As NumPy has it, in the memory of the tensor where that is the CPU's."""
    return values.detach().numpy(force=True)
