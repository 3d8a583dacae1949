"""kgrl: interactive recommendation with a knowledge graph, on PyTorch Geometric."""

from kgrl.version import __version__

__all__ = ["__version__"]
