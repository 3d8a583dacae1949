"""One method a file: each agent acts in sessions and learns from them."""

from kgrl.agents.ddpg_knn import DDPGKNN
from kgrl.agents.ddpg_r import DDPGR
from kgrl.agents.dqn_r import DQNR
from kgrl.agents.fixed_list import FixedList
from kgrl.agents.greedy_svd import GreedySVD
from kgrl.agents.gru4rec import GRU4Rec
from kgrl.agents.h_linear_ucb import HLinearUCB
from kgrl.agents.kg_profile import KGProfile
from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.linear_ucb import LinearUCB
from kgrl.agents.q_learning.replay import EpisodeReplay
from kgrl.agents.random import Random
from kgrl.agents.tpgr import TPGR

__all__ = [
    "DDPGKNN",
    "DDPGR",
    "DQNR",
    "KGQR",
    "TPGR",
    "EpisodeReplay",
    "FixedList",
    "GRU4Rec",
    "GreedySVD",
    "HLinearUCB",
    "KGProfile",
    "LinearGaussian",
    "LinearUCB",
    "Random",
]
