"""What a decision says it cost, what it would have cost, and where the numbers come from."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import requests

from core_builders import USAGE, Script, ask, make_query, make_tiers, recorded, says
from frugal_core.decision import Decision, http_status
from frugal_core.policies import Cascade, Single
from frugal_core.scorers.base import Scoring
from frugal_core.types import Answer, Call, Query, Tier, Usage

TIER1_USD = 10.0  # what the second of `make_tiers` takes for a request


def cascade(**rest: Any) -> Cascade:
    return Cascade(recorded, 0.5, **rest)


class HTTPError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


# Costs


def test_all_calls_of_a_query_add_up() -> None:
    decision, _ = ask(cascade(), says(score=0.1, cost=0.25), says(score=0.2, cost=0.5), says(cost=4.0))
    assert decision.cost_usd == 4.75
    assert [step.cost_usd for step in decision.steps] == [0.25, 0.5, 4.0]


def test_an_unknown_model_costs_none_and_never_zero() -> None:
    tiers = make_tiers(2, priced=False)
    decision, _ = ask(cascade(), says(score=0.9, cost=None), says(), query=make_query(tiers))
    assert decision.cost_usd is None
    assert decision.baseline_cost_usd is None
    assert decision.saved_usd is None


def test_one_unknown_cost_makes_the_total_unknown() -> None:
    decision, _ = ask(cascade(), says(score=0.1, cost=None), says(cost=2.0))
    assert decision.cost_usd is None
    assert decision.baseline_cost_usd == 2.0
    assert decision.saved_usd is None


@pytest.mark.parametrize(
    ("error", "cost"),
    [(HTTPError(429), 1.0), (HTTPError(503), 1.0), (TimeoutError("read"), None), (ConnectionError("reset"), None)],
    ids=["refused", "unavailable", "timeout", "reset"],
)
def test_a_refused_call_is_free_and_one_that_died_on_the_way_of_unknown_cost(error: Exception, cost: float | None) -> None:
    decision, _ = ask(cascade(), error, says(cost=1.0))
    assert decision.cost_usd == cost
    assert decision.steps[0].reason == "failed"
    assert decision.steps[0].error == f"{type(error).__name__}: {error}"
    assert decision.steps[0].called


def test_a_skipped_tier_is_free_and_was_not_called() -> None:
    tiers = (Tier("tiny", context_window=1), *make_tiers(1))
    decision, _ = ask(cascade(), says(), says(cost=1.0), query=make_query(tiers, prompt_tokens=500))
    assert [(step.called, step.cost_usd) for step in decision.steps] == [(False, 0.0), (True, 1.0)]
    assert decision.cost_usd == 1.0


def test_calls_made_to_decide_are_charged_to_the_query() -> None:
    def asks_again(query: Query, answer: Answer) -> Scoring:
        sample = yield Call(0, query, purpose="score")
        other = yield Call(0, query, purpose="score")
        return float(sample.text == other.text == answer.text)

    decision, script = ask(Cascade(asks_again, 0.5), says(cost=0.25), says())
    assert decision.cost_usd == 0.75
    assert [step.reason for step in decision.steps] == ["sample", "sample", "confident"]
    assert script.asked == [0, 0, 0]
    assert decision.tier == "tier0"


# The baseline


def test_the_baseline_is_what_the_reference_was_paid_where_it_was_asked() -> None:
    decision, _ = ask(cascade(), says(score=0.1, cost=1.0), says(cost=7.0))
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (7.0, False)
    assert decision.saved_usd == -1.0


def test_the_baseline_is_computed_from_the_answers_tokens_where_it_was_not() -> None:
    decision, _ = ask(cascade(), says(score=0.9, cost=0.001), says())
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (TIER1_USD, True)
    assert decision.saved_usd == pytest.approx(TIER1_USD - 0.001)


def test_a_reference_in_the_middle_counts_even_if_its_answer_was_left_behind() -> None:
    decision, _ = ask(cascade(), says(score=0.1), says(score=0.2, cost=3.0), says(cost=50.0), query=make_query(3, reference=1))
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (3.0, False)


def test_a_failed_reference_is_no_baseline() -> None:
    decision, _ = ask(
        cascade(), says(score=0.1), HTTPError(500), says(usage=USAGE, cost=50.0), query=make_query(3, reference=1)
    )
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (TIER1_USD, True)


def test_a_sample_of_the_reference_is_no_baseline() -> None:
    def verifies(query: Query, answer: Answer) -> Scoring:
        yield Call(1, query, purpose="score")
        return 1.0

    decision, _ = ask(Cascade(verifies, 0.5), says(cost=0.001), says(cost=9.0))
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (TIER1_USD, True)


def test_a_reference_without_usage_still_knows_its_cost() -> None:
    decision, _ = ask(cascade(), says(score=0.1), says(usage=None, cost=7.0))
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (7.0, False)


def test_estimated_usage_makes_an_estimated_baseline() -> None:
    decision, _ = ask(cascade(), says(score=0.1), says(usage=Usage(1000, 100, estimated=True), cost=7.0))
    assert (decision.baseline_cost_usd, decision.baseline_estimated) == (7.0, True)


# The trace as data


def test_a_decision_is_plain_json_and_holds_no_answer() -> None:
    decision, _ = ask(cascade(), HTTPError(429), says("a secret", score=0.1), says("another secret"))
    data = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert data["tier"] == "tier2"
    assert data["policy"] == "cascade"
    assert [step["reason"] for step in data["steps"]] == ["failed", "unsure", "last_tier"]
    assert data["steps"][1]["score"] == 0.1
    assert data["steps"][1]["threshold"] == 0.5
    assert data["steps"][1]["input_tokens"] == 1000
    assert [step["estimated"] for step in data["steps"]] == [False] * 3
    assert data["baseline_estimated"] is False
    assert "secret" not in json.dumps(data)
    assert "secret" not in repr(decision)


def test_a_decision_is_its_trace_whatever_the_answer_says() -> None:
    policy = cascade()
    assert ask(policy, says("one", 0.9), says())[0] == ask(policy, says("other", 0.9), says())[0]
    assert ask(policy, says("one", 0.9), says())[0] != ask(policy, says("one", 0.8), says())[0]


def test_a_failed_call_took_as_long_as_it_was_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.5, 103.0, 110.0])
    monkeypatch.setattr("frugal_core.decision.perf_counter", lambda: next(clock))
    decision, _ = ask(cascade(), HTTPError(429), says())
    assert decision.steps[0].latency_s == 2.5


def test_a_decision_of_the_cache_has_no_tier() -> None:
    decision = Decision((), "cascade", "v", 0.0, 1.0, cache="hit", similarity=0.99)
    assert decision.tier is None
    assert decision.saved_usd == 1.0


def test_a_decision_and_its_steps_cannot_be_changed() -> None:
    decision, _ = ask(Single(0), says())
    for frozen, name in ((decision, "cost_usd"), (decision.steps[0], "score"), (decision.answer, "text")):
        with pytest.raises(AttributeError):
            setattr(frozen, name, 0.0)


def test_no_state_of_the_last_query_stays_on_policy_or_scorer() -> None:
    policy = cascade()
    before = dict(vars(policy))
    ask(policy, says(score=0.1), says("the answer"))
    policy.version  # noqa: B018  (a digest of its making, kept)
    assert {name: value for name, value in vars(policy).items() if name not in ("version", "_unique")} == before


def test_decisions_of_interleaved_queries_do_not_mix() -> None:
    policy, scripts = cascade(), [Script([says(f"small {n}", 0.1), says(f"large {n}")]) for n in range(2)]
    flows = [policy.decide(make_query(2, f"question {n}")) for n in range(2)]
    calls = [next(flow) for flow in flows]
    calls = [flow.send(script.perform(call)) for flow, script, call in zip(flows, scripts, calls, strict=True)]
    for number in (1, 0):
        with pytest.raises(StopIteration) as done:
            flows[number].send(scripts[number].perform(calls[number]))
        assert done.value.value.answer.text == f"large {number}"


# HTTP status, wherever it is kept


def with_response(status: int) -> Exception:
    error = Exception("refused")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


def from_requests(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("refused", response=response)


def from_httpx(status: int) -> Exception:
    request = httpx.Request("POST", "http://provider.test")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status, request=request))


def from_google(status: int) -> Exception:
    error = Exception("refused")
    error.code = status  # type: ignore[attr-defined]
    return error


def from_botocore(status: int) -> Exception:
    error = Exception("refused")
    error.response = {"Error": {"Code": "Throttling"}, "ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("make", [HTTPError, with_response, from_requests, from_httpx, from_google, from_botocore])
@pytest.mark.parametrize("status", [100, 400, 429, 503, 599])
def test_the_http_status_is_found(make: Any, status: int) -> None:
    assert http_status(make(status)) == status


@pytest.mark.parametrize("value", [None, True, "429", 42, 99, 600, 4290])
def test_what_is_no_http_status_is_none(value: Any) -> None:
    error = Exception("refused")
    error.code = value  # type: ignore[attr-defined]
    assert http_status(error) is None


def test_usages_add_up() -> None:
    assert Usage(1, 2, 3) + Usage(10, 20, 30, estimated=True) == Usage(11, 22, 33, estimated=True)
