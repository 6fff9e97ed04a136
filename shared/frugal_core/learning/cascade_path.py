"""FrugalGPT's cascades as a family: all orders of the models, with exact thresholds on a recorded signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.frontier import Frontier, Point
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.order_search import search_orders
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.recorded_answers import RecordedSignal
from frugal_core.learning.setting import Setting
from frugal_core.learning.shortlist import best_together
from frugal_core.policies.base import Policy
from frugal_core.policies.cascade import Cascade
from frugal_core.policies.single import Single
from frugal_core.scorers.base import ScoreFunction

POLICIES = 60
"""Most policies of a path: neighbours on a longer frontier differ by less than their noise."""

FEWEST = 10
"""Queries from which anything may be learned."""

_FOLDS = 5


@dataclass(frozen=True)
class CascadePath(Path):
    """Cascades of different orders and thresholds, by rising cost.

    Attributes:
        points: Order and thresholds of each; orders are indices of models.
        scorer: What measures live the signal whose recorded values the thresholds are on.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    points: tuple[Point, ...]
    scorer: ScoreFunction

    def replay(self, setting: Setting) -> Replayed:
        """Compare the recorded scores with the thresholds."""
        rows, models = setting.correct.shape
        policies = len(self.points)
        served = np.zeros((policies, rows), dtype=np.int64)
        cost, calls = np.zeros((policies, rows)), np.zeros((policies, models))
        for place, point in enumerate(self.points):
            served[place], cost[place], calls[place] = _replayed(setting, point)
        quality = setting.correct[np.arange(rows)[None, :], served]
        return Replayed(quality, cost, served, calls)

    def policy(self, place: int) -> Policy:
        """The cascade; a single model where the order has only one."""
        point = self.points[place]
        names = [self.models[model] for model in point.order]
        return Cascade(self.scorer, point.thresholds, models=names) if point.thresholds else Single(names[0])


@dataclass(frozen=True)
class CascadeSearch:
    """Learns order and thresholds of cascades on a signal that was recorded, not learned: FrugalGPT's search, made exact.

    Chen, Zaharia & Zou 2023 (arXiv 2305.05176), section 3. What thresholds reach on the rows they were tuned on is more than
    they will reach; so what is expected of each policy is what the same search, on four fifths of the rows, reaches on the
    rest within the same budget.

    Attributes:
        depth: Most models in a cascade, 1 to 4.
        most_models: With more models than this, only those take part whose cascades of two reach most.
        scorer: What measures the signal live; by default the recorded values themselves, for replays.
    """

    depth: int = 3
    most_models: int = 6
    scorer: ScoreFunction = field(default_factory=RecordedSignal)
    name: str = "cascade"

    def fit(self, setting: Setting) -> CascadePath:
        """From all rows of a setting.

        Raises:
            RecordingsError: There is no signal to set thresholds on, or fewer than 10 queries.
        """
        if len(setting.correct) < FEWEST:
            raise RecordingsError(
                f"{setting.dataset}: {len(setting.correct)} queries are too few to learn from: record at least {FEWEST}."
            )
        if np.isnan(setting.score).all():
            raise RecordingsError(f"{setting.dataset}: no signal was recorded, so a cascade has nothing to go by.")
        models = best_together(setting, self.most_models)
        frontier = _search(setting, models, self.depth)
        points = _thinned(frontier.points)
        budgets = np.array([point.cost for point in points])
        cost, quality = _expected(setting, models, self.depth, budgets)
        kept = _rising(cost, quality)
        chosen = tuple(points[place] for place in kept)
        return CascadePath(self.name, setting.models, cost[kept], quality[kept], chosen, self.scorer)


def _search(setting: Setting, models: Sequence[int], depth: int) -> Frontier:
    """The frontier over some of the models, with orders by their indices in the setting."""
    part = setting.select(models)
    frontier = search_orders(part.correct, part.cost, part.score, part.scoring, depth=depth)
    return Frontier(
        tuple(
            Point(tuple(models[model] for model in point.order), point.thresholds, point.cost, point.quality)
            for point in frontier.points
        )
    )


def _expected(setting: Setting, models: Sequence[int], depth: int, budgets: Floats) -> tuple[Floats, Floats]:
    """Cost and quality on rows left out of what the search finds for each budget."""
    rows = len(setting.correct)
    parts = folds_of(range(rows), _FOLDS)
    cost, quality = np.zeros(len(budgets)), np.zeros(len(budgets))
    for part in range(int(parts.max()) + 1):
        found = _search(setting.rows(parts != part), models, depth).points
        held = setting.rows(parts == part)
        costs = np.array([point.cost for point in found])
        places = np.maximum(np.searchsorted(costs, budgets * (1 + 1e-9), side="right") - 1, 0)
        for place in np.unique(places):
            served, paid, _ = _replayed(held, found[place])
            here = places == place
            cost[here] += paid.sum()
            quality[here] += held.correct[np.arange(len(served)), served].sum()
    return cost / rows, quality / rows


def _replayed(setting: Setting, point: Point) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Which model's answer each query is served, what that costs, and calls per query."""
    rows, models = setting.correct.shape
    open_ = np.ones(rows, dtype=bool)
    served = np.full(rows, point.order[-1], dtype=np.int64)
    cost, calls = np.zeros(rows), np.zeros(models)
    for place, model in enumerate(point.order):
        cost[open_] += setting.cost[open_, model]
        calls[model] = open_.mean()
        if place == len(point.thresholds):
            break
        cost[open_] += setting.scoring[open_, model]
        accepted = open_ & (setting.score[:, model] >= point.thresholds[place])
        served[accepted] = model
        open_ &= ~accepted
    return served, cost, calls


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `POLICIES` of them, about evenly spread over the qualities, both ends among them."""
    if len(points) <= POLICIES:
        return list(points)
    quality = np.array([point.quality for point in points])
    wanted = np.linspace(quality[0], quality[-1], POLICIES)
    places = np.unique([*np.searchsorted(quality, wanted[1:-1]), 0, len(points) - 1])
    return [points[place] for place in places]


def _rising(cost: Floats, quality: Floats) -> npt.NDArray[np.int64]:
    """Places by rising expected cost, without those that a cheaper one equals or beats."""
    order = np.argsort(cost, kind="stable")
    best = np.maximum.accumulate(np.concatenate([[-1.0], quality[order][:-1]]))
    kept: npt.NDArray[np.int64] = order[quality[order] > best]
    return kept
