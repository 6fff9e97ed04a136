"""Thresholds that never move."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import make_query, make_tiers, says
from frugal_core.errors import ConfigurationError
from frugal_core.policies.thresholds import FixedThreshold, Threshold, Verdict, as_threshold
from frugal_core.types import Answer, Query


def judge(threshold: Threshold, score: float, tier: int = 0) -> Verdict:
    return threshold.judge(make_query(3), says(tier=tier), score, tier + 1)


@pytest.mark.parametrize(("score", "accept"), [(0.0, False), (0.4999, False), (0.5, True), (1.0, True)])
def test_a_score_is_confident_from_the_threshold_on(score: float, accept: bool) -> None:
    assert judge(FixedThreshold(0.5), score) == Verdict(accept, 0.5, "confident" if accept else "unsure")


def test_a_list_holds_one_value_for_each_tier_but_the_last() -> None:
    threshold = FixedThreshold([0.2, 0.8])
    assert judge(threshold, 0.5, tier=0).accept
    assert not judge(threshold, 0.5, tier=1).accept


def test_zero_accepts_all_and_one_only_certainty() -> None:
    assert judge(FixedThreshold(0), 0.0).accept
    assert judge(FixedThreshold(1), 1.0).accept
    assert not judge(FixedThreshold(1), 0.999999).accept


def test_a_list_becomes_a_tuple_and_equal_values_are_equal() -> None:
    assert FixedThreshold([0.1, 0.2]) == FixedThreshold((0.1, 0.2))
    assert hash(FixedThreshold([0.1, 0.2])) == hash(FixedThreshold((0.1, 0.2)))


@pytest.mark.parametrize("value", [0.5, 0, 1, [0.5], (0.5, 0.6)])
def test_what_a_user_may_give_as_threshold(value: Any) -> None:
    assert as_threshold(value) == FixedThreshold(value)


def test_a_threshold_is_itself() -> None:
    class Coin(Threshold):
        def judge(self, query: Query, answer: Answer, score: float, following: int) -> Verdict:
            return Verdict(True, None, "confident")

    coin = Coin()
    assert as_threshold(coin) is coin
    assert coin.forced(make_query(2), None, 1) is None


@pytest.mark.parametrize("value", ["0.5", None, {0.5}, object()])
def test_anything_else_is_refused_with_what_would_do(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a number from 0 to 1, a list, one per escalation, or a Threshold"):
        as_threshold(value)


@pytest.mark.parametrize("value", [2, -1e-9, float("nan"), float("inf"), True, None, "high", [0.5, None], ["x"], [False]])
def test_a_value_out_of_range_is_named_with_the_limit(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"threshold=.* is out of range: scores and thresholds are numbers"):
        FixedThreshold(value)


def test_the_number_of_thresholds_must_be_the_number_of_escalations() -> None:
    with pytest.raises(ConfigurationError, match="2 thresholds for 2 models: give one per escalation, that is 1, or a single"):
        FixedThreshold([0.5, 0.5]).check(make_tiers(2))
    with pytest.raises(ConfigurationError, match="0 thresholds for 2 models"):
        FixedThreshold([]).check(make_tiers(2))
    FixedThreshold([0.5]).check(make_tiers(2))
    FixedThreshold(0.5).check(make_tiers(7))
