"""Scorers of whole answers, their combinations, and what becomes of those that ask, fail or talk nonsense."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import pytest

from core_builders import Script, ask, in_every_way, make_query, says
from frugal_core.engine import drive
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.scorers import Both, Either, LogprobQuantile, Margin, MeanLogprob, MinLogprob, OrElse, SchemaValid, Scorer
from frugal_core.scorers.base import Scored, ScoreFunction, Scoring
from frugal_core.types import Answer, Call, Query, TokenLogprob

NAN, INF = float("nan"), float("inf")
WHOLE = (MeanLogprob(), MinLogprob(), LogprobQuantile(0.5))


def written(*probabilities: float) -> Answer:
    """An answer whose tokens had these probabilities."""
    return says(logprobs=tuple(TokenLogprob(f"t{n}", log(p)) for n, p in enumerate(probabilities)))


class Says(Scorer):
    """Always the same score; counts how often it is asked."""

    def __init__(self, score: Any, *, asks: bool = False) -> None:
        self.score, self.asks, self.asked = score, asks, 0

    def __call__(self, query: Query, answer: Answer) -> Scored:
        self.asked += 1
        if isinstance(self.score, Exception):
            raise self.score
        return self.later(query) if self.asks else self.score

    def later(self, query: Query) -> Scoring:
        yield Call(0, query, purpose="score")
        return self.score


class Vote(Scorer):
    """Self-consistency: the share of further samples that say the same."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def __call__(self, query: Query, answer: Answer) -> Scoring:
        texts = []
        for _ in range(self.samples):
            sample = yield Call(answer.tier, query, purpose="score", temperature=1.0)
            texts.append(sample.text)
        return sum(text == answer.text for text in texts) / len(texts)


def scored(scorer: ScoreFunction, answer: Answer | None = None, **rest: Any) -> tuple[Any, str | None, int]:
    """Score, fault and number of calls that the scoring of the first tier's answer took."""
    decision, script = ask(Cascade(scorer, 0.5), answer or says(), says(), **rest)
    step = next(step for step in decision.steps if step.reason not in ("sample", "failed"))
    return step.score, step.error, script.asked.count(0) - 1


# Log-probabilities of a whole answer


def test_hand_computed_scores() -> None:
    answer = written(0.9, 0.4, 0.1)
    assert MeanLogprob()(make_query(), answer) == pytest.approx((0.9 * 0.4 * 0.1) ** (1 / 3))
    assert MinLogprob()(make_query(), answer) == pytest.approx(0.1)


@pytest.mark.parametrize(("quantile", "score"), [(0, 0.1), (0.25, 0.25), (0.5, 0.4), (0.75, 0.65), (0.9, 0.8), (1, 0.9)])
def test_quantiles_are_interpolated_linearly(quantile: float, score: float) -> None:
    assert LogprobQuantile(quantile)(make_query(), written(0.9, 0.4, 0.1)) == pytest.approx(score)


@pytest.mark.parametrize("scorer", [*WHOLE, LogprobQuantile(0), LogprobQuantile(1)])
def test_one_token_is_its_own_quantile(scorer: Scorer) -> None:
    assert scorer(make_query(), written(0.7)) == pytest.approx(0.7)


@pytest.mark.parametrize("scorer", WHOLE)
def test_no_logprobs_are_no_signal(scorer: Scorer) -> None:
    assert scorer(make_query(), says("a long answer " * 100)) is None


@pytest.mark.parametrize("scorer", WHOLE)
@pytest.mark.parametrize("logprob", [NAN, 0.7, INF, None, "-0.1"])
def test_a_malformed_logprob_is_no_signal_and_never_confidence(scorer: Scorer, logprob: Any) -> None:
    answer = says(logprobs=(TokenLogprob("a", -0.01), TokenLogprob("b", logprob)))
    assert scorer(make_query(), answer) is None


@pytest.mark.parametrize("scorer", WHOLE)
def test_rounding_above_zero_is_forgiven_and_impossible_tokens_score_0(scorer: Scorer) -> None:
    assert scorer(make_query(), says(logprobs=(TokenLogprob("a", 1e-7),))) == 1.0
    assert scorer(make_query(), says(logprobs=(TokenLogprob("a", -INF),))) == 0.0


@pytest.mark.parametrize("quantile", [-0.1, 1.1, NAN, "0.5", None, True])
def test_a_quantile_out_of_range_is_refused(quantile: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"quantile=.* is out of range: give a number from 0 to 1"):
        LogprobQuantile(quantile)


def test_who_needs_logprobs() -> None:
    assert all(Cascade(scorer).needs_logprobs for scorer in (*WHOLE, Margin()))
    assert not Cascade(SchemaValid()).needs_logprobs
    assert Cascade(SchemaValid() & Margin()).needs_logprobs
    assert not Cascade(SchemaValid() | SchemaValid()).needs_logprobs
    assert Cascade(lambda query, answer: 1.0).needs_logprobs


# Combinations

VALUES = (None, 0.0, 0.3, 0.7, 1.0)


@pytest.mark.parametrize("first", VALUES)
@pytest.mark.parametrize("second", VALUES)
@pytest.mark.parametrize("asks", [(False, False), (True, False), (False, True), (True, True)])
def test_pairs_of_scores(first: float | None, second: float | None, asks: tuple[bool, bool]) -> None:
    known = [value for value in (first, second) if value is not None]
    both = 0.0 if 0.0 in known else min(known) if len(known) == 2 else None
    either = max(known, default=None)
    fallback = second if first is None else first

    def parts() -> tuple[Says, Says]:
        return Says(first, asks=asks[0]), Says(second, asks=asks[1])

    for combine, expected in ((Both, both), (Either, either), (OrElse, fallback)):
        assert scored(combine(*parts()))[0] == expected


def test_operators_make_pairs() -> None:
    one, other = Margin(), SchemaValid()
    assert (one & other) == Both(one, other)
    assert (one | other) == Either(one, other)
    assert one.or_else(other) == OrElse(one, other)
    assert scored(Margin().or_else(lambda query, answer: 0.25))[0] == 0.25
    assert scored((Says(0.9) & Says(0.8) | Says(0.1)).or_else(Says(0.2)))[0] == 0.8


@pytest.mark.parametrize("asks", [False, True])
def test_nothing_is_asked_when_the_first_score_settles_it(asks: bool) -> None:
    for make, first in ((Both, 0.0), (Either, 1.0), (OrElse, 0.0), (OrElse, 0.6)):
        dear = Says(0.5, asks=True)
        score, _, calls = scored(make(Says(first, asks=asks), dear))
        assert score == first
        assert dear.asked == 0
        assert calls == asks


def test_a_fallback_that_samples_is_paid_only_where_it_is_needed() -> None:
    assert scored(Says(0.9).or_else(Vote(3))) == (0.9, None, 0)
    assert scored(Says(None).or_else(Vote(3))) == (1.0, None, 3)


@pytest.mark.parametrize("nonsense", [NAN, 1.5, -1, "high"])
@pytest.mark.parametrize("combine", [Both, Either, OrElse])
@pytest.mark.parametrize("asks", [False, True])
def test_a_part_that_returns_nonsense_is_named_and_never_hidden_by_the_other(
    nonsense: Any, combine: Callable[[Any, Any], Scorer], asks: bool
) -> None:
    for parts in ((Says(nonsense, asks=asks), Says(0.5)), (Says(None), Says(nonsense, asks=asks))):
        score, problem, _ = scored(combine(*parts))
        assert score is None
        assert f"returned {nonsense!r}: a score is a number from 0 to 1" in str(problem)


def test_a_part_that_raises_leaves_no_score() -> None:
    for pair in (Says(0.9) & Says(KeyError("x")), Says(0.5) | Says(KeyError("x"))):
        score, problem, _ = scored(pair)
        assert score is None
        assert "raised KeyError: 'x'" in str(problem)


@pytest.mark.parametrize("part", [0.5, "margin", None])
def test_only_scorers_combine(part: Any) -> None:
    for combine in (Margin().__and__, Margin().__or__, Margin().or_else):
        with pytest.raises(ConfigurationError, match="must be a scorer or a function"):
            combine(part)


# Scorers that ask


def test_samples_are_charged_to_the_query_as_steps() -> None:
    decision, script = ask(Cascade(Vote(4), 0.5), says("Paris", cost=0.25), says())
    assert [step.reason for step in decision.steps] == ["sample"] * 4 + ["confident"]
    assert [step.accepted for step in decision.steps] == [False] * 4 + [True]
    assert decision.cost_usd == 1.25
    assert decision.steps[-1].score == 1.0
    assert [call.purpose for call in script.calls] == ["answer"] + ["score"] * 4
    assert script.calls[1].temperature == 1.0


def test_a_dissenting_vote_escalates() -> None:
    texts = iter(["Paris", "Rome", "Paris", "Oslo", "Bern"])

    def perform(call: Call) -> Answer:
        return says("the answer", cost=5.0, tier=1) if call.tier else says(next(texts))

    decision = drive(Cascade(Vote(4), 0.5).decide(make_query(2)), perform)
    assert decision.steps[-2].score == 0.25
    assert decision.answer.text == "the answer"
    assert decision.cost_usd == 10.0


def test_scorers_that_ask_work_with_every_driver() -> None:
    ways = in_every_way(lambda: Cascade(Vote(2) & Says(0.9), 0.5), [make_query(2)] * 3, [[says("x"), says("y")]] * 3)
    for results, scripts in ways.values():
        assert [result.answer.text for result in results] == ["x"] * 3
        assert [script.asked for script in scripts] == [[0, 0, 0]] * 3


def test_a_closed_query_closes_its_scorer() -> None:
    closed = []

    def asks(query: Query, answer: Answer) -> Scoring:
        try:
            yield Call(0, query, purpose="score")
        finally:
            closed.append(True)
        return 1.0

    script = Script([says(), says()])
    flow = Cascade(asks, 0.5).decide(make_query(2))
    flow.send(script.perform(next(flow)))
    flow.close()
    assert closed == [True]


def test_any_callable_is_a_scorer() -> None:
    class Callable_:
        def __call__(self, query: Query, answer: Answer) -> float:
            return 0.625

    assert scored(Callable_())[0] == 0.625
    assert scored(lambda query, answer: len(answer.text) / 10)[0] == 0.5
    assert scored(lambda query, answer: query.text.count("France"))[0] == 1.0
