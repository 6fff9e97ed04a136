"""Self-consistency: what is asked, what counts as a vote, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from core_builders import Outcome, ask, in_every_way, make_query, says
from frugal_core.decision import Decision
from frugal_core.engine import drive
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.saving import decode, encode
from frugal_core.scorers import SchemaValid, SelfConsistency
from frugal_core.types import Answer, Call, ToolCall


def sampled(scorer: Any, *said: Outcome, **rest: Any) -> tuple[Decision, list[Call]]:
    """The first tier answers and then gives the samples, in turn; the second says "dear"."""
    turns, calls = iter(said), []

    def perform(call: Call) -> Answer:
        calls.append(call)
        outcome = next(turns) if call.tier == 0 else says("dear", cost=10.0)
        if isinstance(outcome, Exception):
            raise outcome
        return replace(outcome, tier=call.tier)

    return drive(Cascade(scorer, 0.6, **rest).decide(make_query(2)), perform), calls


def reasons(decision: Decision) -> str:
    return " ".join(step.reason for step in decision.steps)


def texts(*said: str) -> Sequence[Answer]:
    return [says(text) for text in said]


@pytest.mark.parametrize(
    ("samples", "score"), [("aaaaa", 1.0), ("bbbbb", 0.0), ("aabab", 0.6), ("baaaa", 0.8), ("Aa.bb", 0.4), ("bcdef", 0.0)]
)
def test_the_share_of_samples_that_agree(samples: str, score: float) -> None:
    decision, calls = sampled(SelfConsistency(), *texts("a", *samples))
    step = next(step for step in decision.steps if step.reason != "sample")
    assert step.score == pytest.approx(score)
    assert decision.tier == ("tier0" if score >= 0.6 else "tier1")
    assert len(calls) == 6 + (score < 0.6)


def test_what_is_asked_and_what_it_costs() -> None:
    query = make_query(2)
    turns = iter([says("a", cost=1.0), says("a", cost=0.25), says("b", cost=0.5), says("a", cost=0.125)])
    calls = []

    def perform(call: Call) -> Answer:
        calls.append(call)
        return next(turns)

    decision = drive(Cascade(SelfConsistency(3, 1.1), 0.6).decide(query), perform)
    assert all(call.query is query for call in calls)  # tools, schema and arguments of the user's go along
    assert [(call.tier, call.purpose, call.n, call.temperature, call.final) for call in calls[1:]] == [
        (0, "score", 1, 1.1, False)
    ] * 3
    assert reasons(decision) == "sample sample sample confident"
    assert [step.cost_usd for step in decision.steps] == [0.25, 0.5, 0.125, 1.0]
    assert decision.cost_usd == 1.875
    assert decision.steps[-1].score == pytest.approx(2 / 3)


def test_a_sample_that_fails_is_no_agreement_and_what_came_is_charged() -> None:
    decision, _ = sampled(SelfConsistency(4), *texts("a", "a"), ConnectionRefusedError(), *texts("a", "a"))
    assert reasons(decision) == "sample failed sample sample confident"
    assert decision.steps[-1].score == 0.75
    assert decision.cost_usd is None  # a call that broke off may have been charged
    refused = OSError()
    refused.status_code = 429  # type: ignore[attr-defined]
    decision, _ = sampled(SelfConsistency(2), *texts("a", "a"), refused)
    assert decision.cost_usd == 2.0 + 10.0
    assert reasons(decision) == "sample failed unsure last_tier"


@pytest.mark.parametrize(("n", "cost"), [(1, 11.0), (3, None)])
def test_samples_drawn_in_one_call_that_failed_are_never_free(n: int, cost: float | None) -> None:
    """A provider that refuses a call charges nothing for it, but maybe for the samples before."""
    refused = OSError()
    refused.status_code = 429  # type: ignore[attr-defined]

    def drawing(query: Any, answer: Answer) -> Any:
        yield Call(answer.tier, query, "score", n=n)

    decision, _ = sampled(drawing, says("a"), refused)
    assert reasons(decision) == "failed no_signal last_tier"
    assert decision.cost_usd == cost


def test_when_the_first_sample_fails_nothing_more_is_asked() -> None:
    decision, calls = sampled(SelfConsistency(5), says("a"), ValueError("temperature is not supported"))
    assert reasons(decision) == "failed no_signal last_tier"
    assert "raised ValueError: temperature is not supported" in str(decision.steps[1].error)
    assert [call.tier for call in calls] == [0, 0, 1]


def test_tool_calls_and_values_are_compared_as_such() -> None:
    rome, oslo = (says("", tool_calls=(ToolCall("f", {"x": x}),)) for x in "ro")
    assert sampled(SelfConsistency(4), rome, rome, oslo, rome, says(""))[0].steps[4].score == 0.5
    one, two = (says("{}", parsed={"x": x}) for x in (1, 2))
    assert sampled(SelfConsistency(4), one, one, two, one, one)[0].steps[4].score == 0.75


def test_texts_are_compared_as_asked() -> None:
    said = texts("It is 7.", "3 + 4 = 7", "so: 7.0", "it is 7", "8")
    for same, score in (("exact", 0.0), ("normalised", 0.25), ("numeric", 0.75), (lambda one, other: True, 1.0)):
        decision, _ = sampled(SelfConsistency(4, same=same), *said)
        assert next(step.score for step in decision.steps if step.reason != "sample") == score


def test_it_joins_other_scorers_and_is_not_asked_where_they_settle_it() -> None:
    cheap = SchemaValid().or_else(lambda query, answer: 0.9)
    decision, calls = sampled(cheap.or_else(SelfConsistency(3)), says("a"))
    assert (len(calls), reasons(decision)) == (1, "confident")
    decision, calls = sampled(cheap & SelfConsistency(3), *texts("a", "a", "a", "a"))
    assert (len(calls), decision.steps[-1].score) == (4, 0.9)
    decision, calls = sampled(SelfConsistency(2) | cheap, *texts("a", "b", "b"))
    assert (len(calls), decision.steps[-1].score) == (3, 0.9)


def test_every_driver_draws_the_same_samples() -> None:
    ways = in_every_way(lambda: Cascade(SelfConsistency(2), 0.5), [make_query(2)] * 3, [[says("x"), says("y")]] * 3)
    for results, scripts in ways.values():
        assert [result.cost_usd for result in results] == [3.0] * 3
        assert [script.asked for script in scripts] == [[0, 0, 0]] * 3


def test_a_budget_pays_for_the_samples() -> None:
    threshold = BudgetedThreshold(usd=7.0, warm_up=0)
    decision, _ = ask(Cascade(SelfConsistency(3), threshold), says("a", cost=1.0), says("b", cost=10.0))
    assert threshold.export()["spent"] == decision.cost_usd


@pytest.mark.parametrize("k", [0, -1, 2.0, True, None])
def test_a_number_of_samples_out_of_range_is_refused(k: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"k=.* is out of range: it is a number of calls, 1 or more"):
        SelfConsistency(k)


@pytest.mark.parametrize("temperature", [-0.1, 2.1, "1", True, float("nan")])
def test_a_temperature_out_of_range_is_refused(temperature: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"temperature=.* is out of range"):
        SelfConsistency(temperature=temperature)


def test_it_needs_no_logprobs_and_is_saved() -> None:
    scorer = SelfConsistency(3, None, "exact")
    assert not Cascade(scorer).needs_logprobs
    assert decode(encode(scorer & SchemaValid())) == scorer & SchemaValid()
    with pytest.raises(ConfigurationError, match="cannot be saved"):
        encode(SelfConsistency(same=lambda one, other: one == other))
