"""Training: ``fit``, what may be called while it runs, and when it stops."""

from kgrl.train.callback import Callback, EarlyStopping
from kgrl.train.checkpoint import Run
from kgrl.train.fit import fit

__all__ = ["Callback", "EarlyStopping", "Run", "fit"]
