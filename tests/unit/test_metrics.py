import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.evaluation.metrics import area, areas, auroc, cost_at_accuracy, costs_at_accuracy, frontier
from recorded import unhurried

points = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=12)


def test_area_by_hand():
    curve = [(1.0, 0.5), (2.0, 0.75), (3.0, 1.0)]
    assert area(curve, 1, 4) == pytest.approx((0.625 + 0.875 + 1.0) / 3)
    assert area(curve, 1, 2.5) == pytest.approx((0.625 + (0.75 + 0.875) / 2 * 0.5) / 1.5)
    assert area(curve, 0, 1) == pytest.approx(0.5)
    assert area([(2.0, 0.3)], 1, 4) == pytest.approx(0.3)


def test_area_of_random_routing_is_the_mean_of_its_ends():
    assert area([(1.0, 0.4), (5.0, 0.9)], 1, 5) == pytest.approx(0.65)


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.0), (3.0, 2.0)])
def test_no_room_no_area(low, high):
    assert area([(1.0, 0.5)], low, high) is None


@unhurried
@given(points, st.floats(0, 10), st.floats(0.001, 10))
def test_area_lies_between_the_accuracies(curve, low, width):
    value = area(curve, low, low + width)
    heights = [accuracy for _, accuracy in curve]
    assert min(heights) - 1e-9 <= value <= max(heights) + 1e-9


@unhurried
@given(points, st.floats(0, 5), st.floats(0.01, 5), st.floats(0.01, 5))
def test_areas_of_parts_add_up(curve, low, first, second):
    middle, high = low + first, low + first + second
    parts = area(curve, low, middle) * (middle - low) + area(curve, middle, high) * (high - middle)
    assert area(curve, low, high) * (high - low) == pytest.approx(parts, abs=1e-6)


def test_cost_at_accuracy_by_hand():
    curve = [(1.0, 0.5), (2.0, 0.75), (3.0, 0.6), (4.0, 1.0)]
    assert cost_at_accuracy(curve, 0.4) == 1.0
    assert cost_at_accuracy(curve, 0.625) == 1.5
    assert cost_at_accuracy(curve, 0.75) == 2.0
    assert cost_at_accuracy(curve, 0.8) == 3.5
    assert cost_at_accuracy([(1.0, 0.5)], 0.6) is None


@unhurried
@given(points, st.floats(0, 1))
def test_cost_at_accuracy_reaches_it(curve, accuracy):
    cost = cost_at_accuracy(curve, accuracy)
    if cost is None:
        assert all(height < accuracy for _, height in dict(sorted(curve, key=lambda point: point[0])).items())
    else:
        assert min(c for c, _ in curve) <= cost <= max(c for c, _ in curve)


@unhurried
@given(points)
def test_nothing_beats_the_frontier(curve):
    costs, accuracies = map(np.array, zip(*curve, strict=True))
    best = frontier(costs, accuracies)
    assert (np.diff(costs[best]) > 0).all()
    assert (np.diff(accuracies[best]) > 0).all()
    for cost, accuracy in curve:
        assert any(costs[i] <= cost and accuracies[i] >= accuracy for i in best)


@unhurried
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9, float("nan")]), st.booleans()), max_size=20))
def test_auroc_counts_pairs(answers):
    known = [(score, right) for score, right in answers if score == score]
    pairs = list(itertools.product([s for s, right in known if right], [s for s, right in known if not right]))
    value = auroc(np.array([s for s, _ in answers]), np.array([float(r) for _, r in answers]))
    if pairs:
        assert value == pytest.approx(sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs))
    else:
        assert value is None


@unhurried
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
def test_many_curves_at_once(curves, points, seed):
    draw = np.random.default_rng(seed)
    costs, heights = draw.integers(0, 5, (curves, points)).astype(float), draw.integers(0, 5, (curves, points)) / 4
    low, high, wanted = draw.random(curves), 1 + 4 * draw.random(curves), draw.random(curves)
    each = [by_hand(*curve) for curve in zip(costs, heights, low, high, wanted, strict=True)]
    assert areas(costs, heights, low, high) == pytest.approx([reached for reached, _ in each])
    assert costs_at_accuracy(costs, heights, wanted) == pytest.approx([cost for _, cost in each])


def by_hand(costs, heights, low, high, wanted):
    """On a fine grid of budgets."""
    points = dict(sorted(zip(costs.tolist(), heights.tolist(), strict=True), key=lambda point: point[0]))
    x, y = list(points), list(points.values())
    knots = np.unique([low, high, *(cost for cost in x if low < cost < high)])
    total = sum((b - a) * np.interp((a + b) / 2, x, y) for a, b in itertools.pairwise(knots))
    for (a, one), (b, other) in itertools.pairwise([(x[0], y[0]), *zip(x, y, strict=True)]):
        if one >= wanted or other >= wanted:
            cost = a if one >= wanted else a + (wanted - one) / (other - one) * (b - a)
            return total / (high - low), cost
    return total / (high - low), np.inf
