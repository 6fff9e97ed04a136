"""Intervals by the bootstrap: how much a figure would vary with other queries from where these came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats

RESAMPLES = 1000
"""How many times queries are drawn anew, by default."""

_BLOCK = 1 << 21


@dataclass(frozen=True)
class Interval:
    """An interval for a figure.

    Attributes:
        low: Its lower end; `None` where the figure does not exist so often that there is none.
        high: Its upper end, likewise.
    """

    low: float | None
    high: float | None


def resampled_means(columns: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Means over queries drawn with replacement, the same queries for all columns (paired).

    Two calls with the same number of queries, resamples and seed draw the same queries, so that figures of different policies
    may be compared draw by draw.

    Args:
        columns: Shape (columns, queries).
        resamples: How many times to draw as many queries as there are, at least 1.
        seed: Of the draws.

    Returns:
        Shape (resamples, columns).

    Raises:
        ConfigurationError: There are no queries, or `resamples` is below 1.

    >>> resampled_means(np.array([[0.5, 0.5], [1.0, 1.0]]), resamples=3).tolist()
    [[0.5, 1.0], [0.5, 1.0], [0.5, 1.0]]
    """
    if columns.ndim != 2 or not columns.shape[1] or resamples < 1:
        raise ConfigurationError(
            f"columns of shape {columns.shape} and resamples={resamples!r}: give one row per column, at least one query, and "
            "at least 1 resample."
        )
    sums = np.concatenate([counts @ columns.T for counts in _counts(columns.shape[1], resamples, seed)])
    means: Floats = sums / columns.shape[1]
    return means


def percentiles(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """The middle of resampled figures (percentile bootstrap; Efron & Tibshirani 1993, section 13.3).

    Args:
        values: Shape (resamples,): the figure in each; infinite or NaN where it does not exist, which counts as larger than
            any number.
        confidence: Share of them that lie inside, in (0, 1).

    >>> percentiles([0.0, 1.0, 2.0, 3.0, 4.0], 0.5)
    Interval(low=1.0, high=3.0)
    >>> percentiles([1.0, 2.0, np.inf, np.inf], 0.5)
    Interval(low=2.0, high=None)
    """
    numbers = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=np.inf, posinf=np.inf)
    outside = (1 - confidence) / 2
    ends = np.quantile(numbers, [outside, 1 - outside], method="nearest").tolist()
    low, high = (round(end, 12) + 0.0 if np.isfinite(end) else None for end in ends)  # never −0
    return Interval(low, high)


def _counts(queries: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each query was drawn: shape (some of the resamples, queries), blocks that fit into memory."""
    draw = np.random.default_rng(seed)
    rows = max(1, _BLOCK // queries)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = draw.integers(0, queries, (size, queries)) + queries * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries).astype(np.float64)
