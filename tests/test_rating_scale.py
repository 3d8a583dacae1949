"""The one scale of feedback: the same numbers wherever ratings are read, and the middle exactly 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import HeteroData

from kgrl.datasets.frames import from_frames
from kgrl.datasets.ratings import checked_form
from kgrl.pretrain.items import ratings_of
from kgrl.rating_scale import normalise, normalised_ratings
from kgrl.simulator import RatedFeedback

ALL = torch.arange(4)
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


@pytest.mark.parametrize(("low", "high"), [(-3e38, 3e38), (0.0, 3e38), (-1.8e38, 0.0), (0.0, 1e-300),
                                         (2.0**24, 2.0**24 + 1)])
def test_a_scale_is_as_wide_as_single_precision_counts(low: float, high: float) -> None:
    """Wider, twice a rating is infinite and feedback NaN; narrower, its ends are one."""
    middle = low + (high - low) / 2
    with pytest.raises(ValueError, match="`low, high` must be"):
        normalise(torch.tensor([low, high]), low, high)
    data = some_ratings(1.0, 5.0, 3.5)
    data.rating_scale = (low, high, middle)
    data["user", "rates", "item"].rating.fill_(low)
    for read in (normalised_ratings, lambda data: RatedFeedback(data, middle), lambda data: ratings_of(data, ALL)):
        with pytest.raises(ValueError, match="`data.rating_scale` must be|`low, high` must be"):
            read(data)
    frame = pd.DataFrame({"user": [1, 1], "item": [1, 2], "rating": [low, high]})
    for scale, name in ((None, "`ratings"), ((low, high, middle), "`rating_scale` must be")):
        with pytest.raises(ValueError, match=name):
            from_frames(frame, rating_scale=scale)


@given(st.floats(-1.7e38, 1.7e38), st.floats(-1.7e38, 1.7e38), st.floats(0, 1))
def test_every_scale_that_is_taken_gives_feedback(one: float, other: float, part: float) -> None:
    low, high = min(one, other), max(one, other)
    try:
        checked_form((low, high, low))
    except ValueError:
        with np.errstate(all="ignore"):
            assert not np.float32(high) - np.float32(low) > 1.2e-38
        return
    raw = torch.tensor([low, min(max(low + part * (high - low), low), high), high])
    feedback = normalise(raw, low, high)
    assert feedback.isfinite().all()
    if high - low > 1e-3 * max(abs(low), abs(high)):  # else single precision knows few numbers between them
        np.testing.assert_allclose(feedback, 2 * ((raw.double() - low) / (high - low)) - 1, atol=1e-3)


@pytest.mark.parametrize("scale", [None, 3, (1, 5), "abc", (1, 5, 6), (5, 1, 3), (1, float("nan"), 3)])
def test_a_scale_that_is_none_is_named(scale: object) -> None:
    data = some_ratings(1.0, 5.0, 3.5)
    data.rating_scale = scale
    with pytest.raises((TypeError, ValueError), match="`data.rating_scale` must be"):
        normalised_ratings(data)


def test_complex_ratings_are_refused() -> None:
    """NumPy drops the imaginary part with a warning; PyTorch says that it cannot compare."""
    data = some_ratings(1.0, 5.0, 3.5)
    data["user", "rates", "item"].rating = data["user", "rates", "item"].rating + 1j
    for read in (normalised_ratings, lambda data: ratings_of(data, ALL)):
        with pytest.raises(ValueError, match=r"`data\['user', 'rates', 'item'\].rating` must be a tensor of real"):
            read(data)


def test_what_is_no_rating() -> None:
    with pytest.raises(ValueError, match="`low` must be below `high`, 1, got 5"):
        normalise(3.0, 5, 1)
    with pytest.raises(TypeError, match="`raw` must be a tensor, got 'bool'"):
        normalise(True, 1, 5)
    data = some_ratings(1, 5, 3.5)
    data["user", "rates", "item"].rating[7] = 6
    with pytest.raises(ValueError, match=r"`rating\[7\]` must be in the scale \[1, 5\], got 6.0; user 1, item 2"):
        normalised_ratings(data)
