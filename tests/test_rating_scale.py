"""The one scale of feedback: the same numbers wherever ratings are read, and the middle exactly 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.pretrain.items import ratings_of
from kgrl.rating_scale import normalise, normalised_ratings
from kgrl.simulator import RatedFeedback

SCALES = [(1.0, 5.0, 3.5), (0.0, 1.0, 0.5), (0.5, 5.0, 3.0), (-3.0, 7.0, 0.1)]


def some_ratings(low: float, high: float, threshold: float) -> HeteroData:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 4, 5
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(5))
    data["user", "rates", "item"].edge_index = pairs.T.contiguous()
    data["user", "rates", "item"].rating = torch.linspace(low, high, len(pairs))
    data.rating_scale = (low, high, threshold)
    return data


@pytest.mark.parametrize(("low", "high", "threshold"), SCALES)
def test_ends_and_middle_are_exact(low: float, high: float, threshold: float) -> None:
    raw = torch.tensor([low, (low + high) / 2, high])
    assert normalise(raw, low, high).tolist() == [-1, 0, 1]
    assert float(normalise(threshold, low, high)) == pytest.approx(2 * (threshold - low) / (high - low) - 1, abs=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_one_number_for_a_rating_wherever_it_is_read(scale: tuple[float, float, float]) -> None:
    """A world, its table of logged ratings and what is pre-trained on them agree bit for bit."""
    data = some_ratings(*scale)
    logged = normalised_ratings(data)
    raw = data["user", "rates", "item"].rating.double().numpy()
    np.testing.assert_allclose(logged.values, 2 * (raw - scale[0]) / (scale[1] - scale[0]) - 1, atol=1e-6)
    user, item, value = ratings_of(data, torch.arange(4))
    assert torch.equal(value, logged.values)
    assert torch.equal(RatedFeedback(data, scale[2])(user, item), logged.values)


@pytest.mark.parametrize("raw", [3, 3.0, np.float32(3), np.int64(3), torch.tensor(3), torch.tensor(3.0)])
def test_numbers_of_every_kind(raw: float | Tensor) -> None:
    assert float(normalise(raw, 1, 5)) == 0


def test_what_is_no_rating() -> None:
    with pytest.raises(ValueError, match="`low` must be below `high`, 1, got 5"):
        normalise(3.0, 5, 1)
    with pytest.raises(TypeError, match="`raw` must be a tensor, got 'bool'"):
        normalise(True, 1, 5)
    data = some_ratings(1, 5, 3.5)
    data["user", "rates", "item"].rating[7] = 6
    with pytest.raises(ValueError, match=r"`rating\[7\]` must be in the scale \[1, 5\], got 6.0; user 1, item 2"):
        normalised_ratings(data)
