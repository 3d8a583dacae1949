"""``Bounds``: scores that need no learning, to read any score against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from kgrl.seeding import full_precision, generator_for
from kgrl.sessions import Sessions
from kgrl.simulator.feedback import FeedbackModel
from kgrl.simulator.pool import Pool
from kgrl.simulator.users import Drift, Leaving

SMALLEST = 0.01
"""The taste share below which there is nothing personal to learn."""
USERS, FEWEST, CELLS = 128, 16, 2**22
"""How many users are looked at: so many, or in a world of many items as have so many feedbacks together."""


@torch.no_grad()
@full_precision
def taste_share_of_some(
    feedback: FeedbackModel, users: Tensor, train_users: Tensor, size: int, items: Tensor | None = None
) -> float:
    """The taste share of :class:`kgrl.simulator.Bounds`, of some of the users, without a session and without chance.

    A random item's feedback is the mean over all items, and of lists at η = 0 the order does not matter: nothing is
    played, and nothing is drawn.

    Args:
        feedback: the world's.
        users: ``[U]``, in whom it is measured.
        train_users: ``[U']``, whose mean feedback chooses the one list for all.
        size: of the list.
        items: ``[P]``, the items that are shown; ``None``: all.

    Returns:
        The share; 0 where every item is received alike, NaN where the list holds all items and leaves no choice.
    """
    def shown(values: Tensor) -> Tensor:
        return values if items is None else values.index_select(-1, items)

    mean = shown(feedback.mean_feedback(_some(train_users, feedback.num_items)))
    if size >= len(mean):
        return float("nan")
    fixed, lines = mean.topk(size).indices, []
    for part in feedback.chunks(_some(users, feedback.num_items)):
        rows = shown(feedback.checked_rows(part))
        lines.append(torch.stack([each.mean(1) for each in (rows.topk(size).values, rows[:, fixed], rows)], 1))
    top, one_list, low = torch.cat(lines).mean(0).tolist()
    return (top - one_list) / (top - low) if top > low else 0.0


def _some(users: Tensor, num_items: int) -> Tensor:
    """Evenly spread over ``users``."""
    most = min(USERS, max(FEWEST, CELLS // num_items))
    return users[:: -(-len(users) // most)]


ALL_KNOWING, BEST_FIXED, MOST_LIKED, RANDOM = "all-knowing", "best fixed list", "most liked list", "random"
STAYING = "all-knowing, staying"
BELOW = 3.0
"""Puts any feedback in [−1, 1] below any other."""


@dataclass(frozen=True)
class Bounds:
    """What can be scored without learning, on one group of users.

    Args:
        lines: the sessions of each recommender by its name, all of the same users in the same order: ``"all-knowing"``
            (each user's T highest feedbacks, best first), ``"best fixed list"`` (the T items of highest mean feedback
            over the training users, in that order; of equal means, the items of lower number, or by chance where the
            simulator shows some of the items alone), ``"most liked list"`` (the first T of the popularity ranking; only
            where there is one), ``"random"``. The fixed list looks at each item by itself: where items come in groups
            that are alike and η > 0, it may be all of one group, and who does not like that has misses in a row; even
            ``"random"`` is above it then. Of new items it is the list that knows what training users will think of
            them, which no agent may. Where feedback drifts, the all-knowing takes the best item of each step as it is
            then, and the lists do not know of it. Where users leave, they do not know of that either: all of them are
            without foresight, and an agent may be above each. ``"all-knowing, staying"``, there alone, takes at each
            step the best of the items after which the user stays: one that looks a step ahead, and no bound either.
        num_relevant: ``[U]``, each user's number of relevant items, for recall.
        upper: mean reward a step that nothing may exceed: the mean of each user's T highest feedbacks plus η(T − 1)/2,
            averaged over the users (where stopping early would be better still, that). At η > 0 the all-knowing stays
            below it, and an ordering with more foresight can beat the all-knowing slightly. It holds where users leave,
            and where a drift lowers feedback; where it may raise it, every feedback is taken for the highest, 1.
        taste_share: (all-knowing − best fixed list) / (all-knowing − random), all at η = 0: how much of the world is
            personal. Above 1 where the list is below random. With leaving or drift: of the same world without them, as
            :meth:`kgrl.simulator.Simulator.taste_share` has it.
    """

    lines: Mapping[str, Sessions] = field(repr=False)
    num_relevant: Tensor = field(repr=False)
    upper: float
    taste_share: float

    def metrics(self, line: str) -> dict[str, float]:
        """Mean reward, precision, recall and F1 of one of the :attr:`lines`."""
        return {name: float(values.mean()) for name, values in self.lines[line].metrics(self.num_relevant).items()}

    def __str__(self) -> str:
        wide, steps = max(16, *map(len, self.lines)), STAYING in self.lines
        rows = [f"{'':<{wide}}  {'reward':>8}  {'precision':>9}  {'recall':>8}" + "  steps" * steps,
                f"{'upper bound':<{wide}}  {self.upper:>8.3f}"]
        for name, sessions in self.lines.items():
            means = self.metrics(name)
            rows.append(f"{name:<{wide}}  {means['reward']:>8.3f}  {means['precision']:>9.3f}  {means['recall']:>8.4f}"
                        + f"  {float(sessions.length.float().mean()):>5.1f}" * steps)
        if self.metrics(BEST_FIXED)["reward"] < self.metrics(RANDOM)["reward"]:
            rows.append("the best fixed list is below random: its items suit the same few users, and who does not like "
                        "them has misses in a row")
        return "\n".join([*rows, f"taste share {self.taste_share:.1%}"])


class BoundsWorld(Protocol):
    """The part of a simulator that is needed here."""

    feedback: FeedbackModel
    eta: float
    horizon: int
    pool: Pool | None
    leaving: Leaving | None
    drift: Drift | None

    @property
    def device(self) -> torch.device: ...
    @property
    def num_items(self) -> int: ...
    def reset(self, users: Tensor) -> Sessions: ...
    def step(self, sessions: Sessions, items: Tensor) -> Sessions: ...
    def play(self, users: Tensor, items: Tensor) -> Sessions: ...
    def play_random(self, users: Tensor, generator: torch.Generator) -> Sessions: ...
    def num_relevant(self, users: Tensor) -> Tensor: ...


@torch.no_grad()
def measure_bounds(world: BoundsWorld, users: Tensor, train_users: Tensor, popular: Tensor, seed: int = 0) -> Bounds:
    """Plays every line of :class:`Bounds`; an empty ``popular`` leaves out the most liked list."""
    users, train_users = users.to(world.device), train_users.to(world.device)
    items = None if world.pool is None else world.pool.mixed(generator_for("cpu", seed))
    size = min(world.horizon, world.num_items if items is None else len(items))
    best = [_of(items, world.feedback.checked_rows(part)).topk(size) for part in world.feedback.chunks(users)]
    fixed = _of(items, world.feedback.mean_feedback(train_users)).argsort(descending=True, stable=True)[:size]
    found = {ALL_KNOWING: torch.cat([part.indices for part in best]), BEST_FIXED: fixed.expand(len(users), -1)}
    lists = {name: places if items is None else items[places] for name, places in found.items()}
    if len(popular):
        lists[MOST_LIKED] = popular[: world.horizon].to(world.device).expand(len(users), -1)
    lines = {name: world.play(users, items) for name, items in lists.items()}
    if world.drift is not None:
        lines[ALL_KNOWING] = _step_by_step(world, users, items, staying=False)
    if world.leaving is not None:
        lines[STAYING] = _step_by_step(world, users, items, staying=True)
    lines[RANDOM] = world.play_random(users, generator_for(world.device, seed))
    values = torch.cat([part.values for part in best])
    still = world.leaving is None and world.drift is None
    return Bounds(
        lines=lines,
        num_relevant=world.num_relevant(users),
        upper=_upper(torch.ones_like(values) if world.drift is not None and world.drift.raises else values,
                     world.eta, world.horizon),
        taste_share=_taste_share(lines) if still else taste_share_of_some(
            world.feedback, users, train_users, size, items),
    )


def _step_by_step(world: BoundsWorld, users: Tensor, items: Tensor | None, staying: bool) -> Sessions:
    """Sessions that are shown the item of the highest feedback at each step.

    Where ``staying``, it is one after which the user does not leave, if there is one.
    """
    shown = torch.arange(world.num_items, device=world.device) if items is None else items
    played = []
    for part in world.feedback.chunks(users):
        sessions, rows = world.reset(part), _of(items, world.feedback.checked_rows(part))
        several = shown.expand(len(part), -1)
        for _ in range(world.horizon):
            now = rows if world.drift is None else world.drift(rows, sessions, several).clamp(-1, 1)
            if staying and world.leaving is not None:
                now = now - BELOW * world.leaving(sessions, several, now).to(now.dtype)
            now = now.masked_fill(~sessions.unshown(world.num_items)[:, shown], -torch.inf)
            best = now.max(1)
            world.step(sessions, shown[best.indices].masked_fill(best.values == -torch.inf, -1))
        played.append(sessions)
    return Sessions.cat(played)


def distinct_items(sessions: int, size: int, num_items: int, generator: torch.Generator) -> Tensor:
    """``[sessions, size]``, distinct items of each session in uniformly random order.

    Floyd's sampling (Bentley and Floyd, 1987) for all sessions at once: no table of sessions × items.
    """
    device = generator.device
    drawn = torch.full((sessions, size), -1, device=device)
    for column, last in enumerate(range(num_items - size, num_items)):
        item = torch.randint(last + 1, (sessions, 1), generator=generator, device=device)
        taken = (drawn == item).any(1, keepdim=True)
        drawn[:, column] = item.masked_fill(taken, last).squeeze(1)
    return drawn.gather(1, torch.rand(sessions, size, generator=generator, device=device, dtype=torch.float).argsort(1))


def _of(items: Tensor | None, values: Tensor) -> Tensor:
    """``[…, P]``, of ``values […, N]`` those of ``items``; ``None``: all."""
    return values if items is None else values.index_select(-1, items)


def _upper(best: Tensor, eta: float, horizon: int) -> float:
    """The best reward of any session of k ≤ T steps: its k highest feedbacks, and a streak that never breaks."""
    steps = torch.arange(best.size(1), device=best.device, dtype=torch.float)
    reachable = (best + eta * steps).cumsum(1).amax(1).clamp(min=0)
    return float(reachable.mean()) / horizon


def _taste_share(lines: Mapping[str, Sessions]) -> float:
    """From the feedback alone, which is the reward at η = 0; 0 in a world where every item is received alike.

    A past is the same in all lines, and cancels out.
    """
    top, fixed, low = (float(lines[name].feedback.mean()) for name in (ALL_KNOWING, BEST_FIXED, RANDOM))
    return (top - fixed) / (top - low) if top > low else 0.0
