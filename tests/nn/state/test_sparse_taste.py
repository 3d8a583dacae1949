"""``SparseTasteTerms`` against the dense primal."""

from __future__ import annotations

import pytest
import torch

from kgrl.nn import SparseTasteTerms, TasteTerms

ITEMS, SIZE = 15, 40


def some_terms(seed: int = 0) -> SparseTasteTerms:
    generator = torch.Generator().manual_seed(seed)
    loading = torch.randn(ITEMS, SIZE, generator=generator)
    loading[torch.rand(ITEMS, SIZE, generator=generator) < 0.8] = 0
    loading[3] = 0  # nothing is known of it
    mean, noise = torch.randn(ITEMS, generator=generator), torch.rand(ITEMS, generator=generator) + 0.2
    return SparseTasteTerms(mean, loading.to_sparse_csr(), noise)


def dense(terms: SparseTasteTerms) -> TasteTerms:
    return TasteTerms(terms.expected, terms.loading.to_dense(), terms.noise)


@pytest.mark.parametrize("items", [[4, 3, 0, 11], [3], list(range(ITEMS))[::-1]])
def test_of_some_items_is_their_rows(items: list[int]) -> None:
    picked, rows = dense(some_terms().of(torch.tensor(items)).checked("picked")), dense(some_terms())
    for name in TasteTerms._fields:
        assert torch.equal(getattr(picked, name), getattr(rows, name)[items])


def test_equals_the_primal_solve() -> None:
    terms = some_terms()
    items = torch.tensor([4, 3, 0, 11])
    feedback = torch.tensor([1.0, -1.0, 0.5, 0.2])
    w, noise = terms.loading.to_dense()[items].double(), terms.noise[items].double()
    precision = torch.eye(SIZE) + w.T @ (w / noise.unsqueeze(1))
    wanted = torch.linalg.solve(precision, w.T @ ((feedback - terms.expected[items]) / noise))
    found = terms.infer(items.unsqueeze(0), feedback.unsqueeze(0))
    torch.testing.assert_close(found, wanted.float().unsqueeze(0), atol=1e-5, rtol=1e-4)
    score = terms.loading.to_dense() @ found[0] + terms.expected
    torch.testing.assert_close(terms.predict(found)[0], score)


def test_the_same_on_every_device(device: torch.device) -> None:
    terms, sequences = some_terms(), torch.tensor([[4, -1, 0, 11], [3, 2, 5, 6]])
    feedback = torch.tensor([[1.0, 0.0, -1.0, 0.5], [0.2, 1.0, 0.0, -0.3]])
    there = SparseTasteTerms(*(part.to(device) for part in terms))
    found = there.infer(sequences.to(device), feedback.to(device))
    wanted = terms.predict(dense(terms).infer(sequences, feedback))
    torch.testing.assert_close(there.predict(found).cpu(), wanted, atol=1e-5, rtol=1e-4)


def test_a_ragged_batch_is_one_session_after_the_other() -> None:
    terms = some_terms()
    sequences = torch.tensor([[4, -1, 0, 11], [-1, -1, -1, -1], [3, 2, 5, 6], [-1, 4, -1, -1]])
    feedback = torch.rand(4, 4, generator=torch.Generator().manual_seed(1)).masked_fill(sequences < 0, torch.nan)
    found = terms.infer(sequences, feedback)
    torch.testing.assert_close(found, dense(terms).infer(sequences, feedback), atol=1e-5, rtol=1e-4)
    for row in range(4):
        here = sequences[row] >= 0
        alone = terms.infer(sequences[row, here].unsqueeze(0), feedback[row, here].unsqueeze(0))
        torch.testing.assert_close(found[row], alone[0], atol=1e-6, rtol=1e-5)
    assert not found[1].any()
    torch.testing.assert_close(terms.predict(found)[1], terms.expected)


def test_the_order_of_a_session_does_not_matter() -> None:
    terms, sequence, order = some_terms(), torch.tensor([[4, 0, 11, 7]]), torch.tensor([2, 0, 3, 1])
    feedback = torch.tensor([[1.0, 0.0, -1.0, 0.5]])
    one, two = terms.infer(sequence, feedback), terms.infer(sequence[:, order], feedback[:, order])
    torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0, 0)])
def test_nothing_shown_and_nobody(shape) -> None:
    found = some_terms().infer(torch.full(shape, -1), torch.zeros(shape))
    assert found.shape == (shape[0], SIZE)
    assert not found.any()


def test_loadings_without_entries() -> None:
    terms = SparseTasteTerms(torch.rand(3), torch.zeros(3, 5).to_sparse_csr(), torch.ones(3))
    assert not terms.checked("terms").infer(torch.tensor([[0, 2]]), torch.ones(1, 2)).any()


@pytest.mark.parametrize(("changed", "text"), [
    ({"noise": torch.ones(4)}, r"expected \[N\], loading \[N, k\] in the layout"),
    ({"loading": torch.ones(3, 2)}, "torch.strided"),
    ({"loading": torch.ones(2, 2).to_sparse_csr()}, r"\[2, 2\]"),
    ({"loading": torch.full((3, 2), torch.nan).to_sparse_csr()}, "`terms` must be finite"),
    ({"noise": torch.tensor([1.0, 0.0, 1.0])}, "noise above 0, got 0.0"),
])
def test_terms_that_are_none(changed, text) -> None:
    parts = {"expected": torch.zeros(3), "loading": torch.ones(3, 2).to_sparse_csr(), "noise": torch.ones(3)}
    with pytest.raises(ValueError, match=text):
        SparseTasteTerms(**{**parts, **changed}).checked("terms")


def test_feedback_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"`feedback` must be of shape \[1, 2\], got \[1, 3\]"):
        some_terms().infer(torch.tensor([[0, 1]]), torch.ones(1, 3))


def test_items_that_are_alike_and_of_next_to_no_noise_can_be_inferred_from() -> None:
    loading = torch.tensor([[1.0], [1.0], [2.0]]).to_sparse_csr()
    terms = SparseTasteTerms(torch.zeros(3), loading, torch.full((3,), 1e-9))
    mean = terms.infer(torch.tensor([[0, 1]]), torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(mean, torch.tensor([[2 / (2 + 1e-9)]]))
