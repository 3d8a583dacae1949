"""One method a file: each agent acts in sessions and learns from them."""

from kgrl.agents.fixed_list import FixedList
from kgrl.agents.greedy_svd import GreedySVD
from kgrl.agents.h_linear_ucb import HLinearUCB
from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.linear_ucb import LinearUCB
from kgrl.agents.random import Random
from kgrl.agents.replay import EpisodeReplay
from kgrl.agents.tpgr import TPGR

__all__ = [
    "KGQR",
    "TPGR",
    "EpisodeReplay",
    "FixedList",
    "GreedySVD",
    "HLinearUCB",
    "LinearGaussian",
    "LinearUCB",
    "Random",
]
