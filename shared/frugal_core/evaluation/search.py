"""Finds good thresholds on the train split. What is *reported* is driven on the test split, by `Replay`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.evaluation.metrics import frontier
from frugal_core.learning.columns import Floats
from frugal_core.learning.setting import Setting

_FINEST = 41
_COMBINATIONS = 1000


@dataclass(frozen=True)
class Option:
    """A way to run some models, with what it did on the train split.

    Attributes:
        thresholds: Of a cascade, one per escalation; `None` for the single model `tier`.
        tier: Place of the single model among the cascade's.
        cost: Mean cost per query.
        accuracy: Mean quality.
    """

    thresholds: tuple[float, ...] | None
    tier: int
    cost: float
    accuracy: float


def options(setting: Setting, members: Sequence[int]) -> list[Option]:
    """All that is worth considering: a grid of cascades, the first model alone and the last model alone."""
    grids = threshold_grids(setting, members)
    costs, accuracies = cascade_means(setting, members, grids)
    cascades = [
        Option(tuple(map(float, thresholds)), -1, float(cost), float(accuracy))
        for thresholds, cost, accuracy in zip(itertools.product(*grids), costs.ravel(), accuracies.ravel(), strict=True)
    ]
    cost, accuracy = setting.cost[setting.train].mean(axis=0), setting.correct[setting.train].mean(axis=0)
    ends = ((0, members[0]), (len(members) - 1, members[-1]))
    singles = [Option(None, tier, float(cost[model]), float(accuracy[model])) for tier, model in ends]
    return [*singles, *cascades]


def best_options(candidates: Sequence[Option]) -> list[Option]:
    """Those that no other beats on the train split, by rising cost: for every budget the most accurate within it."""
    costs = np.array([option.cost for option in candidates])
    accuracies = np.array([option.accuracy for option in candidates])
    return [candidates[i] for i in frontier(costs, accuracies)]


def threshold_grids(setting: Setting, members: Sequence[int]) -> list[Floats]:
    """Thresholds to try for each tier but the last: quantiles of its scores on the train split, and 0 and 1."""
    size = max(3, min(_FINEST, round(_COMBINATIONS ** (1 / (len(members) - 1)))))
    grids = []
    for model in members[:-1]:
        scores = setting.score[setting.train, model]
        known = scores[~np.isnan(scores)]
        quantiles = np.quantile(known, np.linspace(0, 1, size)[1:-1], method="higher") if len(known) else np.array([])
        grids.append(np.unique(np.concatenate([[0.0], quantiles, [1.0]])))
    return grids


def cascade_means(setting: Setting, members: Sequence[int], grids: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Mean cost and accuracy on the train split of cascades with every combination of thresholds.

    Queries are counted by the cell of the threshold grid in which their scores lie; sums over the cells below and above a
    threshold are prefix sums. All combinations together thus take one pass over the queries.

    Args:
        setting: The dataset.
        members: Indices of the models, in order.
        grids: Rising thresholds of each tier but the last.

    Returns:
        Two arrays with an axis for each grid.
    """
    train = setting.train
    shape = tuple(len(grid) for grid in grids)
    costs, accuracies = np.zeros(shape), np.zeros(shape)
    paid = np.zeros(int(train.sum()))
    cells: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    for place, model in enumerate(members):
        last = place == len(grids)
        paid = paid + setting.cost[train, model]
        if not last:
            paid = paid + setting.scoring[train, model]
            scores = np.nan_to_num(setting.score[train, model], nan=-1.0)
            cells.append(np.searchsorted(grids[place], scores, side="right"))
        extent = tuple(len(grid) + 1 for grid in grids[: place + 1])
        index = np.ravel_multi_index(tuple(cells), extent)
        for total, values in ((costs, paid), (accuracies, setting.correct[train, model])):
            counts = np.bincount(index, values, int(np.prod(extent))).astype(np.float64).reshape(extent)
            total += _served(counts, last).reshape(*shape[: place + 1], *(1 for _ in shape[place + 1 :]))
    return costs / len(paid), accuracies / len(paid)


def _served(counts: Floats, last: bool) -> Floats:
    """Sum over the queries that tier `place` answers: below all earlier thresholds, and (unless last) not below its own."""
    axes = counts.ndim
    for axis in range(axes):
        below = np.take(np.cumsum(counts, axis=axis), np.arange(counts.shape[axis] - 1), axis=axis)
        if axis == axes - 1 and not last:
            below = counts.sum(axis=axis, keepdims=True) - below
        counts = below
    return counts
