"""The dynamic threshold: it keeps to a budget, learns in O(log n), survives a restart, and is shared between threads."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import log2
from typing import Any

import pytest

from core_builders import Script, ask, batch_of, make_query, make_tiers, recorded, says
from frugal_core.decision import Decision
from frugal_core.engine import drive, drive_many
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.thresholds import Verdict
from frugal_core.pricing import Price
from frugal_core.scorers.base import Scoring
from frugal_core.types import Answer, Call, Query, Tier, Usage

COSTS = (1.0, 10.0, 100.0)


def run(threshold: BudgetedThreshold, scores: Sequence[Any], tiers: int = 2) -> list[Decision]:
    """Ask one query after another; `scores` are the first tier's, or a row of one for each."""
    policy = Cascade(recorded, threshold)
    rows = [score if isinstance(score, (list, tuple)) else [score] * (tiers - 1) for score in scores]
    return [ask(policy, *outcomes(row))[0] for row in rows]


def outcomes(row: Sequence[Any]) -> list[Any]:
    """A tier for each score, and the dearest one."""
    return [score if isinstance(score, Exception) else says(score=score, cost=COSTS[n]) for n, score in enumerate((*row, None))]


def noise(count: int, seed: int = 7) -> list[float]:
    generator = random.Random(seed)
    return [generator.random() for _ in range(count)]


def large(decisions: Sequence[Decision], tiers: int = 2) -> int:
    return sum(decision.tier == f"tier{tiers - 1}" for decision in decisions)


# The share


@pytest.mark.parametrize("call_large", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("tiers", [2, 3])
def test_the_asked_share_reaches_the_dearest_tier(call_large: float, tiers: int) -> None:
    decisions = run(BudgetedThreshold(call_large), noise(1000), tiers)
    assert large(decisions, tiers) / 1000 == pytest.approx(call_large, abs=0.03)


@pytest.mark.parametrize("threshold", [BudgetedThreshold(0.3), BudgetedThreshold(usd=4.0)], ids=["call_large", "usd"])
def test_the_least_confident_are_escalated(threshold: BudgetedThreshold) -> None:
    scores = noise(1000)
    decisions = run(threshold, scores)
    chosen = [score for score, decision in zip(scores, decisions, strict=True) if decision.tier == "tier1"]
    assert len(chosen) == pytest.approx(300, abs=30)
    assert sum(chosen) / len(chosen) < 0.17  # the least possible is 0.15, chance is 0.5


@pytest.mark.parametrize(("call_large", "share"), [(0, 0), (0.0, 0), (1, 1), (1.0, 1)])
@pytest.mark.parametrize("scores", [noise(50), [1.0] * 50, [0.0] * 50, [0.0, 1.0] * 25])
def test_the_ends_of_the_range_are_exact_from_the_first_query_on(call_large: float, share: int, scores: list[float]) -> None:
    assert large(run(BudgetedThreshold(call_large), scores)) == share * 50


def test_a_scorer_with_two_values_still_gets_the_exact_share() -> None:
    """Half of the answers score 0; of these six in ten go up, spread evenly, and of the others none."""
    scores = [float(score > 0.5) for score in noise(1000)]
    decisions = run(BudgetedThreshold(0.3), scores)
    assert large(decisions) / 1000 == pytest.approx(0.3, abs=0.02)
    wasted = sum(d.tier == "tier1" for d, score in zip(decisions, scores, strict=True) if score == 1.0)
    assert wasted <= 10


def test_ties_are_spread_evenly_at_every_tier() -> None:
    """With one value for all, three tiers: neither tier takes the other's share."""
    decisions = run(BudgetedThreshold(0.25), [0.5] * 2000, 3)
    reached_mid = sum(len(decision.steps) > 1 for decision in decisions)
    assert reached_mid / 2000 == pytest.approx(0.5, abs=0.03)
    assert large(decisions, 3) / 2000 == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("call_large", [0.1, 0.3, 0.7])
def test_equal_scores_are_escalated_at_even_distances(call_large: float) -> None:
    escalated = 0
    for number, decision in enumerate(run(BudgetedThreshold(call_large), [0.5] * 500), start=1):
        escalated += decision.tier == "tier1"
        assert abs(escalated - call_large * number) < 2.5


@pytest.mark.parametrize("tiers", [2, 3])
def test_a_batch_is_chosen_from_like_a_stream(tiers: int) -> None:
    """All queries of a batch set out together; that must not spend the whole budget on the first of them."""
    rows = [noise(tiers - 1, seed) for seed in range(1000)]
    policy = Cascade(recorded, BudgetedThreshold(0.3))
    scripts = [Script(outcomes(row)) for row in rows]
    batch = drive_many([policy.decide(make_query(tiers)) for _ in rows], batch_of(scripts))
    decisions = [decision for decision in batch if isinstance(decision, Decision)]
    stream = run(BudgetedThreshold(0.3), rows, tiers)
    for chosen in (decisions, stream):
        assert large(chosen, tiers) / 1000 == pytest.approx(0.3, abs=0.03)
        assert large(chosen[:500], tiers) == pytest.approx(large(chosen[500:], tiers), abs=40)
    agreeing = sum(one.tier == other.tier for one, other in zip(decisions, stream, strict=True))
    assert agreeing == 1000 if tiers == 2 else agreeing > 950


def test_a_budget_in_usd_treats_a_batch_like_a_stream() -> None:
    scores = noise(500)
    policy = Cascade(recorded, BudgetedThreshold(usd=4.0))
    scripts = [Script(outcomes([score])) for score in scores]
    batch = drive_many([policy.decide(make_query(2)) for _ in scores], batch_of(scripts))
    stream = run(BudgetedThreshold(usd=4.0), scores)
    assert [d.tier for d in batch if isinstance(d, Decision)] == [d.tier for d in stream]


# The trace


def test_the_first_ten_scores_are_reported_as_warm_up() -> None:
    decisions = run(BudgetedThreshold(0.3), noise(20))
    reasons = [decision.steps[0].reason for decision in decisions]
    assert reasons[:10] == ["warm_up"] * 10
    assert not {"warm_up"} & set(reasons[10:])


def test_the_warm_up_is_the_users_and_that_of_each_tier() -> None:
    decisions = run(BudgetedThreshold(1.0, warm_up=3), noise(6), 3)
    assert [[step.reason for step in d.steps[:2]] for d in decisions] == [["warm_up"] * 2] * 3 + [["unsure"] * 2] * 3
    assert run(BudgetedThreshold(0.5, warm_up=0), [0.5])[0].steps[0].reason != "warm_up"


@pytest.mark.parametrize("scores", [noise(300), [0.5] * 300, [0.0, 1.0] * 150, sorted(noise(300)), sorted(noise(300))[::-1]])
def test_the_reported_threshold_agrees_with_the_verdict(scores: list[float]) -> None:
    for decision in run(BudgetedThreshold(0.4), scores):
        step = decision.steps[0]
        assert step.score is not None
        if step.reason == "warm_up":
            assert step.threshold is None
            continue
        assert step.threshold is not None
        assert step.score >= step.threshold if step.accepted else step.score <= step.threshold


def test_scores_that_overspend_are_reported_as_such() -> None:
    """Ever falling scores: each is the worst so far, and would go up if the budget allowed."""
    decisions = run(BudgetedThreshold(0.2), [1 - n / 300 for n in range(300)])
    assert {"budget_spent", "unsure"} == {decision.steps[0].reason for decision in decisions[10:]}
    assert large(decisions) / 300 < 0.2 + 0.2 * (12 + 2 * 300**0.5) / 300


# Escalations for other reasons


@pytest.mark.parametrize("forced", [None, TimeoutError("slow"), 7.0], ids=["no signal", "failure", "broken scorer"])
def test_forced_escalations_are_paid_from_the_same_budget(forced: Any) -> None:
    scores = [forced if n % 5 == 0 else score for n, score in enumerate(noise(1000))]
    assert large(run(BudgetedThreshold(0.3), scores)) / 1000 == pytest.approx(0.3, abs=0.03)


def test_queries_that_only_the_dearest_tier_can_take_count() -> None:
    tiers = (Tier("tier0", context_window=5), Tier("tier1"))
    policy = Cascade(recorded, BudgetedThreshold(0.3))
    decisions = [
        ask(policy, *outcomes([score]), query=make_query(tiers, prompt_tokens=10 if n % 5 == 0 else 5))[0]
        for n, score in enumerate(noise(1000))
    ]
    assert large(decisions) / 1000 == pytest.approx(0.3, abs=0.03)


def test_a_skipped_tier_in_the_middle_does_not_change_the_share() -> None:
    tiers = (Tier("tier0"), Tier("mid", context_window=5), Tier("tier2"))
    policy = Cascade(recorded, BudgetedThreshold(0.3))
    decisions = [ask(policy, *outcomes([s, s]), query=make_query(tiers, prompt_tokens=9))[0] for s in noise(1000)]
    assert large(decisions, 3) / 1000 == pytest.approx(0.3, abs=0.03)


def test_accepted_answers_without_signal_count_as_queries() -> None:
    policy = Cascade(recorded, BudgetedThreshold(0.3), on_missing="accept")
    scores = [None if n % 2 else score for n, score in enumerate(noise(1000))]
    decisions = [ask(policy, *outcomes([score]))[0] for score in scores]
    assert large(decisions) / 1000 == pytest.approx(0.3, abs=0.03)


# Hard budgets


@pytest.mark.parametrize("flaw", [{}, {"finish_reason": "length"}, {"parsing_error": "no JSON"}])
def test_a_hard_budget_is_never_exceeded(flaw: dict[str, Any]) -> None:
    policy = Cascade(recorded, BudgetedThreshold(0.1, queries=100))
    decisions = [ask(policy, says(score=n % 2 or None, **flaw), says())[0] for n in range(100)]
    assert large(decisions) == 10
    reasons = {step.reason for decision in decisions[50:] for step in decision.steps}
    assert "budget_spent" in reasons
    assert reasons <= {"budget_spent", "confident"}


def test_a_flawed_answer_is_served_once_a_hard_budget_is_spent_and_says_why() -> None:
    policy = Cascade(recorded, BudgetedThreshold(0.0, queries=10))
    decision, script = ask(policy, says("{", parsing_error="no JSON"), says())
    assert script.asked == [0]
    assert (decision.steps[0].reason, decision.steps[0].error) == ("budget_spent", "no JSON")
    decision, _ = ask(policy, says("cut o", finish_reason="length"), says())
    assert (decision.steps[0].reason, decision.steps[0].error) == ("budget_spent", "The answer is truncated.")


def test_a_hard_budget_in_usd_stops_when_only_cheap_calls_are_left() -> None:
    decisions = run(BudgetedThreshold(usd=2.0, queries=100), sorted(noise(100))[::-1])
    spent = sum(decision.cost_usd or 0.0 for decision in decisions)
    assert 200 - 10 < spent <= 200
    assert decisions[-1].steps[0].reason == "budget_spent"


def test_the_last_query_may_take_all_that_remains() -> None:
    assert large(run(BudgetedThreshold(usd=6.0, queries=2), [1.0, 0.0])) == 1  # 1 + 1 + 10
    assert large(run(BudgetedThreshold(usd=5.9, queries=2), [1.0, 0.0])) == 0


def test_a_hard_budget_does_not_stop_calls_that_are_not_the_dearest() -> None:
    decisions = run(BudgetedThreshold(0.0001, queries=100), [[0.0, 0.0]] * 100, 3)
    assert large(decisions, 3) == 0


# Money


@pytest.mark.parametrize("usd", [1.5, 4.0, 9.0])
def test_the_mean_cost_converges_to_the_budget(usd: float) -> None:
    decisions = run(BudgetedThreshold(usd=usd), noise(1000))
    assert sum(d.cost_usd or 0.0 for d in decisions) / 1000 == pytest.approx(usd, rel=0.1)


def test_three_tiers_share_a_budget_in_usd() -> None:
    decisions = run(BudgetedThreshold(usd=20.0), [noise(2, seed) for seed in range(1000)], 3)
    assert sum(d.cost_usd or 0.0 for d in decisions) / 1000 == pytest.approx(20.0, rel=0.1)


def test_a_budget_above_all_costs_asks_everyone_and_one_below_asks_the_cheapest() -> None:
    assert large(run(BudgetedThreshold(usd=11.0), noise(50))) == 50
    assert large(run(BudgetedThreshold(usd=1.0), noise(50))) == 0
    assert large(run(BudgetedThreshold(usd=0.5), noise(50))) == 0


def asks_again(query: Query, answer: Answer) -> Scoring:
    """A scorer that draws another sample before it gives the recorded score."""
    yield Call(answer.tier, query)
    return answer.raw  # type: ignore[no-any-return]


def test_calls_of_a_scorer_are_paid_from_the_budget() -> None:
    threshold = BudgetedThreshold(usd=5.0)
    policy = Cascade(asks_again, threshold)
    decisions = [ask(policy, *outcomes([score]))[0] for score in noise(1000)]
    assert sum(d.cost_usd or 0.0 for d in decisions) / 1000 == pytest.approx(5.0, rel=0.1)
    assert large(decisions) / 1000 == pytest.approx(0.3, abs=0.05)  # (5 - 2) / 10
    state = threshold.export()
    assert state["cost"]["0"] == pytest.approx([1000, 2.0])  # an answer of this tier and its sample
    assert state["cost"]["1"] == pytest.approx([large(decisions), 10.0])
    assert state["spent"] == pytest.approx(sum(d.cost_usd or 0.0 for d in decisions))


def test_a_sample_of_unknown_cost_is_left_out_of_the_budget() -> None:
    def asks_the_next(query: Query, answer: Answer) -> Scoring:
        yield Call(answer.tier + 1, query)
        return 0.0

    threshold = BudgetedThreshold(usd=5.0)
    ask(Cascade(asks_the_next, threshold), says(cost=1.0), TimeoutError("slow"), says(cost=100.0))
    assert threshold.export()["cost"]["0"] == [1, 1.0]


def test_samples_at_every_tier_are_charged_to_their_tier() -> None:
    threshold = BudgetedThreshold(usd=60.0)
    decisions = [ask(Cascade(asks_again, threshold), *outcomes(noise(2, seed)))[0] for seed in range(100)]
    state = threshold.export()
    assert state["cost"]["0"] == pytest.approx([100, 2.0])
    assert state["cost"]["1"][1] == pytest.approx(20.0)
    assert state["spent"] == pytest.approx(sum(decision.cost_usd or 0.0 for decision in decisions))


def test_what_is_set_aside_covers_the_escalations_to_be_expected_next() -> None:
    """Of those that reach the second tier half will go on: 1 + 10 / 2 + 100 / 4 = 31."""
    for threshold, expected in ((BudgetedThreshold(usd=31.0), 10 + 100 / 2), (BudgetedThreshold(0.25), 1 / 2)):
        flow = Cascade(recorded, threshold).decide(make_query(3))
        next(flow)
        assert flow.send(says(score=None, cost=1.0)).tier == 1
        assert reserved(threshold) == pytest.approx(expected)
        assert flow.send(says(score=None, cost=10.0, tier=1)).tier == 2
        assert reserved(threshold) == pytest.approx(100.0 if threshold.usd else 0.0)  # a call of the dearest tier is counted
        flow.close()


def test_mean_costs_are_those_of_the_answers_so_far() -> None:
    threshold = BudgetedThreshold(usd=50.0)
    for cost in (1.0, 2.0, 6.0):
        ask(Cascade(recorded, threshold), says(score=0.0, cost=cost), says(cost=10 * cost))
    assert threshold.export()["cost"] == {"0": [3, pytest.approx(3.0)], "1": [3, pytest.approx(30.0)]}


def test_calls_of_a_scorer_do_not_touch_a_share() -> None:
    threshold = BudgetedThreshold(0.3)
    for score in noise(20):
        ask(Cascade(asks_again, threshold), *outcomes([score]))
    assert (threshold.export()["spent"], threshold.export()["cost"]) == (0.0, {})


def test_an_unknown_cost_under_a_budget_in_usd_is_an_error_that_names_the_fix() -> None:
    policy = Cascade(recorded, BudgetedThreshold(usd=1.0))
    with pytest.raises(
        ConfigurationError, match=r"reported none: pass prices=\{name: \(input, output\)\} in USD per million tokens\."
    ):
        ask(policy, says(score=0.1, cost=None), says())


def test_an_answer_without_tokens_under_a_budget_in_usd_is_an_error_that_says_so() -> None:
    policy = Cascade(recorded, BudgetedThreshold(usd=5.0))
    with pytest.raises(
        ConfigurationError, match=r"tokens of every answer: tier 'tier1' has price .*, the answer of tier 0 usage None"
    ):
        ask(policy, says(score=0.1, usage=None), says())


def reserved(threshold: BudgetedThreshold) -> float:
    return threshold._reserved


@pytest.mark.parametrize("threshold", [BudgetedThreshold(usd=50.0), BudgetedThreshold(0.9)], ids=["usd", "call_large"])
@pytest.mark.parametrize("how", ["closed", "failed", "interrupted", "answered"])
def test_nothing_stays_set_aside_when_a_query_ends_in_the_middle(threshold: BudgetedThreshold, how: str) -> None:
    threshold.reset()
    policy, query = Cascade(recorded, threshold), make_query(3)
    flow = policy.decide(query)
    next(flow)
    call = flow.send(says(score=0.0, cost=1.0))
    assert call.tier == 1
    assert reserved(threshold) > 0
    if how == "closed":
        flow.close()
    elif how == "failed":
        with pytest.raises(ValueError, match="broken"):
            flow.throw(ValueError("broken"))
    elif how == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            flow.throw(KeyboardInterrupt())
    else:
        assert flow.send(says("", cost=10.0, tier=1)).tier == 2
        with pytest.raises(StopIteration):
            flow.send(says(cost=100.0, tier=2))
    assert reserved(threshold) == pytest.approx(0.0, abs=1e-9)


def test_a_reset_does_not_owe_what_queries_under_way_have_set_aside() -> None:
    threshold = BudgetedThreshold(usd=50.0)
    flow = Cascade(recorded, threshold).decide(make_query(2))
    next(flow)
    flow.send(says(score=0.0, cost=1.0))
    threshold.reset()
    flow.close()
    assert reserved(threshold) == 0.0


def test_what_is_set_aside_counts_for_those_who_decide_meanwhile() -> None:
    """Two queries under way together: the second one knows that the first has taken the budget."""
    threshold = BudgetedThreshold(usd=7.5, queries=2)
    policy = Cascade(recorded, threshold)
    flows = [policy.decide(make_query(2)) for _ in range(2)]
    for flow in flows:
        next(flow)
    assert flows[0].send(says(score=0.0, cost=1.0)).tier == 1
    with pytest.raises(StopIteration) as done:
        flows[1].send(says(score=0.0, cost=1.0))
    assert done.value.value.steps[0].reason in ("budget_spent", "warm_up")
    flows[0].close()


# The cost of a verdict


class Counted(float):
    """A score that counts how often it is compared."""

    comparisons = 0

    def _counting(compare: Callable[[float, Any], bool]) -> Callable[[Any, Any], bool]:
        def counted(self: Any, other: Any) -> bool:
            Counted.comparisons += 1
            return compare(self, other)

        return counted

    __lt__ = _counting(float.__lt__)
    __gt__ = _counting(float.__gt__)
    __le__ = _counting(float.__le__)
    __ge__ = _counting(float.__ge__)
    __eq__ = _counting(float.__eq__)  # type: ignore[assignment]
    __hash__ = float.__hash__


def test_a_verdict_takes_a_logarithmic_number_of_comparisons() -> None:
    """Past scores are ranked by bisection: sixteen times as many cost a few comparisons more, not sixteen times as many."""
    threshold, query, answer = BudgetedThreshold(0.3), make_query(2), says()
    needed = {}
    for count, score in enumerate(noise(32_001)):
        Counted.comparisons = 0
        threshold.judge(query, answer, Counted(score), 1)
        if count in (500, 1000, 2000, 4000, 8000, 16_000, 32_000):
            needed[count] = Counted.comparisons
    assert all(seen <= 6 * log2(count) + 20 for count, seen in needed.items()), needed
    assert all(after - before <= 20 for before, after in pairwise(needed.values())), needed


def test_every_score_of_a_tier_is_kept_in_order() -> None:
    threshold, scores = BudgetedThreshold(0.3), noise(500)
    run(threshold, scores)
    assert threshold.export()["scores"]["0"] == sorted(scores)


# Export, restore, reset


@pytest.mark.parametrize("make", [lambda: BudgetedThreshold(0.3), lambda: BudgetedThreshold(usd=20.0, queries=400)])
def test_a_restored_threshold_decides_as_the_old_one_would(make: Callable[[], BudgetedThreshold]) -> None:
    rows = [noise(2, seed) for seed in range(400)]
    one = make()
    run(one, rows[:200], 3)
    exported = json.loads(json.dumps(one.export(), allow_nan=False))
    other = make()
    other.restore(exported)
    assert other.export() == exported
    assert [d.to_dict()["steps"] for d in run(other, rows[200:], 3)] == [d.to_dict()["steps"] for d in run(one, rows[200:], 3)]
    assert other.export() == one.export()


def test_a_reset_threshold_decides_as_a_new_one_would() -> None:
    one, other = BudgetedThreshold(0.3), BudgetedThreshold(0.3)
    run(one, noise(100))
    one.reset()
    assert one.export() == other.export()
    scores = noise(100, 8)
    assert [d.tier for d in run(one, scores)] == [d.tier for d in run(other, scores)]


def test_what_is_set_aside_is_not_exported() -> None:
    threshold = BudgetedThreshold(usd=50.0)
    flow = Cascade(recorded, threshold).decide(make_query(2))
    next(flow)
    flow.send(says(score=0.0, cost=1.0))
    assert threshold.export()["spent"] == 1.0
    flow.close()


@pytest.mark.parametrize(
    "exported", [{}, [], None, {"scores": {"x": [1]}}, {"scores": {}, "cost": {"0": 1}, "seen": 0, "large": 0, "spent": 0}]
)
def test_a_foreign_state_is_refused(exported: Any) -> None:
    threshold = BudgetedThreshold(0.3)
    run(threshold, noise(5))
    before = threshold.export()
    with pytest.raises(ConfigurationError, match="not the exported state of a BudgetedThreshold"):
        threshold.restore(exported)
    assert threshold.export() == before


# Threads


@pytest.mark.parametrize("threshold", [BudgetedThreshold(0.3), BudgetedThreshold(usd=4.0)], ids=["call_large", "usd"])
def test_threads_share_one_threshold_exactly(threshold: BudgetedThreshold) -> None:
    threads, each = 8, 2000
    policy, start = Cascade(recorded, threshold), threading.Barrier(threads)

    def work(number: int) -> list[tuple[str, Decision]]:
        start.wait()
        done = []
        for n, score in enumerate(noise(each, number)):
            name = f"{number}.{n}"
            script = Script([says(f"{name} small", score, cost=1.0), says(f"{name} large", cost=10.0)])
            done.append((name, drive(policy.decide(make_query(2, name)), script.perform)))
        return done

    with ThreadPoolExecutor(threads) as pool:
        decisions = [item for batch in pool.map(work, range(threads)) for item in batch]
    state = threshold.export()
    escalated = large([decision for _, decision in decisions])
    assert len(decisions) == state["seen"] == len(state["scores"]["0"]) == threads * each
    assert state["large"] == escalated
    assert escalated / len(decisions) == pytest.approx(0.3, abs=0.01)
    for name, decision in decisions:
        assert decision.answer.text == f"{name} {'large' if len(decision.steps) == 2 else 'small'}"
        assert decision.cost_usd == (11.0 if len(decision.steps) == 2 else 1.0)
    assert reserved(threshold) == pytest.approx(0.0, abs=1e-6)
    if threshold.usd is not None:
        assert state["spent"] == pytest.approx(sum(decision.cost_usd or 0.0 for _, decision in decisions))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "call_large=None, usd=None: a budget is either call_large (share of the queries) or usd"),
        ({"call_large": 0.3, "usd": 0.01}, "call_large=0.3, usd=0.01: a budget is either"),
        ({"call_large": 1.2}, "call_large=1.2 is out of range: it is a share of the queries, from 0 to 1"),
        ({"call_large": -0.1}, "call_large=-0.1 is out of range"),
        ({"call_large": float("nan")}, "call_large=nan is out of range"),
        ({"call_large": True}, "call_large=True is out of range"),
        ({"call_large": "30%"}, "call_large='30%' is out of range"),
        ({"usd": 0}, "usd=0 is out of range: it is the mean USD per query, above 0"),
        ({"usd": -1}, "usd=-1 is out of range"),
        ({"usd": float("inf")}, "usd=inf is out of range"),
        ({"usd": "cheap"}, "usd='cheap' is out of range"),
        ({"call_large": 0.3, "queries": 0}, "queries=0 is out of range: it is the number of queries of the job, above 0"),
        ({"call_large": 0.3, "queries": 1.5}, "queries=1.5 is out of range"),
        ({"call_large": 0.3, "queries": True}, "queries=True is out of range"),
        ({"call_large": 0.3, "warm_up": -1}, "warm_up=-1 is out of range"),
        ({"call_large": 0.3, "warm_up": "ten"}, "warm_up='ten' is out of range"),
    ],
    ids=str,
)
def test_bad_budgets_are_refused_by_name_value_and_limit(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BudgetedThreshold(**arguments)
    assert words in str(caught.value)


def test_a_budget_in_usd_needs_all_prices() -> None:
    tiers = (*make_tiers(1), Tier("local"), Tier("mine"))
    with pytest.raises(ConfigurationError, match=r"needs the price of every model; unknown: local, mine\. Pass prices="):
        Cascade(recorded, BudgetedThreshold(usd=0.01)).check(tiers)
    Cascade(recorded, BudgetedThreshold(0.3)).check(tiers)


def test_a_budget_below_the_cheapest_call_is_refused() -> None:
    tiers = (Tier("per request", price=Price(1.0, 1.0, request=0.02)), Tier("dear", price=Price(1.0, 1.0, request=0.5)))
    with pytest.raises(ConfigurationError, match=r"=0\.01 is below the cheapest possible call \(\$0\.020002 for one token in"):
        BudgetedThreshold(usd=0.01).check(tiers)
    BudgetedThreshold(usd=tiers[0].price.cost(Usage(1, 1))).check(tiers)  # type: ignore[union-attr]


def test_a_verdict_is_a_plain_tuple() -> None:
    assert Verdict(True, 0.5, "confident") == (True, 0.5, "confident", 0.0)


@pytest.mark.parametrize(("score", "accepted"), [(0.05, False), (0.95, True)])
def test_the_first_answer_of_all_is_judged_by_its_score(score: float, accepted: bool) -> None:
    step = run(BudgetedThreshold(0.3), [score])[0].steps[0]
    assert (step.reason, step.accepted) == ("warm_up", accepted)
