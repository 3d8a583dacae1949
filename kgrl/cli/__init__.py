"""The console command: ``kgrl train``, ``kgrl recommend``, ``kgrl audit`` and ``kgrl tables``."""

from kgrl.cli.dispatch import main

__all__ = ["main"]
