"""Trained policies as files that compute what they recommend without kgrl."""

from kgrl.export.policy_file import export_policy

__all__ = ["export_policy"]
