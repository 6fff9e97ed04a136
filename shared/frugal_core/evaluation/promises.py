"""Guarantees kept or not: how much the answers were worse than the reference's, beside what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.errors import FrugalError
from frugal_core.evaluation.held_out import Fold, learning_rows
from frugal_core.evaluation.replay import Replay
from frugal_core.learning.fit import guaranteed
from frugal_core.learning.path import Family
from frugal_core.learning.setting import Setting

_FOLDS = 5


@dataclass(frozen=True)
class Promise:
    """A guarantee that was asked for, and what came of it on held-out queries.

    Attributes:
        max_disagreement: The bound that was asked for.
        confidence: With which it was to be proved.
        disagreement: By how much answers were worse than the reference's, in the mean over the held-out queries; `None` where
            nothing could be learned.
        coverage: Share of queries answered without the reference.
        cost: Mean cost per query.
        quality: Mean quality.
        certified: In how many of the folds anything but the reference could be certified.
        folds: How many there were.
        reason: Why nothing could be learned.
    """

    max_disagreement: float
    confidence: float
    disagreement: float | None = None
    coverage: float | None = None
    cost: float | None = None
    quality: float | None = None
    certified: int = 0
    folds: int = 0
    reason: str | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the bound held on the held-out queries. Few queries exceed a bound that holds by chance."""
        return None if self.disagreement is None else self.disagreement <= self.max_disagreement


def keep_promise(
    setting: Setting,
    families: Sequence[Family],
    folds: Sequence[Fold],
    reference: int,
    max_disagreement: float,
    confidence: float,
) -> Promise:
    """Learn under a guarantee in each fold, as `fit` does by default, and drive the policy over the rest.

    Args:
        setting: The dataset.
        families: What may be chosen from.
        folds: How its queries are parted.
        reference: Index of the reference.
        max_disagreement: The bound, in (0, 1).
        confidence: In (0, 1).
    """
    cost, quality, worse, asked = [], [], [], []
    certified = 0
    every = range(len(setting.models))
    for fold in folds:
        learning = learning_rows(setting, fold)
        try:
            fitted = guaranteed(learning, families, reference, None, max_disagreement, confidence, _FOLDS, 0)
        except FrugalError as error:
            return Promise(max_disagreement, confidence, folds=len(folds), reason=str(error))
        certified += fitted.guarantee is not None and fitted.guarantee.certified
        outcomes = Replay(setting, every, fold.test).run(fitted.policy)
        standard = setting.correct[fold.test, reference]
        cost.append(outcomes.cost)
        quality.append(outcomes.correct)
        worse.append(np.maximum(standard - outcomes.correct, 0.0))
        asked.append(outcomes.calls[:, reference] > 0)
    return Promise(
        max_disagreement,
        confidence,
        _mean(worse),
        1 - _mean(asked),
        _mean(cost),
        _mean(quality),
        certified,
        len(folds),
    )


def _mean(parts: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]] | np.ndarray[tuple[int], np.dtype[np.bool_]]]) -> float:
    return float(np.concatenate(parts).mean())
