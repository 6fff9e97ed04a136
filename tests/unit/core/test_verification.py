"""Self-verification: what is asked, how the reply is read, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from core_builders import Outcome, in_every_way, make_tiers, says, token
from frugal_core.decision import Decision
from frugal_core.engine import drive
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.saving import decode, encode
from frugal_core.scorers import AUTOMIX, Margin, SchemaValid, SelfConsistency, SelfVerification
from frugal_core.scorers.verification import P_TRUE
from frugal_core.types import Answer, Call, Message, Query, TokenLogprob, ToolCall

QUESTION = Query((Message("user", "Capital of France?"),), make_tiers(2), metadata={"tenant": "t"})
BARE = "{question}|{answer}"


def verified(scorer: Any, *said: Outcome, query: Query = QUESTION) -> tuple[Decision, list[Call]]:
    """The first tier answers and then gives the replies, in turn; the second says "dear"."""
    turns, calls = iter(said), []

    def perform(call: Call) -> Answer:
        calls.append(call)
        outcome = next(turns) if call.tier == 0 else says("dear", cost=10.0)
        if isinstance(outcome, Exception):
            raise outcome
        return replace(outcome, tier=call.tier)

    return drive(Cascade(scorer, 0.6).decide(query), perform), calls


def score(scorer: Any, *said: Outcome, query: Query = QUESTION) -> float | None:
    decision, _ = verified(scorer, *said, query=query)
    return next(step.score for step in decision.steps if step.reason not in ("sample", "failed"))


def spoken(text: str, *rivals: tuple[str, float], p: float, before: tuple[TokenLogprob, ...] = ()) -> Answer:
    """A reply of one word of probability `p`, after `before`."""
    return says(text, logprobs=(*before, token(text, *rivals, p=p)))


# What is asked


def test_the_tier_is_asked_about_its_own_answer() -> None:
    decision, calls = verified(SelfVerification(), says("Paris", cost=1.0), spoken("Yes", ("No", 0.1), p=0.9))
    asked = calls[1]
    assert asked.query is not QUESTION
    assert asked.query.messages == (Message("user", P_TRUE.format(question="Capital of France?", answer="Paris")),)
    assert (asked.query.system, asked.query.tools, asked.query.response_format) == ("", (), None)
    assert asked.query.tiers == QUESTION.tiers
    assert (asked.tier, asked.purpose, asked.n, asked.temperature, asked.final) == (0, "score", 1, None, False)
    assert [step.reason for step in decision.steps] == ["sample", "confident"]
    assert decision.steps[1].score == pytest.approx(0.9)
    assert decision.cost_usd == 2.0


def test_the_whole_conversation_is_shown() -> None:
    call = ToolCall("weather", {"city": "Rome"})
    turns = (
        Message("user", "Rome?"),
        Message("assistant", "", (call,)),
        Message("tool", "sunny"),
        Message("user", "And Oslo?"),
    )
    _, calls = verified(
        SelfVerification(BARE), says("rain"), says("yes"), query=replace(QUESTION, messages=turns, system="Be brief.")
    )
    assert calls[1].query.text == (
        'System: Be brief.\nUser: Rome?\nAssistant: weather({"city": "Rome"})\nTool: sunny\nUser: And Oslo?|rain'
    )


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (says("", tool_calls=(ToolCall("f", {"x": 1}), ToolCall("g", {}))), 'f({"x": 1})\ng({})'),
        (says("Let me see.", tool_calls=(ToolCall("f", {"x": 1}),)), 'Let me see.\nf({"x": 1})'),
        (says("", parsed={"x": 1}), "{'x': 1}"),
    ],
)
def test_answers_that_are_more_than_text_are_shown(answer: Answer, shown: str) -> None:
    _, calls = verified(SelfVerification(BARE), answer, says("yes"))
    assert calls[1].query.text == f"Capital of France?|{shown}"


def test_what_stands_in_the_question_is_no_place() -> None:
    query = replace(QUESTION, messages=(Message("user", "What is {answer} or \\1 or {0}?"),))
    _, calls = verified(SelfVerification(BARE), says("{question}"), says("yes"), query=query)
    assert calls[1].query.text == "What is {answer} or \\1 or {0}?|{question}"


def test_what_cannot_be_shown_is_not_judged_blindly() -> None:
    query = replace(QUESTION, messages=(Message("user", "What is this?", has_media=True),))
    decision, calls = verified(SelfVerification(), says("a cat"), query=query)
    assert [step.reason for step in decision.steps] == ["no_signal", "last_tier"]
    assert [call.tier for call in calls] == [0, 1]


# How the reply is read


@pytest.mark.parametrize(
    ("reply", "p"),
    [
        (spoken("Yes", ("No", 0.3), p=0.7), 0.7),
        (spoken("No", ("Yes", 0.3), p=0.7), 0.3),
        (spoken("Yes", (" yes", 0.2), ("YES", 0.1), ("no", 0.05), p=0.6), 0.9),
        (spoken("Yes", p=0.95), 0.95),
        (spoken("No", p=0.95), 0.0),
        (spoken("**Yes**", ("No", 0.1), p=0.8), 0.8),
        (spoken("Maybe", ("Yes", 0.3), ("No", 0.3), p=0.4), 0.3),  # a majority of the probability is on a yes or no
        (spoken("True", ("False", 0.4), p=0.6), 0.6),
        (spoken("Yes", ("No", 0.2), p=0.8, before=(token("\n", p=1.0), token('"', p=0.9))), 0.8),
        (says("yes", logprobs=(TokenLogprob("yes", 1e-9, (("yes", 1e-9), ("no", -inf))),)), 1.0),
    ],
)
def test_p_true_is_read_from_the_first_word(reply: Answer, p: float) -> None:
    assert score(SelfVerification(), says(), reply) == pytest.approx(p)
    assert score(SelfVerification(k=5), says(), reply) == pytest.approx(p)  # and takes one call


@pytest.mark.parametrize(
    ("reply", "p"),
    [
        (says("Yes."), 1.0),
        (says("no, it is Rome"), 0.0),
        (says("Not right"), 0.0),
        (says("Incorrect"), 0.0),
        (says("I think so"), None),
        (says("Yesterday"), None),
        (says("42"), None),
        (says(""), None),
        (spoken("Paris", ("Yes", 0.01), p=0.9), None),  # little on either: it speaks of something else
        (says("yes", logprobs=(TokenLogprob("yes", float("nan")),)), 1.0),
        (says("yes", logprobs=(TokenLogprob(" ", -0.1),)), 1.0),
    ],
)
def test_without_log_probabilities_the_word_itself_counts(reply: Answer, p: float | None) -> None:
    assert score(SelfVerification(), says(), reply) == p


def test_the_share_of_yes_among_replies() -> None:
    replies = [says(text) for text in ("Yes", "no", "yes!", "perhaps")]
    decision, calls = verified(SelfVerification(k=4, temperature=0.9), says(), *replies)
    assert [step.reason for step in decision.steps] == ["sample"] * 4 + ["unsure", "last_tier"]
    assert decision.steps[4].score == 0.5
    assert [call.temperature for call in calls[1:5]] == [0.9] * 4
    assert decision.cost_usd == 15.0
    assert score(SelfVerification(k=2), says(), says("perhaps"), says("42")) is None


def test_log_probabilities_are_left_aside_if_so_wished() -> None:
    replies = [spoken("Yes", ("No", 0.4), p=0.6)] * 6 + [spoken("No", ("Yes", 0.4), p=0.6)] * 2
    decision, calls = verified(AUTOMIX, says(), *replies)
    assert (len(calls), decision.steps[-1].score) == (9, 0.75)
    assert "follow from" in calls[1].query.text


def test_failures() -> None:
    decision, calls = verified(SelfVerification(k=3), says(), ConnectionRefusedError("down"))
    assert [step.reason for step in decision.steps] == ["failed", "no_signal", "last_tier"]
    assert "ConnectionRefusedError: down" in str(decision.steps[1].error)
    assert len(calls) == 3
    assert score(SelfVerification(k=4), says(), says("yes"), ConnectionRefusedError(), says("yes"), says("yes")) == 0.75


# How it joins in


def test_it_joins_other_scorers() -> None:
    sure = spoken("Yes", ("No", 0.2), p=0.8)
    assert score(SelfVerification() & (lambda query, answer: 0.7), says(), sure) == 0.7
    assert score(SelfVerification() | (lambda query, answer: 0.7), says(), sure) == pytest.approx(0.8)
    assert score(Margin().or_else(SelfVerification()), says(), sure) == pytest.approx(0.8)
    assert score(SelfConsistency(1) & SelfVerification(), says("a"), says("a"), sure) == pytest.approx(0.8)
    decision, calls = verified(SelfConsistency(1) & SelfVerification(), says("a"), says("b"))
    assert (len(calls), decision.steps[1].score) == (3, 0.0)  # not asked what 0 has settled


def test_every_driver_asks_the_same() -> None:
    ways = in_every_way(lambda: Cascade(SelfVerification(), 0.5), [QUESTION] * 3, [[says("yes"), says("y")]] * 3)
    for results, scripts in ways.values():
        assert [result.cost_usd for result in results] == [2.0] * 3
        assert [script.asked for script in scripts] == [[0, 0]] * 3


def test_who_needs_logprobs_and_what_is_saved() -> None:
    assert Cascade(SelfVerification()).needs_logprobs
    assert not Cascade(AUTOMIX).needs_logprobs
    assert not Cascade(AUTOMIX & SchemaValid()).needs_logprobs
    for scorer in (SelfVerification(), AUTOMIX, SelfVerification("{answer}?", 3, None)):
        assert decode(encode(scorer)) == scorer


@pytest.mark.parametrize("prompt", ["Is it right?", "{question}", "", None, 3])
def test_a_prompt_without_the_answer_is_refused(prompt: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be a text with \{answer\} in it"):
        SelfVerification(prompt)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="k=0 is out of range"):
        SelfVerification(k=0)
    with pytest.raises(ConfigurationError, match="temperature=3 is out of range"):
        SelfVerification(temperature=3)
