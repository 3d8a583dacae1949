"""What is known before any interaction: entities' vectors, items' vectors, and priors, from ratings and from the KG."""

from kgrl.pretrain.entities import pretrain_entities
from kgrl.pretrain.feature_terms import ItemFeatures, item_features
from kgrl.pretrain.items import ItemFactors, item_factors, item_ranking, item_vectors
from kgrl.pretrain.kg_likes import kg_likes
from kgrl.pretrain.kg_tastes import kg_tastes
from kgrl.pretrain.tastes import factor_tastes, item_tastes
from kgrl.pretrain.triples import LinkScores

__all__ = [
    "ItemFactors", "ItemFeatures", "LinkScores", "factor_tastes", "item_factors", "item_features", "item_ranking",
    "item_tastes", "item_vectors", "kg_likes", "kg_tastes", "pretrain_entities",
]
