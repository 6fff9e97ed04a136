"""Boosted trees on a few dozen features: what speaks together for an answer being right, or against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from frugal_core.learning.logistic import sigmoids

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

BINS = 48
"""Parts that the values of a feature are cut into."""

_DEPTH = 4
_STEP = 0.08
_RIDGE = 4.0
_LEAST = 8.0
_GAIN = 0.1


@dataclass(frozen=True)
class Tree:
    """A tree of decisions, as a list of nodes from the root.

    Attributes:
        feature: Which feature a node looks at; -1 at a leaf.
        limit: The left child is taken up to this value, and where the feature is unknown; the right one beyond.
        left: Place of the left child; the right one follows it.
        value: Log-odds that a leaf adds.
    """

    feature: tuple[int, ...]
    limit: tuple[float, ...]
    left: tuple[int, ...]
    value: tuple[float, ...]

    def __call__(self, row: Sequence[float]) -> float:
        """Of one row."""
        feature, limit, left = self.feature, self.limit, self.left
        node = 0
        while (looked := feature[node]) >= 0:
            node = left[node] + (row[looked] > limit[node])  # an unknown value is not greater
        return self.value[node]

    def of(self, rows: Floats) -> Floats:
        """Of many, shape (rows,)."""
        feature, limit = np.array(self.feature), np.array(self.limit)
        left, value = np.array(self.left), np.array(self.value)
        node = np.zeros(len(rows), dtype=np.int64)
        every = np.arange(len(rows))
        for _ in range(_DEPTH):
            looked = feature[node]
            right = rows[every, np.maximum(looked, 0)] > limit[node]
            node = np.where(looked < 0, node, left[node] + right)
        result: Floats = value[node]
        return result


def boost(rows: Floats, labels: Floats, weights: Floats, start: Floats, trees: int) -> tuple[Tree, ...]:
    """Fit trees one after the other, each to what those before it leave over of the log loss.

    Gradient boosting with second derivatives on histograms (Chen and Guestrin, "XGBoost", 2016; Ke et al., "LightGBM", 2017),
    without chance: the same rows give the same trees.

    Args:
        rows: Shape (rows, features); NaN where unknown.
        labels: Shape (rows,), in [0, 1].
        weights: Shape (rows,), how often each row counts.
        start: Shape (rows,), the log-odds that the trees add to.
        trees: How many.

    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> (only,) = boost(x, (x[:, 0] > 0.5).astype(float), np.ones(200), np.zeros(200), 1)
    >>> only([0.2]) < 0 < only([0.8])
    True
    """
    edges = [_edges(column) for column in rows.T]
    bins = np.stack([np.searchsorted(edge, column, side="left") for edge, column in zip(edges, rows.T, strict=True)], axis=1)
    bins = np.where(np.isnan(rows), 0, bins + 1)  # 0 is for what is unknown
    log_odds = start.copy()
    grown = []
    for _ in range(trees):
        p = sigmoids(log_odds)
        tree, steps = _grow(bins, edges, weights * (labels - p), weights * np.maximum(p * (1 - p), 1e-6), weights)
        grown.append(tree)
        log_odds += steps
        if tree.feature == (-1,):
            break
    return tuple(grown)


def _edges(column: Floats) -> Floats:
    known = column[~np.isnan(column)]
    if not len(known):
        return np.zeros(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))


def _grow(
    bins: npt.NDArray[np.int64], edges: Sequence[Floats], gradient: Floats, hessian: Floats, weights: Floats
) -> tuple[Tree, Floats]:
    """A tree, and what it adds to each row."""
    feature, limit, left, value = [-1], [0.0], [0], [0.0]
    steps = np.zeros(len(gradient))
    waiting = [(0, np.arange(len(gradient)), 0)]
    while waiting:
        node, members, depth = waiting.pop()
        found = _split(bins[members], gradient[members], hessian[members], weights[members]) if depth < _DEPTH else None
        if found is not None and found[1] > 0 and found[1] - 1 >= len(edges[found[0]]):
            found = None
        if found is None:
            value[node] = float(_STEP * gradient[members].sum() / (hessian[members].sum() + _RIDGE))
            steps[members] = value[node]
            continue
        column, cut = found
        goes_left = bins[members, column] <= cut
        feature[node], left[node] = column, len(feature)
        limit[node] = float(edges[column][cut - 1]) if cut > 0 else -math.inf
        feature += [-1, -1]
        limit += [0.0, 0.0]
        left += [0, 0]
        value += [0.0, 0.0]
        waiting += [(left[node], members[goes_left], depth + 1), (left[node] + 1, members[~goes_left], depth + 1)]
    return Tree(tuple(feature), tuple(limit), tuple(left), tuple(value)), steps


def _split(bins: npt.NDArray[np.int64], gradient: Floats, hessian: Floats, weights: Floats) -> tuple[int, int] | None:
    """The feature and the last bin on the left that gain most; `None` where nothing gains enough."""
    if weights.sum() < 2 * _LEAST or len(bins) < 2 * _LEAST:
        return None
    count, width = bins.shape[1], BINS + 1
    places = (bins + np.arange(count) * width).ravel()
    sums = [
        np.bincount(places, np.repeat(each, count), count * width).reshape(count, width).cumsum(axis=1)
        for each in (gradient, hessian, weights)
    ]
    (g, h, w), (total_g, total_h, total_w) = sums, (float(each[0, -1]) for each in sums)
    gain = g**2 / (h + _RIDGE) + (total_g - g) ** 2 / (total_h - h + _RIDGE) - total_g**2 / (total_h + _RIDGE)
    gain[(w < _LEAST) | (total_w - w < _LEAST)] = -math.inf
    best = int(np.argmax(gain))
    return (best // width, best % width) if gain.ravel()[best] > _GAIN else None
