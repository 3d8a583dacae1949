"""kgrl: interactive recommendation with a knowledge graph, on PyTorch Geometric.

The names a newcomer needs can be had from here (``from kgrl import KGQR``); each is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module

from kgrl.version import __version__

_HOME = {
    "ClusterTree": "kgrl.tree",
    "KGConv": "kgrl.nn", "KGEncoder": "kgrl.nn",
    "KGQR": "kgrl.agents",
    "KHopCandidates": "kgrl.candidates",
    "PredictedFeedback": "kgrl.simulator", "RatedFeedback": "kgrl.simulator", "Simulator": "kgrl.simulator",
    "Sessions": "kgrl.sessions",
    "TreePolicy": "kgrl.nn",
    "compare": "kgrl.evaluate", "evaluate": "kgrl.evaluate",
    "fit": "kgrl.train",
    "knowledge_graph": "kgrl.graph",
    "pretrain_entities": "kgrl.pretrain",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'kgrl' has no attribute {name!r}; it has {', '.join(sorted(__all__))}")
    return getattr(import_module(_HOME[name]), name)
