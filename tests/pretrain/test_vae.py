"""VAE-based item vectors: planted groups, the evidence lower bound, whose ratings are seen, and what is made dense."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import HeteroData

from kgrl.pretrain import item_vectors
from kgrl.pretrain.vae import RatingVAE, vae_vectors
from tests.pretrain.other_ratings import with_other_ratings

USERS, ITEMS, GROUPS = 240, 90, 3


def planted(density: float = 0.3) -> HeteroData:
    """A user of group g likes items of group g and dislikes the others; a portion of the pairs is rated."""
    rated = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(0)) < density
    user, item = rated.nonzero().T
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = USERS, ITEMS
    data["user", "rates", "item"].edge_index = torch.stack([user, item])
    data["user", "rates", "item"].rating = torch.where(user % GROUPS == item % GROUPS, 5.0, 1.0)
    data.rating_scale = (1.0, 5.0, 3.5)
    return data


def sparse_rows(items: int, users: int, ratings: int, device: torch.device | str = "cpu") -> Tensor:
    generator = torch.Generator().manual_seed(1)
    cells = torch.randperm(items * users, generator=generator)[:ratings].sort().values
    value = 2 * torch.rand(ratings, generator=generator) - 1
    rows = torch.sparse_coo_tensor(torch.stack([cells // users, cells % users]), value, (items, users),
                                   check_invariants=True)
    return rows.coalesce().to_sparse_csr().to(device)


@pytest.mark.parametrize("density", [0.3, 0.1])
def test_planted_groups_are_found(density: float, device: torch.device) -> None:
    users = torch.arange(USERS, device=device)
    vectors = item_vectors(planted(density), users, "vae", dim=4, epochs=100)
    assert vectors.shape == (ITEMS, 4)
    assert vectors.dtype == torch.float
    assert vectors.layout == torch.strided
    assert vectors.device.type == device.type
    assert not vectors.requires_grad
    distance = torch.cdist(vectors, vectors).cpu()
    same = (torch.arange(ITEMS)[:, None] - torch.arange(ITEMS)) % GROUPS == 0
    assert distance[same].mean() < 0.5 * distance[~same].mean()
    if density == 0.3:  # every item of a group is nearer than any other
        assert distance[same].max() < distance[~same].min()
    nearest = distance.fill_diagonal_(torch.inf).argmin(1)
    assert torch.equal(nearest % GROUPS, torch.arange(ITEMS) % GROUPS)


def test_a_vector_longer_than_needed_still_tells_the_groups_apart() -> None:
    vectors = item_vectors(planted(), torch.arange(USERS), "vae", dim=30, epochs=100)
    nearest = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).argmin(1)
    assert torch.equal(nearest % GROUPS, torch.arange(ITEMS) % GROUPS)


def test_loss_is_the_evidence_lower_bound() -> None:
    model = RatingVAE(7, 3, hidden=5, seed=2).double()
    draw = torch.Generator().manual_seed(0)
    x, seen = (torch.randn(4, 7, generator=draw, dtype=torch.double) for _ in range(2))
    noise = torch.randn(4, 3, generator=draw, dtype=torch.double)
    weights = dict(model.named_parameters())

    def layer(name: str, vector: Tensor) -> Tensor:
        weight, bias = weights[f"{name}.weight"].tolist(), weights[f"{name}.bias"].tolist()
        out = [sum(w * v for w, v in zip(row, vector.tolist(), strict=True)) + b
               for row, b in zip(weight, bias, strict=True)]
        return torch.tensor(out, dtype=torch.double)

    for kl_weight in (1.0, 0.3):
        loss = model.loss(x, seen, noise, kl_weight)
        for i in range(4):
            hidden = layer("hidden", seen[i] / 7**0.5).tanh()
            posterior = Normal(layer("mean", hidden), layer("log_variance", hidden).exp().sqrt())
            z = posterior.mean + posterior.stddev * noise[i]
            decoded = layer("decoder.2", layer("decoder.0", z).tanh())
            likelihood = Normal(decoded, 1.0).log_prob(x[i]).sum() + 3.5 * np.log(2 * np.pi)
            divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum()
            torch.testing.assert_close(loss[i], kl_weight * divergence - likelihood)


def test_vectors_are_the_encoders_means_of_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that training sees every row once an epoch, whole as the target and in part as the encoder's input."""
    rows, calls, models = sparse_rows(23, 40, 300), [], []
    loss = RatingVAE.loss

    def spy(self: RatingVAE, x: Tensor, seen: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
        models.append(self)
        calls.append((x, seen, noise, kl_weight))
        return loss(self, x, seen, noise, kl_weight)

    monkeypatch.setattr(RatingVAE, "loss", spy)
    vectors = vae_vectors(rows, 3, epochs=4, batch_size=10, hidden=8)
    dense = rows.to_dense() / rows.to_dense().square().mean().sqrt()
    torch.testing.assert_close(vectors, models[0](dense)[0].detach())
    assert [len(x) for x, *_ in calls] == [10, 10, 3] * 4
    assert [weight for *_, weight in calls] == [0.5] * 3 + [1.0] * 9
    for epoch in range(4):
        x, seen = (torch.cat([call[part] for call in calls[3 * epoch : 3 * epoch + 3]]) for part in (0, 1))
        place = (x[:, None] - dense).abs().amax(2).argmin(1)
        assert sorted(place.tolist()) == list(range(23))
        torch.testing.assert_close(x, dense[place])
        assert 100 < (seen != 0).sum() < 200
        torch.testing.assert_close(seen[seen != 0], 2 * x[seen != 0])
    noise = torch.cat([noise for *_, noise, _ in calls])
    assert len(noise.unique()) == noise.numel() == 4 * 23 * 3
    assert abs(noise.mean()) < 0.3
    assert abs(noise.std() - 1) < 0.2
    vae_vectors(rows, 3, epochs=1, batch_size=10, hidden=8, seed=1)
    assert not any(torch.equal(calls[0][part], calls[12][part]) for part in range(3))


def test_training_lowers_the_loss_on_rows_as_they_are() -> None:
    rows = item_vectors(planted(), torch.arange(USERS), "rating")
    dense = rows.to_dense() / rows.to_dense().square().mean().sqrt()
    nothing = dense.square().sum(1).mean() / 2
    losses = []
    loss = RatingVAE.loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RatingVAE, "loss", lambda *args, **kwargs: losses.append(loss(*args, **kwargs)) or losses[-1])
        vae_vectors(rows, 4, epochs=100)
    assert losses[-1].detach().mean() < 0.9 * nothing


def test_vectors_follow_the_seed() -> None:
    data, users = planted(), torch.arange(USERS)
    first, again, other = (item_vectors(data, users, "vae", epochs=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_global_randomness_is_neither_used_nor_with_other_ratings() -> None:
    vectors = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        vectors.append(item_vectors(planted(), torch.arange(USERS), "vae", epochs=1))
        assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert torch.equal(*vectors)


def test_only_the_given_users_are_seen() -> None:
    data, train = planted(), torch.arange(0, USERS, 4)
    others = torch.arange(USERS)[~torch.isin(torch.arange(USERS), train)]
    vectors, same, other = (
        item_vectors(source, train, "vae", epochs=3)
            for source in (data, with_other_ratings(data, others), with_other_ratings(data, train))
    )
    assert torch.equal(vectors, same)
    assert not torch.equal(vectors, other)


def test_each_option_makes_a_difference() -> None:
    data, users = planted(), torch.arange(USERS)
    plain = item_vectors(data, users, "vae", dim=4, epochs=4)
    for options in ({"epochs": 5}, {"weight_decay": 0.5}):
        assert not torch.equal(plain, item_vectors(data, users, "vae", **{"dim": 4, "epochs": 4, **options}))


def test_only_a_batch_is_ever_dense(device: torch.device) -> None:
    items, users = 3000, 2500
    rows = sparse_rows(items, users, 20_000, device)

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for part in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(part, Tensor) and part.layout == torch.strided:
                    self.numel = max(self.numel, part.numel())
            return out

    with Largest() as largest:
        vectors = vae_vectors(rows, 4, epochs=1, hidden=16, batch_size=50)
    assert vectors.shape == (items, 4)
    assert 50 * users <= largest.numel < items * users / 10


@pytest.mark.parametrize("rating", [None, 3.0])
def test_nothing_to_learn_from_gives_finite_vectors(rating: float | None) -> None:
    """No rating at all, or all in the middle of the scale: every item is the same."""
    data = planted(0.0 if rating is None else 0.3)
    data["user", "rates", "item"].rating.fill_(rating or 0.0)
    vectors = item_vectors(data, torch.arange(USERS), "vae", dim=4, epochs=2)
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors, vectors[:1].expand_as(vectors))


def test_one_user_and_one_item_are_enough() -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 1, 1
    data["user", "rates", "item"].edge_index = torch.zeros(2, 1, dtype=torch.long)
    data["user", "rates", "item"].rating = torch.tensor([4.0])
    data.rating_scale = (1.0, 5.0, 3.5)
    assert item_vectors(data, torch.tensor([0]), "vae", dim=1, epochs=1).isfinite().all()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kind": "vea"}, "choose from .*vae; did you mean 'vae'"),
        ({"users": torch.tensor([], dtype=torch.long)}, "`users` must be at least one (user )?id"),
        ({"users": torch.tensor([3, 3])}, "each user once"),
        ({"dim": 0}, "`dim` must be at least 1"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"weight_decay": -1.0}, "`weight_decay` must be"),
    ],
)
def test_bad_input_is_named(options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        item_vectors(planted(), **{"users": torch.arange(3), "kind": "vae", **options})
