"""Measures: area under an accuracy–cost curve, cost at an accuracy, and how well a signal tells right from wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from frugal_core.learning.columns import Floats

Curve = Sequence[tuple[float, float]]
"""(cost, accuracy) of some policies, by rising cost."""


def area(curve: Curve, low: float, high: float) -> float | None:
    """Mean accuracy over all budgets from `low` to `high`: the trapezoid area divided by `high - low`.

    Ramírez, Birch & Titov 2024 (arXiv 2405.02134), section 4, with the costs of the small and the large model as bounds.
    Between two points the curve is a straight line, which mixing both policies at random attains. Before its first point and
    after its last it is flat; what lies beyond the bounds is cut off.

    Args:
        curve: Points by rising cost, at least one. Of points with equal cost the last counts.
        low: Least budget.
        high: Greatest budget.

    Returns:
        A value between the least and the greatest accuracy of the curve; `None` when the bounds leave no room.

    >>> area([(1.0, 0.5), (2.0, 0.9), (4.0, 0.9)], 1.0, 3.0)
    0.8
    """
    if not high > low:
        return None
    costs, accuracies = np.array(curve).T[:, None]
    return float(areas(costs, accuracies, np.array([low]), np.array([high]))[0])


def areas(costs: Floats, accuracies: Floats, low: Floats, high: Floats) -> Floats:
    """`area` of many curves at once.

    Args:
        costs: Shape (curves, points), in any order.
        accuracies: Shape (curves, points).
        low: Shape (curves,): least budget.
        high: Shape (curves,): greatest budget.

    Returns:
        Shape (curves,); NaN where the bounds leave no room.
    """
    x, y = _ordered(costs, accuracies)
    cut = np.clip(x, low[:, None], high[:, None])
    steps = np.diff(x, axis=1)
    middle = np.clip((cut[:, 1:] + cut[:, :-1]) / 2, x[:, :-1], x[:, 1:])
    share = (middle - x[:, :-1]) / np.where(steps > 0, steps, 1.0)
    inside = (np.diff(cut, axis=1) * (y[:, :-1] + share * np.diff(y, axis=1))).sum(axis=1)
    flat = (cut[:, 0] - low) * y[:, 0] + (high - cut[:, -1]) * y[:, -1]
    room = np.where(high > low, high - low, np.nan)
    result: Floats = (inside + flat) / room
    return result


def cost_at_accuracy(curve: Curve, accuracy: float) -> float | None:
    """Least cost at which the curve reaches an accuracy; `None` when it never does.

    >>> cost_at_accuracy([(1.0, 0.5), (2.0, 0.9), (4.0, 0.9)], 0.7)
    1.5
    """
    costs, accuracies = np.array(curve).T[:, None]
    cost = float(costs_at_accuracy(costs, accuracies, np.array([accuracy]))[0])
    return cost if cost < np.inf else None


def costs_at_accuracy(costs: Floats, accuracies: Floats, wanted: Floats) -> Floats:
    """`cost_at_accuracy` of many curves at once.

    Args:
        costs: Shape (curves, points), in any order.
        accuracies: Shape (curves, points).
        wanted: Shape (curves,): the accuracy of each.

    Returns:
        Shape (curves,); infinite where it is never reached.
    """
    x, y = _ordered(costs, accuracies)
    reached = y >= wanted[:, None]
    curves, at = np.arange(len(x)), np.argmax(reached, axis=1)
    before = np.maximum(at - 1, 0)
    rise = y[curves, at] - y[curves, before]
    share = np.where(rise > 0, (wanted - y[curves, before]) / np.where(rise > 0, rise, 1.0), 1.0)
    cost = np.minimum(x[curves, at], x[curves, before] + share * (x[curves, at] - x[curves, before]))
    result: Floats = np.where(reached.any(axis=1), cost, np.inf)
    return result


def frontier(costs: Floats, accuracies: Floats) -> npt.NDArray[np.int64]:
    """Indices of the points that no other beats: by rising cost, each more accurate than all cheaper ones.

    Args:
        costs: Shape (points,).
        accuracies: Shape (points,).

    >>> frontier(np.array([1.0, 2.0, 3.0, 3.0]), np.array([0.5, 0.4, 0.6, 0.7])).tolist()
    [0, 3]
    """
    order = np.lexsort((-accuracies, costs))
    best = np.maximum.accumulate(accuracies[order])
    rises = np.concatenate([[True], accuracies[order][1:] > best[:-1]])
    result: npt.NDArray[np.int64] = order[rises]
    return result


def auroc(scores: Floats, correct: Floats) -> float | None:
    """Chance that a right answer has a higher score than a wrong one, ties counting half.

    Args:
        scores: Shape (answers,); those without a score (NaN) are left out.
        correct: Shape (answers,), 0 or 1; graded quality counts as right from 0.5.

    Returns:
        A value in [0, 1]; `None` when all are right or all are wrong.

    >>> auroc(np.array([0.9, 0.1, 0.9]), np.array([1.0, 0.0, 0.0]))
    0.75
    """
    known = ~np.isnan(scores)
    right, scores = correct[known] >= 0.5, scores[known]
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][right].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _ordered(costs: Floats, accuracies: Floats) -> tuple[Floats, Floats]:
    """Points of each curve by rising cost; of those with equal cost all get the accuracy of the last."""
    order = np.argsort(costs, axis=1, kind="stable")
    x, y = np.take_along_axis(costs, order, axis=1), np.take_along_axis(accuracies, order, axis=1)
    for place in range(x.shape[1] - 2, -1, -1):
        y[:, place] = np.where(x[:, place] == x[:, place + 1], y[:, place + 1], y[:, place])
    return x, y
