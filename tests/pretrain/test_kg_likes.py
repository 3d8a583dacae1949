"""``kg_likes`` on planted readers: what it tells of relations, what it looks at, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from kgrl.graph import knowledge_graph
from kgrl.pretrain import item_features, kg_likes
from tests.agents.planted_readers import ITEMS, NEW, OLD, TRAIN, likes_of, planted_readers


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
