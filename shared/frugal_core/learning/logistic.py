"""Regularised logistic regression: from what is known about an answer to the probability that it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats
from frugal_core.saving import saveable

PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
"""Penalties that cross-validation chooses from, the strongest first."""

FOLDS = 5
"""Parts that cross-validation makes of the rows."""

_FEW = 20
_STEPS = 100
_CONVERGED = 1e-12
_HELD = 1e-6
_SMALLEST = 1e-9


@saveable("logistic")
@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression.

    A feature that is unknown (NaN) counts as its mean, so it moves nothing; one outside the range it was learned on counts as
    the end of that range, for there is nothing to say what lies beyond.

    Attributes:
        intercept: Log-odds where every feature has its mean.
        weights: Log-odds per unit of each feature.
        means: Of each feature.
        low: Least value of each feature.
        high: Greatest value of each feature.
        penalty: The penalty that was used, per squared weight of a feature in units of its standard deviation.
    """

    intercept: float
    weights: tuple[float, ...]
    means: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    penalty: float

    def __post_init__(self) -> None:
        columns = [tuple(map(float, getattr(self, name))) for name in ("weights", "means", "low", "high")]
        if len({len(column) for column in columns}) != 1:
            raise ConfigurationError("weights, means, low and high of a logistic regression must have one value per feature.")
        if not all(map(math.isfinite, (self.intercept, *(value for column in columns for value in column)))):
            raise ConfigurationError("A logistic regression must consist of finite numbers.")
        for name, column in zip(("weights", "means", "low", "high"), columns, strict=True):
            object.__setattr__(self, name, column)

    @classmethod
    def fit(
        cls,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
        groups: Sequence[int] | npt.NDArray[np.int64] | None = None,
        penalty: float | None = None,
        rising: Sequence[int] = (),
    ) -> Logistic:
        """Fit by Newton's method on standardised features, with an L2 penalty on all but the intercept.

        One further row, of mean features and half right, keeps the intercept finite where all labels are alike.

        Args:
            features: Shape (rows, features); NaN where unknown.
            labels: Shape (rows,), in [0, 1]; a graded label counts as that share of a right answer.
            weights: Shape (rows,), how often each row counts; 1 by default.
            groups: Shape (rows,): rows of one group stay together in cross-validation (answers to the same query).
            penalty: Above 0; by default that of `PENALTIES` with the least log loss on rows left out, 1 under 20 rows.
            rising: Which features may only speak for a label of 1: their weights are 0 or more.

        Returns:
            The same model for the same rows, whatever ran before.

        Raises:
            ConfigurationError: Shapes or values do not fit.

        >>> model = Logistic.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], penalty=1.0)
        >>> round(model.probability([0.0]), 2), round(model.probability([3.0]), 2), model.probability([float("nan")])
        (0.22, 0.78, 0.5)
        """
        x, y, counts = _rows(features, labels, weights)
        if penalty is not None and not 0 < penalty < math.inf:
            raise ConfigurationError(f"penalty={penalty!r} is out of range: it is a number above 0.")
        means, scales, low, high = _ranges(x, counts)
        z = np.nan_to_num((x - means) / scales)
        signed = np.isin(np.arange(z.shape[1] + 1), np.asarray(rising, dtype=int) + 1)
        if penalty is None:
            penalty = _best_penalty(z, y, counts, signed, folds_of(range(len(y)) if groups is None else groups))
        solution = _newton(z, y, counts, penalty, signed, np.zeros(z.shape[1] + 1))
        slopes = solution[1:] / scales
        return cls(
            float(solution[0]),
            tuple(slopes.tolist()),
            tuple(means.tolist()),
            tuple(low.tolist()),
            tuple(high.tolist()),
            float(penalty),
        )

    def probability(self, features: Sequence[float]) -> float:
        """Of one row, in [0, 1]. Plain Python: a dozen features are over before an array of them is made.

        Args:
            features: One number per feature; NaN where unknown.
        """
        total = self.intercept
        for x, weight, mean, low, high in zip(features, self.weights, self.means, self.low, self.high, strict=True):
            if x < low:
                total += weight * (low - mean)
            elif x > high:
                total += weight * (high - mean)
            elif x == x:
                total += weight * (x - mean)
        return sigmoid(total)

    def probabilities(self, features: npt.ArrayLike) -> Floats:
        """Of many rows.

        Args:
            features: Shape (rows, features); NaN where unknown.

        Returns:
            Shape (rows,), in [0, 1].
        """
        x = np.clip(np.asarray(features, dtype=float), self.low, self.high)
        return sigmoids(self.intercept + np.nan_to_num(x - np.array(self.means)) @ np.array(self.weights))


def sigmoid(log_odds: float) -> float:
    """Probability of log-odds.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)


def sigmoids(log_odds: Floats) -> Floats:
    """Probabilities of log-odds, of any shape; NaN stays NaN."""
    odds = np.exp(-np.abs(log_odds))
    result: Floats = np.where(log_odds >= 0, 1.0, odds) / (1 + odds)
    return result


def folds_of(groups: Sequence[int] | npt.NDArray[np.int64], folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """Deal rows out to folds of about equal size, those of a group together; always alike for the same groups.

    Args:
        groups: Shape (rows,).
        folds: Their number; fewer where there are fewer groups.

    Returns:
        Shape (rows,): the fold of each row, from 0.

    >>> folds = folds_of([0, 0, 1, 1, 2, 2], 3)
    >>> sorted(folds.tolist()), bool(folds[0] == folds[1])
    ([0, 0, 1, 1, 2, 2], True)
    """
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    dealt = np.arange(len(names), dtype=np.int64) % folds
    result: npt.NDArray[np.int64] = np.random.default_rng(0).permutation(dealt)[members]
    return result


def _rows(features: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """The rows, checked."""
    x, y = np.asarray(features, dtype=float), np.asarray(labels, dtype=float)
    counts = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    if x.ndim != 2 or y.shape != x.shape[:1] or counts.shape != y.shape or not len(y):
        raise ConfigurationError(
            f"Features of shape {x.shape}, labels of {y.shape} and weights of {counts.shape} do not fit: give "
            "(rows, features), (rows,) and (rows,), of at least one row."
        )
    if not ((y >= 0) & (y <= 1)).all():
        raise ConfigurationError("Labels must be numbers from 0 (wrong) to 1 (right).")
    if not ((counts >= 0) & (counts < np.inf)).all() or not counts.any():
        raise ConfigurationError("Weights must be finite, not below 0, and not all 0.")
    if np.isinf(x).any():
        raise ConfigurationError("Features must be finite, or NaN where unknown.")
    return x, y, counts


def _ranges(x: Floats, counts: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean, standard deviation (1 for a constant), least and greatest value of each feature where it is known."""
    known = ~np.isnan(x) & (counts > 0)[:, None]
    filled = np.where(known, x, 0.0)
    shares = np.where(known, counts[:, None], 0.0)
    sums = np.maximum(shares.sum(axis=0), np.finfo(float).tiny)
    means = (shares * filled).sum(axis=0) / sums
    deviations = np.sqrt((shares * np.where(known, x - means, 0.0) ** 2).sum(axis=0) / sums)
    low = np.where(known.any(axis=0), np.where(known, x, np.inf).min(axis=0), 0.0)
    high = np.where(known.any(axis=0), np.where(known, x, -np.inf).max(axis=0), 0.0)
    constant = deviations <= 1e-12 * np.maximum(np.abs(low), np.abs(high))
    return np.clip(means, low, high), np.where(constant, 1.0, deviations), low, high


def _newton(z: Floats, y: Floats, counts: Floats, penalty: float, signed: npt.NDArray[np.bool_], start: Floats) -> Floats:
    """Intercept and weights of least penalised log loss. The loss is strictly convex: damped steps end at its one minimum.

    Those that may not be negative are held at 0 while the loss would have them so (projected Newton, Bertsekas 1982).
    """
    design = np.vstack([np.hstack([np.ones((len(z), 1)), z]), np.eye(1, z.shape[1] + 1)])
    labels, counts = np.append(y, 0.5), np.append(counts, 1.0)
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0

    def loss(point: Floats) -> float:
        return float(counts @ _log_loss(design @ point, labels) + ridge @ point**2 / 2)

    point, value = start, loss(start)
    for _ in range(_STEPS):
        p = sigmoids(design @ point)
        gradient = design.T @ (counts * (p - labels)) + ridge * point
        hessian = (design.T * (counts * p * (1 - p))) @ design + np.diag(ridge)
        hessian[0, 0] += 1e-12  # where all is saturated, nothing else curves along the intercept
        held = signed & (point <= _HELD) & (gradient > 0)
        step = np.where(held, point, 0.0)
        step[~held] = np.linalg.solve(hessian[np.ix_(~held, ~held)], gradient[~held])
        if gradient @ step <= _CONVERGED * (1 + value):
            break
        size = 1.0
        while size > _SMALLEST:
            moved = np.where(signed, np.maximum(point - size * step, 0.0), point - size * step)
            found = loss(moved)
            if found <= value - gradient @ (point - moved) / 4:
                break
            size /= 2
        if found >= value:  # nothing is gained beyond rounding
            break
        point, value = moved, found
    return point


def _best_penalty(z: Floats, y: Floats, counts: Floats, signed: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]) -> float:
    """That of the least log loss on the folds left out."""
    if len(y) < _FEW or folds.max() < 1 or not z.shape[1]:
        return 1.0
    losses = np.zeros(len(PENALTIES))
    for fold in range(folds.max() + 1):
        inside, outside = folds != fold, folds == fold
        point = np.zeros(z.shape[1] + 1)
        for i, penalty in enumerate(PENALTIES):
            point = _newton(z[inside], y[inside], counts[inside], penalty, signed, point)
            losses[i] += counts[outside] @ _log_loss(point[0] + z[outside] @ point[1:], y[outside])
    return PENALTIES[int(np.argmin(losses))]


def _log_loss(log_odds: Floats, labels: Floats) -> Floats:
    """Cross-entropy in nats of each row."""
    result: Floats = np.logaddexp(0.0, log_odds) - labels * log_odds
    return result
