"""Measures what families did on held-out queries, beside the single models on the same queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from frugal_core.evaluation.bootstrap import percentiles, resampled_means
from frugal_core.evaluation.held_out import Fold, Held, losses, random_line
from frugal_core.evaluation.metrics import area, areas, auroc, cost_at_accuracy, costs_at_accuracy
from frugal_core.evaluation.policy_figures import CurvePoint, FamilyReport, SingleScore
from frugal_core.evaluation.router_metrics import average_gap_recovered, calls_to_recover
from frugal_core.learning.calibration import calibration_error
from frugal_core.learning.columns import Floats
from frugal_core.learning.setting import Setting

_POINT = 0.01
_SAME = 1e-12


class Scoring:
    """The held-out queries, the single models on them, and what is measured against these.

    Args:
        setting: The dataset.
        parts: How its queries are parted.
        resamples: For the bootstrap.

    Attributes:
        tested: Shape (queries,): mask of the held-out ones.
        weak: Index of the cheapest model.
        strong: Index of the reference, the best model on all queries.
        loss: How far answers are from the reference's.
        random: Random routing between the two.
    """

    def __init__(self, setting: Setting, parts: Sequence[Fold], resamples: int) -> None:
        self.setting = setting
        self.tested: npt.NDArray[np.bool_] = np.logical_or.reduce([fold.test for fold in parts])
        self.cost, self.quality = setting.cost[self.tested], setting.correct[self.tested]
        means = self.cost.mean(axis=0)
        self.weak = int(np.argmin(means))
        self.strong = int(np.lexsort((setting.cost.mean(axis=0), -setting.correct.mean(axis=0)))[0])
        self.best = int(np.lexsort((means, -self.quality.mean(axis=0)))[0])
        self.loss = losses(setting, self.strong)
        self.random = random_line(setting, self.tested, self.weak, self.strong, self.loss)
        self._resamples = resamples
        models = len(means)
        drawn = resampled_means(np.concatenate([self.cost.T, self.quality.T]), resamples)
        self._drawn_costs, self._drawn_qualities = drawn[:, :models], drawn[:, models:]
        ends = [self.weak, self.strong]
        self._low, self._high = self._drawn_costs.min(axis=1), self._drawn_costs.max(axis=1)
        self._drawn_chances = areas(self._drawn_costs[:, ends], self._drawn_qualities[:, ends], self._low, self._high)

    def singles(self) -> list[SingleScore]:
        """What is said of the single models."""
        signal = self.setting.score[self.tested]
        differs = self.loss.differs[self.tested].mean(axis=0)
        scores = []
        for model, name in enumerate(self.setting.models):
            error = calibration_error(signal[:, model], self.quality[:, model])
            scores.append(
                SingleScore(
                    name,
                    float(self.quality[:, model].mean()),
                    percentiles(self._drawn_qualities[:, model]),
                    float(self.cost[:, model].mean()),
                    float(differs[model]),
                    auroc(signal[:, model], self.quality[:, model]),
                    error if error == error else None,
                )
            )
        return scores

    def report(self, name: str, held: Held, calibration: float | None = None, seconds: float = 0.0) -> FamilyReport:
        """What is said of a family.

        Args:
            name: Its name.
            held: What it did.
            calibration: Calibration error of its probabilities.
            seconds: Time that it took.
        """
        costs, qualities = held.cost[:-1].mean(axis=1), held.quality[:-1].mean(axis=1)
        order = np.argsort(costs, kind="stable")
        curve = [(float(costs[row]), float(qualities[row])) for row in order]
        calls = sorted(
            ((float(held.calls[row, self.strong]), float(qualities[row])) for row in range(len(costs))),
            key=lambda point: point[0],
        )
        weak, strong = (float(self.quality[:, model].mean()) for model in (self.weak, self.strong))
        best = float(self.quality[:, self.best].mean()) - _SAME
        means = self.cost.mean(axis=0)
        low, high = float(means.min()), float(means.max())
        reached = area(curve, low, high)
        by_chance = area([(float(means[self.weak]), weak), (float(means[self.strong]), strong)], low, high)
        drawn_areas, gains, at_best = self._resample(held)
        return FamilyReport(
            name,
            tuple(_point(held, int(row)) for row in order),
            _point(held, -1),
            reached,
            percentiles(drawn_areas),
            _above(reached, by_chance),
            percentiles(gains),
            average_gap_recovered(calls, weak, strong),
            calls_to_recover(calls, weak, strong, 0.5),
            calls_to_recover(calls, weak, strong, 0.8),
            cost_at_accuracy(curve, best),
            percentiles(at_best),
            cost_at_accuracy(curve, best - _POINT),
            calibration,
            seconds,
        )

    def _resample(self, held: Held) -> tuple[Floats, Floats, Floats]:
        """Area, gain over random routing and cost at the best single model's quality, with each draw of queries."""
        rows = len(held.cost) - 1
        drawn = resampled_means(np.concatenate([held.cost[:-1], held.quality[:-1]]), self._resamples)
        costs, qualities = drawn[:, :rows], drawn[:, rows:]
        reached = areas(costs, qualities, self._low, self._high)
        at_best = costs_at_accuracy(costs, qualities, self._drawn_qualities[:, self.best] - _SAME)
        return reached, reached - self._drawn_chances, at_best


def _above(reached: float | None, chance: float | None) -> float | None:
    return None if reached is None or chance is None else round(reached - chance, 12) + 0.0  # never −0


def _point(held: Held, row: int) -> CurvePoint:
    budget = float(held.budget[row])
    return CurvePoint(
        budget if budget == budget else None,
        float(held.cost[row].mean()),
        float(held.quality[row].mean()),
        float(held.differs[row].mean()),
        float(held.worse[row].mean()),
        tuple(map(float, held.calls[row])),
    )
