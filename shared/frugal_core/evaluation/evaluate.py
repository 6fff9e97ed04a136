"""Evaluates cascades on recorded answers: thresholds from the train split, every reported point driven on the test split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.evaluation.metrics import area, auroc, cost_at_accuracy
from frugal_core.evaluation.replay import Replay
from frugal_core.evaluation.search import Option, best_options, options
from frugal_core.learning.setting import Setting, check_split
from frugal_core.policies import Single


@dataclass(frozen=True)
class Point:
    """A policy on the test split.

    Attributes:
        cost: Mean cost per query.
        accuracy: Mean quality, in [0, 1].
        calls: Calls per query, by tier.
        thresholds: Of a cascade; `None` for a single model.
    """

    cost: float
    accuracy: float
    calls: tuple[float, ...]
    thresholds: tuple[float, ...] | None


@dataclass(frozen=True)
class SingleReport:
    """One model alone, on the test split.

    Attributes:
        model: Its name.
        accuracy: Mean quality.
        cost: Mean cost per query.
        auroc: How well its signal tells its right answers from its wrong ones; `None` without signal.
    """

    model: str
    accuracy: float
    cost: float
    auroc: float | None


@dataclass(frozen=True)
class PolicyReport:
    """One cascade.

    Attributes:
        name: For people.
        models: Its models in order.
        auc: Area under `curve` between the costs of its first and its last model, by `frugal_core.evaluation.metrics.area`;
            `None` when on the test split the last one is not the dearer.
        auc_plain: The same under the curve of *all* thresholds tried, without choosing any and without the single models.
        auc_random: Area of random routing: at budget B a share (B − c_s)/(c_l − c_s) of the queries goes to the last model, so
            its expected accuracy is the straight line between the two models.
        curve: Points on the test split, by rising cost: the cascades and the two single models that no other beats on train.
        chosen: The cheapest point that is at least as accurate as the last model alone on *train*, else the most accurate one.
        cost_at_best_single: Where `curve` reaches the accuracy that the best single model has on test; `None` if nowhere.
        train_area: Area on the train split over the costs of all models of the dataset, to compare cascades by.
    """

    name: str
    models: tuple[str, ...]
    auc: float | None
    auc_plain: float | None
    auc_random: float | None
    curve: tuple[Point, ...]
    chosen: Point
    cost_at_best_single: float | None
    train_area: float

    @property
    def beats_random(self) -> bool | None:
        """Whether the area is larger than that of random routing."""
        return None if self.auc is None or self.auc_random is None else self.auc > self.auc_random


@dataclass(frozen=True)
class DatasetReport:
    """All about one dataset.

    Attributes:
        setting: What was replayed.
        singles: Every model alone, the cheapest first.
        policies: The cascades, by falling area on the train split.
    """

    setting: Setting
    singles: tuple[SingleReport, ...]
    policies: tuple[PolicyReport, ...]

    @property
    def best_single(self) -> SingleReport:
        """The most accurate model on test, the cheaper one of equals."""
        return max(self.singles, key=lambda single: (single.accuracy, -single.cost))

    @property
    def cheapest_single(self) -> SingleReport:
        """The cheapest model on test."""
        return min(self.singles, key=lambda single: single.cost)


def evaluate(
    setting: Setting, *, members: Sequence[Sequence[int]] | None = None, progress: Callable[[int, int], None] | None = None
) -> DatasetReport:
    """Evaluate cascades on one dataset.

    Args:
        setting: The dataset.
        members: The cascades, as indices of models in order. By default every pair of a cheaper and a dearer, better model
            (means on train; the cheaper one must have a signal), and the triple with the largest area on train.
        progress: Told how many cascades are done, of how many.

    Raises:
        RecordingsError: All queries are on one side of the split.
    """
    check_split(setting)
    singles = tuple(_singles(setting))
    best = max(single.accuracy for single in singles)
    lists = default_members(setting) if members is None else [tuple(models) for models in members]
    policies = []
    for done, models in enumerate(lists):
        if progress:
            progress(done, len(lists))
        policies.append(_cascade(setting, models, best))
    if progress:
        progress(len(lists), len(lists))
    return DatasetReport(setting, singles, tuple(sorted(policies, key=lambda policy: -policy.train_area)))


def whole_cascade(setting: Setting) -> list[tuple[int, ...]]:
    """The one cascade of all models in the setting's order.

    Raises:
        RecordingsError: It does not lead from cheap to dear, or a tier before the last has no signal.
    """
    first, last = (float(setting.cost[setting.train, model].mean()) for model in (0, -1))
    if setting.signal is None:
        return []
    if not first < last:
        raise RecordingsError(
            f"{setting.dataset}: {setting.models[0]} costs {first:.6g} and {setting.models[-1]} {last:.6g} ({setting.unit}); a "
            "cascade leads from cheap to dear. Name the cheapest model first in --models."
        )
    without = [name for i, name in enumerate(setting.models[:-1]) if not setting.scored(i)]
    if without:
        raise RecordingsError(
            f"{setting.dataset}: {without[0]} has no {setting.signal} on the train split, so nothing can be decided on its "
            "answers. Name it last in --models, or another column with --signal."
        )
    return [tuple(range(len(setting.models)))]


def default_members(setting: Setting) -> list[tuple[int, ...]]:
    """Every pair of a cheaper and a dearer, better model, and the best triple of such; all judged on the train split."""
    cost, accuracy = setting.cost[setting.train].mean(axis=0), setting.correct[setting.train].mean(axis=0)

    def rising(models: Sequence[int]) -> bool:
        return all(setting.scored(a) and cost[a] < cost[b] and accuracy[a] < accuracy[b] for a, b in itertools.pairwise(models))

    pairs = [pair for pair in itertools.combinations(range(len(cost)), 2) if rising(pair)]
    triples = [triple for triple in itertools.combinations(range(len(cost)), 3) if rising(triple)]
    if not triples:
        return [*pairs]
    areas = [_train_area(setting, best_options(options(setting, triple))) for triple in triples]
    return [*pairs, triples[int(np.argmax(areas))]]


def _singles(setting: Setting) -> Iterator[SingleReport]:
    test = ~setting.train
    for model, name in enumerate(setting.models):
        outcomes = Replay(setting, [model], test).run(Single(0))
        signal = auroc(setting.score[test, model], setting.correct[test, model])
        yield SingleReport(name, float(outcomes.correct.mean()), float(outcomes.cost.mean()), signal)


def _cascade(setting: Setting, members: tuple[int, ...], best_single: float) -> PolicyReport:
    candidates = options(setting, members)
    best = best_options(candidates)
    replay = Replay(setting, members, ~setting.train)
    points = [_drive(replay, option) for option in best]
    curve = sorted(points, key=lambda point: point.cost)
    small, large = (_drive(replay, option) for option in candidates[:2])
    line = [(point.cost, point.accuracy) for point in curve]
    models = tuple(setting.models[i] for i in members)
    return PolicyReport(
        "cascade: " + " > ".join(models),
        models,
        area(line, small.cost, large.cost),
        _plain_area(replay, candidates, small.cost, large.cost) if len(members) == 2 else None,
        area([(small.cost, small.accuracy), (large.cost, large.accuracy)], small.cost, large.cost),
        tuple(curve),
        points[_matching(best, candidates[1].accuracy)],
        cost_at_accuracy(line, best_single),
        _train_area(setting, best),
    )


def _drive(replay: Replay, option: Option) -> Point:
    outcomes = replay.run(Single(option.tier)) if option.thresholds is None else replay.cascade(option.thresholds)
    calls = tuple(map(float, outcomes.calls.mean(axis=0)))
    return Point(float(outcomes.cost.mean()), float(outcomes.correct.mean()), calls, option.thresholds)


def _plain_area(replay: Replay, candidates: Sequence[Option], low: float, high: float) -> float | None:
    points = [_drive(replay, option) for option in candidates if option.thresholds is not None]
    return area([(point.cost, point.accuracy) for point in points], low, high)


def _matching(best: Sequence[Option], accuracy: float) -> int:
    """The cheapest option of at least this accuracy on train, else the most accurate."""
    return next((i for i, option in enumerate(best) if option.accuracy >= accuracy), len(best) - 1)


def _train_area(setting: Setting, best: Sequence[Option]) -> float:
    """Area on train over the costs of all models; below its own cheapest cost, the cheapest model of all answers."""
    cost, accuracy = setting.cost[setting.train].mean(axis=0), setting.correct[setting.train].mean(axis=0)
    cheapest = int(np.argmin(cost))
    first = Option(None, 0, float(cost[cheapest]), float(accuracy[cheapest]))
    line = [(option.cost, option.accuracy) for option in best_options([first, *best])]
    return area(line, float(cost.min()), float(cost.max())) or 0.0
