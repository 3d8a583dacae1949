"""``fit``: roll out, learn, evaluate, checkpoint."""

from __future__ import annotations

import os
import time
import warnings
from typing import Any, cast

from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from kgrl.locks import alone_in_its
from kgrl.objects import a_path, with_methods
from kgrl.options import at_least, expected, flag, ids, one_of
from kgrl.rollout import num_users
from kgrl.seeding import generator_for
from kgrl.train.callback import call_all, checked_callbacks
from kgrl.train.checkpoint import Run, run_identity
from kgrl.train.rounds import checked_loggers, log_evaluation, log_settings, one_evaluation, one_round, turn_of

PRECISIONS = ("32-true", "bf16-mixed")
"""What networks may be computed in. ``"16-mixed"`` needs gradients scaled, which agents do not do; in ``"16-true"`` and
the like, sessions themselves would be rounded."""

SCHEDULE = {"interactions": 20_480, "evaluate_every": 1_024, "sessions": 32}
"""What :func:`fit` takes where neither it nor the agent is told."""

SMALLEST_TASTE_SHARE = 0.01
"""Below it there is nothing personal to learn."""


@alone_in_its("checkpoint")
def fit(
    agent: nn.Module, simulator: Any, users: Tensor, *, interactions: int | None = None,
    eval_users: Tensor | None = None, evaluate_every: int | None = None, sessions: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Any = None, loggers: Any = None,
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
        callbacks: one or a list: what is called at the start, after rollouts, after evaluations and at the end, and may
            stop the training, see :class:`kgrl.train.Callback` and :class:`kgrl.train.EarlyStopping`; or a function
            that is called after evaluations: ``callbacks=lambda run: print(run.curve[-1])``.
        loggers: Fabric loggers (e.g. ``CSVLogger``, ``TensorBoardLogger`` of ``lightning_fabric.loggers``), one or a
            list, that get the options as hyperparameters, and the curve. A resumed run logs its earlier evaluations
            again.
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
    fabric = Fabric(accelerator=simulator.device.type, devices=1, precision=cast(Any, precision),
                    loggers=checked_loggers(loggers))
    called = checked_callbacks(callbacks)
    run = Run(agent, generator_for(simulator.device, seed), simulator=simulator, eval_users=eval_users)
    folder = None if checkpoint is None else a_path("checkpoint", checkpoint)
    identity = run_identity(agent, simulator, users, eval_users, every, sessions, precision,
                            pretrain_interactions, keep, seed)

    def told() -> None:
        log_evaluation(fabric, run.curve[-1])
        call_all(called, "on_evaluation", run)

    there_already = folder is not None and run.restore(folder, identity)
    if run.interactions > interactions:
        raise ValueError(expected("interactions", f"at least {run.interactions}, as many as the checkpoint in "
                                  f"{folder} has had", interactions, "use another folder for a shorter run"))
    call_all(called, "on_start", run)
    log_settings(fabric, {**identity, "interactions": interactions})
    for _ in run.evaluations():
        told()
    if not there_already and evaluate_first and eval_users is not None:
        one_evaluation(run, eval_users, seed, fabric, keep)
        told()
    if folder is not None and not there_already:  # what the same agent begins with again, if it is interrupted soon
        run.save(folder, identity)
    _warn_of_no_taste(simulator, users if eval_users is None else eval_users, users)
    bar = tqdm(total=interactions, initial=run.interactions, disable=None if progress is None else not progress,
               unit=" interactions", desc="training")
    with bar:
        while not run.stopped and (count := min(sessions, (interactions - run.interactions) // horizon)) > 0:
            started, before = time.perf_counter(), run.interactions
            with fabric.autocast():
                one_round(run, turn_of(users, run.sessions, count, seed), run.interactions < pretrain_interactions)
            run.seconds += time.perf_counter() - started
            call_all(called, "on_rollout", run)
            due = run.interactions // every > before // every
            last = run.stopped is not None or interactions - run.interactions < horizon
            if eval_users is not None and (due or last):
                one_evaluation(run, eval_users, seed, fabric, keep)
                bar.set_postfix(reward=f"{run.curve[-1]['reward']:.3f}", refresh=False)
                told()
            if folder is not None and (due or last or run.stopped):
                run.save(folder, identity)
            bar.update(run.interactions - before)
        if run.stopped:
            bar.set_description(f"stopped, as {run.stopped}")
    if run.best:
        agent.load_state_dict(run.best)  # after the checkpoint, from which a longer run goes on with the last
    call_all(called, "on_end", run)
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
