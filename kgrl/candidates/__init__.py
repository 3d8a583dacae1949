"""Candidate selection: which items a session may be recommended at this step (KGQR equations 9 and 10)."""

from kgrl.candidates.fixed import FixedCandidates
from kgrl.candidates.k_hop import KHopCandidates
from kgrl.candidates.paths import Path
from kgrl.candidates.reasons import PathStep, Role, relation_words

__all__ = ["FixedCandidates", "KHopCandidates", "Path", "PathStep", "Role", "relation_words"]
