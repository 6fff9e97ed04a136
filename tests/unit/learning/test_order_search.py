"""The search over orders: against every order by itself, and with pruning against without."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.evaluation.replay import Replay
from frugal_core.learning import order_search, threshold_search
from frugal_core.learning.frontier import pareto
from frugal_core.learning.order_search import search_orders
from frugal_core.learning.setting import Setting
from frugal_core.learning.threshold_search import Ranked, search_order
from recorded import settings, unhurried


def parts(setting: Setting) -> tuple[Any, ...]:
    return setting.correct, setting.cost, setting.score, setting.scoring


def random_parts(seed: int, queries: int = 150, models: int = 5) -> tuple[Any, ...]:
    """Models of unlike quality and price (a dear one may be bad), scores of unlike worth, some graded, some missing."""
    random = np.random.default_rng(seed)
    skill, price, worth = random.uniform(0.3, 1.1, models), 10.0 ** random.uniform(-1, 1.5, models), random.random(models)
    quality = (random.random((queries, models)) < skill - 0.4 * random.random((queries, 1))).astype(float)
    if seed % 3 == 0:
        quality = np.clip(quality * random.random((queries, models)), 0, 1)
    score = np.clip(0.5 + worth * (quality - 0.5) + 0.2 * random.standard_normal((queries, models)), 0, 1)
    score = np.round(score, 2) if seed % 2 else score
    score[random.random((queries, models)) < 0.05] = np.nan
    cost = price * random.uniform(0.5, 1.5, (queries, models))
    return quality, cost, score, 0.1 * cost * (seed % 4 == 0)


@unhurried
@given(settings(), st.integers(1, 4))
def test_it_is_the_frontier_of_every_order_by_itself(setting: Setting, depth: int) -> None:
    ranked = Ranked.of(*parts(setting))
    models = range(len(setting.models))
    lists = [order for length in range(1, min(depth, len(models)) + 1) for order in permutations(models, length)]
    each = [search_order(ranked, order) for order in lists]
    cost, quality = np.concatenate([one.cost for one in each]), np.concatenate([one.quality for one in each])
    best = pareto(cost, quality)
    found = search_orders(*parts(setting), depth=depth).points
    assert [(point.cost, point.quality) for point in found] == list(zip(cost[best], quality[best], strict=True))


@unhurried
@given(settings())
def test_each_point_is_what_the_cascade_does(setting: Setting) -> None:
    for point in search_orders(*parts(setting), depth=4).points:
        outcomes = Replay(setting, point.order, np.arange(len(setting.train))).cascade(point.thresholds)
        assert outcomes.cost.mean() == pytest.approx(point.cost, rel=1e-12)
        assert outcomes.correct.mean() == pytest.approx(point.quality, rel=1e-12)


# --- pruning ---


@unhurried
@given(settings(), st.integers(3, 4), st.integers(1, 4))
def test_pruning_never_changes_the_frontier(setting: Setting, depth: int, bins: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_search, "_BINS", {3: bins, 4: bins})
        assert search_orders(*parts(setting), depth=depth) == search_orders(*parts(setting), depth=depth, prune=False)


@pytest.mark.parametrize("seed", range(12))
def test_pruning_never_changes_the_frontier_of_many_queries_and_saves_work(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[tuple[int, ...]] = []

    def counting(ranked: Ranked, order: tuple[int, ...]) -> Any:
        solved.append(order)
        return search_order(ranked, order)

    monkeypatch.setattr(order_search, "search_order", counting)
    pruned = search_orders(*random_parts(seed))
    few = len(solved)
    assert pruned == search_orders(*random_parts(seed), prune=False)
    assert len(solved) - few == 5 + 20 + 60
    assert set(solved[:25]) == {order for length in (1, 2) for order in permutations(range(5), length)}
    assert few < 5 + 20 + 45  # at least a quarter of the triples is left out


def test_pruning_at_depth_four_changes_nothing_either() -> None:
    data = random_parts(1, queries=60, models=4)
    assert search_orders(*data, depth=4) == search_orders(*data, depth=4, prune=False)


@unhurried
@given(settings(models=4), st.integers(1, 6), st.data())
def test_the_bound_is_above_all_that_a_list_reaches(setting: Setting, bins: int, data: Any) -> None:
    ranked = Ranked.of(*parts(setting))
    order = data.draw(st.permutations(range(4)))[: data.draw(st.integers(2, 4))]
    cost, quality = order_search._Bound(ranked, bins).of(order)
    reached = search_order(ranked, order)
    for paid, right in zip(reached.cost, reached.quality, strict=True):
        assert ((cost <= paid * (1 + 1e-12)) & (quality >= right - 1e-12)).any()


def test_with_one_group_the_bound_is_the_oracle_at_the_cost_of_the_first() -> None:
    quality, cost, score, _ = random_parts(1)
    score = np.nan_to_num(score, nan=0.5)
    bounds = order_search._Bound(Ranked.of(quality, cost, score), 1).of((3, 1, 4))
    assert [part.tolist() for part in bounds] == [
        [pytest.approx(cost[:, 3].mean())],
        [pytest.approx(quality[:, [3, 1, 4]].max(axis=1).mean())],
    ]


def test_the_most_groups_are_told_apart_in_a_byte() -> None:
    assert max(order_search._BINS.values()) < 256


# --- choices ---


def test_singles_are_candidates_and_shorter_lists_win_ties() -> None:
    quality, cost = np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]), np.array([[1.0, 3.0, 3.0]] * 2)
    points = search_orders(quality, cost, np.full((2, 3), 0.5)).points
    assert [(point.order, point.cost, point.quality) for point in points] == [((0,), 1.0, 0.0), ((1,), 3.0, 1.0)]
    free = search_orders(quality, np.zeros((2, 3)), np.full((2, 3), 0.5)).points
    assert [point.order for point in free] == [(1,)]


def test_in_what_order_lists_are_solved_makes_no_difference() -> None:
    alike = [threshold_search.Reached(np.array([[0.5]]), np.array([1.0]), np.array([0.7])) for _ in range(3)]
    for order in permutations(range(3)):
        best = order_search._Best(2)
        for number in order:
            best.add(number, alike[number])
        assert best.number.tolist() == [0]


def test_depth_limits_the_lists() -> None:
    data = random_parts(1, models=4)
    assert {len(point.order) for point in search_orders(*data, depth=1).points} == {1}
    assert max(len(point.order) for point in search_orders(*data, depth=2).points) == 2
    best = [search_orders(*data, depth=depth).best().quality for depth in (1, 2, 3, 4)]
    assert best == sorted(best)


@pytest.mark.parametrize("depth", [0, 5, -1, True, 2.5, None])
def test_a_depth_out_of_range_is_refused(depth: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be 1, 2, 3 or 4"):
        search_orders(*random_parts(1, models=2), depth=depth)


def test_values_are_checked_before_anything_is_searched() -> None:
    with pytest.raises(ConfigurationError, match=r"cost has shape \(3, 1\), quality \(3, 2\)"):
        search_orders(np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2)))


def test_scores_are_sorted_once_per_model(monkeypatch: pytest.MonkeyPatch) -> None:
    sorts = []
    ranks = threshold_search._ranks

    def counting(scores: Any) -> Any:
        sorts.append(len(scores))
        return ranks(scores)

    monkeypatch.setattr(threshold_search, "_ranks", counting)
    search_orders(*random_parts(1, queries=40, models=4))
    assert sorts == [40] * 4
