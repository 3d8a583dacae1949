"""The papers' tests of significance, on the scores of users."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.stats import ttest_ind, wilcoxon
from torch import Tensor

from kgrl.options import expected, one_of

ALTERNATIVES = ("two-sided", "greater", "less")


def paired_wilcoxon(a: Tensor, b: Tensor, alternative: str = "two-sided") -> float:
    """P-value of Wilcoxon's signed-rank test, paired over users: KGQR's tables (section 5.1.3).

    Args:
        a, b: ``[U]`` each, of the same users in the same order.
        alternative: ``"two-sided"``, ``"greater"`` (``a`` above ``b``) or ``"less"``.

    Returns:
        1 where no user has a difference.

    Raises:
        ValueError: different numbers of users, or an unknown alternative.
    """
    one_of("alternative", alternative, ALTERNATIVES)
    if a.shape != b.shape:
        raise ValueError(expected("b", f"scores of the same {len(a)} users as `a`", len(b)))
    difference = (a.double() - b.double()).cpu().numpy()
    return float(wilcoxon(difference, alternative=alternative).pvalue) if difference.any() else 1.0


def welch(a: Tensor, b: Tensor, alternative: str = "two-sided") -> float:
    """P-value of Welch's t-test, unequal variances, not paired: TPGR's tables (Ruxton, 2006).

    Args:
        a, b: ``[U]`` and ``[V]``, of two groups of users, at least two in each.
        alternative: as in :func:`paired_wilcoxon`.

    Returns:
        1 where both are constant and equal, 0 (of the right sign) where they are constant and differ.

    Raises:
        ValueError: fewer than two users, or an unknown alternative.
    """
    one_of("alternative", alternative, ALTERNATIVES)
    if min(len(a), len(b)) < 2:
        raise ValueError(expected("users", "at least two in each group", [len(a), len(b)]))
    first, second = a.double().cpu().numpy(), b.double().cpu().numpy()
    if not first.std() and not second.std():
        above = np.sign(first[0] - second[0])
        wanted = {"two-sided": above != 0, "greater": above > 0, "less": above < 0}[alternative]
        return 0.0 if wanted else 1.0
    with warnings.catch_warnings():  # of one constant group, SciPy doubts a variance that is exactly zero
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        return float(ttest_ind(first, second, equal_var=False, alternative=alternative).pvalue)


TESTS: dict[str, Callable[[Tensor, Tensor, str], float]] = {"wilcoxon": paired_wilcoxon, "welch": welch}
