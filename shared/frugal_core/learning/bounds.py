"""Exact tails of the binomial, beta and hypergeometric distributions, in logarithms, and the bounds built on them.

Everything is exact up to rounding: nothing here is a normal approximation. Tails far below the smallest float keep their
logarithm; counts may reach millions.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_TINY = 1e-300
_SHIFT = 16
_FRACTIONS = 20_000
_NEWTON = 100
_BISECTIONS = 45


def log_binomial_pmf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Log-probability of exactly `k` successes in `n` trials. The arguments broadcast; `k` may be fractional.

    Args:
        k: Successes, in [0, n].
        n: Trials.
        p: Chance of a success, in [0, 1].

    Raises:
        ConfigurationError: An argument is out of range.

    Source: Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000): deviances instead of factorials.

    >>> round(float(np.exp(log_binomial_pmf(2, 4, 0.5))), 12)
    0.375
    """
    k, n, p = _checked(k, n, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (
            _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
            - _deviance(k, n * p) - _deviance(n - k, n * (1 - p))
            - _HALF_LOG_2PI + 0.5 * (np.log(n) - np.log(k) - np.log(n - k))
        )  # fmt: skip
        none = np.where(n == 0, 0.0, n * np.log1p(-p))
        every = np.where(n == 0, 0.0, n * np.log(p))
    inside = np.where((p == 0) | (p == 1), -np.inf, middle)
    result: Floats = np.where(k == 0, none, np.where(k == n, every, inside))
    return result


def log_beta_tails(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Log-probabilities that a Beta(a, b) variable lies below `x`, and above it. The arguments broadcast.

    The first is the logarithm of the regularised incomplete beta function. Its continued fraction is taken on whichever side
    it converges fast; it needs about sqrt(a + b) terms there.

    Args:
        a: At least 1.
        b: At least 1.
        x: In [0, 1].

    Raises:
        ConfigurationError: An argument is out of range.

    Source: Press et al., Numerical Recipes, §6.4 (modified Lentz).

    >>> below, above = log_beta_tails(1, 3, 0.5)
    >>> round(float(np.exp(above)), 12)
    0.125
    """
    a, b, x = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (a, b, x)))
    if not (np.all(a >= 1) and np.all(b >= 1) and np.all((x >= 0) & (x <= 1))):
        raise ConfigurationError("Beta tails need a >= 1, b >= 1 and x in [0, 1].")
    shape = x.shape
    a, b, x = a.ravel(), b.ravel(), x.ravel()
    mirrored = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(mirrored, b, a), np.where(mirrored, a, b), np.where(mirrored, 1 - x, x)
    with np.errstate(divide="ignore"):
        near = log_binomial_pmf(a, a + b - 1, x) + np.log1p(-x) + np.log(_fraction(a, b, x))
        near = np.minimum(near, 0.0)
        far = np.log1p(-np.exp(near))
    below, above = np.where(mirrored, far, near), np.where(mirrored, near, far)
    return below.reshape(shape), above.reshape(shape)


def log_binomial_cdf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Log-probability of at most `k` successes in `n` trials. The arguments broadcast.

    Args:
        k: Successes, in [0, n].
        n: Trials.
        p: Chance of a success, in [0, 1].

    Raises:
        ConfigurationError: An argument is out of range.

    >>> round(float(np.exp(log_binomial_cdf(1, 4, 0.5))), 12)
    0.3125
    """
    k, n, p = _checked(k, n, p)
    every = k == n
    _, above = log_beta_tails(np.where(every, 1.0, k + 1), np.where(every, 1.0, n - k), p)
    result: Floats = np.where(every, 0.0, above)
    return result


def upper_bound(k: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Floats:
    """One-sided upper Clopper–Pearson bound: the largest chance under which `k` or fewer of `n` still has probability `alpha`.

    Valid for a sample whose size was fixed beforehand. Looking again and again needs `eprocess` instead.

    Args:
        k: Successes, in [0, n].
        n: Trials.
        alpha: Chance that the bound fails, in (0, 1).

    Raises:
        ConfigurationError: An argument is out of range.

    Source: Clopper and Pearson, Biometrika 26 (1934).

    >>> round(float(upper_bound(0, 59, 0.05)), 4)
    0.0495
    """
    check_alpha(alpha)
    k, n, _ = _checked(k, n, 0.5)
    whole = k >= n
    safe, trials = np.where(whole, 0.0, k), np.where(whole, 1.0, n)
    p, target = (safe + 1) / (trials + 1), math.log(alpha)
    for _ in range(_NEWTON):  # the log of the tail is concave and falls: from beyond the root, Newton never overshoots
        value = log_binomial_cdf(safe, trials, p)
        slope = -np.exp(np.log(trials) + log_binomial_pmf(safe, trials - 1, p) - value)
        following = p - (value - target) / slope
        following = np.where(following >= 1, (1 + p) / 2, np.maximum(following, p / 2))
        moved = np.abs(following - p)
        p = following
        if np.all(moved <= 1e-15 + 1e-13 * p):
            break
    result: Floats = np.where(whole, 1.0, p)
    return result


def lower_bound(k: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Floats:
    """One-sided lower Clopper–Pearson bound: see `upper_bound`.

    >>> round(float(lower_bound(59, 59, 0.05)), 4)
    0.9505
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    result: Floats = 1 - upper_bound(n - k, n, alpha)
    return result


def log_hoeffding_bentkus(total: npt.ArrayLike, n: npt.ArrayLike, risk: npt.ArrayLike) -> Floats:
    """Log of the Hoeffding–Bentkus p-value for H0: the mean loss exceeds `risk`, from losses in [0, 1].

    Args:
        total: Sum of the observed losses, in [0, n].
        n: How many there are, at least 1.
        risk: In (0, 1). The arguments broadcast.

    Raises:
        ConfigurationError: An argument is out of range.

    Source: Bates et al., "Distribution-free, risk-controlling prediction sets" (2021), §3.1; Angelopoulos et al., "Learn then
    Test" (2021), Proposition 1.

    >>> round(float(np.exp(log_hoeffding_bentkus(0.0, 59, 0.05))), 4)
    0.0485
    """
    total, n, risk = _checked(total, n, risk)
    if np.any(n < 1):
        raise ConfigurationError("A p-value needs at least one observed loss.")
    mean = np.minimum(total / n, risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(mean > 0, mean * (np.log(mean) - np.log(risk)), 0.0)
        high = np.where(mean < 1, (1 - mean) * (np.log1p(-mean) - np.log1p(-risk)), 0.0)
    hoeffding = -n * (low + high)
    bentkus = 1 + log_binomial_cdf(np.minimum(np.ceil(np.round(total, 9)), n), n, risk)
    result: Floats = np.minimum(0.0, np.minimum(hoeffding, bentkus))
    return result


def hoeffding_bentkus_bound(total: float, n: int, alpha: float) -> float:
    """The largest mean loss that losses in [0, 1] with this sum do not refute at level `alpha`.

    Args:
        total: Sum of the observed losses.
        n: How many there are.
        alpha: Chance that the bound fails, in (0, 1).

    >>> round(hoeffding_bentkus_bound(0.0, 59, 0.05), 4)
    0.0495
    """
    check_alpha(alpha)
    low, high, target = min(1.0, total / n), 1.0, math.log(alpha)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if float(log_hoeffding_bentkus(total, n, middle)) <= target else (middle, high)
    return high


def log_hypergeometric_pmf(first: int, last: int, draws: int, marked: int, items: int) -> Floats:
    """Log-probabilities of `first` to `last` marked ones among `draws`, without replacement, from `items` with `marked` marked.

    Exact to about 1e-8 for a million items: one value comes from factorials, the others from the ratios of neighbours.

    Args:
        first: At least draws − (items − marked), and 0.
        last: At least `first`; at most `draws` and `marked`.
        draws: In [0, items].
        marked: In [0, items].
        items: At least 1.

    Returns:
        Shape (last − first + 1,).

    Raises:
        ConfigurationError: The numbers do not fit together.

    >>> np.exp(log_hypergeometric_pmf(0, 2, 2, 2, 4)).round(12).tolist()
    [0.166666666667, 0.666666666667, 0.166666666667]
    """
    if not max(0, draws - (items - marked)) <= first <= last <= min(draws, marked) or max(draws, marked) > items:
        raise ConfigurationError(f"{first} to {last} marked of {draws} drawn from {items}, {marked} marked: this cannot be.")
    start = _log_choose(marked, first) + _log_choose(items - marked, draws - first) - _log_choose(items, draws)
    i = np.arange(first, last, dtype=np.float64)
    ratios = (marked - i) * (draws - i) / ((i + 1) * (items - marked - draws + i + 1))
    result: Floats = start + np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    return result


def log_hypergeometric_cdf(k: int, draws: int, marked: int, items: int) -> float:
    """Log-probability of at most `k` marked ones; see `log_hypergeometric_pmf`.

    >>> round(math.exp(log_hypergeometric_cdf(0, 2, 2, 4)), 12)
    0.166666666667
    """
    least, most = max(0, draws - (items - marked)), min(draws, marked)
    if k < least:
        return -math.inf
    if k >= most:
        return 0.0
    share = marked / items
    reach = math.ceil(12 * math.sqrt(max(1.0, draws * share * (1 - share)))) + 60  # what lies beyond is below rounding
    if k < draws * share:
        return min(0.0, _log_sum(log_hypergeometric_pmf(max(least, k - reach), k, draws, marked, items)))
    above = _log_sum(log_hypergeometric_pmf(k + 1, min(most, k + 1 + reach), draws, marked, items))
    return math.log1p(-math.exp(min(above, -1e-16)))


def check_alpha(alpha: float) -> None:
    """Refuse what is no chance of failing.

    Raises:
        ConfigurationError: It is not strictly between 0 and 1.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
        raise ConfigurationError(f"alpha={alpha!r} is out of range: a chance of failing lies between 0 and 1, such as 0.05.")


def _checked(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    k, n, p = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (k, n, p)))
    if not np.all((k >= 0) & (k <= n) & np.isfinite(n)):
        raise ConfigurationError("A count of successes must lie between 0 and the number of trials.")
    if not np.all((p >= 0) & (p <= 1)):
        raise ConfigurationError("A probability must lie between 0 and 1.")
    return k, n, p


def _stirling_error(x: Floats) -> Floats:
    """What Stirling's formula lacks of log(x!), for x > 0."""
    shifted, lacking = np.array(x, dtype=np.float64), np.zeros_like(x)
    for _ in range(_SHIFT):
        small = shifted < _SHIFT
        if not np.any(small):
            break
        safe = np.maximum(shifted, _TINY)
        lacking = np.where(small, lacking + (safe + 0.5) * np.log1p(1 / safe) - 1, lacking)
        shifted = np.where(small, shifted + 1, shifted)
    square = shifted * shifted
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188) / square) / square) / square) / square) / shifted
    return lacking + series


def _deviance(x: Floats, mean: Floats) -> Floats:
    """Deviance: x log(x / mean) + mean - x, without cancellation where the two are near."""
    v = (x - mean) / (x + mean)
    square, term, series = v * v, 2 * x * v, (x - mean) * v
    for j in range(1, 12):
        term = term * square
        series = series + term / (2 * j + 1)
    plain = np.where(x > 0, x * (np.log(x) - np.log(mean)), 0.0) + mean - x
    result: Floats = np.where(np.abs(v) < 0.1, series, plain)
    return result


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """The continued fraction of the incomplete beta function, for x <= (a + 1) / (a + b + 2)."""
    c, d = np.ones_like(x), _inverse(1 - (a + b) * x / (a + 1))
    value = d.copy()
    for m in range(1, _FRACTIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _inverse(1 + even * d), 1 + even * _inverse(c)
        value = value * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _inverse(1 + odd * d), 1 + odd * _inverse(c)
        value = value * d * c
        if np.all(np.abs(d * c - 1) < 1e-15):
            break
    return value


def _inverse(x: Floats) -> Floats:
    result: Floats = 1 / np.where(np.abs(x) < _TINY, _TINY, x)
    return result


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_sum(logs: Floats) -> float:
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).sum())) if math.isfinite(most) else most
