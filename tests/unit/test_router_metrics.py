import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.evaluation.bootstrap import Interval, percentiles, resampled_means
from frugal_core.evaluation.router_metrics import average_gap_recovered, calls_to_recover, gap_recovered
from recorded import unhurried

WEAK, STRONG = 0.6, 0.8


def test_gap_by_hand():
    assert gap_recovered(0.65, WEAK, STRONG) == pytest.approx(0.25)
    assert gap_recovered(0.9, WEAK, STRONG) == pytest.approx(1.5)
    assert gap_recovered(0.5, WEAK, STRONG) == pytest.approx(-0.5)


def test_average_gap_by_hand():
    # Straight from (0, .6) to (.25, .75), on to (.5, .8), flat from there: areas .675/4 + .775/4 + .8/2.
    area = (0.675 + 0.775) / 4 + 0.8 / 2
    assert average_gap_recovered([(0.25, 0.75), (0.5, 0.8)], WEAK, STRONG) == pytest.approx((area - WEAK) / (STRONG - WEAK))


@unhurried
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0, 0.9), st.floats(0.05, 0.1))
def test_random_routing_recovers_half_of_any_gap(shares, weak, gap):
    line = [(share, weak + share * gap) for share in sorted(shares)]
    assert average_gap_recovered(line, weak, weak + gap) == pytest.approx(0.5)
    assert calls_to_recover(line, weak, weak + gap, 0.8) == pytest.approx(0.8, abs=1e-6)


def test_an_oracle_that_never_asks_recovers_all():
    assert average_gap_recovered([(0.0, STRONG)], WEAK, STRONG) == pytest.approx(1.0)
    assert calls_to_recover([(0.0, STRONG)], WEAK, STRONG, 0.8) == 0.0


def test_better_than_the_strong_model_is_more_than_all():
    assert average_gap_recovered([(0.0, 0.9)], WEAK, STRONG) == pytest.approx(1.5)


def test_a_curve_that_ends_below_the_strong_model_goes_on_to_it():
    assert calls_to_recover([(0.2, 0.65)], WEAK, STRONG, 1.0) == pytest.approx(1.0)
    assert calls_to_recover([(0.2, 0.65)], WEAK, STRONG, 0.5) == pytest.approx(0.2 + 0.8 / 3)


@pytest.mark.parametrize("strong", [WEAK, 0.5])
def test_no_gap_no_measure(strong):
    assert gap_recovered(0.7, WEAK, strong) is None
    assert average_gap_recovered([(0.5, 0.7)], WEAK, strong) is None
    assert calls_to_recover([(0.5, 0.7)], WEAK, strong, 0.5) is None


# --- bootstrap ---


@unhurried
@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 3))
def test_resamples_are_paired_reproducible_means_of_given_values(queries, resamples, seed):
    values = np.random.default_rng(1).random(queries)
    columns = np.array([values, 2 * values + 1, np.full(queries, 0.25)])
    means = resampled_means(columns, resamples, seed)
    assert means.shape == (resamples, 3)
    assert np.allclose(means[:, 1], 2 * means[:, 0] + 1)  # the same queries in all columns
    assert np.allclose(means[:, 2], 0.25)
    assert (means[:, 0] >= values.min() - 1e-12).all()
    assert (means[:, 0] <= values.max() + 1e-12).all()
    assert (means == resampled_means(columns, resamples, seed)).all()
    assert np.allclose(means[:, :1], resampled_means(columns[:1], resamples, seed))  # whatever stands beside


def test_spread_of_resampled_means_is_the_standard_error():
    values = (np.arange(400) % 4 == 0).astype(float)[None]
    means = resampled_means(values, 2000)
    assert means.std() == pytest.approx(np.sqrt(0.25 * 0.75 / 400), rel=0.08)
    assert means.mean() == pytest.approx(0.25, abs=0.003)


def test_many_queries_are_drawn_in_blocks_like_few():
    columns = np.random.default_rng(0).random((1, 3_000))
    whole = resampled_means(columns, 1500)  # several blocks
    assert len(np.unique(whole)) > 1400  # and none is drawn twice
    assert (whole[:10] == resampled_means(columns, 10)).all()


def test_percentiles():
    assert percentiles([float(value) for value in range(101)], 0.9) == Interval(5.0, 95.0)
    assert percentiles([0.0] * 50 + [np.inf] * 50, 0.8) == Interval(0.0, None)
    assert percentiles([np.nan, np.inf]) == Interval(None, None)


@pytest.mark.parametrize(("shape", "resamples"), [((2, 0), 10), ((2, 3), 0)])
def test_nothing_to_resample(shape, resamples):
    with pytest.raises(ConfigurationError, match="at least"):
        resampled_means(np.zeros(shape), resamples)
