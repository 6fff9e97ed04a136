"""The probability that a neighbour's answer would do: what speaks for it linearly, and trees for what does not."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from frugal_core.cache.deciders.boosting import Tree, boost
from frugal_core.learning.logistic import Logistic, folds_of, sigmoid

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

FOLDS = 3
"""Parts of the rows that take turns in being scored by a model of the others."""

TREES = 100
"""Most trees; fewer where there are few rows."""

AIMS = tuple(place / 10 for place in range(1, 16))
"""Shares of the allowed errors that thresholds are chosen for."""

_PENALTY = 5.0
_ROWS_PER_TREE = 15
_FEW = 150
_LARGEST_WEIGHT = 4.0
_DEVIATIONS = 0.5
_PRIOR = 3.0


@dataclass(frozen=True)
class PairModel:
    """A fitted model of one moment.

    Attributes:
        linear: Its linear part.
        trees: What is added to the log-odds of that.
        thresholds: Least probabilities at which a neighbour may answer, for each of `AIMS`; infinite for never.
        rows: Compared pairs that it was learned from, in all.
    """

    linear: Logistic
    trees: tuple[Tree, ...]
    thresholds: tuple[float, ...]
    rows: int

    def probability(self, row: Sequence[float]) -> float:
        """That the neighbour's answer would do, from one row of features (NaN where unknown)."""
        p = self.linear.probability(row)
        if not self.trees:
            return p
        p = min(max(p, 1e-9), 1 - 1e-9)
        return sigmoid(math.log(p / (1 - p)) + sum(tree(row) for tree in self.trees))

    def threshold(self, aim: float) -> float:
        """For an error of `aim` times what is allowed, rounded down to one of `AIMS`; infinite below the least of them."""
        place = bisect_right(AIMS, aim)
        return self.thresholds[place - 1] if place else math.inf

    def to_json(self) -> str:
        """As one line."""
        known = asdict(self) | {"thresholds": [value if math.isfinite(value) else None for value in self.thresholds]}
        return json.dumps(known, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PairModel:
        """Read what `to_json` wrote."""
        found = json.loads(text)
        trees = tuple(Tree(**{name: tuple(values) for name, values in tree.items()}) for tree in found["trees"])
        thresholds = tuple(math.inf if value is None else float(value) for value in found["thresholds"])
        return cls(Logistic(**found["linear"]), trees, thresholds, int(found["rows"]))


def fit_model(
    features: Floats, labels: Floats, weights: Floats, groups: Sequence[int], max_error: float, rows: int
) -> PairModel:
    """Learn from compared pairs, and choose the threshold on pairs that the model that scores them has not seen.

    The pairs are dealt to folds, those of a group together; each fold is scored by a model of the others. From these scores
    thresholds are chosen, see `threshold_of`.

    Args:
        features: Shape (rows, features); NaN where unknown.
        labels: Shape (rows,), from 0 (the answer would not have done) to 1.
        weights: Shape (rows,), one over the probability with which each pair was compared.
        groups: Shape (rows,).
        max_error: Share of all requests.
        rows: How many pairs there have been in all.
    """
    counts = np.minimum(weights, _LARGEST_WEIGHT)
    scores = np.zeros(len(labels))
    folds = folds_of(groups, FOLDS)
    for fold in range(int(folds.max()) + 1):
        inside, outside = folds != fold, folds == fold
        if inside.any():
            scores[outside] = _scores(*_parts(features[inside], labels[inside], counts[inside]), features[outside])
    linear, trees = _parts(features, labels, counts)
    thresholds = tuple(threshold_of(scores, labels, weights, aim * max_error) for aim in AIMS)
    return PairModel(linear, trees, thresholds, rows)


def threshold_of(scores: Floats, labels: Floats, weights: Floats, max_error: float) -> float:
    """The lowest score at which what is served is expected to err in at most `max_error` of all requests; infinite if none is.

    What the scores themselves say of errors above a threshold is multiplied by how many times oftener pairs above it erred.

    Args:
        scores: Shape (pairs,), each pair's probability to be right, by a model that has not seen it.
        labels: Shape (pairs,), 1 for right.
        weights: Shape (pairs,): a pair stands for so many requests.
        max_error: Share of all requests.

    >>> scores, labels = np.array([0.99, 0.98, 0.97, 0.6]), np.array([1.0, 1.0, 1.0, 0.0])
    >>> threshold_of(scores, labels, np.ones(4), 0.05)
    0.97
    """
    order = np.argsort(-scores, kind="stable")
    doubt, loss = (1 - scores)[order], (1 - labels)[order]
    expected, seen = np.cumsum(doubt) + _PRIOR, np.cumsum(loss) + _PRIOR
    risk = np.cumsum(weights[order] * doubt) / weights.sum() * (seen + _DEVIATIONS * np.sqrt(seen)) / expected
    last = np.append(np.diff(scores[order]) != 0, True)  # of those with the same score
    fine = np.flatnonzero((risk <= max_error) & last)
    return float(scores[order][fine[-1]]) if len(fine) else math.inf


def _parts(features: Floats, labels: Floats, weights: Floats) -> tuple[Logistic, tuple[Tree, ...]]:
    linear = Logistic.fit(features, labels, weights=weights, penalty=_PENALTY)
    if len(labels) < _FEW:
        return linear, ()
    start = _log_odds(linear.probabilities(features))
    return linear, boost(features, labels, weights, start, min(TREES, len(labels) // _ROWS_PER_TREE))


def _scores(linear: Logistic, trees: tuple[Tree, ...], features: Floats) -> Floats:
    log_odds = _log_odds(linear.probabilities(features))
    for tree in trees:
        log_odds = log_odds + tree.of(features)
    result: Floats = 1 / (1 + np.exp(-log_odds))
    return result


def _log_odds(p: Floats) -> Floats:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    result: Floats = np.log(p / (1 - p))
    return result
