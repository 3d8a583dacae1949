"""Layers: tensors in, tensors out."""

from kgrl.nn.conv.aggregator import Aggregator
from kgrl.nn.conv.encoder import KGEncoder
from kgrl.nn.conv.kg_conv import KGConv
from kgrl.nn.policy.dueling import DuelingHead, ItemTerms
from kgrl.nn.policy.item_scores import ItemScores
from kgrl.nn.policy.tree_policy import TreePolicy
from kgrl.nn.policy.tree_walk import Choice, Walk
from kgrl.nn.state.recurrent_units import SRU, GRUState, SRUCarry
from kgrl.nn.state.sparse_taste import SparseTasteTerms
from kgrl.nn.state.taste import Belief, TasteTerms
from kgrl.nn.state.taste_state import TasteState

__all__ = [
    "SRU", "Aggregator", "Belief", "Choice", "DuelingHead", "GRUState", "ItemScores", "ItemTerms", "KGConv",
    "KGEncoder", "SRUCarry", "SparseTasteTerms", "TasteState", "TasteTerms", "TreePolicy", "Walk",
]
