"""The Pareto frontier of cascades: for every budget the best quality, for every quality the least cost, from one fit."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats
from frugal_core.saving import saveable

_ROUNDING = 1e-9


@saveable("frontier_point")
@dataclass(frozen=True)
class Point:
    """One way to run the models, and what it did on the recordings.

    Attributes:
        order: Indices of the models in the order in which they are asked; a single one is that model alone.
        thresholds: In [0, 1], one per escalation: an answer whose score reaches its tier's threshold is served.
        cost: Mean cost per query, in the unit of the recordings (USD as a rule), scoring included.
        quality: Mean quality of the served answers, in [0, 1].
    """

    order: tuple[int, ...]
    thresholds: tuple[float, ...]
    cost: float
    quality: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", tuple(self.order))  # a file has lists
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if len(self.thresholds) != len(self.order) - 1:
            raise ConfigurationError(
                f"{len(self.thresholds)} thresholds for the models {list(self.order)}: give one per escalation, that is "
                f"{max(len(self.order) - 1, 0)}, and at least one model."
            )


@saveable("frontier")
@dataclass(frozen=True)
class Frontier:
    """The points that no other beats, over all orders.

    Attributes:
        points: By rising cost, each of higher quality than all cheaper ones; at least one.

    Raises:
        ConfigurationError: There is no point, or they do not rise.

    >>> frontier = Frontier((Point((0,), (), 1.0, 0.7), Point((0, 1), (0.6,), 2.5, 0.9)))
    >>> frontier.at_budget(2.0).order, frontier.at_quality(0.8).thresholds, frontier.best().cost
    ((0,), (0.6,), 2.5)
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))
        if not self.points:
            raise ConfigurationError("A frontier without points: give at least one, a single model's for instance.")
        for place, (one, other) in enumerate(zip(self.points, self.points[1:], strict=False)):
            if not (one.cost < other.cost and one.quality < other.quality):
                raise ConfigurationError(
                    f"Points {place} and {place + 1} of a frontier cost {one.cost:g} and {other.cost:g} and have quality "
                    f"{one.quality:g} and {other.quality:g}: give them by rising cost, each better than all cheaper ones."
                )

    def at_budget(self, usd: float) -> Point:
        """The best quality within a budget.

        Args:
            usd: Mean cost per query that may be reached but not passed (but for one part in a billion, which is rounding), in
                the unit of the points' costs.

        Raises:
            ConfigurationError: Even the cheapest model costs more, or `usd` is not a number.
        """
        cheapest = self.points[0]
        place = bisect_right(self.points, usd * (1 + _ROUNDING), key=lambda point: point.cost) if usd == usd else 0
        if not place:
            raise ConfigurationError(
                f"A budget of {usd:g} per query is below {cheapest.cost:g}, the mean cost of the cheapest model (index "
                f"{cheapest.order[0]}): raise it to at least that, or add a cheaper model."
            )
        return self.points[place - 1]

    def at_quality(self, quality: float) -> Point:
        """The least cost at which a quality is reached.

        Args:
            quality: Mean quality, in [0, 1].

        Raises:
            ConfigurationError: No point reaches it, or it is not a number.
        """
        place = bisect_left(self.points, quality - _ROUNDING, key=lambda point: point.quality)
        if place == len(self.points) or quality != quality:
            best = self.best()
            raise ConfigurationError(
                f"A quality of {quality:g} is above {best.quality:g}, the best that these models reach in any order (models "
                f"{list(best.order)}, at {best.cost:g} per query): ask for at most that, or add a better model."
            )
        return self.points[place]

    def best(self) -> Point:
        """The highest quality, at the least cost that reaches it."""
        return self.points[-1]


def pareto(cost: Floats, quality: Floats, preference: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Indices of the points that no other beats: by rising cost, each of higher quality than all cheaper ones.

    Args:
        cost: Shape (points,).
        quality: Shape (points,). A difference from the 13th decimal on is taken for rounding.
        preference: Shape (points,): of points equal in both, the one with the least number stays; else the first of them.

    >>> pareto(np.array([3.0, 2.0, 1.0, 3.0]), np.array([0.7, 0.4, 0.5, 0.7])).tolist()
    [2, 0]
    """
    quality = np.round(quality, 12)
    keys = (-quality, cost) if preference is None else (preference, -quality, cost)
    by_cost: npt.NDArray[np.int64] = np.lexsort(keys)
    rising = quality[by_cost]
    best = np.maximum.accumulate(rising)
    return by_cost[np.concatenate([[True], rising[1:] > best[:-1]])] if len(by_cost) else by_cost


def mean_quality(cost: Floats, quality: Floats, low: float, high: float) -> float:
    """Mean quality over all budgets from `low` to `high`, of the points that no other beats: what a choice of points is worth.

    Between two points quality rises in a straight line, which mixing both attains; below the first nothing is reached.

    Args:
        cost: Shape (points,).
        quality: Shape (points,).
        low: Least budget.
        high: Greatest budget; where it is no greater, the best quality of all counts.

    >>> round(mean_quality(np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.9, 0.4]), 1.0, 5.0), 3)
    0.8
    """
    if not high > low:
        return float(quality.max())
    places = pareto(cost, quality)
    costs = np.clip(np.concatenate([cost[places[:1]], cost[places], [high]]), low, high)
    heights = np.concatenate([[0.0], quality[places], quality[places[-1:]]])
    return float((np.diff(costs) * (heights[1:] + heights[:-1]) / 2).sum() / (high - low))


def as_points(orders: Sequence[tuple[int, ...]], thresholds: Floats, cost: Floats, quality: Floats) -> tuple[Point, ...]:
    """Points from columns.

    Args:
        orders: The order of each point.
        thresholds: Shape (points, at least the most escalations); what goes beyond an order's escalations is ignored.
        cost: Shape (points,).
        quality: Shape (points,).
    """
    rows = zip(orders, thresholds.tolist(), cost.tolist(), quality.tolist(), strict=True)
    return tuple(Point(order, tuple(values[: len(order) - 1]), usd, mean) for order, values, usd, mean in rows)
