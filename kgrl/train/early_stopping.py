"""``EarlyStopping``: no more training where a validation metric has not risen for some evaluations."""

from __future__ import annotations

from kgrl.evaluate import METRICS
from kgrl.options import at_least, between, expected, one_of
from kgrl.train.callback import Callback
from kgrl.train.checkpoint import Run


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
