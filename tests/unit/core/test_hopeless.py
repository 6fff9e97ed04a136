"""Hopeless answers are served, and the decision says why."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import ask, make_query, make_tiers, recorded, says
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.hopeless import Hopeless
from frugal_core.policies.thresholds import FixedThreshold
from frugal_core.saving import decode, encode
from frugal_core.scorers import SelfConsistency
from frugal_core.types import Answer


def first(threshold: Any, score: float | None, **rest: Any) -> tuple[str, float | None, bool]:
    """Reason, threshold and fate of a first answer of this score."""
    decision, _ = ask(Cascade(recorded, threshold), says("a", score, **rest), says("dear"))
    return decision.steps[0].reason, decision.steps[0].threshold, decision.steps[0].accepted


@pytest.mark.parametrize(
    ("score", "fate"),
    [
        (0.0, ("hopeless", 0.2, True)),
        (0.19, ("hopeless", 0.2, True)),
        (0.2, ("unsure", 0.7, False)),
        (0.69, ("unsure", 0.7, False)),
        (0.7, ("confident", 0.7, True)),
        (None, ("no_signal", None, False)),
    ],
)
def test_below_the_floor_nothing_dearer_is_asked(score: float | None, fate: tuple[str, float | None, bool]) -> None:
    assert first(Hopeless(0.7, below=0.2), score) == fate


def test_a_flaw_is_escalated_all_the_same() -> None:
    assert first(Hopeless(0.7, below=0.2), 0.0, finish_reason="length") == ("truncated", None, False)


def test_the_floor_holds_on_every_tier() -> None:
    decision, script = ask(Cascade(recorded, Hopeless([0.7, 0.5], below=0.2)), says("a", 0.4), says("b", 0.1), says("c"))
    assert [step.reason for step in decision.steps] == ["unsure", "hopeless"]
    assert (decision.answer.text, decision.tier, script.asked) == ("b", "tier1", [0, 1])
    with pytest.raises(ConfigurationError, match="1 thresholds for 3 models"):
        Cascade(recorded, Hopeless([0.7], below=0.2)).check(make_tiers(3))


def test_a_budget_is_spent_on_the_rest() -> None:
    budget = BudgetedThreshold(0.25)
    cascade = Cascade(recorded, Hopeless(budget, below=0.1))
    steps = []
    for number in range(400):
        score = 0.05 if number % 2 else (number * 7919 % 1000) / 1000
        decision, _ = ask(cascade, says("a", score), says("dear"))
        steps.append(decision.steps[0])
    assert budget.export()["seen"] == 400
    assert budget.export()["large"] == sum(not step.accepted for step in steps) == pytest.approx(100, abs=15)
    assert all(step.reason == "hopeless" for step in steps[1::2])


def test_a_hard_budget_and_a_failure_reach_the_threshold_within() -> None:
    def outcome(first: Answer | Exception) -> list[str]:
        decision, _ = ask(Cascade(recorded, Hopeless(BudgetedThreshold(0.0, queries=1), below=0.1)), first, says("dear"))
        return [step.reason for step in decision.steps]

    assert outcome(says("cut", finish_reason="length")) == ["budget_spent"]
    assert outcome(TimeoutError()) == ["failed", "last_tier"]
    paid = BudgetedThreshold(usd=5.0)
    decision, _ = ask(Cascade(recorded, Hopeless(paid, below=0.1)), says("a", 0.05), says("dear"), query=make_query(2))
    assert paid.export()["spent"] == decision.cost_usd == 1.0
    sampled = BudgetedThreshold(usd=5.0)
    decision, _ = ask(Cascade(SelfConsistency(2), Hopeless(sampled, below=0.1)), says("a"), says("dear"), query=make_query(2))
    assert sampled.export()["spent"] == decision.cost_usd == 3.0


@pytest.mark.parametrize("below", [-0.1, 1.1, "0.2", None, True, float("nan")])
def test_a_floor_out_of_range_is_refused(below: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"below=.* is out of range"):
        Hopeless(0.7, below=below)


def test_it_is_saved() -> None:
    loaded = decode(encode(Hopeless([0.7, 0.5], below=0.2)))
    assert (loaded.threshold, loaded.below) == (FixedThreshold((0.7, 0.5)), 0.2)
    assert repr(loaded) == "Hopeless(FixedThreshold(value=(0.7, 0.5)), below=0.2)"
