"""Whatever tiers answer, cost or raise: one decision per query, nobody asked in vain, and all drivers of one mind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core_builders import USAGE, Outcome, Script, in_every_way, make_query, recorded, says
from frugal_core.decision import Decision
from frugal_core.engine import drive_stream
from frugal_core.errors import ScorerError
from frugal_core.policies import Cascade, Policy, RandomRouter, Single
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.scorers.base import Scoring
from frugal_core.types import Answer, Call, Query, Tier, ToolCall

CHECKED = settings(deadline=None, max_examples=60)
NAN = float("nan")


class Refused(Exception):
    """Escalates by its status."""

    status_code = 429


def problems() -> st.SearchStrategy[Exception]:
    kinds = st.sampled_from([TimeoutError, Refused, ValueError, KeyError, StopIteration, ConnectionError])
    return st.builds(lambda kind, words: kind(words), kinds, st.text(max_size=5))


def answers() -> st.SearchStrategy[Answer]:
    return st.builds(
        says,
        st.sampled_from(["Paris", "", " ", "a longer answer", "{"]),
        st.one_of(
            st.none(), st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, float("nan"), 7.0, "high", ValueError("scorer")])
        ),
        st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0, 1024.0])),
        usage=st.sampled_from([None, USAGE]),
        finish_reason=st.sampled_from([None, "stop", "stop", "length", "content_filter"]),
        tool_calls=st.sampled_from([(), (), (ToolCall("search", {}),)]),
        parsing_error=st.sampled_from([None, None, None, "no JSON"]),
    )


def outcomes() -> st.SearchStrategy[Outcome]:
    return st.one_of(answers(), answers(), problems())


@st.composite
def tiers(draw: st.DrawFn, count: int) -> tuple[Tier, ...]:
    """Some of which are too small, or take no tools."""
    return tuple(
        Tier(
            f"tier{n}",
            context_window=draw(st.sampled_from([None, None, 10])),
            supports_tools=draw(st.sampled_from([True, True, False])),
        )
        for n in range(count)
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Query], list[list[Outcome]], list[float]]:
    """Queries, what every tier will do for each, and a threshold for each escalation."""
    count = draw(st.integers(1, 5))
    models = draw(tiers(count))
    number = draw(st.integers(1, 4))
    tools = st.sampled_from([(), [{"name": "search"}]])
    queries = [
        make_query(
            models, tools=draw(tools), prompt_tokens=draw(st.sampled_from([5, 50])), reference=draw(st.integers(-1, count - 1))
        )
        for _ in range(number)
    ]
    scripts = [draw(st.lists(outcomes(), min_size=count, max_size=count)) for _ in range(number)]
    return queries, scripts, draw(st.lists(st.floats(0, 1), min_size=count - 1, max_size=count - 1))


def samples_once(query: Query, answer: Answer) -> Scoring:
    """A scorer that asks the tier again before it believes it."""
    again = yield Call(answer.tier, query, purpose="score")
    return recorded(query, again)  # type: ignore[no-any-return]


def timeless(result: Any) -> Any:
    """A decision without its seconds and its policy's version (a function is no part of one); an exception as it is."""
    if isinstance(result, Decision):
        steps = tuple(replace(step, latency_s=None) for step in result.steps)
        return replace(result, steps=steps, version=""), result.answer
    # Python makes of a StopIteration that rises from a generator or a coroutine a RuntimeError, in words of its own.
    return type(result) if isinstance(result, RuntimeError) else result


@CHECKED
@given(questions(), st.sampled_from(["escalate", "accept", "raise"]), st.sampled_from([recorded, samples_once]))
def test_every_query_ends_in_one_decision_or_in_the_very_exception_of_a_tier(
    asked: tuple[list[Query], list[list[Outcome]], list[float]], on_missing: Any, scorer: Any
) -> None:
    queries, scripts, thresholds = asked
    ways = in_every_way(lambda: Cascade(scorer, thresholds, on_missing=on_missing), queries, scripts)
    for results, played in ways.values():
        assert len(results) == len(queries)
        for result, script, query in zip(results, played, queries, strict=True):
            if not isinstance(result, Decision):
                raised = [outcome for outcome in script.outcomes if isinstance(outcome, Exception)]
                stopped = isinstance(result, RuntimeError) and any(isinstance(error, StopIteration) for error in raised)
                assert any(result is error for error in raised) or stopped or isinstance(result, ScorerError)
                assert isinstance(result, ScorerError) <= (on_missing == "raise")
                continue
            served = [step for step in result.steps if step.accepted]
            assert len(served) == 1
            assert served[0].tier == result.tier == query.tiers[result.answer.tier].name
            assert query.tiers[script.asked[-1]].name == result.tier  # nobody is asked after the one whose answer was served
            assert script.asked == sorted(script.asked)
            assert len(script.asked) == sum(step.called for step in result.steps)
            assert len(script.asked) <= len(query.tiers) * (1 + (scorer is samples_once))


@CHECKED
@given(questions(), st.sampled_from([recorded, samples_once]))
def test_costs_add_up_and_one_unknown_makes_the_whole_unknown(
    asked: tuple[list[Query], list[list[Outcome]], list[float]], scorer: Any
) -> None:
    queries, scripts, thresholds = asked
    for results, _ in in_every_way(lambda: Cascade(scorer, thresholds), queries, scripts).values():
        for decision in results:
            if isinstance(decision, Decision):
                costs = [step.cost_usd for step in decision.steps]
                assert decision.cost_usd == (None if None in costs else sum(cost for cost in costs if cost is not None))
                assert all(step.cost_usd == 0.0 for step in decision.steps if not step.called)


@CHECKED
@given(questions(), st.sampled_from([recorded, samples_once]), st.sampled_from(["escalate", "accept"]))
def test_all_drivers_agree(asked: tuple[list[Query], list[list[Outcome]], list[float]], scorer: Any, on_missing: Any) -> None:
    queries, scripts, thresholds = asked
    ways = in_every_way(lambda: Cascade(scorer, thresholds, on_missing=on_missing), queries, scripts)
    expected, played = ways.pop("drive")
    for results, others in ways.values():
        assert [timeless(result) for result in results] == [timeless(result) for result in expected]
        assert [script.asked for script in others] == [script.asked for script in played]


@CHECKED
@given(
    st.sampled_from([lambda: Single(0), lambda: Single(-1), lambda: RandomRouter(0.5), lambda: Cascade(recorded)]),
    st.lists(st.lists(outcomes(), min_size=2, max_size=2), min_size=1, max_size=12),
)
def test_all_drivers_agree_on_policies_that_learn_or_throw_dice(policy: Any, scripts: list[list[Outcome]]) -> None:
    """A batch tells a threshold of each query what a stream would, if tiers answer at once."""
    ways = in_every_way(policy, [make_query(2)] * len(scripts), scripts)
    expected, _ = ways.pop("drive")
    for results, _ in ways.values():
        assert [timeless(result) for result in results] == [timeless(result) for result in expected]


@CHECKED
@given(questions())
def test_only_the_answer_that_is_served_is_ever_streamed(asked: tuple[list[Query], list[list[Outcome]], list[float]]) -> None:
    queries, scripts, thresholds = asked
    policy: Policy = Cascade(recorded, thresholds)
    for query, outcome in zip(queries, scripts, strict=True):
        _assert_streams_its_answer(policy, query, outcome)


def _assert_streams_its_answer(policy: Policy, query: Query, outcome: list[Outcome]) -> None:
    script, items = Script(outcome), []
    try:
        items = list(drive_stream(policy.decide(query), script.perform, script.stream))
    except Exception:
        return
    *chunks, decision = items
    assert isinstance(decision, Decision)
    assert not any(isinstance(chunk, Decision) for chunk in chunks)
    final = script.calls[-1].final
    assert chunks == (decision.answer.text.split() if final else [])


@CHECKED
@given(questions(), st.integers(0, 12))
def test_a_query_that_is_given_up_leaves_nothing_set_aside(
    asked: tuple[list[Query], list[list[Outcome]], list[float]], after: int
) -> None:
    queries, scripts, _ = asked
    for threshold in (BudgetedThreshold(0.5), BudgetedThreshold(usd=100.0)):
        policy = Cascade(samples_once, threshold)
        for query, outcome in zip(queries, scripts, strict=True):
            priced = replace(query, tiers=make_query(len(query.tiers)).tiers)
            flow, left = policy.decide(priced), after
            try:
                call = next(flow)
                while left:
                    left -= 1
                    said = outcome[call.tier]
                    if isinstance(said, Exception):
                        call = flow.throw(said)
                    else:
                        call = flow.send(replace(said, tier=call.tier, cost_usd=said.cost_usd or 0.0, usage=USAGE))
            except Exception:
                pass
            flow.close()
        assert abs(threshold._reserved) < 1e-6
