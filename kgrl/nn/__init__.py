"""Layers: tensors in, tensors out."""

from kgrl.nn.aggregator import Aggregator
from kgrl.nn.conv import KGConv
from kgrl.nn.dueling import DuelingHead, ItemTerms
from kgrl.nn.encoder import KGEncoder
from kgrl.nn.item_scores import ItemScores
from kgrl.nn.sparse_taste import SparseTasteTerms
from kgrl.nn.sru import SRU, SRUCarry
from kgrl.nn.state import GRUState
from kgrl.nn.taste import Belief, TasteState, TasteTerms
from kgrl.nn.tree_policy import TreePolicy
from kgrl.nn.walk import Choice, Walk

__all__ = [
    "SRU", "Aggregator", "Belief", "Choice", "DuelingHead", "GRUState", "ItemScores", "ItemTerms", "KGConv",
    "KGEncoder", "SRUCarry", "SparseTasteTerms", "TasteState", "TasteTerms", "TreePolicy", "Walk",
]
