import math

import pytest
import scipy.stats
import torch

from kgrl.significance import paired_wilcoxon, welch


def ranks_by_hand(differences):
    """W+ and W−, the sums of the ranks of |d| of the positive and the negative differences; no ties, no zeros."""
    ordered = sorted(differences, key=abs)
    up = sum(rank for rank, value in enumerate(ordered, 1) if value > 0)
    return up, sum(range(1, len(ordered) + 1)) - up


def exact_p(differences):
    """Two-sided p by going through all signs."""
    size, up = len(differences), min(ranks_by_hand(differences))
    below = sum(sum(rank for rank in range(1, size + 1) if signs >> (rank - 1) & 1) <= up for signs in range(2**size))
    return min(1.0, 2 * below / 2**size)


def test_wilcoxon_goes_through_all_signs():
    a = torch.tensor([1.1, 2.0, -0.5, 3.3, 0.7, 5.0, 2.2])
    b = torch.tensor([1.0, 2.4, -1.5, 1.3, 1.3, 1.0, 0.3])
    assert paired_wilcoxon(a, b) == pytest.approx(exact_p((a - b).tolist()))
    assert paired_wilcoxon(a, b, "greater") == pytest.approx(exact_p((a - b).tolist()) / 2)
    assert paired_wilcoxon(b, a, "less") == pytest.approx(paired_wilcoxon(a, b, "greater"))
    assert paired_wilcoxon(a, b, "less") > 0.9


@pytest.mark.parametrize(("a", "b"), [
    ([1.0, 1.5, 2.0, 0.0], [0.0, 0.0, 0.0, 4.5]),  # the differences' sum is 0
    ([1.0, 0.0, 0.0, 4.0, 5.0], [2.0**-26, 1.0, 3.0, 0.0, 0.0]),  # the first two are a tie in 32 bits
])
def test_wilcoxon_ranks_the_differences_themselves(a, b):
    differences = [x - y for x, y in zip(a, b, strict=True)]
    assert paired_wilcoxon(torch.tensor(a), torch.tensor(b)) == pytest.approx(exact_p(differences))


def test_wilcoxon_against_scipy_on_many_users():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(500, generator=generator), torch.rand(500, generator=generator)
    expected = scipy.stats.wilcoxon(a.double().numpy(), b.double().numpy()).pvalue
    assert paired_wilcoxon(a, b) == pytest.approx(expected)


def test_welch_by_its_formula():
    a, b = torch.tensor([1.1, 2.3, 4.0, 3.7]), torch.tensor([0.5, 1.0, 0.7, 1.1, 0.4, 0.9])
    parts = [(part.double().mean(), part.double().var() / len(part), len(part)) for part in (a, b)]
    t = (parts[0][0] - parts[1][0]) / (parts[0][1] + parts[1][1]).sqrt()
    freedom = (parts[0][1] + parts[1][1]) ** 2 / sum(var**2 / (n - 1) for _, var, n in parts)
    upper = scipy.stats.t.sf(float(t), float(freedom))
    assert welch(a, b) == pytest.approx(2 * upper, rel=1e-9)
    assert welch(a, b, "greater") == pytest.approx(upper, rel=1e-9)
    assert welch(a, b, "less") == pytest.approx(1 - upper, rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_welch_of_two_users_against_two_who_do_not_differ():
    """Then it is the test of one mean: t = (4 − 1) / (√2 / √2), one degree of freedom, whose tail is an arctangent."""
    upper = 0.5 - math.atan(3) / math.pi
    assert welch(torch.tensor([3.0, 5.0]), torch.ones(2)) == pytest.approx(2 * upper)
    assert welch(torch.ones(2), torch.tensor([3.0, 5.0]), "less") == pytest.approx(upper)


def test_nobody_differs():
    same = torch.tensor([0.5, 0.25, 1.0])
    assert paired_wilcoxon(same, same) == 1.0
    flat = torch.ones(3)
    for alternative, p_values in {"two-sided": [1, 0, 0], "greater": [1, 0, 1], "less": [1, 1, 0]}.items():
        assert [welch(a, b, alternative) for a, b in ((flat, flat), (2 * flat, flat), (flat, 2 * flat))] == p_values


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="`b` must be scores of the same 3 users as `a`, got 2"):
        paired_wilcoxon(torch.ones(3), torch.ones(2))
    with pytest.raises(ValueError, match=r"`users` must be at least two in each group, got \[3, 1\]"):
        welch(torch.ones(3), torch.ones(1))
    with pytest.raises(ValueError, match=r"`users` must be at least two in each group, got \[1, 3\]"):
        welch(torch.ones(1), torch.ones(3))
    for test in (paired_wilcoxon, welch):
        with pytest.raises(ValueError, match="did you mean 'greater'"):
            test(torch.ones(3), torch.ones(3), "greatr")
