"""kgrl: interactive recommendation with a knowledge graph, on PyTorch Geometric.

The names a newcomer needs can be had from here (``from kgrl import KGQR``), and so can the rooms they live in
(``kgrl.nn``); each is loaded when it is first asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from kgrl.version import __version__

if TYPE_CHECKING:
    from kgrl.agents import KGQR as KGQR
    from kgrl.agents import TPGR as TPGR
    from kgrl.agents import Random as Random
    from kgrl.candidates import KHopCandidates as KHopCandidates
    from kgrl.datasets import (
        BookCrossing as BookCrossing,
    )
    from kgrl.datasets import (
        MovieLens1M as MovieLens1M,
    )
    from kgrl.datasets import (
        MovieLens10M as MovieLens10M,
    )
    from kgrl.datasets import (
        MovieLens20M as MovieLens20M,
    )
    from kgrl.datasets import (
        MovieLens100K as MovieLens100K,
    )
    from kgrl.datasets import (
        NetflixPrize as NetflixPrize,
    )
    from kgrl.datasets import (
        SyntheticKGRec as SyntheticKGRec,
    )
    from kgrl.datasets import (
        audit_links as audit_links,
    )
    from kgrl.datasets import (
        from_frames as from_frames,
    )
    from kgrl.datasets import (
        from_kgcn as from_kgcn,
    )
    from kgrl.datasets import (
        from_recbole as from_recbole,
    )
    from kgrl.datasets import (
        popular_items as popular_items,
    )
    from kgrl.datasets import (
        split_items as split_items,
    )
    from kgrl.datasets import (
        split_users as split_users,
    )
    from kgrl.evaluate import compare as compare
    from kgrl.evaluate import evaluate as evaluate
    from kgrl.graph import knowledge_graph as knowledge_graph
    from kgrl.nn import KGConv as KGConv
    from kgrl.nn import KGEncoder as KGEncoder
    from kgrl.nn import TasteState as TasteState
    from kgrl.nn import TreePolicy as TreePolicy
    from kgrl.pretrain import (
        item_vectors as item_vectors,
    )
    from kgrl.pretrain import (
        kg_tastes as kg_tastes,
    )
    from kgrl.pretrain import (
        pretrain_entities as pretrain_entities,
    )
    from kgrl.sessions import Sessions as Sessions
    from kgrl.simulator import (
        PredictedFeedback as PredictedFeedback,
    )
    from kgrl.simulator import (
        RatedFeedback as RatedFeedback,
    )
    from kgrl.simulator import (
        Simulator as Simulator,
    )
    from kgrl.train import fit as fit
    from kgrl.tree import ClusterTree as ClusterTree

_NAMES = {
    "kgrl.agents": ("KGQR", "TPGR", "Random"),
    "kgrl.candidates": ("KHopCandidates",),
    "kgrl.datasets": (
        "BookCrossing", "MovieLens100K", "MovieLens1M", "MovieLens10M", "MovieLens20M", "NetflixPrize",
        "SyntheticKGRec", "audit_links", "from_frames", "from_kgcn", "from_recbole", "popular_items", "split_items",
        "split_users",
    ),
    "kgrl.evaluate": ("compare", "evaluate"),
    "kgrl.graph": ("knowledge_graph",),
    "kgrl.nn": ("KGConv", "KGEncoder", "TasteState", "TreePolicy"),
    "kgrl.pretrain": ("item_vectors", "kg_tastes", "pretrain_entities"),
    "kgrl.sessions": ("Sessions",),
    "kgrl.simulator": ("PredictedFeedback", "RatedFeedback", "Simulator"),
    "kgrl.train": ("fit",),
    "kgrl.tree": ("ClusterTree",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_ROOMS = ("agents", "candidates", "datasets", "experiments", "export", "graph", "nn", "plots", "pretrain", "rollout",
          "sessions", "significance", "simulator", "train", "tree")

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"kgrl.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'kgrl' has no attribute {name!r}; it has {', '.join(__dir__())}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})


class _Package(ModuleType):
    """Importing the file ``kgrl/evaluate.py`` would put the module where the function of that name belongs."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
