"""Item vectors from ratings: what they hold, and whose ratings they never see."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import HeteroData

from kgrl.pretrain import item_vectors
from tests.pretrain.other_ratings import with_other_ratings

USERS, ITEMS = 40, 12


def two_tastes() -> HeteroData:
    """Users of even number like even items and dislike odd ones, the others the other way round; half is rated."""
    rated = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(0)) < 0.5
    user, item = rated.nonzero().T
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    data["user", "rates", "item"].edge_index = torch.stack([user, item])
    data["user", "rates", "item"].rating = torch.where((user + item) % 2 == 0, 5.0, 2.0)
    data.rating_scale = (1.0, 5.0, 3.5)
    return data


def test_factors_tell_the_tastes_apart() -> None:
    vectors = item_vectors(two_tastes(), torch.arange(USERS), dim=4, epochs=100)
    assert vectors.shape == (ITEMS, 4)
    cosine = torch.cosine_similarity(vectors[:, None], vectors, dim=2)
    alike = (torch.arange(ITEMS)[:, None] + torch.arange(ITEMS)) % 2 == 0
    assert cosine[alike].min() > 0.5
    assert cosine[~alike].max() < -0.5


@pytest.mark.parametrize("kind", ["mf", "rating"])
def test_only_the_given_users_are_seen(kind: str) -> None:
    data, train = two_tastes(), torch.arange(0, USERS, 3)
    others = torch.arange(USERS)[~torch.isin(torch.arange(USERS), train)]
    vectors, same, other = (
        item_vectors(source, train, kind, epochs=3).to_dense()
        for source in (data, with_other_ratings(data, others), with_other_ratings(data, train))
    )
    assert torch.equal(vectors, same)
    assert not torch.equal(vectors, other)


def test_factors_follow_the_seed() -> None:
    data, users = two_tastes(), torch.arange(USERS)
    first, again, other = (item_vectors(data, users, epochs=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rating_rows_equal_a_loop(device: torch.device) -> None:
    data, users = two_tastes(), torch.tensor([7, 2, 30])
    vectors = item_vectors(data, users.to(device), kind="rating")
    assert vectors.layout == torch.sparse_csr
    assert vectors.device.type == device.type
    expected = torch.zeros(ITEMS, 3)
    edges = data["user", "rates", "item"]
    for user, item, rating in zip(*edges.edge_index.tolist(), edges.rating.tolist(), strict=True):
        if user in users:
            expected[item, users.tolist().index(user)] = {5.0: 1.0, 2.0: -0.5}[rating]
    assert torch.equal(vectors.to_dense().cpu(), expected)


def test_factors_on_every_device(device: torch.device) -> None:
    vectors = item_vectors(two_tastes(), torch.arange(USERS, device=device), epochs=1)
    assert vectors.device.type == device.type
    assert not vectors.requires_grad


def test_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    item_vectors(two_tastes(), torch.arange(USERS), epochs=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kind": "mff"}, "choose from mf, rating, vae; did you mean 'mf'"),
        ({"users": torch.tensor([], dtype=torch.long)}, "`users` must be at least one (user )?id"),
        ({"users": torch.tensor([0, USERS])}, f"ids from 0 to {USERS - 1}"),
        ({"users": torch.tensor([3, 3])}, "each user once"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"weight_decay": -1.0}, "`weight_decay` must be"),
    ],
)
def test_bad_input_is_named(options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        item_vectors(two_tastes(), **{"users": torch.arange(3), **options})
