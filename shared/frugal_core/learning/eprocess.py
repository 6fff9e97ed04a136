"""Evidence that may be looked at after every observation: e-processes for a share, and the bounds they give.

An e-process for a hypothesis is a bet against it that cannot be expected to gain while the hypothesis holds. By Ville's
inequality the chance that it *ever* reaches 1/alpha is then at most alpha. So one may look after each observation, stop when
one likes, and go on later, which repeated confidence intervals of a fixed sample size do not allow.

Two ways to draw observations are covered. Independent ones with a chance of success (a stream of queries), and ones drawn in
random order without replacement from a known number of items (a batch job), where the unknown is a count.

Both bets spread their money evenly over all values beyond the one under test. Where the evidence exceeds 1 it only falls as
the tested value rises (every stationary point of its logarithm is a minimum, and at the far end it is at most 1). What is
refuted at level alpha is therefore everything up to one point: the bounds here hold at all looks at once, and the tested value
itself may be moved from look to look.

Source: SMART (arXiv 2403.13835) certifies models by repeated Clopper–Pearson intervals, which this replaces. Ville (1939);
Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference" (2023); Waudby-Smith and Ramdas, "Confidence
sequences for sampling without replacement" (2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import (
    check_alpha,
    log_binomial_cdf,
    log_binomial_pmf,
    log_hypergeometric_cdf,
    log_hypergeometric_pmf,
)
from frugal_core.learning.columns import Floats
from frugal_core.saving import saveable

_BISECTIONS = 60


def log_evidence(k: npt.ArrayLike, n: npt.ArrayLike, p0: npt.ArrayLike) -> Floats:
    """Log of the e-process for H0: the chance of a success is at most `p0`. The arguments broadcast.

    log M = log B(k+1, n−k+1) + log P(Beta(k+1, n−k+1) > p0) − log(1−p0) − k log p0 − (n−k) log(1−p0)

    H0 may be rejected at level alpha as soon as M reaches 1/alpha, at whatever look. The observations may also be losses in
    [0, 1] instead of 0 and 1: the bet is convex in each, so its expectation is largest for 0 and 1.

    Args:
        k: Successes, or their sum, in [0, n].
        n: Observations.
        p0: In (0, 1).

    Raises:
        ConfigurationError: An argument is out of range.

    >>> round(float(log_evidence(59, 59, 0.95)), 4)
    1.8805
    >>> float(log_evidence(0, 0, 0.5))
    0.0
    """
    k, n, p0 = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (k, n, p0)))
    if not np.all((p0 > 0) & (p0 < 1)):
        raise ConfigurationError("p0 must lie strictly between 0 and 1: there is nothing to test at its ends.")
    above = log_binomial_cdf(k, n + 1, p0)
    result: Floats = above - np.log1p(-p0) - np.log(n + 1) - log_binomial_pmf(k, n, p0)
    return np.where(n == 0, 0.0, result)


def lower_confidence(k: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Floats:
    """A lower bound on the chance of a success that holds at all looks at once, with probability 1 − `alpha`.

    Args:
        k: Successes, or the sum of values in [0, 1].
        n: Observations. Broadcasts with `k`.
        alpha: Chance that the bound ever fails, in (0, 1).

    Raises:
        ConfigurationError: An argument is out of range.

    >>> round(float(lower_confidence(94, 100, 0.05)), 4)
    0.8507
    """
    check_alpha(alpha)
    k, n = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    low, high = np.zeros(k.shape), np.where(n > 0, k / np.maximum(n, 1), 0.0)
    for _ in range(_BISECTIONS):
        middle = np.clip((low + high) / 2, 1e-15, 1 - 1e-15)
        refuted = log_evidence(k, n, middle) >= -math.log(alpha)
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


def upper_confidence(k: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Floats:
    """An upper bound that holds at all looks at once; see `lower_confidence`.

    >>> round(float(upper_confidence(6, 100, 0.05)), 4)
    0.1493
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    result: Floats = 1 - lower_confidence(n - k, n, alpha)
    return result


def log_evidence_among(k: int, n: int, limit: int, items: int) -> float:
    """Log of the e-process for H0: at most `limit` of the `items` are successes, having drawn some without replacement.

    Observations need not be independent, nor the items a sample of anything: only their order must be random.

    log M = log (N+1)/(n+1) + log HypCDF(k; n+1 of N+1, K+1 marked) − log (N−K) − log HypPMF(k; n of N, K marked)

    Args:
        k: Successes drawn.
        n: Items drawn.
        limit: K, the largest number of successes under the hypothesis.
        items: N, how many items there are.

    Returns:
        Infinity where H0 is impossible by counting alone; minus infinity where it is certain.

    Raises:
        ConfigurationError: The counts do not fit together.

    >>> round(log_evidence_among(90, 90, 95, 100), 3), round(log_evidence_among(59, 59, 950_000, 1_000_000), 4)
    (11.102, 1.8806)
    """
    if not 0 <= k <= n <= items or items < 1:
        raise ConfigurationError(f"{k} successes in {n} draws from {items} items: each must be at most the next.")
    if limit < k:
        return math.inf
    if limit >= items or n - k > items - limit:
        return -math.inf
    above = log_hypergeometric_cdf(k, n + 1, limit + 1, items + 1)
    here = float(log_hypergeometric_pmf(k, k, n, limit, items)[0])
    return math.log((items + 1) / (n + 1)) + above - math.log(items - limit) - here


def fewest_among(k: int, n: int, items: int, alpha: float) -> int:
    """The fewest successes that the `items` can have, at all looks at once with probability 1 − `alpha`; never below `k`.

    Args:
        k: Successes drawn.
        n: Items drawn, without replacement and in random order.
        items: How many items there are.
        alpha: Chance that the bound ever fails, in (0, 1).

    Raises:
        ConfigurationError: An argument is out of range.

    >>> fewest_among(94, 100, 1000, 0.05), fewest_among(94, 100, 100, 0.05)
    (856, 94)
    """
    check_alpha(alpha)
    low, high = k - 1, items - (n - k)  # refuted; never refuted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log_evidence_among(k, n, middle, items) >= -math.log(alpha) else (low, middle)
    return high


@saveable("e_process")
@dataclass(frozen=True)
class EProcess:
    """Watches a share, look by look, and raises the alarm once it is proved to exceed a limit.

    For an audit: `limit` is the promised risk and the observations are the losses of audited queries. The alarm of a promise
    that is kept is false with probability `alpha`, over all time. An alarm once raised stays.

    Attributes:
        limit: H0: the chance of an observation to be 1 (or its mean, in [0, 1]) is at most this, in (0, 1).
        alpha: Chance of a false alarm, in (0, 1).
        total: Sum of the observations so far.
        seen: How many there were.
        peak: Largest log-evidence at any look.

    >>> audit = EProcess(limit=0.05, alpha=0.05)
    >>> audit.observe(2, 50).alarm, audit.observe(2, 50).observe(12, 50).alarm
    (False, True)
    """

    limit: float
    alpha: float = 0.05
    total: float = 0.0
    seen: int = 0
    peak: float = 0.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if isinstance(self.limit, bool) or not isinstance(self.limit, (int, float)) or not 0 < self.limit < 1:
            raise ConfigurationError(
                f"limit={self.limit!r} is out of range: a share to test lies between 0 and 1, such as 0.05."
            )
        if not 0 <= self.total <= self.seen:
            raise ConfigurationError(f"total={self.total!r} of {self.seen!r} observations: each of them is from 0 to 1.")

    @property
    def log_value(self) -> float:
        """Log-evidence against H0 now."""
        return float(log_evidence(self.total, self.seen, self.limit))

    @property
    def alarm(self) -> bool:
        """Whether H0 was rejected at this look or an earlier one."""
        return self.peak >= -math.log(self.alpha)

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what the share lies; each end holds at all looks at once with probability 1 − `alpha`."""
        low = lower_confidence(self.total, self.seen, self.alpha)
        return float(low), float(upper_confidence(self.total, self.seen, self.alpha))

    def observe(self, total: float, count: int = 1) -> EProcess:
        """The process after further observations.

        Args:
            total: Their sum; for one, 0 or 1 or a loss between.
            count: How many they are.

        Raises:
            ConfigurationError: The sum is not between 0 and `count`.
        """
        if isinstance(count, bool) or int(count) != count or count < 0 or not 0 <= total <= count:
            raise ConfigurationError(f"{total!r} in {count!r} observations: each of them is from 0 to 1.")
        later = replace(self, total=float(self.total + total), seen=int(self.seen + count))
        return replace(later, peak=max(self.peak, later.log_value))
