"""Calibration: from a raw confidence to the probability that the answer is right."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats
from frugal_core.learning.logistic import Logistic, sigmoid, sigmoids
from frugal_core.saving import saveable

Method = Literal["logistic", "isotonic"]
Form = Literal["one_sided", "two_sided"]

MANY = 500
"""From so many rows on, the shape of the calibration is learned as well (isotonic); below, only two numbers are (logistic)."""

_FEWEST = 10
_PENALTY = 0.1
_MANY_FALLS = 0.1


@saveable("calibration")
@dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from a confidence in [0, 1] to P(right) in (0, 1).

    It never turns an order round: where more confident answers were right less often, all get the same probability.
    Confidences beyond those it was learned on count as the nearest of them.

    Attributes:
        method: `"logistic"`: log-odds are a line in the transformed confidence (Zellinger & Thomson 2025, arXiv 2501.09345).
            `"isotonic"`: the best non-decreasing map, straight lines between its steps.
        form: The transform under `"logistic"`, see `transformed`.
        xs: Increasing: transformed confidences (logistic) or confidences (isotonic).
        ys: Not decreasing: the log-odds (logistic) or probabilities (isotonic) at `xs`.
        rows: How many rows it was learned on.
    """

    method: Method
    form: Form
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    rows: int

    def __post_init__(self) -> None:
        _check(self.method, self.form)
        xs, ys = tuple(map(float, self.xs)), tuple(map(float, self.ys))
        rising = all(a < b for a, b in pairwise(xs)) and all(a <= b for a, b in pairwise(ys))
        if not xs or len(xs) != len(ys) or not rising or not np.isfinite([*xs, *ys]).all():
            raise ConfigurationError("A calibration needs finite xs that increase and as many finite ys that never decrease.")
        if self.method == "isotonic" and not 0 <= ys[0] <= ys[-1] <= 1:
            raise ConfigurationError("The ys of an isotonic calibration are probabilities: numbers from 0 to 1.")
        object.__setattr__(self, "xs", xs)
        object.__setattr__(self, "ys", ys)

    @classmethod
    def fit(
        cls, confidence: npt.ArrayLike, correct: npt.ArrayLike, *, form: Form = "one_sided", method: Method | None = None
    ) -> Calibration:
        """Learn from answers whose correctness is known.

        Args:
            confidence: Shape (rows,), in [0, 1]; NaN where there was no signal: such rows are left out.
            correct: Shape (rows,), in [0, 1]: right or wrong, or a grade.
            form: `"one_sided"` for the probability of a choice, `"two_sided"` for P(True) of a free text.
            method: By default logistic under 500 rows, isotonic from there on.

        Raises:
            ConfigurationError: Fewer than 10 rows have a confidence, or shapes or values do not fit.

        >>> learned = Calibration.fit([0.9] * 50 + [0.99] * 50, [1, 0] * 25 + [1] * 45 + [0] * 5)
        >>> round(learned(0.9), 2), round(learned(0.99), 2), learned.method
        (0.5, 0.9, 'logistic')
        """
        p, y = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
        if p.ndim != 1 or p.shape != y.shape:
            raise ConfigurationError(
                f"Confidences of shape {p.shape} and labels of {y.shape} do not fit: give as many of both."
            )
        _check(method or "logistic", form)
        known = ~np.isnan(p)
        p, y = p[known], y[known]
        if len(p) < _FEWEST:
            raise ConfigurationError(f"{len(p)} rows with a confidence are too few for a calibration: give at least {_FEWEST}.")
        if not ((p >= 0) & (p <= 1)).all() or not ((y >= 0) & (y <= 1)).all():
            raise ConfigurationError("Confidences and labels must be from 0 to 1 (of a log-probability, take the exp).")
        method = method or ("isotonic" if len(p) >= MANY else "logistic")
        xs, ys = _steps(p, y) if method == "isotonic" else _line(transformed(p, form), y)
        return cls(method, form, tuple(xs.tolist()), tuple(ys.tolist()), len(p))

    def __call__(self, confidence: float) -> float:
        """P(right), in (0, 1)."""
        if self.method == "isotonic":
            return _interpolated(confidence, self.xs, self.ys)
        return sigmoid(_interpolated(float(transformed(confidence, self.form)), self.xs, self.ys))

    def apply(self, confidence: npt.ArrayLike) -> Floats:
        """P(right) of many.

        Args:
            confidence: Any shape, in [0, 1]; NaN where there is no signal.

        Returns:
            Same shape; NaN where there is no signal.
        """
        p = np.asarray(confidence, dtype=float)
        x = p if self.method == "isotonic" else transformed(p, self.form)
        y = np.interp(x, self.xs, self.ys)
        return y if self.method == "isotonic" else sigmoids(y)


def transformed(p: npt.ArrayLike, form: Form = "one_sided") -> Floats:
    """Spread out the confidences near 1 (and near 0), where nearly all of a language model's lie.

    Zellinger & Thomson 2025 (arXiv 2501.09345), and the code published with it. `"one_sided"`: −log(1−p). `"two_sided"`:
    −log 2(1−p) from one half on, log 2p below: an odd function about one half.

    Args:
        p: Any shape, in [0, 1].
        form: Which.

    Returns:
        Same shape; infinite at 1, and for `"two_sided"` at 0.

    >>> transformed([0.0, 0.5, 0.9]).round(2).tolist(), transformed([0.1, 0.5, 0.9], "two_sided").round(2).tolist()
    ([0.0, 0.69, 2.3], [-1.61, 0.0, 1.61])
    """
    values = np.asarray(p, dtype=float)
    with np.errstate(divide="ignore"):
        if form == "one_sided":
            result: Floats = -np.log1p(-values)
        else:
            result = np.where(values >= 0.5, 0.0 - np.log(2 * (1 - values)), np.log(2 * values))
    return result


def isotonic(values: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """The non-decreasing sequence of least weighted squared distance: adjacent violators are pooled.

    Whole runs are pooled at a time while that pools many; what is left is pooled one by one, on a stack. Time grows linearly.

    Args:
        values: Shape (n,).
        weights: Shape (n,), above 0; 1 by default.

    Returns:
        Shape (n,).

    >>> isotonic([1.0, 3.0, 2.0, 4.0]).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    means = np.asarray(values, dtype=float)
    sizes = np.ones(len(means)) if weights is None else np.asarray(weights, dtype=float)
    totals, counts = means * sizes, np.ones(len(means), dtype=np.int64)
    while (falls := means[1:] <= means[:-1]).any():
        if falls.mean() < _MANY_FALLS:
            means, counts = _pooled(totals, sizes, counts)
            break
        starts = np.flatnonzero(np.concatenate([[True], ~falls]))
        totals, sizes, counts = (np.add.reduceat(column, starts) for column in (totals, sizes, counts))
        means = totals / sizes
    result: Floats = np.repeat(means, counts)
    return result


def _pooled(totals: Floats, sizes: Floats, counts: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Means and lengths of the blocks that are left once none falls behind its neighbour."""
    blocks: list[tuple[float, float, float, int]] = []
    for total, size, count in zip(totals.tolist(), sizes.tolist(), counts.tolist(), strict=True):
        mean = total / size
        while blocks and mean <= blocks[-1][0]:
            _, before, weight, length = blocks.pop()
            total, size, count = total + before, size + weight, count + length
            mean = total / size
        blocks.append((mean, total, size, count))
    return np.array([block[0] for block in blocks]), np.array([block[3] for block in blocks], dtype=np.int64)


def brier(probability: npt.ArrayLike, correct: npt.ArrayLike) -> float:
    """Mean squared distance of the probabilities from the truth; NaN probabilities are left out.

    Args:
        probability: Shape (rows,), in [0, 1].
        correct: Shape (rows,), in [0, 1].

    Returns:
        In [0, 1], 0 at best; NaN of nothing.

    >>> brier([1.0, 0.5], [1, 1])
    0.125
    """
    p, y = _known(probability, correct)
    return float(((p - y) ** 2).mean()) if len(p) else float("nan")


def calibration_error(probability: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: distance of mean probability and accuracy within bins of equal width, by their shares.

    Args:
        probability: Shape (rows,), in [0, 1]; NaN is left out.
        correct: Shape (rows,), in [0, 1].
        bins: Their number.

    Returns:
        In [0, 1], 0 at best; NaN of nothing.

    >>> round(calibration_error([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0]), 6)
    0.25
    """
    p, y = _known(probability, correct)
    if not len(p):
        return float("nan")
    places = np.minimum((p * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(places, p - y, bins)).sum() / len(p))


def _line(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Ends of the line from transformed confidence to log-odds; infinite ones count as the last finite one."""
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    model = Logistic.fit(np.clip(x, low, high)[:, None], y, penalty=_PENALTY, rising=[0])
    xs = np.unique([low, high])
    return xs, model.intercept + model.weights[0] * (xs - model.means[0])


def _steps(p: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Ends of the steps of the isotonic fit. Rows never prove certainty: the outermost steps stay off 0 and 1."""
    xs, places, counts = np.unique(p, return_inverse=True, return_counts=True)
    fitted = isotonic(np.bincount(places, y) / counts, counts.astype(float))
    margin = 1 / (len(p) + 2)
    inner = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    kept = np.concatenate([[True], ~inner, [True]])[: len(xs)]
    return xs[kept], np.clip(fitted[kept], margin, 1 - margin)


def _interpolated(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    i = bisect_right(xs, x)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])


def _known(probability: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[Floats, Floats]:
    p, y = np.asarray(probability, dtype=float), np.asarray(correct, dtype=float)
    known = ~np.isnan(p)
    return p[known], y[known]


def _check(method: Any, form: Any) -> None:
    if method not in ("logistic", "isotonic"):
        raise ConfigurationError(f'method={method!r} must be "logistic" or "isotonic".')
    if form not in ("one_sided", "two_sided"):
        raise ConfigurationError(f'form={form!r} must be "one_sided" or "two_sided".')
