"""The batched iteration against NumPy's eigenvectors of every matrix by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kgrl.tree import lanczos
from kgrl.tree.lanczos import leading_vectors

RNG = np.random.default_rng(0)
NONE = np.zeros(1)


def products(matrices: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: np.einsum("gij,gj->gi", matrices, u)


def with_spectrum(values: np.ndarray) -> np.ndarray:
    """A symmetric matrix of these eigenvalues in random directions."""
    directions = np.linalg.qr(RNG.standard_normal((len(values), len(values))))[0]
    return (directions * values) @ directions.T


def aligned(found: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """|cos| of the angle between each vector and NumPy's leading eigenvector."""
    leading = np.linalg.eigh(matrices)[1][:, :, -1]
    return np.abs((found * leading).sum(1))


@pytest.mark.parametrize(("num", "size"), [(1, 1), (1, 2), (5, 3), (7, 30), (2, 150)])
def test_equals_numpy(num: int, size: int) -> None:
    root = RNG.standard_normal((num, size, size + 3))
    matrices = root @ root.swapaxes(1, 2)
    found = leading_vectors(products(matrices), RNG.standard_normal((num, size)), size + 1, NONE)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_goes_on_after_a_restart() -> None:
    """A gap of 0.2 % takes more products than the basis holds vectors."""
    matrices = with_spectrum(np.append(np.linspace(0, 1, 399), 1.002))[None]
    calls: list[int] = []
    product = products(matrices)
    found = leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((1, 400)), 401, NONE)
    assert lanczos.BASIS < len(calls) <= lanczos.BASIS * lanczos.CYCLES
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_stops_as_soon_as_all_have_converged() -> None:
    matrices = with_spectrum(np.append(np.linspace(0, 1, 299), 50))[None]
    calls: list[int] = []
    product = products(matrices)
    found = leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((1, 300)), 301, NONE)
    assert len(calls) == lanczos.CHECK_EVERY
    np.testing.assert_allclose(aligned(found, matrices), 1, atol=1e-9)


def test_few_different_eigenvalues_end_the_iteration_early() -> None:
    """Rank one, a multiple leading eigenvalue and the zero matrix side by side: nothing is divided by zero."""
    one = RNG.standard_normal(20)
    matrices = np.stack([np.outer(one, one), with_spectrum(np.repeat([0.0, 3.0], 10)), np.zeros((20, 20))])
    with np.errstate(all="raise"):
        found = leading_vectors(products(matrices), RNG.standard_normal((3, 20)), 21, NONE)
    np.testing.assert_allclose(np.abs(found[0] @ one), np.linalg.norm(one))
    np.testing.assert_allclose(matrices[1] @ found[1], 3 * found[1], atol=1e-9)
    assert np.isfinite(found[2]).all()


def test_each_matrix_by_itself_gives_the_same() -> None:
    root = RNG.standard_normal((6, 40, 5)) * 10.0 ** np.arange(-6, 6, 2)[:, None, None]  # of very different sizes
    matrices, start = root @ root.swapaxes(1, 2), RNG.standard_normal((6, 40))
    together = leading_vectors(products(matrices), start, 6, NONE)
    for i in range(6):
        alone = leading_vectors(products(matrices[i : i + 1]), start[i : i + 1], 6, NONE)
        np.testing.assert_allclose(np.abs(alone[0] @ together[i]), 1, atol=1e-9)


def test_what_is_nothing_but_rounding_is_let_go() -> None:
    """A product that is no symmetric matrix's never converges, and need not where it is below the floor."""
    noise = 1e-30 * RNG.standard_normal((2, 200, 200))
    calls: list[int] = []
    product = products(noise)
    leading_vectors(lambda u: calls.append(1) or product(u), RNG.standard_normal((2, 200)), 201, np.full(2, 1e-24))
    assert len(calls) == lanczos.CHECK_EVERY
