"""Certificates: what is certified, what the messages say, and that they hold as often as they promise."""

import math

import numpy as np
import pytest

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import hoeffding_bentkus_bound, log_binomial_cdf, log_hoeffding_bentkus, upper_bound
from frugal_core.learning.guarantee import (
    Guarantee,
    certify,
    descending_thresholds,
    rows_needed,
    safest_first,
    served_losses,
)
from frugal_core.saving import load, save


def losses(*wrong, rows=200):
    """One candidate per number of wrong rows."""
    return np.array([[1.0] * k + [0.0] * (rows - k) for k in wrong])


def test_the_walk_ends_at_the_first_failure_whatever_comes_after():
    found = certify(losses(0, 2, 30, 1), ["a", "b", "c", "d"], 0.05)
    assert (found.label, found.index, found.certified, found.loss, found.rows) == ("b", 1, True, 2.0, 200)
    assert len(found.p_values) == 3
    assert found.p_values[1] == pytest.approx(float(np.exp(log_binomial_cdf(2, 200, 0.05))))
    assert found.p_values[2] > 0.05
    assert found.bound == pytest.approx(float(upper_bound(2, 200, 1 - 0.95)))
    assert found.bound <= 0.05
    assert found.method == "binomial"
    assert "'b' differs" in str(found)
    assert "2 of 200" in str(found)


def test_when_all_pass_the_riskiest_is_certified():
    assert certify(losses(0, 0, 1), "abc", 0.05).label == "c"


def test_when_nothing_passes_the_reference_is_served_and_the_certificate_says_so():
    found = certify(losses(30, 0), ["a", "b"], 0.05)
    assert (found.label, found.index, found.certified, found.bound, found.loss) == ("reference", None, False, 0.0, 0.0)
    assert len(found.p_values) == 1
    assert "the reference is served" in str(found)


def test_rows_needed_are_the_published_ones_and_exactly_enough():
    assert [rows_needed(bound) for bound in (0.01, 0.02, 0.05, 0.1)] == [299, 149, 59, 29]
    for bound, confidence, wrong in ((0.03, 0.9, 0), (0.5, 0.75, 0), (0.9, 0.9, 0), (0.02, 0.99, 3), (0.001, 0.95, 0)):
        n = rows_needed(bound, confidence, wrong)
        assert certify(losses(wrong, rows=n), ["a"], bound, confidence).certified
        if n > max(1, rows_needed(bound, confidence)):
            assert not certify(losses(wrong, rows=n - 1), ["a"], bound, confidence).certified


def test_too_few_rows_are_refused_with_how_many_there_are_and_how_many_are_needed():
    with pytest.raises(ConfigurationError, match=r"58 calibration rows .* 0\.05 .* 0\.95: at least 59 are needed"):
        certify(losses(0, rows=58), ["a"], 0.05)
    assert certify(losses(0, rows=59), ["a"], 0.05).certified


def test_graded_losses_take_hoeffding_bentkus():
    table = losses(0, 2, rows=300)
    table[1, :2] = 0.5
    found = certify(table, ["a", "b"], 0.05)
    assert (found.label, found.method, found.loss) == ("b", "hoeffding-bentkus", 1.0)
    assert found.p_values[1] == pytest.approx(float(np.exp(log_hoeffding_bentkus(1.0, 300, 0.05))))
    assert found.p_values[1] > float(np.exp(log_binomial_cdf(1, 300, 0.05)))
    assert found.bound == pytest.approx(hoeffding_bentkus_bound(1.0, 300, 1 - 0.95))


def test_a_certificate_is_frozen_and_survives_a_file(tmp_path):
    found = certify(losses(0, 2, 30), ["a", "b", "c"], 0.05)
    save(found, tmp_path / "guarantee.json")
    assert load(tmp_path / "guarantee.json") == found
    with pytest.raises(AttributeError):
        found.label = "c"


@pytest.mark.parametrize(
    ("table", "labels", "bound", "confidence", "message"),
    [
        (losses(0), ["a", "b"], 0.05, 0.95, "2 labels"),
        (np.zeros(100), ["a"], 0.05, 0.95, "candidates, rows"),
        (np.zeros((0, 100)), [], 0.05, 0.95, "candidates, rows"),
        (losses(0) + 0.5 + losses(1), ["a"], 0.05, 0.95, "row 0"),
        (np.where(np.arange(200) == 7, np.nan, 0.0)[None], ["a"], 0.05, 0.95, "row 7 "),
        (losses(0), ["a"], 0, 0.95, "max_disagreement=0 "),
        (losses(0), ["a"], 5, 0.95, "max_disagreement=5 "),
        (losses(0), ["a"], 0.05, 95, "confidence=95 "),
        (losses(0), ["a"], True, 0.95, "max_disagreement=True "),
    ],
)
def test_what_makes_no_sense_is_refused(table, labels, bound, confidence, message):
    with pytest.raises(ConfigurationError, match=message):
        certify(table, labels, bound, confidence)


def test_other_refusals():
    for call in (
        lambda: rows_needed(0.05, 0.95, -1),
        lambda: descending_thresholds([0.1], 0),
        lambda: served_losses([0.1, 0.2], [1.0], [0.5]),
        lambda: safest_first([[0, 1]], [1.0, 2.0]),
        lambda: Guarantee("a", 0, 2.0, 0.95, 100, 0.0, (0.01,), 0.03, "binomial"),
    ):
        with pytest.raises(ConfigurationError):
            call()


def test_paths_from_scores():
    scores = np.array([0.9, np.nan, 0.5, 0.5, 0.1])
    thresholds = descending_thresholds(scores, 10)
    assert thresholds.tolist() == [math.inf, 0.9, 0.5, 0.1]
    assert served_losses(scores, [1, 1, 0, 1, 1], thresholds).sum(axis=1).tolist() == [0, 1, 2, 3]
    assert descending_thresholds([np.nan], 5).tolist() == [math.inf]
    assert len(descending_thresholds(np.random.default_rng(0).random(1000), 50)) == 51


def test_paths_of_any_candidates_fall_in_cost_and_rise_in_risk():
    rng = np.random.default_rng(1)
    risk, cost = (rng.random((40, 30)) < rng.random((40, 1))).astype(float), rng.random((40, 30))
    path = safest_first(risk, cost)
    assert np.all(np.diff(risk[path].mean(axis=1)) >= 0)
    assert np.all(np.diff(cost[path].mean(axis=1)) < 0)
    assert int(cost.mean(axis=1).argmin()) == path[-1]


def synthetic(rng, trials, rows):
    """Scores, and losses with chance 0.322 (1 − score)²: serving the 77.5% with the best scores has a risk of 5%."""
    scores = rng.random((trials, rows))
    return scores, (rng.random((trials, rows)) < 0.322 * (1 - scores) ** 2).astype(float)


def true_risk(share):
    return 0.322 * share**3 / 3


SHARES = np.linspace(0, 1, 51)
"""Of queries that the cheap tier serves, by candidate."""


def sums(scores, losses):
    """Shape (trials, candidates): summed losses of what each candidate serves."""
    return np.stack([(losses * (scores >= 1 - share)).sum(axis=1) for share in SHARES], axis=1)


def last_before_a_failure(passes):
    return np.cumprod(passes, axis=1).sum(axis=1) - 1


@pytest.mark.parametrize("rows", [200, 500])
def test_the_bound_is_violated_seldom_where_the_point_estimate_violates_it_often(rows):
    scores, losses = synthetic(np.random.default_rng(rows), 1500, rows)
    totals = sums(scores, losses)
    certified = last_before_a_failure(log_binomial_cdf(totals, rows, 0.05) <= math.log(0.05))
    for i in range(5):
        table = served_losses(scores[i], losses[i], 1 - SHARES)
        assert certify(table, list(map(str, SHARES)), 0.05).index == certified[i]
    estimated = 50 - np.argmax((totals <= 0.05 * rows)[:, ::-1], axis=1)
    assert np.mean(true_risk(SHARES[certified]) > 0.05) <= 0.05
    assert 0.38 <= np.mean(true_risk(SHARES[estimated]) > 0.05) <= 0.79
    assert SHARES[certified].mean() > (0.64 if rows == 500 else 0.56)  # the best possible is 0.775


def test_graded_losses_keep_the_bound_as_well():
    rng, rows = np.random.default_rng(5), 400
    scores = rng.random((1500, rows))
    totals = sums(scores, np.minimum(1, (1 - scores) * rng.random((1500, rows))))  # mean (1 − score) / 2
    certified = last_before_a_failure(log_hoeffding_bentkus(totals, rows, 0.1) <= math.log(0.05))
    assert np.mean(SHARES[certified] ** 2 / 4 > 0.1) <= 0.05
    assert SHARES[certified].mean() > 0.45  # the best possible is 0.63
