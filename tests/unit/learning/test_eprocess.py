"""Evidence at every look: it is a fair bet, it is hardly ever wrong (computed, not sampled), and repeated intervals are."""

import json
import math

import numpy as np
import pytest

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import log_binomial_pmf, lower_bound
from frugal_core.learning.eprocess import (
    EProcess,
    fewest_among,
    log_evidence,
    log_evidence_among,
    lower_confidence,
    upper_confidence,
)
from frugal_core.saving import decode, encode


def least_successes(n, enough):
    """For each number of observations, the fewest successes that are enough; n + 1 where none are."""
    low, high = np.full(len(n), -1.0), n + 1.0
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        open_ = high - low > 1
        yes = open_ & enough(np.clip(middle, 0, n), n)
        high, low = np.where(yes, middle, high), np.where(open_ & ~yes, middle, low)
    return high


def chance_to_cross(p, n, least):
    """Exact probability to have reached `least` successes at any look up to each of `n` (rising), by dynamic programming."""
    alive, crossed, results, done = np.array([1.0]), 0.0, [], 0
    for looks, needed in zip(n.astype(int), least, strict=True):
        for _ in range(looks - done):
            alive = np.concatenate([alive * (1 - p), [0]]) + np.concatenate([[0], alive * p])
        done = looks
        over = np.arange(len(alive)) >= needed
        crossed += alive[over].sum()
        alive = np.where(over, 0, alive)
        results.append(crossed)
    return np.array(results)


def test_it_is_the_mean_of_likelihood_ratios_beyond_the_limit():
    for k, n, p0 in ((0, 3, 0.2), (7, 9, 0.5), (90, 100, 0.8), (2.5, 6, 0.3)):
        q = np.linspace(p0, 1, 200_001)[:-1] + (1 - p0) / 400_000
        ratios = (q / p0) ** k * ((1 - q) / (1 - p0)) ** (n - k)
        assert math.exp(log_evidence(k, n, p0)) == pytest.approx(ratios.mean(), rel=1e-6)


def test_the_bet_is_fair_at_the_limit_and_unfair_to_the_bettor_below():
    k, n = np.array([0, 3, 50, 880, 9_900]), np.array([5, 3, 100, 1000, 10_000])
    for p0 in (0.05, 0.5, 0.95):
        now, up, down = (
            np.exp(log_evidence(a, b, p0) - log_evidence(k, n, p0)) for a, b in ((k, n), (k + 1, n + 1), (k, n + 1))
        )
        assert p0 * up + (1 - p0) * down == pytest.approx(now, rel=1e-8)
        assert np.all(0.9 * p0 * up + (1 - 0.9 * p0) * down <= now)
        half = np.exp(log_evidence(k + 0.5, n + 1, p0) - log_evidence(k, n, p0))  # a graded loss gains no more than its mix
        assert np.all(half <= (up + down) / 2)


def test_false_certification_stays_below_alpha_at_every_look():
    n = np.arange(1, 1501).astype(float)
    for p0, alpha in ((0.9, 0.05), (0.98, 0.05), (0.8, 0.05 / 4), (0.05, 0.05)):
        least = least_successes(n, lambda k, n, p0=p0, alpha=alpha: log_evidence(k, n, p0) >= -math.log(alpha))
        crossed = chance_to_cross(p0, n, least)
        assert 0.3 * alpha < crossed[-1] <= alpha
        assert chance_to_cross(p0 - 0.01, n, least)[-1] < crossed[-1]


def test_repeated_clopper_pearson_looks_are_wrong_far_more_often():
    n = np.arange(10, 1501, 10).astype(float)
    least = least_successes(n, lambda k, n: lower_bound(k, n, 0.025) >= 0.9)  # the lower end of a two-sided 95% interval
    crossed = chance_to_cross(0.9, n, least)
    assert crossed[0] <= 0.025
    assert crossed[-1] > 3 * 0.05


@pytest.mark.parametrize(("p", "p0", "median"), [(0.94, 0.90, 283), (0.98, 0.95, 244), (0.99, 0.95, 134)])
def test_how_soon_a_good_model_is_certified(p, p0, median):
    """Medians of the published replacement; looking after each observation."""
    n = np.arange(1, 601).astype(float)
    crossed = chance_to_cross(p, n, least_successes(n, lambda k, n: log_evidence(k, n, p0) >= -math.log(0.05)))
    assert n[np.argmax(crossed >= 0.5)] == pytest.approx(median, rel=0.1)


def test_beyond_one_evidence_falls_as_the_limit_rises_so_bounds_are_intervals():
    limits = np.linspace(0.001, 0.999, 999)
    for k, n in ((0, 5), (5, 5), (60, 80), (79, 80), (400, 1000)):
        log = log_evidence(k, n, limits)
        assert np.all(np.diff(log)[log[:-1] > 1e-9] < 0)
        among = np.array([log_evidence_among(k, n, limit, 1500) for limit in range(k, 1500 - (n - k))])
        assert np.all(np.diff(among)[among[:-1] > 1e-9] < 0)


def test_bounds_end_where_the_evidence_does():
    low = lower_confidence([94, 0, 10], [100, 4, 10], 0.05)
    assert low[1] == 0
    assert log_evidence([94, 10], [100, 10], low[[0, 2]]) == pytest.approx(math.log(20), abs=1e-6)
    assert float(upper_confidence(6, 100, 0.05)) == pytest.approx(1 - low[0])
    assert float(lower_confidence(0, 0, 0.05)) == 0
    assert np.all(low < lower_bound([94, 0, 10], [100, 4, 10], 0.05) + 1e-9)


def test_without_replacement_the_bet_is_fair_at_the_limit_and_unfair_below():
    items = 60
    for limit in (10, 40, 55):
        for k, n in ((0, 0), (3, 5), (9, 9), (8, 12)):
            now = log_evidence_among(k, n, limit, items)
            up, down = (math.exp(log_evidence_among(k + s, n + 1, limit, items) - now) if limit > k else 0 for s in (1, 0))
            if limit <= k or n - k >= items - limit:
                continue
            chance = (limit - k) / (items - n)
            assert chance * up + (1 - chance) * down == pytest.approx(1, rel=1e-8)
            lower = max(0, limit - 3 - k) / (items - n)
            assert lower * up + (1 - lower) * down <= 1 + 1e-9


def test_without_replacement_false_certification_stays_below_alpha_at_every_look():
    items, allowed, alpha, rng = 1000, 100, 0.05, np.random.default_rng(0)
    looks = np.arange(20, 901, 20)

    def most_wrong(n):
        """Most disagreements seen with which at most `allowed` of the other items are proved to disagree."""
        wrong = -1
        while wrong < n:
            limit = items - (wrong + 1) - allowed - 1
            if log_evidence_among(n - wrong - 1, n, limit, items) < -math.log(alpha):
                break
            wrong += 1
        return wrong

    least = np.array([most_wrong(int(n)) for n in looks])
    for bad in (110, 125, 150):
        losses = np.zeros((2000, items), dtype=np.int32)
        losses[:, :bad] = 1
        seen = np.cumsum(rng.permuted(losses, axis=1), axis=1)[:, looks - 1]
        false = (seen <= least) & (bad - seen > allowed)
        assert false.any(axis=1).mean() <= alpha + 0.01


def test_without_replacement_it_joins_the_other_as_items_grow_many_and_ends_in_certainty():
    assert log_evidence_among(94, 100, 900_000_000, 1_000_000_000) == pytest.approx(float(log_evidence(94, 100, 0.9)), abs=1e-3)
    assert log_evidence_among(94, 100, 93, 1000) == math.inf
    assert log_evidence_among(94, 100, 995, 1000) == -math.inf
    assert log_evidence_among(5, 5, 10, 10) == -math.inf
    assert fewest_among(940, 1000, 1000, 0.05) == 940
    assert fewest_among(0, 10, 50, 0.05) == 0
    brute = min(limit for limit in range(200) if log_evidence_among(45, 50, limit, 200) < math.log(20))
    assert fewest_among(45, 50, 200, 0.05) == brute


def test_an_audit_raises_the_alarm_once_and_for_all():
    audit = EProcess(limit=0.05, alpha=0.01)
    assert (audit.log_value, audit.alarm) == (0, False)
    worse = audit.observe(15, 60)
    assert worse.alarm
    later = worse.observe(0, 2000)
    assert later.log_value < 0
    assert later.alarm
    assert later.bounds[1] < 0.05
    assert audit.observe(0.5).total == 0.5
    one_by_one = audit
    for loss in (1, 0, 0, 1, 0.25):
        one_by_one = one_by_one.observe(loss)
    assert one_by_one.log_value == pytest.approx(audit.observe(2.25, 5).log_value)
    assert decode(json.loads(json.dumps(encode(worse)))) == worse


def test_an_audit_of_a_kept_promise_is_seldom_alarmed():
    rng = np.random.default_rng(3)
    total = np.cumsum(rng.random((1500, 600)) < 0.05, axis=1)
    n = np.arange(1, 601)
    table = np.stack([log_evidence(np.minimum(k, n), n, 0.05) for k in range(int(total.max()) + 1)])
    assert (table[total, np.arange(600)] >= math.log(20)).any(axis=1).mean() <= 0.05 + 0.01


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_evidence(1, 2, 0),
        lambda: log_evidence(1, 2, 1),
        lambda: log_evidence(3, 2, 0.5),
        lambda: log_evidence_among(3, 2, 1, 9),
        lambda: log_evidence_among(1, 12, 1, 9),
        lambda: lower_confidence(1, 2, 1),
        lambda: fewest_among(1, 2, 9, 0),
        lambda: EProcess(limit=0),
        lambda: EProcess(limit="0.1"),
        lambda: EProcess(0.1, alpha=1),
        lambda: EProcess(0.1, total=2, seen=1),
        lambda: EProcess(0.1).observe(2),
        lambda: EProcess(0.1).observe(math.nan),
        lambda: EProcess(0.1).observe(0, -1),
        lambda: EProcess(0.1).observe(0, 1.5),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ConfigurationError):
        call()


def test_counts_of_a_million_are_no_problem():
    assert float(log_evidence(951_000, 1_000_000, 0.95)) > math.log(20)
    assert float(log_binomial_pmf(951_000, 1_000_000, 0.95)) < -10
