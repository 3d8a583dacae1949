"""What a training is made of: whose turn it is, a round, an evaluation, and what loggers are told of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from kgrl.evaluate import METRICS, evaluate
from kgrl.files import whole_file
from kgrl.objects import with_methods
from kgrl.options import expected
from kgrl.rollout import rollout
from kgrl.seeding import generator_for
from kgrl.train.checkpoint import Run

EVALUATION_SEED = 20_000
"""Added to a run's seed for its evaluations: the same draws at every one, and none of training's."""


def turn_of(users: Tensor, position: int, count: int, seed: int) -> Tensor:
    """The ``count`` users from ``position`` on, in an order shuffled anew for each epoch.

    The order follows from the seed and the epoch alone, so that a checkpoint need not hold it.
    """
    parts: list[Tensor] = []
    while count:
        epoch, start = divmod(position, len(users))
        order = torch.randperm(len(users), generator=generator_for("cpu", seed * 1_000_003 + epoch), device="cpu")
        taken = order[start : start + count]
        parts.append(users[taken.to(users.device)])
        position, count = position + len(taken), count - len(taken)
    return torch.cat(parts)


def one_round(run: Run, users: Tensor, pretraining: bool) -> None:
    """One exploring (or random) rollout and what the agent learns from it; both are then in ``run``."""
    agent, simulator = run.agent, run.simulator
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
    run.rollout, run.report = sessions, report


def one_evaluation(run: Run, users: Tensor, seed: int, fabric: Fabric, keep: str) -> None:
    """Adds a row to the curve: a greedy evaluation, and what ``learn`` reported; keeps the best weights if asked."""
    started = time.perf_counter()
    with fabric.autocast():
        scores = evaluate(run.agent, run.simulator, users, seed=seed + EVALUATION_SEED)
    spent = time.perf_counter() - started
    run.seconds, run.evaluation_seconds = run.seconds + spent, run.evaluation_seconds + spent
    row = {"interactions": run.interactions, "gradient_steps": run.gradient_steps, "seconds": run.seconds,
           "evaluation_seconds": run.evaluation_seconds}
    run.curve.append(row | {name: getattr(scores, name) for name in METRICS} | run.report)
    if keep == "best":
        run.keep_best()


def checked_loggers(loggers: Any) -> list[Any]:
    """``loggers``, one or several, as a list.

    Raises:
        TypeError: one of them is no logger.
    """
    given = [] if loggers is None else [*loggers] if isinstance(loggers, list | tuple) else [loggers]
    hint = "lightning_fabric.loggers has some: CSVLogger(folder)"
    return [with_methods("loggers", each, "log_hyperparams", "log_metrics", "save", hint=hint) for each in given]


def log_settings(fabric: Fabric, settings: Mapping[str, Any]) -> None:
    """Hands the options of a run to its loggers, as hyperparameters.

    Fabric's ``CSVLogger`` refuses them: beside its ``metrics.csv`` they stand in a file ``hparams.json``, written once
    the logger has begun (``experiment``), as it wants an empty folder.
    """
    for logger in fabric.loggers:
        try:
            logger.log_hyperparams(dict(settings))
        except NotImplementedError:
            if getattr(logger, "experiment", None) and (folder := getattr(logger, "log_dir", None)) is not None:
                with whole_file(Path(folder) / "hparams.json") as temporary:
                    temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def log_evaluation(fabric: Fabric, row: Mapping[str, float]) -> None:
    """Hands an evaluation to the loggers, and has them write it: a run may be cut off before the next one."""
    fabric.log_dict(row, step=int(row["interactions"]))
    for logger in fabric.loggers:
        logger.save()
