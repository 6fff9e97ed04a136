"""Tails against exact fractions and another implementation, and what the bounds built on them promise."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import (
    hoeffding_bentkus_bound,
    log_beta_tails,
    log_binomial_cdf,
    log_binomial_pmf,
    log_hoeffding_bentkus,
    log_hypergeometric_cdf,
    log_hypergeometric_pmf,
    lower_bound,
    upper_bound,
)


def exact_cdf(k, n, p):
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def log_of(fraction):
    """Log of a fraction that may be too small for a float."""
    return math.log(fraction.numerator) - math.log(fraction.denominator)


@pytest.mark.parametrize("p", [Fraction(1, 1000), Fraction(1, 20), Fraction(1, 2), Fraction(9, 10), Fraction(999, 1000)])
@pytest.mark.parametrize("n", [1, 2, 7, 40, 300])
def test_the_binomial_tail_is_exact_far_below_the_smallest_float(n, p):
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        assert float(log_binomial_cdf(k, n, float(p))) == pytest.approx(log_of(exact_cdf(k, n, p)), rel=1e-10, abs=1e-13)
        one = math.comb(n, k) * p**k * (1 - p) ** (n - k)
        assert float(log_binomial_pmf(k, n, float(p))) == pytest.approx(log_of(one), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("n", [50, 1000, 1_000_000])
def test_many_at_once_agree_with_scipy(n):
    rng = np.random.default_rng(n)
    k = rng.integers(0, n + 1, 200)
    p = np.clip(k / n + 2 * rng.standard_normal(200) / math.sqrt(n), 1e-6, 1 - 1e-6)
    expected = stats.binom.logcdf(k, n, p)
    near = expected > -300
    assert log_binomial_cdf(k, n, p)[near] == pytest.approx(expected[near], rel=1e-9, abs=1e-10)


def test_the_ends():
    assert log_binomial_cdf([0, 3, 0, 3], 3, [0, 0, 1, 1]).tolist() == [0, 0, -math.inf, 0]
    assert log_binomial_pmf([0, 3, 0, 3], 3, [0, 0, 1, 1]).tolist() == [0, -math.inf, -math.inf, 0]
    assert float(log_binomial_cdf(0, 0, 0.3)) == 0
    assert log_binomial_cdf(np.arange(3)[:, None], 4, [0.2, 0.3]).shape == (3, 2)


def test_both_beta_tails_sum_to_one_and_mirror_each_other():
    rng = np.random.default_rng(1)
    a, b, x = 1 + 50 * rng.random(200), 1 + 50 * rng.random(200), rng.random(200)
    below, above = log_beta_tails(a, b, x)
    assert np.exp(below) + np.exp(above) == pytest.approx(1)
    assert log_beta_tails(b, a, 1 - x)[0] == pytest.approx(above, rel=1e-9, abs=1e-12)
    assert np.exp(below) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-11)


def test_clopper_pearson_solves_its_own_equation():
    n = np.array([1, 20, 59, 1000, 1_000_000])
    for k in (np.zeros(5), n // 2, np.maximum(n - 1, 0)):
        for alpha in (0.001, 0.05, 0.7):
            assert log_binomial_cdf(k, n, upper_bound(k, n, alpha)) == pytest.approx(math.log(alpha), abs=1e-6)
            assert lower_bound(n - k, n, alpha) == pytest.approx(1 - upper_bound(k, n, alpha))
    assert float(upper_bound(7, 7, 0.05)) == 1
    assert float(lower_bound(0, 7, 0.05)) == 0
    assert float(upper_bound(0, 299, 0.05)) == pytest.approx(1 - 0.05 ** (1 / 299), abs=1e-14)


def test_clopper_pearson_fails_as_rarely_as_it_says_at_one_look():
    n, p, alpha = 200, 0.93, 0.05
    k = np.arange(n + 1)
    fails = lower_bound(k, n, alpha) > p
    assert np.exp(log_binomial_pmf(k, n, p))[fails].sum() <= alpha


def test_hoeffding_bentkus_is_valid_for_every_mean_and_never_below_the_exact_tail():
    n, risk = 80, 0.1
    k = np.arange(n + 1)
    p_values = np.exp(log_hoeffding_bentkus(k, n, risk))
    assert np.all(p_values >= np.exp(log_binomial_cdf(k, n, risk)) * (1 - 1e-12))
    assert np.all(np.diff(p_values) >= 0)
    assert p_values[0] == pytest.approx((1 - risk) ** n)
    assert p_values[8:] == pytest.approx(1)
    for alpha in (0.01, 0.05, 0.2):
        assert np.exp(log_binomial_pmf(k, n, risk))[p_values <= alpha].sum() <= alpha


def test_bentkus_rounds_the_sum_of_losses_up():
    bentkus = 1 + log_binomial_cdf(8, 80, 0.2)
    assert log_hoeffding_bentkus(7.9, 80, 0.2) == pytest.approx(bentkus)
    assert log_hoeffding_bentkus(8 + 1e-12, 80, 0.2) == pytest.approx(bentkus)


def test_the_hoeffding_bentkus_bound_inverts_its_p_value():
    bound = hoeffding_bentkus_bound(12.5, 400, 0.05)
    assert float(log_hoeffding_bentkus(12.5, 400, bound)) == pytest.approx(math.log(0.05), abs=1e-6)
    assert bound > upper_bound(12, 400, 0.05)
    assert hoeffding_bentkus_bound(400.0, 400, 0.05) == 1


def test_hypergeometric_tails_agree_with_exact_fractions():
    for items, marked, draws in ((12, 5, 4), (60, 50, 30), (200, 7, 190), (200, 200, 9), (200, 0, 9)):
        first, last = max(0, draws - items + marked), min(draws, marked)
        ways = [math.comb(marked, i) * math.comb(items - marked, draws - i) for i in range(first, last + 1)]
        chances = np.exp(log_hypergeometric_pmf(first, last, draws, marked, items))
        assert chances == pytest.approx([way / math.comb(items, draws) for way in ways], rel=1e-9)
        for k in range(first, last + 1):
            expected = log_of(Fraction(sum(ways[: k - first + 1]), math.comb(items, draws)))
            assert log_hypergeometric_cdf(k, draws, marked, items) == pytest.approx(expected, rel=1e-8, abs=1e-11)
        assert log_hypergeometric_cdf(first - 1, draws, marked, items) == -math.inf


def test_hypergeometric_tails_of_large_jobs():
    for k in (800, 950, 1000, 1050, 1200):
        expected = stats.hypergeom.logcdf(k, 1_000_000, 100_000, 10_000)
        assert log_hypergeometric_cdf(k, 10_000, 100_000, 1_000_000) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_binomial_cdf(3, 2, 0.5),
        lambda: log_binomial_cdf(-1, 2, 0.5),
        lambda: log_binomial_cdf(1, 2, 1.5),
        lambda: log_binomial_cdf(1, 2, math.nan),
        lambda: log_binomial_pmf(1, math.inf, 0.5),
        lambda: log_beta_tails(0.5, 1, 0.5),
        lambda: upper_bound(1, 2, 0),
        lambda: upper_bound(1, 2, True),
        lambda: log_hoeffding_bentkus(0, 0, 0.1),
        lambda: log_hypergeometric_pmf(0, 4, 3, 3, 9),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ConfigurationError):
        call()
