"""``like_rates`` against a dense Gaussian process, and on planted popularity."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data

from kgrl.graph import knowledge_graph, without_edges
from kgrl.pretrain.item_features import item_features
from kgrl.pretrain.like_rates import like_rates

ITEMS, USERS = 80, 500


def graph() -> Data:
    """Author a (node 80 + a) wrote the items i with i % 10 = a."""
    items = torch.arange(ITEMS)
    return knowledge_graph(torch.stack([items, ITEMS + items % 10]), num_items=ITEMS)


def counts() -> np.ndarray:
    """Author a's books have about 2^a likes."""
    return np.round(2.0 ** (np.arange(ITEMS) % 10) * np.random.default_rng(0).uniform(0.7, 1.4, ITEMS))


def test_equals_the_dense_process() -> None:
    features, likes, rated = item_features(graph()), counts(), np.arange(ITEMS) >= 20
    found = like_rates(features, likes, USERS, rated)
    g = np.log1p(likes[rated])
    x, y = features.matrix.toarray(), g - g.mean()
    pairs = ~np.eye(len(y), dtype=bool)
    kernel = x @ x.T
    among = kernel[rated][:, rated]
    variance = max((among * np.outer(y, y))[pairs].sum() / (among**2)[pairs].sum(), 0)
    noise = max((y**2).mean() - variance, 0.1 * (y**2).mean())
    told = variance * kernel[:, rated] @ np.linalg.solve(variance * among + noise * np.eye(len(y)), y)
    np.testing.assert_allclose(found[~rated], np.expm1(told + g.mean())[~rated] / USERS, rtol=1e-5)
    np.testing.assert_array_equal(found[rated], likes[rated] / USERS)


def test_new_items_are_told_by_their_entities_and_not_by_their_own_likes() -> None:
    features, likes, rated = item_features(graph()), counts(), np.arange(ITEMS) >= 20
    found = like_rates(features, likes, USERS, rated)
    assert np.corrcoef(np.log(found[~rated]), np.arange(20) % 10)[0, 1] > 0.98
    np.testing.assert_array_equal(found, like_rates(features, np.where(rated, likes, 999), USERS, rated))


def test_without_a_graph_all_new_items_are_alike() -> None:
    rated = np.arange(ITEMS) >= 20
    found = like_rates(item_features(without_edges(graph())), counts(), USERS, rated)[~rated]
    assert (found > 0).all()
    np.testing.assert_allclose(found, found[0])


def test_likes_that_do_not_differ() -> None:
    rated = np.arange(ITEMS) >= 20
    found = like_rates(item_features(graph()), np.full(ITEMS, 3.0), USERS, rated)
    np.testing.assert_allclose(found, 3 / USERS)
