"""``fit``: roll out, learn, evaluate, checkpoint."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from kgrl.checkpoint import Run, run_identity
from kgrl.evaluate import METRICS, evaluate
from kgrl.locks import alone_in_its
from kgrl.objects import a_path, with_methods
from kgrl.options import at_least, expected, flag, ids, one_of
from kgrl.rollout import num_users, rollout
from kgrl.seeding import generator_for

PRECISIONS = ("32-true", "bf16-mixed")
"""What networks may be computed in. ``"16-mixed"`` needs gradients scaled, which agents do not do; in ``"16-true"`` and
the like, sessions themselves would be rounded."""

SCHEDULE = {"interactions": 20_480, "evaluate_every": 1_024, "sessions": 32}
"""What :func:`fit` takes where neither it nor the agent is told."""

SMALLEST_TASTE_SHARE = 0.01
"""Below it there is nothing personal to learn."""
EVALUATION_SEED = 20_000
"""Added to a run's seed for its evaluations: the same draws at every one, and none of training's."""


@alone_in_its("checkpoint")
def fit(
    agent: nn.Module, simulator: Any, users: Tensor, *, interactions: int | None = None,
    eval_users: Tensor | None = None, evaluate_every: int | None = None, sessions: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    loggers: Any = None, watch: Callable[[Mapping[str, float]], None] | None = None,
    precision: str = "32-true", progress: bool | None = None, pretrain_interactions: int = 0,
    evaluate_first: bool = False, keep: str = "last", seed: int = 0,
) -> list[dict[str, float]]:
    """Trains an agent in a simulator, and watches it on other users.

    One round is a rollout of ``sessions`` exploring sessions, ``agent.learn`` on them, and, whenever another
    ``evaluate_every`` interactions are full, a greedy evaluation. Users take turns in a new random order each epoch.
    Evaluation draws from a generator of its own: the trained weights do not depend on ``evaluate_every``.

    Args:
        agent: has ``act(sessions, explore, generator)`` and ``learn(sessions, generator)``, which may return numbers
            by name for the curve (``"gradient_steps"`` are added up); on the simulator's device. Optional
            ``training_state`` (tensors by name) and ``load_training_state`` make an interrupted run go on exactly;
            ``options`` (a dictionary), ``data_digest`` (a text) and ``catalogue`` (with the items' raw ids in
            ``item``), of what it was made with, keep it from going on with other ones; ``schedule`` (a dictionary) says
            what ``interactions``, ``evaluate_every`` and ``sessions`` are where they are not given.
        simulator: the world, see :class:`kgrl.simulator.Simulator`.
        users: ``[U]``, training users.
        interactions: items shown in training, all told; not exceeded (the last rollout may be smaller); ``None``: what
            the agent's ``schedule`` says, else 20,480.
        eval_users: whom the curve is measured on, all of them at each evaluation; ``None``: no evaluation.
        evaluate_every: interactions between evaluations; at least one rollout lies between two; ``None``: what the
            agent's ``schedule`` says, else 1,024.
        sessions: sessions a rollout, at once; ``None``: what the agent's ``schedule`` says, else 32.
        checkpoint: a folder, written at the start, after every round that is evaluated and at the end; a run that finds
            one there goes on from it, and ends, on the CPU with the same number of threads, with the very numbers of an
            uninterrupted run.
        loggers: Fabric loggers (e.g. ``CSVLogger``, ``TensorBoardLogger`` of ``lightning_fabric.loggers``), one or a
            list, that get the curve. A resumed run logs its earlier evaluations again (and shows them to ``watch``).
        watch: called with each evaluation's row as it is made, e.g. to print it.
        precision: ``"32-true"`` or ``"bf16-mixed"``, in which the agent's networks are computed (``torch.autocast``);
            the world, its bounds and the metrics never are.
        progress: whether to show a bar with the latest validation reward and the time left; ``None``: at a terminal.
        pretrain_interactions: the first so many of ``interactions`` (up to a rollout's end) are with items drawn at
            random, and go to ``agent.pretrain`` in place of ``learn``.
        evaluate_first: whether the curve begins before the first interaction: for agents that know something by then.
        keep: which weights the agent has in the end: the ``"last"``, or the ``"best"``, those of the evaluation of the
            highest reward (the first of several), for which ``eval_users`` must not be the users of the final test.
            Training and the curve are the same with both; a checkpoint with ``"best"`` holds the weights twice.
        seed: of the users' order, exploration and replay.

    Warns:
        UserWarning: the taste share of the world is below 1 % (of up to 128 of the users): one list for all is about as
            good as any agent.

    Returns:
        The learning curve: one dict an evaluation with ``interactions``, ``gradient_steps``, ``seconds`` (evaluations
        included), ``evaluation_seconds`` (of these), ``reward``, ``precision``, ``recall``, ``f1`` and what ``learn``
        reported last.

    Raises:
        ValueError: no users, ``keep="best"`` without ``eval_users``, a rollout in which nothing was recommended, an
            option out of range or unknown, a loss or values of the agent that are not finite, or a checkpoint of
            another data set, of other options or of more interactions.
        BlockingIOError: another process trains with the same ``checkpoint`` folder.
    """
    with_methods("agent", agent, "act", "learn", "modules")
    horizon = with_methods("simulator", simulator, "reset", "step").horizon
    usual = SCHEDULE | dict(getattr(agent, "schedule", {}))
    interactions = at_least("interactions", usual["interactions"] if interactions is None else interactions, horizon)
    every = at_least("evaluate_every", usual["evaluate_every"] if evaluate_every is None else evaluate_every, 1)
    sessions = at_least("sessions", usual["sessions"] if sessions is None else sessions, 1)
    if at_least("pretrain_interactions", pretrain_interactions, 0) and not hasattr(agent, "pretrain"):
        raise ValueError(expected("pretrain_interactions", "0 for an agent without `pretrain`", pretrain_interactions))
    there = num_users(simulator)
    users, eval_users = ids("users", users, there), None if eval_users is None else ids("eval_users", eval_users, there)
    if not len(users) or (eval_users is not None and not len(eval_users)):
        raise ValueError(expected("users" if not len(users) else "eval_users", "at least one user id", []))
    flag("evaluate_first", evaluate_first)
    if progress is not None:
        flag("progress", progress)
    if one_of("keep", keep, ("last", "best")) == "best" and eval_users is None:
        raise ValueError(expected("eval_users", "given for keep='best'", None, "the best is that of an evaluation"))
    one_of("precision", precision, PRECISIONS)
    fabric = Fabric(accelerator=simulator.device.type, devices=1, precision=cast(Any, precision), loggers=loggers)
    run = Run(generator_for(simulator.device, seed))
    folder = None if checkpoint is None else a_path("checkpoint", checkpoint)
    identity = run_identity(agent, simulator, users, eval_users, every, sessions, precision,
                            pretrain_interactions, keep, seed)
    if folder is not None and run.restore(folder, agent, identity):
        if run.interactions > interactions:
            raise ValueError(expected("interactions", f"at least {run.interactions}, as many as the checkpoint in "
                                      f"{folder} has had", interactions, "use another folder for a shorter run"))
        for row in run.curve:
            _tell(row, fabric, watch)
    else:
        if evaluate_first and eval_users is not None:
            _evaluate(run, agent, simulator, eval_users, seed, fabric, keep)
            _tell(run.curve[-1], fabric, watch)
        if folder is not None:  # what the same agent begins with again, if it is interrupted before the next one
            run.save(folder, agent, identity)
    _warn_of_no_taste(simulator, users if eval_users is None else eval_users, users)
    bar = tqdm(total=interactions, initial=run.interactions, disable=None if progress is None else not progress,
               unit=" interactions", desc="training")
    with bar:
        while (count := min(sessions, (interactions - run.interactions) // horizon)) > 0:
            started, before = time.perf_counter(), run.interactions
            with fabric.autocast():
                turn = _turn(users, run.sessions, count, seed)
                report = _round(agent, simulator, turn, run, run.interactions < pretrain_interactions)
            run.seconds += time.perf_counter() - started
            due = run.interactions // every > before // every
            last = interactions - run.interactions < horizon
            if eval_users is not None and (due or last):
                _evaluate(run, agent, simulator, eval_users, seed, fabric, keep, report)
                bar.set_postfix(reward=f"{run.curve[-1]['reward']:.3f}", refresh=False)
                _tell(run.curve[-1], fabric, watch)
            if folder is not None and (due or last):
                run.save(folder, agent, identity)
            bar.update(run.interactions - before)
    if run.best:
        agent.load_state_dict(run.best)  # after the checkpoint, from which a longer run goes on with the last
    return run.curve


def _warn_of_no_taste(simulator: Any, users: Tensor, train_users: Tensor) -> None:
    """Says so where one list for all is as good as any agent, before the time is spent.

    The bounds themselves are played, with random sessions; a glance at some users' feedback draws nothing, and takes
    milliseconds.
    """
    if not hasattr(simulator, "taste_share"):
        return
    if (share := simulator.taste_share(users, train_users)) < SMALLEST_TASTE_SHARE:
        warnings.warn(f"fit: the taste share of this world is {share:.1%}: one list for all is about as good as any "
                      f"agent; print(simulator.bounds(users, train_users)) has the numbers", stacklevel=4)


def _round(agent: Any, simulator: Any, users: Tensor, run: Run, pretraining: bool) -> dict[str, float]:
    """One exploring (or random) rollout and what the agent learns from it; returns what ``learn`` reports."""
    if pretraining:
        sessions = simulator.play_random(users, run.generator)
    else:
        sessions = rollout(agent, simulator, users, explore=True, generator=run.generator)
    if not (shown := int(sessions.length.sum())):
        raise ValueError(expected("agent", "one that has something to recommend", "a rollout without any item",
                                  "a session may begin without candidates: give the simulator `first`, or a backfill"))
    report = (agent.pretrain if pretraining else agent.learn)(sessions, run.generator)
    run.sessions += len(users)
    run.interactions += shown
    report = {name: float(value) for name, value in (report or {}).items()}
    if not math.isfinite(report.get("loss", 0.0)):
        raise ValueError(expected("loss", "finite", report["loss"], "`learn` of the agent has diverged"))
    run.gradient_steps += int(report.pop("gradient_steps", 0))
    return report


def _evaluate(
    run: Run, agent: Any, simulator: Any, users: Tensor, seed: int, fabric: Fabric, keep: str,
    report: Mapping[str, float] | None = None,
) -> None:
    """Adds a row to the curve: a greedy evaluation, and what ``learn`` reported; keeps the best weights if asked."""
    started = time.perf_counter()
    with fabric.autocast():
        scores = evaluate(agent, simulator, users, seed=seed + EVALUATION_SEED)
    spent = time.perf_counter() - started
    run.seconds, run.evaluation_seconds = run.seconds + spent, run.evaluation_seconds + spent
    row = {"interactions": run.interactions, "gradient_steps": run.gradient_steps, "seconds": run.seconds,
           "evaluation_seconds": run.evaluation_seconds}
    run.curve.append(row | {name: getattr(scores, name) for name in METRICS} | dict(report or {}))
    if keep == "best":
        run.keep_best(agent)


def _tell(row: Mapping[str, float], fabric: Fabric, watch: Callable[[Mapping[str, float]], None] | None) -> None:
    """Hands an evaluation to the loggers and to whoever watches."""
    fabric.log_dict(row, step=int(row["interactions"]))
    if watch is not None:
        watch(row)


def _turn(users: Tensor, position: int, count: int, seed: int) -> Tensor:
    """The ``count`` users from ``position`` on, in an order shuffled anew for each epoch.

    The order follows from the seed and the epoch alone, so that a checkpoint need not hold it.
    """
    parts: list[Tensor] = []
    while count:
        epoch, start = divmod(position, len(users))
        order = torch.randperm(len(users), generator=generator_for("cpu", seed * 1_000_003 + epoch))
        taken = order[start : start + count]
        parts.append(users[taken.to(users.device)])
        position, count = position + len(taken), count - len(taken)
    return torch.cat(parts)
