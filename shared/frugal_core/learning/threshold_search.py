"""The exact trade-off between cost and quality that thresholds reach, for a fixed order of tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats
from frugal_core.learning.frontier import pareto

Integers = npt.NDArray[np.int64]

_CUTS = {3: 200, 4: 40}
"""By depth: values that a threshold before the last one is swept over, where there are more distinct ones than that."""

_CELLS = {3: 1 << 18, 4: 1 << 13}
"""By depth: combinations of the last two thresholds that are all looked at, however many the values of the first are."""

_BLOCK = 1 << 20
"""Cells of a table held in memory at once."""

_MOST = float(np.finfo(np.float64).max)
_LIMITS = {
    "quality": ("from 0 to 1", 1.0),
    "score": ("from 0 to 1, or NaN for none", 1.0),
    "cost": ("of 0 or more, and finite", _MOST),
    "scoring": ("of 0 or more, and finite", _MOST),
}
"""By argument: the numbers that it takes, and the greatest of them."""


@dataclass(frozen=True)
class Reached:
    """What thresholds reach with one order of tiers: the Pareto-optimal points, by rising cost.

    Attributes:
        thresholds: Shape (points, tiers - 1), in [0, 1].
        cost: Shape (points,): mean cost per query.
        quality: Shape (points,): mean quality, rising.
    """

    thresholds: Floats
    cost: Floats
    quality: Floats


@dataclass(frozen=True)
class Ranked:
    """Recorded answers with each model's scores sorted, once for all orders that the model takes part in.

    Attributes:
        quality: Shape (models, queries).
        cost: Shape (models, queries).
        scoring: Shape (models, queries).
        rank: Shape (models, queries): place of the score among the model's distinct ones, from 1; 0 where there is none.
        levels: Per model the rising thresholds that tell scores apart: accepting from rank g on is `levels[g - 1]`.
    """

    quality: Floats
    cost: Floats
    scoring: Floats
    rank: npt.NDArray[np.int32]
    levels: tuple[Floats, ...]

    @classmethod
    def of(cls, quality: Floats, cost: Floats, score: Floats, scoring: Floats | None = None) -> Ranked:
        """Check and sort. Arguments and errors are those of `search_thresholds`; columns are models in any order."""
        parts = {"quality": quality, "cost": cost, "score": score}
        if scoring is not None:
            parts["scoring"] = scoring
        columns = {name: np.ascontiguousarray(np.asarray(part, dtype=np.float64).T) for name, part in parts.items()}
        _check(columns)
        free = np.broadcast_to(0.0, columns["cost"].shape)
        ranks, levels = zip(*map(_ranks, columns["score"]), strict=True)
        return cls(columns["quality"], columns["cost"], columns.get("scoring", free), np.array(ranks), levels)


def search_thresholds(quality: Floats, cost: Floats, score: Floats, scoring: Floats | None = None) -> Reached:
    """All Pareto-optimal pairs of mean cost and mean quality that a cascade reaches by its thresholds.

    The cascade is `policies.Cascade` with fixed thresholds: an answer whose score reaches its tier's threshold is served, a
    missing score escalates, the last tier's answer is always served; every answer called for is paid, and so is scoring it
    unless it is the last tier's. Chen, Zaharia & Zou 2023 (arXiv 2305.05176), section 3, whose search tries a grid.

    With two tiers every threshold is looked at: a sort and prefix sums, O(n log n). With three, so is every value of the
    second threshold for each value of the first, in a table of two-dimensional prefix sums; the first is swept over at most
    200 quantiles, or over all values when the table has at most 2^18 cells (a few thousand queries). With four, so is the
    first over at most 40 quantiles, and the second over at most 40, or all when the table has at most 2^13 cells. Thresholds
    that cannot be optimal are left out beforehand: an answer at least as good as all that may follow it had better be served.

    Args:
        quality: Shape (queries, tiers): quality of each answer, in [0, 1]; tiers in the order in which they are asked.
        cost: Shape (queries, tiers): cost of each answer, at least 0, in any unit.
        score: Shape (queries, tiers): confidence in each answer, in [0, 1]; NaN for none. The last tier's is not looked at.
        scoring: Shape (queries, tiers): further cost of scoring each answer; nothing by default.

    Returns:
        The points; one tier has a single one, without thresholds.

    Raises:
        ConfigurationError: Shapes differ, there are no queries, no tiers or more than four, or a value is out of range.

    >>> quality = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> score = np.array([[0.9, np.nan], [0.1, np.nan], [0.8, np.nan], [0.2, np.nan]])
    >>> reached = search_thresholds(quality, np.array([[1.0, 4.0]] * 4), score)
    >>> reached.cost.tolist(), reached.quality.tolist(), reached.thresholds.tolist()
    ([1.0, 2.0, 3.0], [0.5, 0.75, 1.0], [[0.1], [0.2], [0.8]])
    """
    ranked = Ranked.of(quality, cost, score, scoring)
    return search_order(ranked, range(len(ranked.quality)))


def search_order(ranked: Ranked, order: Sequence[int]) -> Reached:
    """`search_thresholds` for some of the models, in the order given.

    Raises:
        ConfigurationError: No model, or more than four.
    """
    if not 1 <= len(order) <= 4:
        raise ConfigurationError(f"{len(order)} tiers: thresholds are searched for 1 to 4.")
    tiers = [_Tier(ranked.quality[i], ranked.cost[i], ranked.scoring[i], ranked.rank[i], ranked.levels[i]) for i in order]
    queries = ranked.quality.shape[1]
    if len(order) == 1:
        return Reached(np.empty((1, 0)), tiers[0].cost.mean(keepdims=True), tiers[0].quality.mean(keepdims=True))
    cuts, cost, quality = _search(tiers, len(order))
    cost, quality = cost / queries, quality / queries
    best = pareto(cost, quality)  # once more: sums may differ by rounding where means do not
    levels = [tier.levels[column - 1] for tier, column in zip(tiers, cuts[best].T, strict=False)]
    return Reached(np.stack(levels, axis=1), cost[best], quality[best])


@dataclass(frozen=True)
class _Tier:
    """A tier's column of `Ranked`, or some rows of it."""

    quality: Floats
    cost: Floats
    scoring: Floats
    rank: npt.NDArray[np.int32]
    levels: Floats

    def __getitem__(self, rows: npt.NDArray[np.bool_]) -> _Tier:
        return _Tier(self.quality[rows], self.cost[rows], self.scoring[rows], self.rank[rows], self.levels)


_Totals = tuple[Integers, Floats, Floats]
"""Points: least accepted rank per tier but the last, shape (points, tiers - 1); sums of cost and of quality."""


def _search(tiers: Sequence[_Tier], depth: int) -> _Totals:
    """Pareto-optimal points of the rows at hand; `depth` is that of the whole cascade, and says how fine a sweep is."""
    if len(tiers) == 2:
        return _two(*tiers)
    if len(tiers) == 3:
        return _three(tiers[0], tiers[1], tiers[2], _CUTS[depth], _CELLS[depth])
    first, rest = tiers[0], tiers[1:]
    base_cost, base_quality = first.cost.sum() + first.scoring.sum(), first.quality.sum()
    found = []
    for cut in _thin(_cuts(first, rest), _CUTS[depth]):
        left = first.rank < cut
        cuts, cost, quality = _search([tier[left] for tier in rest], depth)
        kept = base_quality - first.quality[left].sum()
        found.append((np.column_stack([np.full(len(cost), cut), cuts]), base_cost + cost, kept + quality))
    return _merged(found)


def _two(first: _Tier, last: _Tier) -> _Totals:
    cuts = _cuts(first, [last])
    slot = _slots(first, cuts)
    cost = np.cumsum(_sums(slot, last.cost, len(cuts) + 1)[:-1])
    quality = np.cumsum(_sums(slot, last.quality - first.quality, len(cuts) + 1)[:-1])
    cost += first.cost.sum() + first.scoring.sum()
    quality += first.quality.sum()
    best = pareto(cost, quality)
    return cuts[best, None], cost[best], quality[best]


def _three(first: _Tier, second: _Tier, last: _Tier, most: int, cells: int) -> _Totals:
    """A table with a row per cut of the first tier and a column per cut of the second, filled block of rows by block.

    A cell holds the sums when scores below both cuts escalate. Down a column and along a row costs never fall, so a cell is
    Pareto-optimal only if its quality is above that of all cells above and to the left.
    """
    seconds = _cuts(second, [last])
    width = len(seconds)
    firsts = _thin(_cuts(first, [second, last]), max(most, cells // width))
    row, column = _slots(first, firsts), _slots(second, seconds)
    height = len(firsts)
    # what a row of the table has before any query goes on to the last tier
    asked = np.cumsum(_sums(row, second.cost + second.scoring, height + 1)[:-1])
    asked += first.cost.sum() + first.scoring.sum()
    served = np.cumsum(_sums(row, second.quality - first.quality, height + 1)[:-1]) + first.quality.sum()
    on = (row < height) & (column < width)
    row, column = row[on], column[on]
    paid, gained = last.cost[on], (last.quality - second.quality)[on]
    carried = np.zeros((2, width))
    highest = np.full(width, -np.inf)
    found = []
    rows = max(1, _BLOCK // width)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        here = slice(None) if stop - start == height else (row >= start) & (row < stop)
        places = (row[here] - start) * width + column[here]
        tables = []
        for which, weights in enumerate((paid[here], gained[here])):
            table = _sums(places, weights, (stop - start) * width).reshape(-1, width)
            table[0] += carried[which]
            np.cumsum(table, axis=0, out=table)
            carried[which] = table[-1]
            tables.append(np.cumsum(table, axis=1, out=table))
        cost, quality = tables
        cost += asked[start:stop, None]
        quality += served[start:stop, None]
        good, highest = _risen(quality, highest)
        kept = np.flatnonzero(good)
        cuts = np.column_stack([firsts[start + kept // width], seconds[kept % width]])
        found.append((cuts, cost.ravel()[kept], quality.ravel()[kept]))
        if sum(len(part[1]) for part in found[1:]) > _BLOCK // 4:
            found = [_merged(found)]
    return _merged(found)


def _risen(table: Floats, highest: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which cells are above all others up and to the left, and the running maximum to go on with in the next block.

    Args:
        table: Shape (rows, columns).
        highest: Shape (columns,): the maximum of all rows before, up to each column.
    """
    peak = table.copy()
    np.maximum(peak[0], highest, out=peak[0])
    np.maximum.accumulate(peak, axis=0, out=peak)
    np.maximum.accumulate(peak, axis=1, out=peak)
    good = np.concatenate([table[:1] > highest, table[1:] > peak[:-1]])
    good[:, 1:] &= table[:, 1:] > peak[:, :-1]
    return good, peak[-1].copy()


def _cuts(tier: _Tier, following: Sequence[_Tier]) -> Integers:
    """Least accepted ranks that may be optimal.

    Serving one score more costs nothing and, where no such answer is worse than what may follow it, loses nothing. So the
    scores just below a threshold worth trying include an answer that a later tier betters.
    """
    better = tier.quality < following[0].quality
    for other in following[1:]:
        better |= tier.quality < other.quality
    matters = np.zeros(len(tier.levels) + 1, dtype=bool)
    matters[tier.rank[better]] = True
    return np.concatenate([[1], np.flatnonzero(matters[1 : len(tier.levels)]) + 2])


def _thin(cuts: Integers, most: int) -> Integers:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(cuts) <= most:
        return cuts
    return cuts[np.linspace(0, len(cuts) - 1, most).round().astype(np.int64)]


def _slots(tier: _Tier, cuts: Integers) -> Integers:
    """Per row the number of cuts that accept it: with all from that one on it escalates."""
    steps = np.zeros(len(tier.levels) + 2, dtype=np.int64)
    steps[cuts] = 1
    result: Integers = np.cumsum(steps)[tier.rank]
    return result


def _sums(slots: Integers, weights: Floats, size: int) -> Floats:
    """Sum of the weights per slot, as floats also where there are none."""
    return np.bincount(slots, weights, size).astype(np.float64, copy=False)


def _merged(found: Sequence[_Totals]) -> _Totals:
    """The Pareto-optimal ones of several lists of points."""
    cuts = np.concatenate([part[0] for part in found])
    cost = np.concatenate([part[1] for part in found])
    quality = np.concatenate([part[2] for part in found])
    best = pareto(cost, quality)
    return cuts[best], cost[best], quality[best]


def _ranks(scores: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Rank of each score among the distinct ones, and the thresholds."""
    order = np.argsort(scores)  # NaN last
    ordered = scores[order]
    known = int(np.searchsorted(ordered, np.nan))  # numpy sorts NaN above all numbers
    starts = np.concatenate([[True], ordered[1:known] != ordered[: known - 1]]) if known else np.zeros(0, dtype=bool)
    rank = np.zeros(len(scores), dtype=np.int32)
    rank[order[:known]] = np.cumsum(starts)
    levels = ordered[:known][starts]
    # a threshold of 1 accepts none of the scores, unless one of them is 1
    return rank, levels if known and levels[-1] == 1.0 else np.append(levels, 1.0)


def _check(columns: dict[str, Floats]) -> None:
    """Refuse shapes and values that are no recordings."""
    shape = columns["quality"].shape
    for name, column in columns.items():
        if column.ndim != 2 or column.shape != shape or not column.size:
            raise ConfigurationError(
                f"{name} has shape {column.T.shape}, quality {columns['quality'].T.shape}: each takes one row per query and "
                "one column per model, at least one of either."
            )
        limit, high = _LIMITS[name]
        wrong = ~((column >= 0) & (column <= high))
        if name == "score":
            wrong &= ~np.isnan(column)
        if wrong.any():
            model, row = np.argwhere(wrong)[0]
            raise ConfigurationError(
                f"{name} of query {row}, model {model} is {column[model, row]}: it must be a number {limit}. Leave out queries "
                "that not every model answered."
            )
