"""The best of all orders of the models: every ordered list up to a depth, each with its exact thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats
from frugal_core.learning.frontier import Frontier, as_points, pareto
from frugal_core.learning.threshold_search import Integers, Ranked, Reached, search_order

_BINS = {3: 24, 4: 8}
"""By depth: groups of neighbouring scores between which the bound tells thresholds apart."""

_MARGIN = 1e-9
"""A list is left out only when it is worse by more than rounding can account for."""


def search_orders(
    quality: Floats, cost: Floats, score: Floats, scoring: Floats | None = None, *, depth: int = 3, prune: bool = True
) -> Frontier:
    """The Pareto frontier over all ordered lists of models up to a depth, and all thresholds of each.

    Chen, Zaharia & Zou 2023 (arXiv 2305.05176), section 3: the cascade that maximises quality within a budget, here for
    every budget at once. Every single model is a candidate. Each model's scores are sorted once. Thresholds are those of
    `search_thresholds`.

    A list of three or more is left out when an upper bound of what it reaches lies below the frontier found so far
    everywhere. The bound: each threshold lies somewhere in one of a few groups of neighbouring scores; an answer whose score
    lies in another group is accepted or not for sure, for the others an oracle chooses the best answer at the least cost. With
    one group it is the oracle of the list at what its first model costs. Leaving out never changes the frontier.

    Time grows as n log n in the queries; beside the arguments it takes memory for one copy of them and a table of 2^20
    cells. The frontier of a million queries has many thousand points.

    Args:
        quality: Shape (queries, models): quality of each answer, in [0, 1].
        cost: Shape (queries, models): cost of each answer, at least 0, in USD as a rule.
        score: Shape (queries, models): confidence in each answer, in [0, 1]; NaN for none.
        scoring: Shape (queries, models): further cost of scoring each answer; nothing by default.
        depth: Most models in a list, from 1 to 4.
        prune: `False` solves every list, for comparison.

    Returns:
        The points, orders by index of column. Of points equal in both the shortest list stays, then the first one.

    Raises:
        ConfigurationError: `depth` is out of range, shapes differ, there are no queries or models, or a value is out of range.

    >>> quality = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> score = np.array([[0.9, np.nan], [0.1, np.nan], [0.8, np.nan], [0.2, np.nan]])
    >>> frontier = search_orders(quality, np.array([[1.0, 4.0]] * 4), score)
    >>> [(point.order, point.thresholds, point.cost, point.quality) for point in frontier.points]
    [((0,), (), 1.0, 0.5), ((0, 1), (0.2,), 2.0, 0.75), ((0, 1), (0.8,), 3.0, 1.0)]
    """
    if isinstance(depth, bool) or depth not in (1, 2, 3, 4):
        raise ConfigurationError(f"depth={depth!r} must be 1, 2, 3 or 4: how many models a cascade may ask, at most.")
    ranked = Ranked.of(quality, cost, score, scoring)
    models = len(ranked.quality)
    orders = [order for length in range(1, min(depth, models) + 1) for order in permutations(range(models), length)]
    best = _Best(depth - 1)
    short = sum(len(order) <= 2 for order in orders)
    for number, order in enumerate(orders[:short]):
        best.add(number, search_order(ranked, order))
    for length in range(3, min(depth, models) + 1):
        numbers = [number for number in range(short, len(orders)) if len(orders[number]) == length]
        for number in _promising(ranked, orders, numbers, best) if prune else numbers:
            best.add(number, search_order(ranked, orders[number]))
    return Frontier(as_points([orders[number] for number in best.number], best.thresholds, best.cost, best.quality))


class _Best:
    """The frontier found so far, as columns: by rising cost."""

    def __init__(self, escalations: int) -> None:
        self.number: Integers = np.zeros(0, dtype=np.int64)
        self.thresholds: Floats = np.zeros((0, escalations))
        self.cost: Floats = np.zeros(0)
        self.quality: Floats = np.zeros(0)

    def add(self, number: int, reached: Reached) -> None:
        """Take in what the list of this number reaches. In what order lists come makes no difference."""
        points, escalations = reached.thresholds.shape
        padded = np.full((points, self.thresholds.shape[1]), np.nan)
        padded[:, :escalations] = reached.thresholds
        cost = np.concatenate([self.cost, reached.cost])
        quality = np.concatenate([self.quality, reached.quality])
        numbers = np.concatenate([self.number, np.full(points, number)])
        kept = pareto(cost, quality, numbers)
        self.number, self.cost, self.quality = numbers[kept], cost[kept], quality[kept]
        self.thresholds = np.concatenate([self.thresholds, padded])[kept]

    def excess(self, cost: Floats, quality: Floats) -> Floats:
        """By how much each point lies above what is reached for clearly less cost."""
        places = np.searchsorted(self.cost, cost * (1 - _MARGIN), side="right")
        reached = np.concatenate([[-math.inf], self.quality])[places]
        result: Floats = quality + _MARGIN - reached
        return result


def _promising(ranked: Ranked, orders: Sequence[tuple[int, ...]], numbers: Sequence[int], best: _Best) -> Iterator[int]:
    """Those of the lists that may add to the frontier, the most promising first."""
    bound = _Bound(ranked, _BINS[len(orders[numbers[0]])])
    hopes = []
    for number in numbers:
        cost, quality = bound.of(orders[number])
        excess = best.excess(cost, quality)
        hopeful = excess > 0
        if hopeful.any():
            hopes.append((-float(excess.max()), number, cost[hopeful], quality[hopeful]))
    for _, number, cost, quality in sorted(hopes, key=lambda hope: hope[:2]):
        if (best.excess(cost, quality) > 0).any():  # the frontier has risen meanwhile
            yield number


class _Bound:
    """Upper bounds: points of which one is at least as good and as cheap as whatever a list reaches.

    Args:
        ranked: The answers.
        bins: Groups of neighbouring scores per model.
    """

    def __init__(self, ranked: Ranked, bins: int) -> None:
        self._ranked = ranked
        self._side = bins + 1  # 0 is for a missing score
        self._bin = np.array([_bins(rank, len(levels), bins) for rank, levels in zip(ranked.rank, ranked.levels, strict=True)])

    def of(self, order: Sequence[int]) -> tuple[Floats, Floats]:
        """Mean costs and qualities, one for each choice of the groups in which the thresholds lie."""
        tiers = len(order)
        shape = (self._side,) * (tiers - 1)
        queries = self._ranked.quality.shape[1]
        cost, quality = np.zeros(shape), np.zeros(shape)
        cost += self._ranked.cost[order[0]].sum() + self._ranked.scoring[order[0]].sum()
        code = np.zeros(queries, dtype=np.int64)
        for place, model in enumerate(order):
            last = place == tiers - 1
            if place:
                charge = self._ranked.cost[model] if last else self._ranked.cost[model] + self._ranked.scoring[model]
                cost += self._total(code, charge, ["below"] * place, shape)
            if not last:
                code = code * self._side + self._bin[model]
            for uncertain in _subsets(place):
                ways = ["within" if earlier in uncertain else "below" for earlier in range(place)]
                value = self._ranked.quality[model]
                for earlier in uncertain:
                    value = np.maximum(value, self._ranked.quality[order[earlier]])
                quality += self._total(code, value, ways if last else [*ways, "above"], shape)
        groups = (slice(1, None),) * (tiers - 1)
        return cost[groups].ravel() / queries, quality[groups].ravel() / queries

    def _total(self, code: Integers, weights: Floats, ways: Sequence[str], shape: tuple[int, ...]) -> Floats:
        """Sums of the weights of queries whose scores lie below, within or above the group of each threshold."""
        sums = np.bincount(code, weights, self._side ** len(ways)).astype(np.float64, copy=False)
        sums = sums.reshape((self._side,) * len(ways))
        for axis, way in enumerate(ways):
            if way == "below":
                sums = np.cumsum(sums, axis=axis) - sums
            elif way == "above":
                sums = sums.sum(axis=axis, keepdims=True) - np.cumsum(sums, axis=axis)
        return sums.reshape(sums.shape + (1,) * (len(shape) - len(ways)))


def _subsets(size: int) -> Iterator[tuple[int, ...]]:
    """All subsets of the first numbers."""
    for length in range(size + 1):
        yield from combinations(range(size), length)


def _bins(rank: npt.NDArray[np.int32], levels: int, bins: int) -> npt.NDArray[np.uint8]:
    """Groups of neighbouring ranks, each of about as many queries, counted from 1; 0 for a missing score."""
    sizes = np.bincount(rank, minlength=levels + 1)
    sizes[0] = 0
    starts = np.cumsum(sizes) - sizes
    group = 1 + starts * bins // max(1, int(sizes.sum()))
    group[0] = 0
    result: npt.NDArray[np.uint8] = group.astype(np.uint8)[rank]
    return result
