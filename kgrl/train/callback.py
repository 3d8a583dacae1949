"""``Callback``: what :func:`kgrl.train.fit` calls while it runs, and how; ``EarlyStopping``, one that stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgrl.evaluate import METRICS
from kgrl.options import at_least, between, did_you_mean, expected, one_of
from kgrl.train.checkpoint import Run

MOMENTS = ("on_start", "on_rollout", "on_evaluation", "on_end")
"""When a callback may be called, by the name of its method."""


class Callback:
    """Something to be done while an agent is trained, e.g. to print, to save, to change a rate, or to stop.

    Any object that has at least one of these methods is a callback; it need not derive from this class. Each method
    gets the :class:`kgrl.train.Run`: what is trained and where, how far it has come, and ``stop(reason)``. What a
    method returns is not looked at; what it raises ends the training, which a ``checkpoint`` lets go on. A plain
    function is a callback, too: it is called as ``on_evaluation`` is.

    A resumed run calls ``on_evaluation`` for its earlier evaluations first, one by one, with ``run.curve`` as it was at
    each. So what a callback gathers from evaluations is the same with and without an interruption, and it has no state
    that would have to be saved. Rollouts of before are not told again.
    """

    def on_start(self, run: Run) -> None:
        """Once, before the first evaluation and rollout. A resumed run has the counters of its checkpoint by then."""

    def on_rollout(self, run: Run) -> None:
        """After each rollout, when the agent has learned from it: ``run.rollout`` and ``run.report`` are of this one.

        An agent that is changed here goes on as it is; it is the caller's business then that a resumed run is the same.
        """

    def on_evaluation(self, run: Run) -> None:
        """After each evaluation, before the checkpoint is written: its row is ``run.curve[-1]``."""

    def on_end(self, run: Run) -> None:
        """Once, when the agent has the weights that it keeps; not where an error has ended the training."""


class _Function(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Any) -> None:
        self.on_evaluation = function  # type: ignore[method-assign]


def checked_callbacks(given: Any) -> list[Any]:
    """One callback or several as a list; a function among them as an object.

    Raises:
        TypeError: something that is no callback, or a class that is not made yet.
        ValueError: a method whose name begins with ``on_`` and is none of those that are called.
    """
    several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return [] if given is None else [_checked(each) for each in several]


def _checked(callback: Any) -> Any:
    made = not isinstance(callback, type)
    for name in dir(callback) if made else ():
        if name.startswith("on_") and name not in MOMENTS and callable(getattr(callback, name)):
            raise ValueError(expected("callbacks", f"called at {', '.join(MOMENTS)}", f"{type(callback).__name__}."
                                      f"{name}", did_you_mean(name, MOMENTS)))
    if made and any(callable(getattr(callback, name, None)) for name in MOMENTS):
        return callback
    if made and callable(callback):
        return _Function(callback)
    raise TypeError(expected("callbacks", f"functions, or objects with any of {', '.join(MOMENTS)}",
                             type(callback).__name__ if made else callback.__name__,
                             "" if made else f"{callback.__name__}(…) makes one of the class"))


def call_all(callbacks: Sequence[Any], moment: str, run: Run) -> None:
    """Calls the method ``moment`` of those that have it, in their order."""
    for callback in callbacks:
        if (method := getattr(callback, moment, None)) is not None:
            method(run)


class EarlyStopping(Callback):
    """Stops the training once a validation metric has not risen for ``patience`` evaluations in a row.

    It goes by the learning curve alone, which is in the checkpoint: a resumed run stops where an uninterrupted one
    does. A run that has stopped stops at once when it is started again; with more patience it goes on. Use it with
    ``fit(keep="best")``, or the agent has the weights of the last evaluation, which is not the best one.

    Args:
        patience: evaluations without a rise.
        metric: one of :data:`kgrl.evaluate.METRICS`.
        least: a smaller rise over the highest so far is none.

    Raises:
        ValueError: an option out of range or unknown; at the start of a training without ``eval_users``.
    """

    def __init__(self, patience: int = 5, *, metric: str = "reward", least: float = 0.0) -> None:
        self.patience, self.metric = at_least("patience", patience, 1), one_of("metric", metric, METRICS)
        self.least = between("least", least, 0, float("inf"))

    def on_start(self, run: Run) -> None:
        if run.eval_users is None:
            raise ValueError(expected("eval_users", "given for EarlyStopping", None, "it goes by their evaluations"))

    def on_evaluation(self, run: Run) -> None:
        highest, since = float("-inf"), 0
        for row in run.curve:
            rises = row[self.metric] > highest + self.least
            highest, since = (row[self.metric], 0) if rises else (highest, since + 1)
        if since >= self.patience:
            run.stop(f"{self.metric} has not risen for {since} evaluations")
