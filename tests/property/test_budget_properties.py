"""Budgets hold on any stream of scores: steady, drifting, two-valued, drawn by Hypothesis, or chosen by an adversary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_builders import Script, batch_of, make_query, recorded, says
from frugal_core.decision import Decision
from frugal_core.engine import drive, drive_many
from frugal_core.policies import Cascade
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.types import Answer, Call, Usage

CHECKED = settings(deadline=None, max_examples=40)
QUERIES = 300

Stream = Callable[[int, Any], Any]
"""The score of the n-th query, which may look at the step of the last one."""


def patience(queries: int) -> float:
    """By how many calls the realised share may stray, at most; its part of the traffic goes to zero."""
    return 10 + 2 * sqrt(queries)


def below_all(number: int, last: Any) -> float:
    """Each the lowest so far: every one asks to be escalated."""
    return 1 / (number + 2)


def above_all(number: int, last: Any) -> float:
    """Each the highest so far: none asks to be escalated."""
    return 1 - 1 / (number + 2)


def evades(number: int, last: Any) -> float:
    """Just above the threshold it was shown."""
    return 0.5 if last is None else min(1.0, last.threshold * 1.01 + 1e-9)


def provokes(number: int, last: Any) -> float:
    """Just below the threshold it was shown."""
    return 0.5 if last is None else max(0.0, last.threshold * 0.99 - 1e-9)


def turns(number: int, last: Any) -> float:
    """Confident for long, then the opposite: a drift that the plain running quantile never makes good."""
    return 0.9 + number / 10_000 if number < QUERIES // 2 else 0.1 - number / 10_000


STREAMS: dict[str, Stream] = {
    "constant": lambda number, last: 0.5,
    "zero": lambda number, last: 0,
    "one": lambda number, last: 1,
    "falling": below_all,
    "rising": above_all,
    "evading": evades,
    "provoking": provokes,
    "turning": turns,
    "two values": lambda number, last: float(number * 7 % 10 < 2),
    "alternating": lambda number, last: number % 2,
    "no signal": lambda number, last: None,
    "now and then": lambda number, last: None if number % 3 else 0.9,
}

SCORED = sorted(STREAMS.keys() - {"no signal", "now and then"})


def play(threshold: BudgetedThreshold, streams: list[Stream], costs: list[float], queries: int = QUERIES) -> list[Decision]:
    """Ask one query after another; tier n scores by stream n and costs `costs[n]`."""
    policy, query = Cascade(recorded, threshold), make_query(len(costs))
    query = replace(query, tiers=tuple(replace(tier, price=Flat(cost)) for tier, cost in zip(query.tiers, costs, strict=True)))
    last: list[Any] = [None] * len(costs)
    decisions = []
    for number in range(queries):
        outcomes = [
            says(score=stream(number, last[tier]), cost=costs[tier]) for tier, stream in enumerate(streams[: len(costs) - 1])
        ]
        decision = drive(policy.decide(query), Script([*outcomes, says(cost=costs[-1])]).perform)
        for step in decision.steps:
            if step.threshold is not None:
                last[int(step.tier[4:])] = step
        decisions.append(decision)
    return decisions


class Flat:
    """A price per request."""

    def __init__(self, usd: float) -> None:
        self.usd = usd

    def cost(self, usage: Usage) -> float:
        return self.usd


def large(decisions: list[Decision], tiers: int) -> int:
    return sum(decision.tier == f"tier{tiers - 1}" for decision in decisions)


def check_share(decisions: list[Decision], call_large: float, tiers: int) -> None:
    count = large(decisions, tiers)
    slack = patience(len(decisions))
    assert count - call_large * len(decisions) <= call_large * slack + 1 + 1e-9
    assert call_large * len(decisions) - count <= (1 - call_large) * slack + 1 + 1e-9


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("tiers", [2, 4])
@pytest.mark.parametrize("call_large", [0.0, 0.1, 0.5, 1.0])
def test_the_share_is_kept_on_every_stream(name: str, tiers: int, call_large: float) -> None:
    if "signal" in name or "now" in name:
        call_large = 1.0 if "no signal" in name else max(call_large, 2 / 3)  # what has no signal is escalated in any case
    decisions = play(BudgetedThreshold(call_large), [STREAMS[name]] * (tiers - 1), [1.0] * tiers)
    if "now" in name and tiers > 2:
        assert large(decisions, tiers) >= 2 / 3 * QUERIES - 1
    else:
        check_share(decisions, call_large, tiers)


def scores() -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0]) | st.floats(0, 1)


@CHECKED
@given(
    st.floats(0, 1),
    st.integers(2, 4),
    st.lists(
        st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0]) | st.floats(0, 1), min_size=1, max_size=40),
        min_size=3,
        max_size=3,
    ),
    st.integers(1, QUERIES),
)
def test_the_share_is_kept_on_any_stream(call_large: float, tiers: int, patterns: list[list[float]], queries: int) -> None:
    def repeat(pattern: list[float]) -> Stream:
        return lambda number, last: pattern[number % len(pattern)]

    decisions = play(BudgetedThreshold(call_large), [repeat(pattern) for pattern in patterns], [1.0] * tiers, queries)
    check_share(decisions, call_large, tiers)


@CHECKED
@given(
    st.floats(0.05, 0.95),
    st.lists(st.sampled_from(SCORED), min_size=3, max_size=3),
)
def test_the_share_is_kept_whoever_plays_at_which_tier(call_large: float, names: list[str]) -> None:
    check_share(play(BudgetedThreshold(call_large), [STREAMS[name] for name in names], [1.0] * 4), call_large, 4)


@pytest.mark.parametrize("name", ["constant", "two values", "falling", "rising", "provoking"])
def test_the_error_vanishes_as_the_stream_goes_on(name: str) -> None:
    """Not only within the bound: the realised share comes ever nearer to the asked one."""
    errors = [
        abs(large(play(BudgetedThreshold(0.3), [STREAMS[name]], [1.0, 1.0], queries), 2) / queries - 0.3)
        for queries in (100, 6400)
    ]
    assert errors[1] < max(0.03, errors[0] / 2)
    assert errors[1] <= (patience(6400) + 1) / 6400


# Money


def check_money(decisions: list[Decision], usd: float, costs: list[float]) -> None:
    spent = sum(decision.cost_usd or 0.0 for decision in decisions)
    slack = patience(len(decisions))
    assert spent - usd * len(decisions) <= (usd - costs[0]) * slack + sum(costs) + 1e-6
    assert usd * len(decisions) - spent <= (sum(costs) - usd) * slack + sum(costs) + 1e-6


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("costs", [[1.0, 10.0], [1.0, 5.0, 30.0]])
@pytest.mark.parametrize("place", [0.02, 0.6])
def test_the_mean_cost_converges_to_the_budget_on_every_stream(name: str, costs: list[float], place: float) -> None:
    usd = costs[0] + place * (sum(costs) - costs[0])
    check_money(play(BudgetedThreshold(usd=usd), [STREAMS[name]] * 2, costs), usd, costs)


@CHECKED
@given(
    st.floats(1.01, 60),
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=40), min_size=2, max_size=2),
    st.lists(st.floats(0.5, 50), min_size=1, max_size=2),
)
def test_the_mean_cost_converges_to_the_budget_on_any_stream(
    usd: float, patterns: list[list[float]], dearer: list[float]
) -> None:
    costs = [1.0, *dearer]
    streams: list[Stream] = [lambda number, last, p=pattern: p[number % len(p)] for pattern in patterns]  # type: ignore[misc]
    decisions = play(BudgetedThreshold(usd=usd), streams, costs)
    if usd >= sum(costs):
        assert large(decisions, len(costs)) == len(decisions)
    else:
        check_money(decisions, usd, costs)


@CHECKED
@given(
    st.floats(0.5, 20),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100)), min_size=1, max_size=60),
)
def test_costs_that_vary_do_not_break_the_budget(usd: float, calls: list[tuple[float, float, float]]) -> None:
    """Cheap calls within the budget, large ones of any price: the excess stays below the patience and one call."""
    policy, query = Cascade(recorded, BudgetedThreshold(usd=usd)), make_query(2)
    spent, dearest = 0.0, 0.0
    for number in range(QUERIES):
        score, cheap, dear = calls[number % len(calls)]
        script = Script([says(score=score, cost=cheap * usd), says(cost=dear)])
        spent += drive(policy.decide(query), script.perform).cost_usd or 0.0
        dearest = max(dearest, dear)
        assert spent - usd * (number + 1) <= usd * patience(number + 1) + dearest + 1e-6


# Hard budgets


@st.composite
def drafts(draw: st.DrawFn) -> list[Answer]:
    """Answers of a cheap tier, flawed ones and some without a signal among them."""
    answer = st.builds(
        says,
        st.sampled_from(["Paris", ""]),
        st.one_of(st.none(), st.floats(0, 1), st.just(float("nan"))),
        finish_reason=st.sampled_from([None, "length", "content_filter"]),
        parsing_error=st.sampled_from([None, None, "no JSON"]),
    )
    return draw(st.lists(answer, min_size=1, max_size=60))


@CHECKED
@given(st.floats(0, 1), drafts(), st.integers(2, 3), st.booleans())
def test_a_hard_share_is_never_exceeded(call_large: float, answers: list[Answer], tiers: int, at_once: bool) -> None:
    policy = Cascade(recorded, BudgetedThreshold(call_large, queries=len(answers)))
    scripts = [Script([*[answer] * (tiers - 1), says()]) for answer in answers]
    flows = [policy.decide(make_query(tiers)) for _ in answers]
    if at_once:
        decisions = drive_many(flows, batch_of(scripts))
    else:
        decisions = [drive(flow, script.perform) for flow, script in zip(flows, scripts, strict=True)]
    assert large([d for d in decisions if isinstance(d, Decision)], tiers) <= call_large * len(answers) + 1e-9


@CHECKED
@given(st.floats(0, 1), drafts(), st.integers(2, 3), st.booleans())
def test_hard_dollars_are_never_exceeded_by_more_than_one_call(
    place: float, answers: list[Answer], tiers: int, at_once: bool
) -> None:
    costs = [4.0, 10.0, 100.0][:tiers]
    usd = costs[0] + place * sum(costs[1:])
    policy = Cascade(recorded, BudgetedThreshold(usd=usd, queries=len(answers)))
    scripts = [Script([replace(answer, cost_usd=cost) for cost in costs[:-1]] + [says(cost=costs[-1])]) for answer in answers]
    flows = [policy.decide(make_query(tiers)) for _ in answers]
    if at_once:
        decisions = drive_many(flows, batch_of(scripts))
    else:
        decisions = [drive(flow, script.perform) for flow, script in zip(flows, scripts, strict=True)]
    spent = sum(decision.cost_usd or 0.0 for decision in decisions if isinstance(decision, Decision))
    assert spent <= usd * len(answers) + costs[-1] + 1e-6


# What was learned


@CHECKED
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 60), st.floats(0, 1))
def test_a_restart_in_the_middle_changes_no_verdict(scores: list[float], cut: int, call_large: float) -> None:
    cut = min(cut, len(scores))
    query = make_query(2)

    def verdicts(threshold: BudgetedThreshold, some: list[float]) -> list[Any]:
        return [drive(Cascade(recorded, threshold).decide(query), Script([says(score=s), says()]).perform).steps for s in some]

    whole, first, second = (BudgetedThreshold(call_large) for _ in range(3))
    expected = verdicts(whole, scores)
    before = verdicts(first, scores[:cut])
    second.restore(first.export())
    assert before + verdicts(second, scores[cut:]) == expected
    assert second.export() == whole.export()


@CHECKED
@given(st.lists(st.floats(0, 1), min_size=2, max_size=80), st.floats(0, 1))
def test_at_one_moment_a_higher_score_is_never_escalated_before_a_lower_one(scores: list[float], call_large: float) -> None:
    threshold, query = BudgetedThreshold(call_large), make_query(2)
    for score in scores[2:]:
        threshold.judge(query, says(), score, 1)
    state = threshold.export()
    accepted = []
    for score in sorted({*scores[:2], 0.0, 0.5, 1.0}):
        again = BudgetedThreshold(call_large)
        again.restore(state)
        accepted.append(again.judge(query, says(), score, 1).accept)
    assert all(low <= high for low, high in pairwise(accepted))


@CHECKED
@given(st.integers(1, 3), st.lists(st.integers(0, 3), max_size=40))
def test_a_batch_of_calls_is_settled_to_the_last_cent(tiers: int, order: list[int]) -> None:
    """Flows advanced in any interleaving, some given up: what was spent is what was answered, and nothing is set aside."""
    threshold = BudgetedThreshold(usd=30.0)
    policy, costs, spent = Cascade(recorded, threshold), [1.0, 10.0, 100.0, 1000.0], 0.0
    flows = {n: policy.decide(make_query(tiers + 1)) for n in range(4)}
    calls: dict[int, Call] = {n: next(flow) for n, flow in flows.items()}
    for chosen in order:
        if chosen not in calls:
            continue
        tier = calls[chosen].tier
        spent += costs[tier]
        try:
            calls[chosen] = flows[chosen].send(says(score=0.1, cost=costs[tier], tier=tier))
        except StopIteration:
            del calls[chosen]
    for flow in flows.values():
        flow.close()
    assert threshold.export()["spent"] == pytest.approx(spent)
    assert threshold._reserved == pytest.approx(0.0, abs=1e-6)
