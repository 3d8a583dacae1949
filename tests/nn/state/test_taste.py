"""``TasteTerms`` step by step, and against the normal equations."""

from __future__ import annotations

import pytest
import torch

from kgrl.nn import TasteTerms
from tests.nn.state.test_taste_state import SEQUENCES, TASTE, make


def test_step_by_step_equals_the_whole_sequence() -> None:
    layer, items, feedback = make()
    terms = layer.project(items)
    belief = terms.prior(len(SEQUENCES))
    for step in range(SEQUENCES.size(1)):
        belief = terms.update(belief, SEQUENCES[:, step], feedback[:, step])
        upto = SEQUENCES[:, : step + 1], feedback[:, : step + 1]
        torch.testing.assert_close(belief.mean, layer(items, *upto))
    loading = terms.loading[SEQUENCES[3]]
    precision = torch.eye(TASTE, dtype=torch.double) + loading.T @ loading / layer.log_noise.exp()
    torch.testing.assert_close(belief.covariance[3], torch.linalg.inv(precision))


def test_each_item_may_have_noise_of_its_own() -> None:
    r"""Against the normal equations of one session; an item with endless noise says nothing."""
    generator = torch.Generator().manual_seed(1)
    expected, loading = torch.randn(5, generator=generator), torch.randn(5, 2, generator=generator)
    noise = torch.tensor([0.1, 0.5, 2.0, 1e12, 1.0])
    terms = TasteTerms(expected.double(), loading.double(), noise.double())
    feedback = torch.tensor([[0.3, -1.0, 0.7, 0.2]], dtype=torch.double)
    weight = torch.diag(1 / terms.noise[:4])
    precision = torch.eye(2).double() + terms.loading[:4].T @ weight @ terms.loading[:4]
    mean = torch.linalg.inv(precision) @ terms.loading[:4].T @ weight @ (feedback[0] - terms.expected[:4])
    torch.testing.assert_close(terms.infer(torch.arange(4)[None], feedback)[0], mean)
    torch.testing.assert_close(terms.infer(torch.tensor([[0, 1, 2, -1]]), feedback)[0], mean)
    belief = terms.prior(1)
    for item in range(4):
        belief = terms.update(belief, torch.tensor([item]), feedback[:, item])
    torch.testing.assert_close(belief.mean[0], mean)


def test_mixed_precision_leaves_the_inference_as_it_is() -> None:
    layer, items, feedback = make()
    terms = TasteTerms(*(part.detach().float() for part in layer.project(items)))
    belief = terms.update(terms.prior(4), SEQUENCES[:, 0], feedback[:, 0])
    state = terms.infer(SEQUENCES, feedback)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(terms.infer(SEQUENCES, feedback), state)
        mixed = terms.update(terms.prior(4), SEQUENCES[:, 0], feedback[:, 0])
    assert all(torch.equal(part, other) for part, other in zip(mixed, belief, strict=True))


def test_loadings_too_large_for_the_precision_are_named() -> None:
    loading = torch.tensor([[4000.0, 4001.0], [8000.0, 8002.0]])
    terms = TasteTerms(torch.zeros(2), loading, torch.full((2,), 0.1))
    asked = torch.tensor([[0, 1]]), torch.tensor([[1.0, 0.5]])
    with pytest.raises(ValueError, match=r"small .* in torch.float32, got 'up to 8e\+03'; standardise the vectors .*"):
        terms.infer(*asked)
    assert TasteTerms(*(part.double() for part in terms)).infer(*asked[:1], asked[1].double()).isfinite().all()
