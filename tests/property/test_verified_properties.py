"""The promise of the deciding part holds by arithmetic: no traffic and no model can break it, only the coin is chance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_core.cache.deciders.audit_account import AuditAccount, OpenAudit, rate_of
from frugal_core.cache.deciders.base import Candidate
from frugal_core.cache.deciders.boosting import boost
from frugal_core.cache.deciders.evidence import NAMES, Evidence
from frugal_core.cache.deciders.model import PairModel, fit_model, threshold_of
from frugal_core.cache.deciders.shared_state import Comparison
from frugal_core.cache.stores.base import Neighbour

CHECKED = settings(deadline=None, max_examples=60)
shares = st.floats(0.01, 0.99)
losses = st.floats(0.0, 1.0)
audits = st.lists(st.tuples(shares, losses), min_size=1, max_size=7)


def outcomes(given_audits):
    """Every way the coins may fall: its probability, the account after it, and the losses served."""
    least = min(share for share, _ in given_audits)
    for coins in itertools.product((False, True), repeat=len(given_audits)):
        account, served, chance = AuditAccount(), 0.0, 1.0
        for audited, (share, loss) in zip(coins, given_audits, strict=True):
            chance *= share if audited else 1 - share
            if audited:
                account.audit(share, loss, rate_of(least))
            else:
                served += loss
        yield chance, account, served, rate_of(least)


@CHECKED
@given(audits)
def test_the_estimate_of_errors_served_is_unbiased(given_audits):
    expected = sum(chance * account.estimate for chance, account, _, _ in outcomes(given_audits))
    truth = sum(chance * served for chance, _, served, _ in outcomes(given_audits))
    assert expected == pytest.approx(truth)


@CHECKED
@given(audits)
def test_the_bounds_fail_no_oftener_than_they_may(given_audits):
    many = [(share, loss) for share, loss in given_audits]
    above = below = 0.0
    for chance, account, served, rate in outcomes(many):
        low, high = account.bounds(10**9, rate)
        above += chance * (served > high + 1e-9)
        below += chance * (served < low - 1e-9)
    assert above <= 0.05 + 1e-9
    assert below <= 0.05 + 1e-9


@CHECKED
@given(shares, shares, losses)
def test_each_bet_is_fair_at_best(one, other, loss):
    """What Ville's inequality needs: no bet gains in expectation, whatever the loss and however oftener than the least."""
    least, share = sorted((one, other))
    rate = rate_of(least)
    account = AuditAccount()
    account.audit(share, 1.0, rate)
    penalty = account.bounds(10**9, rate)[1] * rate - math.log(20)
    assert (1 - share) * math.exp(rate * loss) + share * math.exp(-penalty * loss) <= 1 + 1e-9


fates = st.lists(st.tuples(st.sampled_from(["begun", "failed", "answered", "unanswered"]), shares), max_size=12)


@CHECKED
@given(fates)
def test_no_audit_is_taken_for_right_before_its_answer_was(given_fates):
    """Begun, in whatever process: at risk until compared; failed: a loss; unanswered: at risk until others stand for it."""
    account = AuditAccount()
    open_ = failed = unanswered = 0.0
    for place, (fate, share) in enumerate(given_fates):
        jump = (1 - share) / share
        account.begin(str(place), OpenAudit(share, rate_of(0.01), 0.0))
        assert account.at_risk == pytest.approx(open_ + unanswered + jump)
        if fate == "begun":
            open_ += jump
        elif fate == "unanswered":
            account.give_up(str(place), share)
            unanswered += jump
        else:
            loss = None if fate == "failed" else 0.0
            account.audit(share, loss, rate_of(0.01), str(place))
            failed += jump if loss is None else 0.0
            unanswered -= 0.0 if loss is None else min(jump, unanswered)
        assert account.estimate == pytest.approx(failed)
        assert account.at_risk == pytest.approx(open_ + unanswered, abs=1e-6)
    assert account.lost(1.0) == pytest.approx(open_)
    assert account.lost(0.0) == 0


@CHECKED
@given(shares, losses)
def test_an_answered_audit_stands_for_one_that_the_model_failed_to_answer(share, loss):
    account = AuditAccount()
    account.give_up("one", share)
    account.audit(share, loss, rate_of(0.01), "two")
    assert account.estimate == pytest.approx(2 * loss * (1 - share) / share)
    assert account.at_risk == pytest.approx(0, abs=1e-9)


@CHECKED
@given(st.integers(0, 5), st.integers(20, 60))
def test_trees_say_the_same_of_one_row_and_of_many(seed, count):
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(count, 3))
    rows[chance.random(rows.shape) < 0.2] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) > 0).astype(float)
    for tree in boost(rows, labels, np.ones(count), np.zeros(count), 5):
        assert tree.of(rows).tolist() == [tree(row) for row in rows.tolist()]


@CHECKED
@given(st.integers(0, 20))
def test_a_model_is_read_as_it_was_written(seed):
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(200, len(NAMES)))
    labels = (rows[:, 0] + chance.normal(size=200) > 0).astype(float)
    model = fit_model(rows, labels, np.ones(200), list(range(200)), 0.05, 200)
    again = PairModel.from_json(model.to_json())
    assert again == model
    assert again.probability(rows[0].tolist()) == model.probability(rows[0].tolist())
    assert all(more <= less for less, more in itertools.pairwise(model.thresholds))


@CHECKED
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.floats(0.001, 0.5))
def test_a_threshold_allows_no_more_errors_than_the_scores_admit(pairs, allowed):
    scores, labels = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    threshold = threshold_of(scores, labels, np.ones(len(scores)), allowed)
    doubt, loss = ((1 - column)[scores >= threshold].sum() for column in (scores, labels))
    assert doubt / len(scores) * (loss + 3) / (doubt + 3) <= allowed + 1e-9  # the scores' own word, and three pairs beforehand


@CHECKED
@given(st.text(max_size=40), st.text(max_size=40), st.floats(-1, 1), st.lists(st.floats(-1, 1), max_size=7))
def test_whatever_the_texts_there_is_one_number_per_feature(asked, cached, similarity, others):
    evidence = Evidence()
    rivals = tuple(Neighbour(f"r{at}", cached, other) for at, other in enumerate(others))
    candidate = Candidate(asked, Neighbour("near", cached, similarity), rivals, "", "asked")
    for outcome in (0.0, 1.0):
        row = evidence.features(candidate)
        assert len(row) == len(NAMES)
        assert not any(map(math.isinf, row))
        evidence.take("near", "asked", asked, cached, similarity, outcome, None, ("near",) if outcome else ())


@CHECKED
@given(st.text(max_size=20), st.lists(st.floats(-10, 10) | st.just(math.nan), max_size=5), shares, losses, st.booleans())
def test_a_comparison_is_read_as_it_was_written(text, features, share, loss, fit):
    rate = rate_of(share) if fit else math.inf
    rounded = tuple(round(value, 5) for value in features)
    given_ = Comparison("e", "a", text, text, rounded, None, share, fit, rate, loss, ("e",), "7:1" if fit else "")
    assert repr(Comparison.from_json(given_.to_json())) == repr(given_)
