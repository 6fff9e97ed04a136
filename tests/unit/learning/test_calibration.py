"""Calibration against brute force, the published transform, and what a confidence must never become."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.learning.calibration import Calibration, brier, calibration_error, isotonic, transformed
from frugal_core.learning.logistic import Logistic
from frugal_core.saving import load, save

unit = st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 0.999, 1.0])


def brute_isotonic(values, weights):
    """The best of all ways to cut the sequence into runs with rising means."""
    n = len(values)
    best = None
    for cuts in itertools.product([False, True], repeat=n - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), n]
        means = [np.average(values[a:b], weights=weights[a:b]) for a, b in itertools.pairwise(edges)]
        if all(a <= b for a, b in itertools.pairwise(means)):
            fit = np.repeat(means, np.diff(edges))
            loss = (weights * (values - fit) ** 2).sum()
            if best is None or loss < best[0] - 1e-12:
                best = (loss, fit)
    return best[1]


@given(st.lists(st.tuples(unit, st.integers(1, 5)), min_size=1, max_size=8))
def test_pooling_finds_the_best_rising_sequence(rows):
    values, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert isotonic(values, weights) == pytest.approx(brute_isotonic(values, weights))


def test_pooling_by_hand():
    assert isotonic([5.0, 4.0, 3.0, 2.0, 1.0]).tolist() == [3.0] * 5
    assert isotonic([1.0, 2.0, 3.0, 0.0]).tolist() == [1.0, pytest.approx(5 / 3), pytest.approx(5 / 3), pytest.approx(5 / 3)]
    assert isotonic([1.0, 0.0], [3.0, 1.0]).tolist() == [0.75, 0.75]
    assert isotonic([]).tolist() == []


def in_passes(values, weights):
    """Pools whole runs that do not rise, pass by pass, until all rise."""
    totals, sizes, counts = values * weights, weights, np.ones(len(values), dtype=int)
    while (falls := (totals / sizes)[1:] <= (totals / sizes)[:-1]).any():
        starts = np.flatnonzero(np.concatenate([[True], ~falls]))
        totals, sizes, counts = (np.add.reduceat(column, starts) for column in (totals, sizes, counts))
    return np.repeat(totals / sizes, counts)


@given(
    st.lists(st.tuples(st.integers(-8, 8), st.sampled_from([0.5, 1.0, 2.0, 8.0])), min_size=1, max_size=80),
    st.sampled_from([0.0, 0.05, 0.5]),
)
def test_isotonic_is_the_same_in_passes(rows, rise):
    """Also where few neighbours fall, so that they are pooled one by one."""
    values, weights = np.array(rows, dtype=float).T
    values = values + rise * np.arange(len(values)) * 16
    assert isotonic(values, weights).tolist() == pytest.approx(in_passes(values, weights).tolist(), abs=1e-9)


def test_isotonic_where_each_pass_would_pool_but_one():
    """A long rise that one low value at its end pulls down, step by step: quadratic in passes."""
    n = 300_000
    fitted = isotonic(np.append(np.sqrt(np.linspace(0, 1, n)), -1e6))
    assert np.ptp(fitted) == 0
    assert fitted[0] == pytest.approx((np.sqrt(np.linspace(0, 1, n)).sum() - 1e6) / (n + 1))
    fitted = isotonic(np.append(np.sqrt(np.linspace(0, 1, n)), 0.5))
    assert (np.diff(fitted) >= 0).all()
    last = np.flatnonzero(fitted == fitted[-1])
    assert fitted[-1] == pytest.approx(np.append(np.sqrt(np.linspace(0, 1, n)), 0.5)[last].mean())
    assert 0 < last[0] < n


def test_the_transforms_are_the_published_ones():
    p = np.array([0.0, 0.3, 0.5, 0.7, 1.0])
    one, two = transformed(p), transformed(p, "two_sided")
    assert one[:4] == pytest.approx([0.0, -math.log(0.7), math.log(2), -math.log(0.3)])
    assert two[1:4] == pytest.approx([math.log(0.6), 0.0, -math.log(0.6)])
    assert (one[4], two[0], two[4]) == (math.inf, -math.inf, math.inf)
    middle = np.linspace(0.01, 0.99, 99)
    assert transformed(middle, "two_sided") == pytest.approx(-transformed(1 - middle, "two_sided"))
    assert np.isnan(transformed(np.nan))


@given(
    st.lists(st.tuples(unit, st.sampled_from([0.0, 0.5, 1.0])), min_size=10, max_size=40),
    st.sampled_from(["logistic", "isotonic"]),
    st.sampled_from(["one_sided", "two_sided"]),
)
def test_whatever_it_learns_from_it_rises_stays_off_0_and_1_and_is_right_on_average(rows, method, form):
    p, y = (np.array(column) for column in zip(*rows, strict=True))
    learned = Calibration.fit(p, y, form=form, method=method)
    grid = np.linspace(0, 1, 101)
    found = learned.apply(grid)
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found) >= -1e-12).all()
    assert [learned(value) for value in grid.tolist()] == pytest.approx(found.tolist())
    assert learned.apply(p).mean() == pytest.approx(y.mean(), abs=0.51 / len(p) if method == "logistic" else 1 / len(p))


@given(st.lists(st.tuples(unit, st.sampled_from([0.0, 0.5, 1.0])), min_size=10, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter_and_tied_confidences_get_one_probability(rows, random):
    shuffled = rows[:]
    random.shuffle(shuffled)
    one, other = (Calibration.fit(*zip(*some, strict=True), method="isotonic") for some in (rows, shuffled))
    assert one.ys == pytest.approx(other.ys)
    p, y = (np.array(column) for column in zip(*rows, strict=True))
    xs = np.unique(p)
    sizes = np.array([(p == x).sum() for x in xs], dtype=float)
    best = brute_isotonic(np.array([y[p == x].mean() for x in xs]), sizes)
    margin = 1 / (len(p) + 2)
    assert one.apply(xs) == pytest.approx(np.clip(best, margin, 1 - margin))


def test_the_logistic_one_is_the_regression_on_the_transformed_confidence():
    rng = np.random.default_rng(0)
    p = rng.random(200)
    y = (rng.random(200) < p).astype(float)
    learned = Calibration.fit(p, y, form="two_sided")
    model = Logistic.fit(transformed(p, "two_sided")[:, None], y, penalty=0.1)
    assert learned.apply(p) == pytest.approx(model.probabilities(transformed(p, "two_sided")[:, None]))
    assert (learned.method, learned.rows) == ("logistic", 200)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_confidence_that_points_the_wrong_way_is_the_base_rate(method):
    p = np.repeat([0.1, 0.9], 50)
    learned = Calibration.fit(p, [1] * 40 + [0] * 10 + [1] * 10 + [0] * 40, method=method)
    assert learned.apply([0.0, 0.1, 0.9, 1.0]) == pytest.approx([0.5] * 4)


def test_the_method_follows_the_number_of_rows_with_a_confidence():
    p, y = np.linspace(0, 1, 500), np.tile([0, 1], 250)
    assert Calibration.fit(p, y).method == "isotonic"
    assert Calibration.fit(p[1:], y[1:]).method == "logistic"
    p[7] = np.nan
    assert (Calibration.fit(p, y).method, Calibration.fit(p, y).rows) == ("logistic", 499)


def test_certainty_counts_as_the_greatest_confidence_that_is_none():
    p = np.array([0.5] * 10 + [0.9] * 10 + [1.0] * 10)
    learned = Calibration.fit(p, [0, 1] * 5 + [1] * 9 + [0] + [1] * 10)
    assert learned(1.0) == learned(0.9) == learned(0.95)
    sure = Calibration.fit([1.0] * 10, [1] * 8 + [0] * 2)
    assert sure(1.0) == sure(0.2) == pytest.approx(8.5 / 11)


def test_a_known_miscalibration_is_mended_with_many_rows_and_with_thirty():
    rng = np.random.default_rng(3)

    def draw(rows):
        """Overconfident as language models are: right less often than they say, alike in log 1/(1−p)."""
        p = 1 - np.exp(-rng.exponential(3.0, size=rows))
        return p, (rng.random(rows) < 1 / (1 + np.exp(1 - 0.5 * transformed(p)))).astype(float)

    held, right = draw(20_000)
    raw = calibration_error(held, right)
    many = Calibration.fit(*draw(5_000))
    assert (many.method, raw > 0.2) == ("isotonic", True)
    assert calibration_error(many.apply(held), right) < 0.03
    few = [calibration_error(Calibration.fit(*draw(30)).apply(held), right) for _ in range(30)]
    assert np.median(few) < 0.12 < raw


def test_missing_confidences_stay_missing():
    for method in ("logistic", "isotonic"):
        learned = Calibration.fit([0.1, 0.9] * 10 + [math.nan], [0, 1] * 10 + [1], method=method)
        assert np.isnan(learned.apply([math.nan, 0.5])).tolist() == [True, False]


def test_the_measures_by_hand():
    assert brier([0.0, 1.0, 0.5, math.nan], [1, 1, 0, 1]) == pytest.approx((1 + 0 + 0.25) / 3)
    p, y = [0.05, 0.08, 0.95, 1.0, math.nan], [0, 1, 1, 1, 0]
    assert calibration_error(p, y) == pytest.approx((abs(0.13 - 1) + abs(1.95 - 2)) / 4)
    assert calibration_error(p, y, bins=1) == pytest.approx(abs(2.08 - 3) / 4)
    assert math.isnan(brier([], []))
    assert math.isnan(calibration_error([math.nan], [1]))


def test_it_is_saved_as_plain_numbers_and_stays_as_it_is(tmp_path):
    for method in ("logistic", "isotonic"):
        learned = Calibration.fit(np.linspace(0, 1, 50), np.tile([0, 1], 25), method=method)
        save(learned, tmp_path / "c")
        assert load(tmp_path / "c") == learned
        with pytest.raises(AttributeError):
            learned.rows = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("confidence", "correct", "rest", "message"),
    [
        ([0.5] * 9 + [math.nan], [1] * 10, {}, "9 rows .* at least 10"),
        ([0.5] * 10, [1] * 9, {}, "as many of both"),
        ([[0.5] * 10], [[1] * 10], {}, "as many of both"),
        ([-0.5] * 10, [1] * 10, {}, "exp"),
        ([0.5] * 10, [2] * 10, {}, "from 0 to 1"),
        ([0.5] * 10, [math.nan] * 10, {}, "from 0 to 1"),
        ([0.5] * 10, [1] * 10, {"method": "platt"}, "method='platt'"),
        ([0.5] * 10, [1] * 10, {"form": "odds"}, "form='odds'"),
    ],
)
def test_what_does_not_fit_is_refused(confidence, correct, rest, message):
    with pytest.raises(ConfigurationError, match=message):
        Calibration.fit(confidence, correct, **rest)


@pytest.mark.parametrize(
    "state",
    [
        ("isotonic", "one_sided", (), (), 10),
        ("isotonic", "one_sided", (0.1, 0.1), (0.2, 0.3), 10),
        ("isotonic", "one_sided", (0.1, 0.2), (0.3, 0.2), 10),
        ("isotonic", "one_sided", (0.1, 0.2), (0.3, 1.2), 10),
        ("logistic", "one_sided", (0.1, 0.2), (0.3,), 10),
        ("logistic", "one_sided", (0.1, math.inf), (0.3, 0.4), 10),
    ],
)
def test_a_broken_state_is_refused(state):
    with pytest.raises(ConfigurationError):
        Calibration(*state)
