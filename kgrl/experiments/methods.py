"""The methods of both papers' tables, and the six settings of each that the search tries.

Every deep Q or actor-critic method shares state encoder, batch, gradient steps an interaction, cold start and grid.
Beyond the papers, that state encoder sees the streak and infers the user's taste (see :class:`kgrl.nn.TasteState`), for
every one of these methods alike; the rows "(paper's state)" have the liked items alone, and the options that were
searched with ours. The rows "(warm start)" begin with tastes of the items that the training users' ratings give, where
the others learn these from interactions alone, and a grid of their own, of learning rates rather than ε;
"Linear-Gaussian (factors)" begins there and stays. A method's variants take its
search's choice: of KGQR's, from KGQR-KG (which is DQN-R) on, one differs from the next in what they are named for and
in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from kgrl.agents.ddpg_knn import DDPGKNN
from kgrl.agents.ddpg_r import DDPGR
from kgrl.agents.dqn_r import DQNR
from kgrl.agents.fixed_list import FixedList
from kgrl.agents.greedy_svd import GreedySVD
from kgrl.agents.gru4rec import GRU4Rec
from kgrl.agents.h_linear_ucb import HLinearUCB
from kgrl.agents.kgqr import KGQR
from kgrl.agents.linear_gaussian import LinearGaussian
from kgrl.agents.linear_ucb import LinearUCB
from kgrl.agents.random import Random
from kgrl.agents.tpgr import TPGR
from kgrl.candidates.fixed import FixedCandidates
from kgrl.experiments.method import Method, register
from kgrl.experiments.setting import DIM, TASTE, Setting
from kgrl.pretrain.items import item_vectors
from kgrl.tree.cluster_tree import ClusterTree

STATE = {"streak_state": True, "taste_channels": TASTE}
BACKFILL = 300
"""The most liked items that KGQR's candidates are filled up with."""
Q_TRAINING = {"interactions": 20_480, "sessions": 32, "evaluate_every": 1_024}
Q_GRID = tuple({"gamma": gamma, "epsilon": epsilon, "lr": lr} for gamma, epsilon, lr in (
    (0.1, 0.1, 3e-3), (0.1, 0.03, 3e-3), (0.5, 0.1, 3e-3), (0.0, 0.1, 3e-3), (0.1, 0.1, 1e-3), (0.5, 0.03, 1e-3)))
WARM_GRID = tuple({"gamma": gamma, "lr": lr} for gamma, lr in product((0.1, 0.0), (1e-3, 3e-4, 3e-3)))
TREE_TRAINING = {"interactions": 1_310_720, "sessions": 2_048, "evaluate_every": 131_072}
TREE_SIZES = {"item_channels": 16, "state_channels": 16, "frozen": False, "minibatches": 1}
"""What the tables' TPGRs have in common, beside what the search chose."""
TREE_GRID = tuple({"lr": lr, "gamma": gamma} for lr, gamma in product((3e-4, 1e-3, 3e-3), (0.3, 0.6)))


def grid(**axes: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """Every combination of the axes' values, the first values first."""
    return tuple(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


# ------------------------------------------------------------------------------------------- without interactions

def with_ones(vectors: Tensor) -> Tensor:
    """``[N, d + 1]``, a last column of ones, so that a linear model has an offset."""
    return torch.cat([vectors, torch.ones_like(vectors[:, :1])], 1)


def untimed(setting: Setting) -> str:
    """What a table must say of GRU4Rec where ratings have no time."""
    return "" if setting.has_time else "trained on a fixed random order, as the ratings have no time stamps"


register(Method("Random", lambda setting, seed: Random(num_items=setting.data["item"].num_nodes)))
register(Method("Popularity", lambda setting, seed: FixedList.from_ratings(setting.data, setting.train)))
register(Method("Popularity (shrunken)", lambda setting, seed, **options:  # towards the mean, where ratings are few
                FixedList.from_ratings(setting.data, setting.train, **options),
                grid=grid(shrinkage=(1.0, 0.0, 3.0, 10.0, 30.0, 100.0))))
register(Method("Most rated", lambda setting, seed:
                FixedList.from_ratings(setting.data, setting.train, by="count")))
register(Method("GreedySVD", lambda setting, seed, **options:
                GreedySVD.from_ratings(setting.data, setting.train, dim=DIM, seed=seed, **options),
                grid=grid(ridge=(1.0, 0.1, 10.0), weight_decay=(1e-4, 1e-3))))
register(Method("Linear-Gaussian", lambda setting, seed, **options:
                LinearGaussian.from_ratings(setting.data, setting.train, seed=seed, **options),
                grid=grid(dim=(12, 4, 8, 16, 24, 32))))
register(Method("Linear-Gaussian (factors)", lambda setting, seed: LinearGaussian(setting.tastes)))
register(Method("GRU4Rec", lambda setting, seed, **options:
                GRU4Rec.from_ratings(setting.data, setting.train, seed=seed, **options),
                grid=grid(loss=("cross-entropy", "bpr-max", "top1-max"), lr=(3e-3, 1e-3)), note=untimed))
register(Method("LinearUCB", lambda setting, seed, **options: LinearUCB(with_ones(setting.vectors), **options),
                grid=grid(alpha=(0.1, 0.5, 1.0), regularisation=(1.0, 0.1))))
register(Method("HLinearUCB", lambda setting, seed, **options:
                HLinearUCB(with_ones(setting.vectors), seed=seed, **options),
                grid=grid(alpha=(0.1, 0.5, 1.0), hidden_channels=(5, 10)), training=Q_TRAINING))


# ------------------------------------------------------------------------------------------------ deep Q and DDPG

def deep(name: str, build: Callable[..., nn.Module], tuned_as: str = "", needs: tuple[str, ...] = (),
         warm: bool = False, **fixed: Any) -> None:
    """A method that learns from replayed interactions; ``warm``: from where the training users' ratings put it."""

    def made(setting: Setting, seed: int, **options: Any) -> nn.Module:
        start = {"tastes": setting.tastes, "epsilon": 0.1} if warm else {}
        return build(setting, seed=seed, **{**STATE, "horizon": setting.horizon, **start, **fixed, **options})

    in_paper = "DQN-R" if name == "KGQR-KG" else name.removesuffix(" (paper's state)")
    training = Q_TRAINING | ({"evaluate_first": True} if warm else {})
    register(Method(name, made, WARM_GRID if warm else Q_GRID, training, needs, tuned_as, in_paper))


def restricted(setting: Setting) -> Tensor:
    """``[300]``, the items that KGQR's candidates are filled up with."""
    return setting.popular[:BACKFILL]


def over_vectors(agent: Callable[..., nn.Module], pool: bool = False) -> Callable[..., nn.Module]:
    """How a baseline is built on the item vectors; ``pool``: restricted to KGQR's backfill."""
    return lambda setting, **options: agent(
        setting.vectors, **options, **({"pool": restricted(setting)} if pool else {}))


def kgqr(setting: Setting, **options: Any) -> KGQR:
    """KGQR as the paper has it: TransE embeddings, k-hop candidates."""
    return KGQR(setting.kg, embedding=setting.entities, popular=setting.popular, **options)


def kgqr_on(control: str) -> Callable[..., KGQR]:
    """KGQR on what a claim about its KG is held against: exchanged tails, or no edge and embeddings at random."""

    def made(setting: Setting, **options: Any) -> KGQR:
        embedding = None if control == "none" else setting.entities_of(control)
        return KGQR(setting.kg_of(control), embedding=embedding, popular=setting.popular, **options)

    return made


def kgqr_in_pool(setting: Setting, **options: Any) -> KGQR:
    """A variant that picks from the backfill items alone: what backfill is worth, and what comes on top of it."""
    return kgqr(setting, candidates=FixedCandidates(setting.kg.num_items, restricted(setting)), **options)


PLAIN: dict[str, Any] = {"streak_state": False, "taste_channels": 0}
deep("DDPG-R", over_vectors(DDPGR))
deep("DDPG-KNN (k=1)", over_vectors(DDPGKNN), k=1)
deep("DDPG-KNN (k=0.1N)", over_vectors(DDPGKNN), k=0.1)
deep("DDPG-KNN (k=N)", over_vectors(DDPGKNN), k=1.0)
deep("DQN-R", over_vectors(DQNR))
deep("KGQR", kgqr, needs=("kg",), backfill=("popular", BACKFILL))
deep("KGQR (random backfill)", kgqr, "KGQR", ("kg",), backfill=("random", BACKFILL))
for control, named in (("shuffled", "shuffled KG"), ("none", "no KG")):
    deep(f"KGQR ({named})", kgqr_on(control), "KGQR", ("kg",), backfill=("popular", BACKFILL))
    deep(f"KGQR (random backfill, {named})", kgqr_on(control), "KGQR", ("kg",), backfill=("random", BACKFILL))
deep("KGQR-CS", kgqr, "KGQR", ("kg",), variant="KGQR-CS")
deep("KGQR-GCN-CS", kgqr, "KGQR", ("kg",), variant="KGQR-GCN-CS")
deep("KGQR-KG", over_vectors(DQNR), "KGQR")
deep("KGQR (paper's state)", kgqr, "KGQR", ("kg",), backfill=("popular", BACKFILL), **PLAIN)
deep("DQN-R (paper's state)", over_vectors(DQNR), "DQN-R", **PLAIN)
deep("DDPG-R (paper's state)", over_vectors(DDPGR), "DDPG-R", **PLAIN)
deep("DDPG-KNN (k=N) (paper's state)", over_vectors(DDPGKNN), "DDPG-KNN (k=N)", k=1.0, **PLAIN)
deep("DDPG-R in the backfill", over_vectors(DDPGR, pool=True), "DDPG-R")
deep("DDPG-KNN (k=N) in the backfill", over_vectors(DDPGKNN, pool=True), "DDPG-KNN (k=N)", k=1.0)
deep("DQN-R in the backfill", over_vectors(DQNR, pool=True), "DQN-R")
deep("DQN-R in the backfill (paper's state)", over_vectors(DQNR, pool=True), "DQN-R", **PLAIN)
deep("KGQR-KG in the backfill", over_vectors(DQNR, pool=True), "KGQR")
deep("KGQR-GCN-CS in the backfill", kgqr_in_pool, "KGQR", ("kg",), variant="KGQR-GCN-CS")
deep("KGQR-CS in the backfill", kgqr_in_pool, "KGQR", ("kg",), variant="KGQR-CS")
deep("KGQR (warm start)", kgqr, needs=("kg",), warm=True, backfill=("popular", BACKFILL))
deep("DQN-R (warm start)", over_vectors(DQNR), warm=True)
deep("DQN-R in the backfill (warm start)", over_vectors(DQNR, pool=True), "DQN-R (warm start)", warm=True)
for size in (1_000, 2_000, 3_000, 5_000, 10_000):
    deep(f"KGQR ({size} candidates)", kgqr, "KGQR", ("kg",), backfill=("fill", size), num_candidates=size)


# ----------------------------------------------------------------------------------------------------------- TPGR

def tpgr(setting: Setting, seed: int, *, vectors: str = "rating", clustering: str = "pca", depth: int = 2,
         **options: Any) -> TPGR:
    """TPGR on a tree over ``vectors``: ``"rating"``, ``"mf"``, ``"vae"`` or ``"kg"``."""
    made = setting.entities[: setting.data["item"].num_nodes] if vectors == "kg" else item_vectors(
        setting.data, setting.train, kind=vectors)
    tree = ClusterTree.build(made, depth=depth, method=clustering, seed=0)
    return TPGR.from_data(setting.data, setting.train, tree=tree, eta=setting.eta, horizon=setting.horizon, seed=seed,
                          **options)


def walker(name: str, tuned_as: str = "TPGR", needs: tuple[str, ...] = (), **fixed: Any) -> None:
    """A TPGR, as it is fixed."""

    def made(setting: Setting, seed: int, **options: Any) -> TPGR:
        return tpgr(setting, seed, **{**TREE_SIZES, **fixed, **options})

    register(Method(name, made, TREE_GRID, TREE_TRAINING, needs, tuned_as, name.removesuffix(" (as printed)")))


walker("TPGR", tuned_as="")
walker("TPGR (as printed)", tuned_as="", preset="paper")
walker("TPGR (KG tree)", needs=("kg",), vectors="kg")
walker("TPGR (KG tree and state)", needs=("kg",), vectors="kg", state="kg")
for clustering, vectors in product(("kmeans", "pca"), ("rating", "vae", "mf")):
    if (clustering, vectors) != ("pca", "rating"):  # that is TPGR
        walker(f"TPGR ({clustering}, {vectors})", clustering=clustering, vectors=vectors)
for depth in (1, 2, 3, 4):
    if depth != 2:
        walker(f"TPGR (depth {depth})", depth=depth)
