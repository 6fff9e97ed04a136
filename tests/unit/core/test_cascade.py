"""The cascade: who is asked, who is passed over, whose answer is served, and what the trace says of it."""

from __future__ import annotations

from typing import Any

import pytest

from core_builders import Script, ask, make_query, make_tiers, recorded, says
from frugal_core.engine import drive, drive_stream
from frugal_core.errors import ConfigurationError, FrugalError, ScorerError
from frugal_core.policies import Cascade
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.scorers import Margin, SchemaValid
from frugal_core.scorers.base import Scoring
from frugal_core.types import Answer, Call, Query, Tier, ToolCall

NAN = float("nan")
TOOLS = [{"name": "search", "parameters": {"type": "object"}}]


def cascade(threshold: Any = 0.5, **rest: Any) -> Cascade:
    return Cascade(recorded, threshold, **rest)


def trace(decision: Any) -> list[tuple[str, str, bool]]:
    return [(step.tier, step.reason, step.accepted) for step in decision.steps]


# The order of tiers


def test_a_confident_answer_is_served_and_nobody_else_asked() -> None:
    decision, script = ask(cascade(), says("sure", 0.9), says("dear"))
    assert decision.answer.text == "sure"
    assert script.asked == [0]
    assert trace(decision) == [("tier0", "confident", True)]
    assert (decision.steps[0].score, decision.steps[0].threshold) == (0.9, 0.5)


def test_a_score_that_equals_the_threshold_is_confident() -> None:
    decision, _ = ask(cascade(0.5), says("sure", 0.5), says("dear"))
    assert decision.tier == "tier0"


def test_unsure_answers_escalate_tier_by_tier() -> None:
    decision, script = ask(cascade(), says("a", 0.1), says("b", 0.2), says("c", 0.0))
    assert decision.answer.text == "c"
    assert script.asked == [0, 1, 2]
    assert trace(decision) == [("tier0", "unsure", False), ("tier1", "unsure", False), ("tier2", "last_tier", True)]


def test_the_last_tier_is_not_scored() -> None:
    decision, _ = ask(cascade(), says("a", 0.1), says("b", RuntimeError("must not be scored")))
    assert decision.answer.text == "b"
    assert decision.steps[-1].score is None
    assert decision.steps[-1].error is None


def test_only_the_last_call_is_final() -> None:
    _, script = ask(cascade(), says(score=0.1), says(score=0.1), says())
    assert [call.final for call in script.calls] == [False, False, True]
    assert all(call.purpose == "answer" for call in script.calls)


def test_a_single_model_is_simply_asked() -> None:
    decision, script = ask(Cascade(), says("alone"))
    assert trace(decision) == [("tier0", "last_tier", True)]
    assert script.calls[0].final


def test_every_escalation_has_its_own_threshold() -> None:
    outcomes = says("a", 0.6), says("b", 0.6), says("c")
    assert ask(cascade([0.7, 0.5]), *outcomes)[0].tier == "tier1"
    assert ask(cascade([0.5, 0.7]), *outcomes)[0].tier == "tier0"


def test_thresholds_stay_with_their_tiers_when_one_is_skipped() -> None:
    tiers = (Tier("tiny", context_window=1), *make_tiers(2))
    decision, _ = ask(cascade([0.0, 0.7]), says(), says("b", 0.6), says("c"), query=make_query(tiers, prompt_tokens=10))
    assert decision.steps[1].threshold == 0.7
    assert decision.answer.text == "c"


# Tiers that cannot be asked


@pytest.mark.parametrize(
    ("limits", "query", "reason"),
    [
        ({"context_window": 9}, {"prompt_tokens": 10}, "too_long"),
        ({"supports_tools": False}, {"tools": TOOLS}, "no_tools"),
        ({"supports_schema": False}, {"response_format": {"type": "object"}}, "no_schema"),
    ],
)
def test_a_tier_that_cannot_take_the_query_is_skipped_without_a_call(
    limits: dict[str, Any], query: dict[str, Any], reason: str
) -> None:
    tiers = (Tier("limited", **limits), *make_tiers(1))
    decision, script = ask(cascade(), says("wrong", 0.9), says("right"), query=make_query(tiers, **query))
    assert script.asked == [1]
    assert trace(decision) == [("limited", reason, False), ("tier0", "last_tier", True)]
    assert script.calls[0].final


@pytest.mark.parametrize("query", [{}, {"tools": TOOLS}, {"response_format": {"type": "object"}}])
def test_a_tier_that_can_take_the_query_is_asked(query: dict[str, Any]) -> None:
    able = Tier("able", context_window=10)
    plain = Tier("plain", supports_tools=False, supports_schema=False)
    assert ask(cascade(), says("a", 0.9), says(), query=make_query((able, plain), prompt_tokens=10, **query))[0].tier == "able"
    assert ask(cascade(), says("a", 0.9), says(), query=make_query((plain, able)))[0].tier == "plain"


def test_a_prompt_that_fits_is_not_skipped() -> None:
    tiers = (Tier("just fits", context_window=10), *make_tiers(1))
    assert ask(cascade(), says("a", 0.9), says(), query=make_query(tiers, prompt_tokens=10))[0].tier == "just fits"


def test_a_long_prompt_of_unknown_length_is_counted() -> None:
    tiers = (Tier("tiny", context_window=50), *make_tiers(1))
    decision, _ = ask(cascade(), says(score=0.9), says(), query=make_query(tiers, text="many words " * 200))
    assert decision.steps[0].reason == "too_long"


def test_a_dear_tier_that_cannot_be_asked_leaves_the_one_before_it_last_and_is_named() -> None:
    tiers = (*make_tiers(2), Tier("no tools", supports_tools=False))
    decision, script = ask(cascade(), says(score=0.1), says("b", 0.1), says(), query=make_query(tiers, tools=TOOLS))
    assert script.asked == [0, 1]
    assert script.calls[-1].final
    assert trace(decision) == [("tier0", "unsure", False), ("tier1", "last_tier", True), ("no tools", "no_tools", False)]


def test_a_tier_in_the_middle_is_passed_over() -> None:
    tiers = (Tier("small"), Tier("mid", supports_tools=False), Tier("large"))
    decision, script = ask(cascade(), says(score=0.1), says(), says("c"), query=make_query(tiers, tools=TOOLS))
    assert script.asked == [0, 2]
    assert [step.reason for step in decision.steps] == ["unsure", "no_tools", "last_tier"]


def test_if_nobody_can_be_asked_the_last_one_is_and_its_error_says_why() -> None:
    tiers = (Tier("small", context_window=5), Tier("large", context_window=10))
    overflow = ValueError("context_length_exceeded: 10")
    with pytest.raises(ValueError, match="context_length_exceeded") as caught:
        ask(cascade(), says(score=0.9), overflow, query=make_query(tiers, prompt_tokens=100))
    assert caught.value is overflow
    decision, script = ask(cascade(), says(score=0.9), says("it fitted"), query=make_query(tiers, prompt_tokens=100))
    assert script.asked == [1]
    assert trace(decision) == [("small", "too_long", False), ("large", "last_tier", True)]


# Answers that cannot be used


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says("cut o", 0.9, finish_reason="length"), "truncated"),
        (says("I cannot", 0.9, finish_reason="content_filter"), "filtered"),
        (says("{", 0.9, parsing_error="Expecting value"), "invalid"),
        (says("", 0.9), "empty"),
        (says(" \n\t", 0.9), "empty"),
    ],
)
def test_a_flawed_answer_is_left_behind_whatever_its_score(answer: Answer, reason: str) -> None:
    decision, _ = ask(cascade(), answer, says("whole"))
    assert trace(decision) == [("tier0", reason, False), ("tier1", "last_tier", True)]
    assert decision.steps[0].score is None
    assert decision.steps[0].error == answer.parsing_error
    assert decision.cost_usd == 2.0


@pytest.mark.parametrize("rest", [{"tool_calls": (ToolCall("search", {}),)}, {"parsed": {"a": 1}}, {"parsed": 0}])
def test_an_answer_without_text_is_not_empty_if_it_has_something_else(rest: dict[str, Any]) -> None:
    assert ask(cascade(), says("", 0.9, **rest), says())[0].tier == "tier0"


def test_a_flawed_answer_of_the_last_tier_is_served() -> None:
    decision, _ = ask(cascade(), says(score=0.1), says("cut o", finish_reason="length"))
    assert decision.answer.text == "cut o"
    assert decision.steps[-1].reason == "last_tier"


# Missing scores


def test_a_missing_score_escalates_by_default() -> None:
    decision, _ = ask(cascade(), says("no signal", None), says("dear"))
    assert trace(decision) == [("tier0", "no_signal", False), ("tier1", "last_tier", True)]
    assert decision.steps[0].error is None


def test_a_missing_score_is_accepted_if_so_wished() -> None:
    decision, script = ask(cascade(on_missing="accept"), says("no signal", None), says("dear"))
    assert trace(decision) == [("tier0", "no_signal", True)]
    assert script.asked == [0]


def test_a_missing_score_raises_if_so_wished() -> None:
    with pytest.raises(ScorerError, match=r"recorded.* had no signal for the answer of tier 'tier0'"):
        ask(cascade(on_missing="raise"), says("no signal", None), says("dear"))


@pytest.mark.parametrize(
    ("score", "problem"),
    [
        (NAN, "returned nan: a score is a number from 0 to 1"),
        (float("inf"), "returned inf: a score is"),
        (1.5, "returned 1.5: a score is"),
        (-0.1, "returned -0.1: a score is"),
        ("0.9", "returned '0.9': a score is"),
        (b"0.9", "returned b'0.9': a score is"),
        (10**400, "a score is a number"),
        ([0.9], "returned [0.9]: a score is"),
        (ZeroDivisionError("division by zero"), "raised ZeroDivisionError: division by zero"),
        (StopIteration("odd"), "raised StopIteration: odd"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else type(value).__name__,
)
def test_a_broken_scorer_is_no_signal_and_is_named(score: Any, problem: str) -> None:
    decision, script = ask(cascade(), says("small", score), says("dear"))
    assert script.asked == [0, 1]
    assert decision.answer.text == "dear"
    assert decision.steps[0].reason == "no_signal"
    assert decision.steps[0].score is None
    assert problem in (decision.steps[0].error or "")
    assert "The scorer recorded" in (decision.steps[0].error or "")


def test_a_broken_scorer_with_raise_says_what_was_wrong() -> None:
    with pytest.raises(ScorerError, match=r"The scorer recorded returned 1\.5: a score is a number from 0 to 1"):
        ask(cascade(on_missing="raise"), says("small", 1.5), says("dear"))


@pytest.mark.parametrize(("score", "tier"), [(0, "tier1"), (1, "tier0"), (True, "tier0"), (False, "tier1"), (0.5, "tier0")])
def test_every_number_from_0_to_1_is_a_score(score: Any, tier: str) -> None:
    assert ask(cascade(), says("a", score), says("b"))[0].tier == tier


# Failures


def test_a_recoverable_failure_escalates() -> None:
    decision, script = ask(cascade(), TimeoutError("read timed out"), says("dear"))
    assert script.asked == [0, 1]
    assert trace(decision) == [("tier0", "failed", False), ("tier1", "last_tier", True)]
    assert decision.steps[0].error == "TimeoutError: read timed out"


def test_other_failures_rise_at_once_as_they_are() -> None:
    error, script = ValueError("bad argument"), None
    script = Script([error, says()])
    with pytest.raises(ValueError, match="bad argument") as caught:
        drive(cascade().decide(make_query(2)), script.perform)
    assert caught.value is error
    assert script.asked == [0]


def test_the_last_tiers_failure_rises_even_if_it_were_recoverable() -> None:
    error = TimeoutError("read timed out")
    with pytest.raises(TimeoutError) as caught:
        ask(cascade(), says(score=0.1), error)
    assert caught.value is error


def test_all_tiers_failing_raises_the_last_ones_error() -> None:
    errors = [TimeoutError(str(number)) for number in range(3)]
    with pytest.raises(TimeoutError, match="2"):
        ask(cascade(), *errors)


def test_the_user_names_what_escalates() -> None:
    assert ask(cascade(escalate_on=KeyError), KeyError("x"), says("b"))[0].answer.text == "b"
    assert ask(cascade(escalate_on=[KeyError, OSError]), OSError("x"), says("b"))[0].answer.text == "b"
    assert ask(cascade(escalate_on=lambda error: "mend" in str(error)), ValueError("mend"), says("b"))[0].answer.text == "b"
    with pytest.raises(TimeoutError):
        ask(cascade(escalate_on=[KeyError]), TimeoutError("x"), says("b"))
    with pytest.raises(TimeoutError):
        ask(cascade(escalate_on=[]), TimeoutError("x"), says("b"))


def test_a_failing_streamed_last_tier_rises() -> None:
    script = Script([says(score=0.1), TimeoutError("x")])
    with pytest.raises(TimeoutError):
        list(drive_stream(cascade().decide(make_query(2)), script.perform, script.stream))


# Scorers that ask


def test_a_scorers_failed_call_is_no_signal_and_on_the_trace() -> None:
    def asks(query: Query, answer: Answer) -> Scoring:
        yield Call(1, query)
        return 1.0

    decision, script = ask(Cascade(asks, 0.5), says("small"), TimeoutError("slow"), says("dear"))
    assert script.asked == [0, 1, 1, 2]  # the sample, and the tier itself
    assert [step.reason for step in decision.steps] == ["failed", "no_signal", "failed", "last_tier"]
    assert "raised TimeoutError: slow" in (decision.steps[1].error or "")


def test_a_scorer_may_mend_its_own_failed_calls() -> None:
    def asks(query: Query, answer: Answer) -> Scoring:
        try:
            yield Call(1, query)
        except TimeoutError:
            return 0.75
        return 0.0

    decision, _ = ask(Cascade(asks, 0.5), says("small"), TimeoutError("slow"))
    assert decision.tier == "tier0"
    assert decision.steps[-1].score == 0.75


def test_calls_that_only_help_to_score_are_never_served_or_streamed() -> None:
    def careless(query: Query, answer: Answer) -> Scoring:
        yield Call(0, query, final=True)
        return 1.0

    script = Script([says("served once"), says()])
    items = list(drive_stream(Cascade(careless, 0.5).decide(make_query(2)), script.perform, script.stream))
    assert len(items) == 1
    assert [(call.purpose, call.final) for call in script.calls] == [("answer", False), ("score", False)]


# Regressions: faults of others


def test_length_is_not_quality() -> None:
    """A long answer without a signal earns no score: cascadeflow gave repeated nonsense 0.75 and "42" 0.2."""
    decision, _ = ask(Cascade(threshold=0.1), says("nonsense " * 500), says("42"))
    assert decision.steps[0].score is None
    assert decision.answer.text == "42"


def test_a_tool_call_is_not_confidence() -> None:
    """Any tool call scored 1.0 in cascadeflow; here one to a tool that was never offered does not even pass."""
    answer = says("", tool_calls=(ToolCall("drop_table", {}),))
    decision, _ = ask(Cascade(threshold=0.1), answer, says("dear"), query=make_query(2, tools=TOOLS))
    assert decision.steps[0].reason == "no_signal"
    decision, _ = ask(Cascade(SchemaValid(), 0.1), answer, says("dear"), query=make_query(2, tools=TOOLS))
    assert decision.steps[0].score == 0.0
    assert decision.answer.text == "dear"


def test_more_than_two_models() -> None:
    """RouteLLM knows two."""
    decision, _ = ask(cascade(), *[says(str(number), 0.1) for number in range(6)])
    assert decision.answer.text == "5"
    assert len(decision.steps) == 6


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"threshold": 1.5}, "threshold=1.5 is out of range: scores and thresholds are numbers from 0 to 1"),
        ({"threshold": -0.1}, "threshold=-0.1 is out of range"),
        ({"threshold": NAN}, "threshold=nan is out of range"),
        ({"threshold": True}, "threshold=True is out of range"),
        ({"threshold": "0.5"}, "threshold='0.5' must be a number from 0 to 1, a list, one per escalation, or a Threshold"),
        ({"threshold": [0.5, 2]}, "threshold=2 is out of range"),
        ({"threshold": [0.5, "high"]}, "threshold='high' is out of range"),
        ({"threshold": {"small": 0.5}}, "must be a number from 0 to 1, a list"),
        ({"scorer": "margin"}, "scorer='margin' must be a scorer or a function (query, answer) -> float | None"),
        ({"scorer": 0.5}, "scorer=0.5 must be a scorer"),
        ({"on_missing": "ignore"}, 'on_missing=\'ignore\' must be "escalate", "accept" or "raise"'),
        ({"escalate_on": "timeout"}, "escalate_on='timeout' must be exception classes or a predicate"),
        ({"escalate_on": [TimeoutError, "429"]}, "must hold exception classes only, such as TimeoutError"),
        ({"escalate_on": int}, "must hold exception classes only"),
        ({"escalate_on": [KeyboardInterrupt]}, "must hold exception classes only"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_arguments_are_refused_by_name_value_and_limit(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Cascade(**arguments)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FrugalError)


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_thresholds_is_refused_before_any_call(count: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"{count} thresholds for 3 models: give one per escalation, that is 2"):
        cascade([0.5] * count).check(make_tiers(3))
    cascade([0.5, 0.5]).check(make_tiers(3))
    cascade(0.5).check(make_tiers(3))


def test_the_default_is_margin_sampling_at_thirty_percent() -> None:
    policy = Cascade()
    assert policy.scorer == Margin()
    assert isinstance(policy.threshold, BudgetedThreshold)
    assert policy.threshold.call_large == 0.3
    assert policy.on_missing == "escalate"
    assert policy.needs_logprobs
    assert not Cascade(SchemaValid()).needs_logprobs
    assert cascade().needs_logprobs  # a plain function may look at anything


# A cascade of some of the models


def test_only_the_models_it_names_are_asked_in_its_order() -> None:
    decision, script = ask(cascade(models=["tier2", "tier0"]), says("a", 0.9), says("b", 0.9), says("c", 0.1))
    assert script.asked == [2, 0]
    assert decision.answer.text == "a"
    assert trace(decision) == [("tier2", "unsure", False), ("tier0", "last_tier", True)]
    assert [call.final for call in script.calls] == [False, True]


def test_models_may_be_named_as_their_providers_do() -> None:
    assert ask(cascade(models=["model-1"]), says("a"), says("b"))[1].asked == [1]


def test_thresholds_of_named_models_follow_their_order() -> None:
    policy = cascade([0.2, 0.8], models=["tier2", "tier0", "tier1"])
    policy.check(make_tiers(3))
    decision, script = ask(policy, says("a", 0.5), says("b"), says("c", 0.1))
    assert script.asked == [2, 0, 1]
    assert [step.threshold for step in decision.steps] == [0.2, 0.8, None]


def test_a_budget_among_named_models_is_kept() -> None:
    policy = cascade(BudgetedThreshold(0.25), models=["tier0", "tier2"])
    asked = [ask(policy, says("a", n % 10 / 10), says("b"), says("c"))[1].asked for n in range(400)]
    assert {tuple(tiers) for tiers in asked} == {(0,), (0, 2)}
    assert sum(2 in tiers for tiers in asked) == pytest.approx(100, abs=4)


def test_the_baseline_is_the_reference_also_where_it_is_not_named() -> None:
    decision, _ = ask(cascade(models=["tier0"]), says("a"), says("b"), says("c"))
    assert (decision.cost_usd, decision.baseline_cost_usd) == (1.0, 100.0)


def test_a_model_that_is_not_there_is_named_beside_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"model 'gone', but the models here are tier0, tier1"):
        cascade(models=["tier0", "gone"]).check(make_tiers(2))


def test_the_thresholds_must_be_as_many_as_the_named_models_need() -> None:
    with pytest.raises(ConfigurationError, match="2 thresholds for 2 models"):
        cascade([0.5, 0.5], models=["tier0", "tier1"]).check(make_tiers(3))


@pytest.mark.parametrize("models", [[], "tier0", ["tier0", "tier0"]])
def test_models_are_named_once(models: Any) -> None:
    with pytest.raises(ConfigurationError, match="must name at least one model, and each once"):
        cascade(models=models)


def test_named_models_are_saved(tmp_path: Any) -> None:
    policy = Cascade(Margin(), 0.7, models=["b", "a"])
    policy.save(tmp_path / "policy.json")
    loaded = Cascade.load(tmp_path / "policy.json")
    assert (loaded.models, loaded.version) == (("b", "a"), policy.version)
    assert policy.version != Cascade(Margin(), 0.7, models=["a", "b"]).version
