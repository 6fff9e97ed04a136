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
    costs, accuracies = _distinct(curve)
    inside = costs[(costs > low) & (costs < high)]
    budgets = np.concatenate([[low], inside, [high]])
    heights = np.interp(budgets, costs, accuracies)
    return float((np.diff(budgets) * (heights[1:] + heights[:-1]) / 2).sum() / (high - low))


def cost_at_accuracy(curve: Curve, accuracy: float) -> float | None:
    """Least cost at which the curve reaches an accuracy; `None` when it never does.

    >>> cost_at_accuracy([(1.0, 0.5), (2.0, 0.9), (4.0, 0.9)], 0.7)
    1.5
    """
    costs, accuracies = _distinct(curve)
    for i, (cost, height) in enumerate(zip(costs, accuracies, strict=True)):
        if height >= accuracy:
            if i == 0:
                return float(cost)
            rise = (accuracy - accuracies[i - 1]) / (height - accuracies[i - 1])
            return float(min(cost, costs[i - 1] + rise * (cost - costs[i - 1])))
    return None


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


def _distinct(curve: Curve) -> tuple[Floats, Floats]:
    """Costs and accuracies, each cost once."""
    points = dict(sorted(curve, key=lambda point: point[0]))
    return np.array(list(points)), np.array(list(points.values()))
