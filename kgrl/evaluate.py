"""Greedy rollouts, the metrics (KGQR equations 17 to 19 and F1), and the paired test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from kgrl.objects import of_class, with_methods
from kgrl.options import at_least, expected, ids, one_of
from kgrl.rollout import Agent, RolloutWorld, num_users, rollout
from kgrl.seeding import generator_for
from kgrl.sessions import Sessions
from kgrl.significance import ALTERNATIVES, paired_wilcoxon

METRICS = ("reward", "precision", "recall", "f1")


@dataclass(frozen=True)
class Scores:
    """What a group of users got out of their sessions.

    Args:
        reward: mean reward a step (KGQR eq. 17, undiscounted).
        precision: hits a step (eq. 18).
        recall: hits among a user's relevant items (eq. 19).
        f1: harmonic mean of a user's precision and recall.
        per_user: the same four before the mean, by name, each ``[U]``.
        sessions: the sessions themselves.
    """

    reward: float
    precision: float
    recall: float
    f1: float
    per_user: dict[str, Tensor] = field(repr=False)
    sessions: Sessions = field(repr=False)

    @property
    def length(self) -> float:
        """Mean steps a session: below T where users leave, or where nothing was left to recommend."""
        return float(self.sessions.length.float().mean())


class EvaluationWorld(RolloutWorld, Protocol):
    """What :func:`evaluate` needs of a simulator."""

    @property
    def device(self) -> torch.device: ...
    def num_relevant(self, users: Tensor) -> Tensor: ...


def score(sessions: Sessions, num_relevant: Tensor) -> Scores:
    """The metrics of finished sessions; see :meth:`kgrl.sessions.Sessions.metrics` for the equations.

    Args:
        sessions: one a user.
        num_relevant: ``[U]``, how many of all items each user would receive positively.
    """
    per_user = of_class("sessions", sessions, Sessions).metrics(num_relevant)
    means = {name: float(values.mean()) for name, values in per_user.items()}
    return Scores(**means, per_user=per_user, sessions=sessions)


def evaluate(agent: Agent, simulator: EvaluationWorld, users: Tensor, batch: int = 512, seed: int = 0) -> Scores:
    """Scores ``agent`` on one greedy session of every user.

    Args:
        agent: has ``act(sessions, explore, generator) → items [B]``.
        simulator: the world.
        users: ``[U]``, user ids.
        batch: sessions at once: bounds the memory that an agent's candidates take.
        seed: of what is random even when greedy (sampled candidates). Drawn from a generator of its own, so that
            evaluating changes nothing in training.
    """
    with_methods("agent", agent, "act", "modules")
    generator = generator_for(with_methods("simulator", simulator, "reset", "step").device, seed)
    parts = ids("users", users, num_users(simulator)).split(at_least("batch", batch, 1))
    sessions = Sessions.cat([rollout(agent, simulator, part, explore=False, generator=generator) for part in parts])
    return score(sessions, simulator.num_relevant(sessions.users))


@dataclass(frozen=True)
class Comparison:
    """Outcome of :func:`compare`: the mean of a − b over the users, and how likely such differences are by chance."""

    metric: str
    difference: float
    p_value: float
    alternative: str


def compare(a: Scores, b: Scores, metric: str = "reward", alternative: str = "two-sided") -> Comparison:
    """Wilcoxon's signed-rank test, paired over users, as KGQR's tables use it (section 5.1.3).

    Args:
        a, b: scores of two agents on the same users in the same order.
        metric: ``"reward"``, ``"precision"``, ``"recall"`` or ``"f1"``.
        alternative: ``"two-sided"``, ``"greater"`` (``a`` is above ``b``) or ``"less"``.

    Returns:
        The test's outcome; p = 1 where no user has a difference.

    Raises:
        ValueError: different users, an unknown metric or alternative.
    """
    for name, scores in (("a", a), ("b", b)):
        of_class(name, scores, Scores)
    one_of("metric", metric, METRICS)
    one_of("alternative", alternative, ALTERNATIVES)
    users, others = a.sessions.users.cpu(), b.sessions.users.cpu()
    if not torch.equal(users, others):
        came, hint = f"{len(others)} users beside {len(users)}", "evaluate both on the same tensor of ids"
        raise ValueError(expected("b", "scores of the same users in the same order as `a`", came, hint))
    mine, theirs = a.per_user[metric].double(), b.per_user[metric].double()
    return Comparison(metric, float((mine - theirs).mean()), paired_wilcoxon(mine, theirs, alternative), alternative)
