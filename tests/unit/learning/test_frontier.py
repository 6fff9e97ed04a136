"""The frontier: what each budget and each quality gets, and what it says to those out of reach."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.learning.frontier import Frontier, Point, as_points, pareto
from frugal_core.saving import load, save

POINTS = (
    Point((2,), (), 1.0, 0.6),
    Point((2, 0), (0.7,), 2.0, 0.7),
    Point((2, 1, 0), (0.9, 0.4), 5.0, 0.9),
)
FRONTIER = Frontier(POINTS)


@pytest.mark.parametrize(("budget", "place"), [(1.0, 0), (1.99, 0), (2.0, 1), (4.9, 1), (5.0, 2), (float("inf"), 2)])
def test_a_budget_gets_the_best_that_it_pays_for(budget: float, place: int) -> None:
    assert FRONTIER.at_budget(budget) is POINTS[place]


def test_a_budget_is_met_but_for_rounding() -> None:
    assert FRONTIER.at_budget(2.0 - 1e-15) is POINTS[1]
    assert FRONTIER.at_budget(2.0 - 1e-6) is POINTS[0]


@pytest.mark.parametrize(("quality", "place"), [(0.0, 0), (0.6, 0), (0.61, 1), (0.7, 1), (0.8, 2), (0.9, 2)])
def test_a_quality_gets_the_cheapest_that_reaches_it(quality: float, place: int) -> None:
    assert FRONTIER.at_quality(quality) is POINTS[place]


def test_the_best_is_the_last() -> None:
    assert FRONTIER.best() is POINTS[2]


@pytest.mark.parametrize("budget", [0.5, 0.0, -1.0, float("nan")])
def test_a_budget_below_the_cheapest_model_names_both(budget: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"budget of {budget:g} per query is below 1, .* \(index 2\): raise it"):
        FRONTIER.at_budget(budget)


@pytest.mark.parametrize("quality", [0.95, float("nan"), float("inf")])
def test_a_quality_above_the_best_names_both(quality: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"of {quality:g} is above 0\.9, .*models \[2, 1, 0\], at 5 per query"):
        FRONTIER.at_quality(quality)


def test_it_comes_back_from_a_file(tmp_path: Path) -> None:
    save(FRONTIER, tmp_path / "frontier.json")
    assert load(tmp_path / "frontier.json") == FRONTIER
    assert hash(load(tmp_path / "frontier.json")) == hash(FRONTIER)


def test_it_is_frozen() -> None:
    changes: list[tuple[Any, str]] = [(FRONTIER, "points"), (POINTS[0], "cost")]
    for thing, name in changes:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def test_what_is_no_frontier_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="without points"):
        Frontier(())
    for worse in (Point((0,), (), 1.0, 0.8), Point((0,), (), 1.5, 0.6)):
        with pytest.raises(ConfigurationError, match="Points 0 and 1 of a frontier cost 1 and"):
            Frontier((POINTS[0], worse))


@pytest.mark.parametrize(("order", "thresholds"), [((0,), (0.5,)), ((0, 1), ()), ((), ())])
def test_a_point_has_one_threshold_per_escalation(order: tuple[int, ...], thresholds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{len(thresholds)} thresholds for the models \[.*one per escalation"):
        Point(order, thresholds, 1.0, 0.5)


few = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(st.lists(st.tuples(few, few, st.integers(0, 3)), max_size=12))
def test_a_point_stays_unless_another_beats_it(rows: list[tuple[float, float, int]]) -> None:
    cost, quality = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    preference = np.array([row[2] for row in rows], dtype=np.int64)
    kept = [rows[i] for i in pareto(cost, quality, preference)]
    beaten = {
        (usd, mean)
        for usd, mean, _ in rows
        if any(other <= usd and better >= mean and (other, better) != (usd, mean) for other, better, _ in rows)
    }
    assert [row[:2] for row in kept] == sorted({row[:2] for row in rows} - beaten)
    for usd, mean, number in kept:
        assert number == min(row[2] for row in rows if row[:2] == (usd, mean))


def test_a_quality_higher_by_rounding_alone_is_not_worth_a_cost() -> None:
    assert pareto(np.array([1.0, 2.0]), np.array([0.3, 0.1 + 0.2])).tolist() == [0]


def test_without_a_preference_the_first_of_equals_stays() -> None:
    assert pareto(np.ones(3), np.ones(3)).tolist() == [0]


def test_columns_become_points() -> None:
    thresholds = np.array([[np.nan, np.nan], [0.7, np.nan], [0.9, 0.4]])
    columns = np.array([1.0, 2.0, 5.0]), np.array([0.6, 0.7, 0.9])
    assert as_points([(2,), (2, 0), (2, 1, 0)], thresholds, *columns) == POINTS
