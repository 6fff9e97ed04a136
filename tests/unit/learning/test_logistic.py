"""Logistic regression against closed forms, an independent optimiser, and data on which naive ones diverge."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.learning.logistic import PENALTIES, Logistic, folds_of, sigmoid
from frugal_core.saving import load, save


def sample(rows, *weights, seed=0):
    """Features of quite different scales, and labels drawn from a known regression."""
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 10.0 ** np.arange(len(weights)), size=(rows, len(weights)))
    p = 1 / (1 + np.exp(-(x - 3.0) @ (np.array(weights) / 10.0 ** np.arange(len(weights)))))
    return x, (rng.random(rows) < p).astype(float)


def gradient(model, x, y, counts=None):
    """Of the penalised loss in standardised units, by its definition: zero at the optimum."""
    counts = np.ones(len(y)) if counts is None else np.asarray(counts, dtype=float)
    means = np.average(x, axis=0, weights=counts)
    scales = np.sqrt(np.average((x - means) ** 2, axis=0, weights=counts))
    z = (x - means) / scales
    residuals = counts * (0.5 + 0.5 * np.tanh((model.intercept + z @ (np.array(model.weights) * scales)) / 2) - y)
    of_prior = sigmoid(model.intercept) - 0.5
    return residuals.sum() + of_prior, z.T @ residuals + model.penalty * np.array(model.weights) * scales


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_the_gradient_vanishes_at_the_solution(penalty):
    x, y = sample(200, 1.0, -2.0, 0.0)
    of_intercept, of_weights = gradient(Logistic.fit(x, y, penalty=penalty), x, y)
    assert abs(of_intercept) < 1e-4
    assert np.abs(of_weights).max() < 1e-4


def test_without_features_that_vary_it_is_the_base_rate_with_half_a_row_of_each_kind():
    """Closed form: log-odds of (k + 1/2) / (n + 1), near enough for the further row is of log-odds 0."""
    for right, rows in ((3, 10), (0, 10), (10, 10), (50, 100)):
        model = Logistic.fit(np.full((rows, 2), 7.0), [1] * right + [0] * (rows - right), penalty=1.0)
        assert model.weights == (0.0, 0.0)
        p = model.probability([7.0, 7.0])
        assert rows * p + p == pytest.approx(right + 0.5)  # rows·p − right + (p − ½) = 0


def test_a_balanced_pair_of_points_has_its_known_slope():
    """Rows ±1 with labels 1 and 0: 2·σ(−w) = penalty·w, the intercept is 0."""
    model = Logistic.fit([[-1.0], [1.0]], [0, 1], penalty=0.5)
    (weight,) = model.weights
    assert model.intercept == pytest.approx(0, abs=1e-9)
    assert 2 * sigmoid(-weight) == pytest.approx(0.5 * weight, rel=1e-6)


def test_a_brute_force_grid_finds_nothing_better():
    x, y = sample(40, 1.0)
    model = Logistic.fit(x, y, penalty=1.0)
    z = (x[:, 0] - x.mean()) / x.std()

    def loss(intercept, weight):
        logits = np.append(intercept + weight * z, intercept)
        return (np.logaddexp(0, logits) - np.append(y, 0.5) * logits).sum() + weight**2 / 2

    best = loss(model.intercept, model.weights[0] * x.std())
    around = np.linspace(-0.5, 0.5, 41)
    assert all(
        best <= loss(model.intercept + a, model.weights[0] * x.std() + b) + 1e-12 for a, b in itertools.product(around, around)
    )


@given(st.integers(0, 1000), st.sampled_from([1e-6, 1e-3, 1.0]), st.integers(2, 30))
def test_separable_data_converge_and_stay_finite(seed, penalty, rows):
    x = np.sort(np.random.default_rng(seed).normal(size=(rows, 1)), axis=0)
    y = (np.arange(rows) >= rows // 2).astype(float)
    model = Logistic.fit(x, y, penalty=penalty)
    p = model.probabilities(x)
    assert ((p >= 0) & (p <= 1)).all()
    assert p[0] < p[-1]
    assert (np.diff(p) >= 0).all()
    assert model.weights[0] > 0
    of_intercept, of_weights = gradient(model, x, y)
    assert max(abs(of_intercept), np.abs(of_weights).max()) < 1e-3


def test_a_weight_is_so_many_equal_rows_and_weight_nought_is_none():
    x, y = sample(60, 1.0, 0.5)
    counts = np.arange(60) % 4
    weighted = Logistic.fit(x, y, weights=counts, penalty=1.0)
    repeated = Logistic.fit(np.repeat(x, counts, axis=0), np.repeat(y, counts), penalty=1.0)
    assert weighted.weights == pytest.approx(repeated.weights)
    assert (weighted.low, weighted.high) == (repeated.low, repeated.high)
    assert weighted.intercept == pytest.approx(repeated.intercept)


def test_a_graded_label_is_that_share_of_right_rows():
    x, _ = sample(30, 1.0)
    graded = np.linspace(0, 1, 30)
    both = Logistic.fit(np.vstack([x, x]), np.repeat([1.0, 0.0], 30), weights=np.concatenate([graded, 1 - graded]), penalty=1.0)
    model = Logistic.fit(x, graded, penalty=1.0)
    assert model.weights == pytest.approx(both.weights, rel=1e-6)
    assert model.intercept == pytest.approx(both.intercept, rel=1e-6)


def test_units_do_not_matter():
    x, y = sample(300, 1.0, -1.0)
    model, scaled = Logistic.fit(x, y), Logistic.fit(x * [1000.0, 0.001] - 5, y)
    assert scaled.penalty == model.penalty
    assert scaled.probabilities(x * [1000.0, 0.001] - 5) == pytest.approx(model.probabilities(x), abs=1e-6)


def test_unknown_counts_as_the_mean_and_beyond_the_range_as_its_end():
    x, y = sample(100, 2.0, 1.0)
    model = Logistic.fit(x, y, penalty=1.0)
    nan = float("nan")
    assert model.probability([nan, nan]) == pytest.approx(sigmoid(model.intercept))
    assert model.probability([nan, 5.0]) == pytest.approx(model.probability([x[:, 0].mean(), 5.0]))
    assert model.probability([1e9, -math.inf]) == model.probability([x[:, 0].max(), x[:, 1].min()])
    holes = x.copy()
    holes[::3, 0] = nan
    learned = Logistic.fit(holes, y, penalty=1.0)
    assert learned.means[0] == pytest.approx(np.nanmean(holes[:, 0]))
    assert Logistic.fit(np.full((10, 1), nan), [0, 1] * 5, penalty=1.0).weights == (0.0,)


def test_one_row_and_many_give_the_same():
    x, y = sample(50, 1.0, -1.0, 0.3)
    model = Logistic.fit(x, y)
    wide = np.vstack([x * 5, np.where(x > 3, np.nan, x)])
    assert [model.probability(row) for row in wide.tolist()] == pytest.approx(model.probabilities(wide).tolist())


def test_cross_validation_shrinks_noise_and_leaves_a_signal():
    rng = np.random.default_rng(1)
    noise = Logistic.fit(rng.normal(size=(100, 20)), (rng.random(100) < 0.5).astype(float))
    assert noise.penalty >= 100
    x, y = sample(1000, 3.0)
    clear = Logistic.fit(x, y)
    assert clear.penalty <= 3
    assert clear.weights[0] == pytest.approx(3.0, rel=0.2)
    assert {noise.penalty, clear.penalty} <= set(PENALTIES)


def test_the_same_rows_give_the_same_model():
    x, y = sample(150, 1.0, 1.0)
    np.random.default_rng().random(5)
    assert Logistic.fit(x, y) == Logistic.fit(x, y)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(2, 6))
def test_folds_keep_groups_together_and_are_of_equal_size(groups, folds):
    dealt = folds_of(groups, folds)
    by_group = {group: {int(fold) for fold, other in zip(dealt, groups, strict=True) if other == group} for group in groups}
    assert all(len(found) == 1 for found in by_group.values())
    sizes = np.bincount([found.pop() for found in by_group.values()], minlength=min(folds, len(by_group)))
    assert sizes.max() - sizes.min() <= 1


@given(st.integers(0, 500), st.integers(1, 6), st.integers(10, 60))
def test_where_weights_may_not_be_negative_nothing_better_is_near(seed, features, rows):
    """The conditions of Karush, Kuhn and Tucker, which a convex problem's only solution meets."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)) @ rng.normal(size=(features, features))
    y = (rng.random(rows) < 0.5).astype(float)
    rising = [i for i in range(features) if rng.random() < 0.7]
    model = Logistic.fit(x, y, penalty=0.3, rising=rising)
    of_intercept, of_weights = gradient(model, x, y)
    assert abs(of_intercept) < 1e-4
    for i, weight in enumerate(model.weights):
        if i in rising and weight == 0:
            assert of_weights[i] > -1e-4
        else:
            assert abs(of_weights[i]) < 1e-4
            assert weight > 0 or i not in rising


def test_collinear_features_share_the_weight():
    x, y = sample(100, 1.0)
    one, two = Logistic.fit(x, y, penalty=1.0), Logistic.fit(np.hstack([x, x]), y, penalty=2.0)
    assert two.weights[0] == pytest.approx(two.weights[1])
    assert sum(two.weights) == pytest.approx(one.weights[0])


def test_it_is_saved_as_plain_numbers(tmp_path):
    x, y = sample(100, 1.0, 2.0)
    model = Logistic.fit(x, y)
    save(model, tmp_path / "m")
    assert load(tmp_path / "m") == model
    with pytest.raises(AttributeError):
        model.intercept = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("features", "labels", "rest", "message"),
    [
        ([[1.0]], [2], {}, "from 0"),
        ([[1.0]], [float("nan")], {}, "from 0"),
        ([[1.0], [2.0]], [1], {}, r"\(2, 1\)"),
        ([1.0], [1], {}, r"\(1,\)"),
        (np.empty((0, 1)), [], {}, "at least one row"),
        ([[math.inf]], [1], {}, "finite"),
        ([[1.0]], [1], {"penalty": 0}, "penalty=0"),
        ([[1.0]], [1], {"penalty": math.nan}, "penalty=nan"),
        ([[1.0]], [1], {"weights": [-1]}, "not below 0"),
        ([[1.0]], [1], {"weights": [0]}, "not all 0"),
    ],
)
def test_what_does_not_fit_is_refused(features, labels, rest, message):
    with pytest.raises(ConfigurationError, match=message):
        Logistic.fit(features, labels, **rest)


def test_a_broken_state_is_refused():
    with pytest.raises(ConfigurationError, match="one value per feature"):
        Logistic(0.0, (1.0,), (), (0.0,), (1.0,), 1.0)
    with pytest.raises(ConfigurationError, match="finite"):
        Logistic(math.nan, (1.0,), (0.0,), (0.0,), (1.0,), 1.0)
