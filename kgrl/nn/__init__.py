"""Layers: tensors in, tensors out."""

from kgrl.nn.aggregator import Aggregator
from kgrl.nn.conv import KGConv
from kgrl.nn.dueling import DuelingHead, ItemTerms
from kgrl.nn.encoder import KGEncoder
from kgrl.nn.state import GRUState
from kgrl.nn.taste import TasteState, TasteTerms

__all__ = ["Aggregator", "DuelingHead", "GRUState", "ItemTerms", "KGConv", "KGEncoder", "TasteState", "TasteTerms"]
