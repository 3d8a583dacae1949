"""``relation_variances`` against a fit over all pairs, and against planted variances."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.sparse import csr_matrix, diags

from kgrl.graph import knowledge_graph, without_edges
from kgrl.pretrain.item_features import ItemFeatures, item_features
from kgrl.pretrain.relation_variances import relation_variances

ITEMS, ENTITIES = 60, 30


def some_features() -> ItemFeatures:
    """Two relations, each of some two entities per item."""
    generator = torch.Generator().manual_seed(0)
    head = torch.arange(ITEMS).repeat(4)
    tail = ITEMS + torch.randint(ENTITIES, (4 * ITEMS,), generator=generator)
    relation = torch.arange(2).repeat_interleave(2 * ITEMS)
    return item_features(knowledge_graph(torch.stack([head, tail]), edge_type=relation, num_items=ITEMS,
                                         num_nodes=ITEMS + ENTITIES))


def test_equals_the_fit_over_all_pairs() -> None:
    features, draw = some_features(), np.random.default_rng(0)
    values = draw.random((40, ITEMS)) * (draw.random((40, ITEMS)) < 0.3)
    pairs = ~np.eye(ITEMS, dtype=bool)
    x = features.matrix.toarray()
    kernels = [x[:, features.relation == r] @ x[:, features.relation == r].T for r in range(2)]
    columns = np.stack([kernel[pairs] for kernel in kernels], 1)
    wanted = nnls(columns, np.cov(values.T, bias=True)[pairs])[0]
    found = relation_variances(features, csr_matrix(values), values.mean(0))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert wanted.any()


def test_finds_planted_variances() -> None:
    features, draw = some_features(), np.random.default_rng(1)
    planted = np.array([2.0, 0.3])
    x = features.matrix @ diags(np.sqrt(planted[features.relation]))
    values = draw.standard_normal((4000, x.shape[1])) @ x.T + draw.standard_normal((4000, ITEMS))
    np.testing.assert_allclose(relation_variances(features, csr_matrix(values), values.mean(0)), planted, rtol=0.15)


def test_a_graph_that_says_nothing() -> None:
    kg = without_edges(knowledge_graph(torch.tensor([[0], [1]]), num_items=ITEMS))
    assert relation_variances(item_features(kg), csr_matrix((5, ITEMS)), np.zeros(ITEMS)).shape == (0,)
    assert not relation_variances(some_features(), csr_matrix((5, ITEMS)), np.zeros(ITEMS)).any()
