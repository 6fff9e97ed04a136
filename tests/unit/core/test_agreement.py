"""When two answers say the same, and what a tier's agreement with earlier ones is worth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_builders import ask, in_every_way, make_query, recorded, says
from frugal_core.agreement import NAMED, agree, exact, normalised, numeric
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.saving import decode, encode
from frugal_core.scorers import Agreement, Margin
from frugal_core.types import Answer, Query, ToolCall

# Texts


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris", "paris.", True),
        ("**Paris**", '"Paris"', True),
        ("New  York\n", "new york", True),
        ("(B)", "b.", True),
        ("ﬁve", "five", True),
        ("Straße", "STRASSE", True),
        ("it’s", "it's", True),
        ("1,200", "1200", True),
        ("1,200.50", "1200.5", True),
        ("$1,200", "$1200.00", True),
        ("-5", "−5.0", True),
        ("+5", "5", True),
        (".5", "0.5", True),
        ("50 %", "50%", True),
        ("007", "7", True),
        ("123456789012345678901", "123456789012345678902", False),
        ("0.1", "0.10000000000000001", False),
        ("-5", "5", False),
        ("50%", "50", False),
        ("$5", "€5", False),
        ("3,5", "3.5", False),
        ("1,20", "120", False),
        ("1/2", "0.5", False),
        ("Paris", "Paris, France", False),
        ("no", "not", False),
        ("...", "!", False),
        ("...", "...", True),
        ("", "0", False),
    ],
)
def test_texts_apart_from_their_form(one: str, other: str, same: bool) -> None:
    assert normalised(one, other) is normalised(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("12 + 7 = 19", "So it is 19.", True),
        ("The answer is $1,234.50!", "$1234.5", True),
        ("from -3 to -5", "-5", True),
        ("12-5", "5", True),
        ("it costs 1,20", "20", True),  # the comma of a list
        ("19 or 20", "19", False),
        ("50%", "50", True),
        ("none", "none", False),
        ("7", "none", False),
    ],
)
def test_texts_by_their_last_number(one: str, other: str, same: bool) -> None:
    assert numeric(one, other) is numeric(other, one) is same


def test_texts_as_they_are_written() -> None:
    assert exact(" Paris\n", "Paris")
    assert not exact("Paris", "paris")


@given(st.text(), st.text())
def test_every_way_is_symmetric_and_each_is_looser_than_the_exact_one(one: str, other: str) -> None:
    for same in NAMED.values():
        assert same(one, other) is same(other, one)
    assert normalised(one, f" {one} ")
    assert not exact(one, other) or normalised(one, other)


@given(st.integers(), st.integers())
def test_integers_agree_when_they_are_equal_however_they_are_grouped(one: int, other: int) -> None:
    for same in (normalised, numeric):
        assert same(f"{one:,}", str(one))
        assert same(f"{one:,}.", f"{other}.0") is (one == other)


# Answers

ROME, OSLO = ToolCall("weather", {"city": "Rome"}, id="1"), ToolCall("weather", {"city": "Oslo"})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (says("", tool_calls=(ROME,)), says("let me see", tool_calls=(ToolCall("weather", {"city": "Rome"}, id="2"),)), True),
        (says("", tool_calls=(ROME,)), says("", tool_calls=(OSLO,)), False),
        (says("", tool_calls=(ROME,)), says("", tool_calls=(ROME, OSLO)), False),
        (says("", tool_calls=(ROME,)), says("", tool_calls=(ToolCall("traffic", {"city": "Rome"}),)), False),
        (says("x", tool_calls=(ROME,)), says("x"), False),
        (
            says("", tool_calls=(ToolCall("f", {}, error="torn"),)),
            says("", tool_calls=(ToolCall("f", {}, error="torn"),)),
            False,
        ),
        (says("a", parsed={"n": 1}), says("b", parsed={"n": 1}), True),
        (says("a", parsed={"n": 1}), says("a", parsed={"n": 2}), False),
        (says("a", parsed={"n": 1}), says("a"), False),
        (says("a", parsing_error="no JSON"), says("a", parsing_error="no JSON"), False),
    ],
)
def test_answers_that_are_more_than_text(one: Answer, other: Answer, same: bool) -> None:
    assert agree(one, other, "normalised") is agree(other, one, "normalised") is same


def test_any_function_of_two_texts_compares_them() -> None:
    assert agree(says("Paris, France"), says("Paris"), lambda one, other: other in one)


@pytest.mark.parametrize("same", ["exactly", None, 1])
def test_what_compares_nothing_is_refused(same: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"same=.* must be 'exact', 'normalised', 'numeric' or a function"):
        Agreement(same)


# Tiers that agree


def reasons(decision: Any) -> list[tuple[str, float | None]]:
    return [(step.reason, step.score) for step in decision.steps]


def test_a_tier_that_agrees_with_the_first_is_served() -> None:
    decision, script = ask(Cascade(Agreement(), 0.5), says("Paris"), says("paris."), says("Rome"))
    assert reasons(decision) == [("no_signal", None), ("confident", 1.0)]
    assert decision.answer.text == "paris."
    assert decision.answer.earlier == ()  # the scorer's alone
    assert script.asked == [0, 1]
    assert decision.cost_usd == 2.0


def test_the_share_is_of_all_earlier_answers_that_are_usable() -> None:
    texts = ("Paris", "Rome", "Paris", "the last")
    decision, _ = ask(Cascade(Agreement(), 0.5), *map(says, texts))
    assert reasons(decision) == [("no_signal", None), ("unsure", 0.0), ("confident", 0.5)]
    cut, failed = says("Oslo", finish_reason="length"), TimeoutError()
    decision, _ = ask(Cascade(Agreement(), 0.5), cut, failed, says("Oslo"), says("Oslo"), says("the last"))
    assert [reason for reason, _ in reasons(decision)] == ["truncated", "failed", "no_signal", "confident"]


def test_the_other_scorer_decides_alone_where_there_is_nothing_to_agree_with() -> None:
    for joined in (Agreement() & recorded, Agreement() | recorded, Agreement().or_else(recorded)):
        decision, _ = ask(Cascade(joined, 0.5), says("Paris", 0.4), says("paris", 0.9), says("Rome"))
        assert reasons(decision) == [("unsure", 0.4), ("confident", 0.9 if joined == Agreement() & recorded else 1.0)]


def test_every_driver_knows_the_earlier_answers() -> None:
    answers = [says("Paris"), says("Paris"), says("Rome")]
    for results, scripts in in_every_way(lambda: Cascade(Agreement(), 0.5), [make_query(3)] * 2, [answers] * 2).values():
        assert [reasons(result) for result in results] == [[("no_signal", None), ("confident", 1.0)]] * 2
        assert [script.asked for script in scripts] == [[0, 1]] * 2


def test_a_function_sees_the_earlier_answers() -> None:
    seen = []

    def scorer(query: Query, answer: Answer) -> float:
        seen.append([other.text for other in answer.earlier])
        return 0.0

    ask(Cascade(scorer, 0.5), says("a"), says("b"), says("c"), says("d"))
    assert seen == [[], ["a"], ["a", "b"]]


def test_it_needs_no_logprobs_and_is_saved() -> None:
    assert not Cascade(Agreement()).needs_logprobs
    assert Cascade(Agreement() | Margin()).needs_logprobs
    assert decode(encode(Agreement("numeric"))) == Agreement("numeric")
    with pytest.raises(ConfigurationError, match="cannot be saved"):
        encode(Agreement(exact))
