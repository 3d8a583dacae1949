"""The hierarchical cluster index: items as the leaves of a balanced tree."""

from kgrl.tree.cluster_tree import ClusterTree

__all__ = ["ClusterTree"]
