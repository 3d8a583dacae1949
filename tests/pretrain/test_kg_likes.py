"""``kg_likes`` on planted readers: what it tells of relations, what it looks at, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from scipy.sparse import csr_matrix, diags
from torch_geometric.data import Data, HeteroData

from kgrl.graph import knowledge_graph, without_edges
from kgrl.pretrain.feature_terms import ItemFeatures, item_features
from kgrl.pretrain.kg_likes import kg_likes, like_rates, relation_variances
from tests.agents.planted_readers import ITEMS, NEW, OLD, TRAIN, likes_of, planted_readers

FEATURED, ENTITIES = 60, 30


def some_features() -> ItemFeatures:
    """Two relations, each of some two entities per item."""
    generator = torch.Generator().manual_seed(0)
    head = torch.arange(FEATURED).repeat(4)
    tail = FEATURED + torch.randint(ENTITIES, (4 * FEATURED,), generator=generator)
    relation = torch.arange(2).repeat_interleave(2 * FEATURED)
    return item_features(knowledge_graph(torch.stack([head, tail]), edge_type=relation, num_items=FEATURED,
                                         num_nodes=FEATURED + ENTITIES))


def test_equals_the_fit_over_all_pairs() -> None:
    features, draw = some_features(), np.random.default_rng(0)
    values = draw.random((40, FEATURED)) * (draw.random((40, FEATURED)) < 0.3)
    pairs = ~np.eye(FEATURED, dtype=bool)
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
    values = draw.standard_normal((4000, x.shape[1])) @ x.T + draw.standard_normal((4000, FEATURED))
    np.testing.assert_allclose(relation_variances(features, csr_matrix(values), values.mean(0)), planted, rtol=0.15)


def test_a_graph_that_says_nothing() -> None:
    kg = without_edges(knowledge_graph(torch.tensor([[0], [1]]), num_items=FEATURED))
    assert relation_variances(item_features(kg), csr_matrix((5, FEATURED)), np.zeros(FEATURED)).shape == (0,)
    assert not relation_variances(some_features(), csr_matrix((5, FEATURED)), np.zeros(FEATURED)).any()


COUNTED, COUNTERS = 80, 500


def graph() -> Data:
    """Author a (node 80 + a) wrote the items i with i % 10 = a."""
    items = torch.arange(COUNTED)
    return knowledge_graph(torch.stack([items, COUNTED + items % 10]), num_items=COUNTED)


def counts() -> np.ndarray:
    """Author a's books have about 2^a likes."""
    return np.round(2.0 ** (np.arange(COUNTED) % 10) * np.random.default_rng(0).uniform(0.7, 1.4, COUNTED))


def test_equals_the_dense_process() -> None:
    features, likes, rated = item_features(graph()), counts(), np.arange(COUNTED) >= 20
    found = like_rates(features, likes, COUNTERS, rated)
    g = np.log1p(likes[rated])
    x, y = features.matrix.toarray(), g - g.mean()
    pairs = ~np.eye(len(y), dtype=bool)
    kernel = x @ x.T
    among = kernel[rated][:, rated]
    variance = max((among * np.outer(y, y))[pairs].sum() / (among**2)[pairs].sum(), 0)
    noise = max((y**2).mean() - variance, 0.1 * (y**2).mean())
    told = variance * kernel[:, rated] @ np.linalg.solve(variance * among + noise * np.eye(len(y)), y)
    np.testing.assert_allclose(found[~rated], np.expm1(told + g.mean())[~rated] / COUNTERS, rtol=1e-5)
    np.testing.assert_array_equal(found[rated], likes[rated] / COUNTERS)


def test_new_items_are_told_by_their_entities_and_not_by_their_own_likes() -> None:
    features, likes, rated = item_features(graph()), counts(), np.arange(COUNTED) >= 20
    found = like_rates(features, likes, COUNTERS, rated)
    assert np.corrcoef(np.log(found[~rated]), np.arange(20) % 10)[0, 1] > 0.98
    np.testing.assert_array_equal(found, like_rates(features, np.where(rated, likes, 999), COUNTERS, rated))


def test_without_a_graph_all_new_items_are_alike() -> None:
    rated = np.arange(COUNTED) >= 20
    found = like_rates(item_features(without_edges(graph())), counts(), COUNTERS, rated)[~rated]
    assert (found > 0).all()
    np.testing.assert_allclose(found, found[0])


def test_likes_that_do_not_differ() -> None:
    rated = np.arange(COUNTED) >= 20
    found = like_rates(item_features(graph()), np.full(COUNTED, 3.0), COUNTERS, rated)
    np.testing.assert_allclose(found, 3 / COUNTERS)


@pytest.fixture(scope="module")
def world() -> tuple[HeteroData, Data]:
    return planted_readers()


def test_authors_tell_more_than_genres(world) -> None:
    data, kg = world
    terms, features = kg_likes(kg, data, TRAIN, old=OLD), item_features(kg)
    squares = torch.zeros(terms.loading.size(1)).index_add_(0, terms.loading.col_indices(),
                                                            terms.loading.values() ** 2)
    author, genre = (squares[:-1][torch.from_numpy(features.relation == r)].sum() for r in (0, 1))
    assert author > 20 * genre
    assert terms.loading.size(1) == len(features.relation) + 1


def test_likes_of_new_items_and_of_other_users_are_not_looked_at(world) -> None:
    data, kg = world
    ratings = data["user", "rates", "item"]
    user, item = ratings.edge_index
    unseen = torch.isin(item, NEW) | ~torch.isin(user, TRAIN)
    other = data.clone()
    other["user", "rates", "item"].rating = torch.where(unseen, -ratings.rating, ratings.rating)
    one, two = (kg_likes(kg, each, TRAIN, old=OLD) for each in (data, other))
    assert torch.equal(one.expected, two.expected)
    assert torch.equal(one.loading.values(), two.loading.values())
    assert torch.equal(one.noise, two.noise)


def test_bad_input_is_named(world) -> None:
    data, kg = world
    with pytest.raises(ValueError, match=f"`kg.num_items` must be {ITEMS}, as in `data`, got 3"):
        kg_likes(knowledge_graph(torch.tensor([[0], [3]]), num_items=3), data, TRAIN)
    for ids in (torch.tensor([ITEMS]), torch.tensor([-1]), torch.tensor([], dtype=torch.long)):
        with pytest.raises(ValueError, match=f"`old` must be (at least one id|ids from 0 to {ITEMS - 1})"):
            kg_likes(kg, data, TRAIN, old=ids)
    with pytest.raises(ValueError, match="`users` must be each user once"):
        kg_likes(kg, data, torch.tensor([1, 1]))
    nobody = data.clone()
    nobody["user", "rates", "item"].rating = -torch.ones_like(data["user", "rates", "item"].rating)
    with pytest.raises(ValueError, match="ratings above the threshold"):
        kg_likes(kg, nobody, TRAIN)
    unliked = likes_of(data)[TRAIN[:3]].sum(0).argmin().reshape(1)
    with pytest.raises(ValueError, match="ratings above the threshold"):
        kg_likes(kg, data, TRAIN[:3], old=unliked)
