"""One method a file: each agent acts in sessions and learns from them."""

from kgrl.agents.kgqr import KGQR
from kgrl.agents.replay import EpisodeReplay

__all__ = ["KGQR", "EpisodeReplay"]
