"""The router: one call to the model of the best value, what it does when that model or the predictor fails, and its file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core_builders import Script, ask, in_every_way, make_query, make_tiers, says
from frugal_core.engine import drive_stream
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy, Router
from frugal_core.predictors import PerformancePredictor, RandomPredictor
from frugal_core.types import Message, Query, Tier

COSTS = {"tier0": 1.0, "tier1": 10.0, "tier2": 100.0}


def always(*qualities: float) -> Callable[[Query], Sequence[float]]:
    """Predicts the same of every query."""

    def predictor(query: Query) -> Sequence[float]:
        return qualities

    return predictor


def fails(query: Query) -> Sequence[float]:
    raise ValueError("no idea")


def router(*qualities: float, weight: float = 0.0, **settings: Any) -> Router:
    return Router(always(*qualities), dict(list(COSTS.items())[: len(qualities)]), weight, **settings)


# --- what is asked ---


@pytest.mark.parametrize(
    ("weight", "asked"),
    [(0.0, 2), (0.0009, 2), (0.0012, 1), (0.02, 1), (0.04, 0), (1e9, 0)],  # 0.9 -> 0.8 for 90 USD; 0.8 -> 0.5 for 9 USD
)
def test_the_best_value_is_asked_in_one_final_call(weight: float, asked: int) -> None:
    decision, script = ask(router(0.5, 0.8, 0.9, weight=weight), says("a"), says("b"), says("c"))
    assert script.asked == [asked]
    assert script.calls[0].final
    (step,) = decision.steps
    assert (step.reason, step.accepted, step.score, step.error) == ("routed", True, (0.5, 0.8, 0.9)[asked], None)
    assert decision.policy == "router"


def test_of_equals_the_first_is_asked() -> None:
    assert ask(router(0.7, 0.7, 0.7), says(), says(), says())[1].asked == [0]


def test_models_are_found_by_name_in_any_order_and_others_are_left_alone() -> None:
    swapped = Router(always(0.9, 0.1), {"tier2": 1.0, "tier0": 1.0}, 0.0)
    assert ask(swapped, says(), says(), says())[1].asked == [2]
    swapped.check(make_tiers(3))
    with pytest.raises(ConfigurationError, match="learned for a model 'tier2', but the models here are tier0, tier1"):
        swapped.check(make_tiers(2))


def test_no_logprobs_are_asked_for() -> None:
    assert not router(0.5, 0.9).needs_logprobs


def test_the_answer_streams_live() -> None:
    script = Script([says("one two"), says("three")])
    items = list(drive_stream(router(0.9, 0.5).decide(make_query(2)), script.perform, script.stream))
    assert items[:-1] == ["one", "two"]


# --- obstacles ---


def test_tiers_that_cannot_be_asked_are_passed_over_with_their_reasons() -> None:
    tiers = (Tier("tier0"), Tier("tier1", supports_tools=False), Tier("tier2", context_window=3))
    query = make_query(tiers, "word " * 50, tools=({"name": "f"},))
    decision, script = ask(router(0.5, 0.8, 0.9), says(), says(), says(), query=query)
    assert script.asked == [0]
    assert [(step.tier, step.reason, step.called) for step in decision.steps] == [
        ("tier2", "too_long", False),
        ("tier1", "no_tools", False),
        ("tier0", "routed", True),
    ]


def test_a_tier_without_schema_is_passed_over() -> None:
    query = make_query((Tier("tier0", supports_schema=False), Tier("tier1")), response_format={"type": "object"})
    assert ask(router(0.9, 0.5), says(), says(), query=query)[1].asked == [1]


def test_tiers_worth_less_than_the_one_asked_are_not_mentioned() -> None:
    query = make_query((Tier("tier0", supports_tools=False), Tier("tier1")), tools=({"name": "f"},))
    decision, _ = ask(router(0.5, 0.9), says(), says(), query=query)
    assert [step.tier for step in decision.steps] == ["tier1"]


def test_when_none_can_be_asked_the_reference_is_all_the_same() -> None:
    tiers = tuple(Tier(f"tier{n}", supports_tools=False) for n in range(2))
    decision, script = ask(router(0.9, 0.5), says(), says(), query=make_query(tiers, tools=({"name": "f"},)))
    assert script.asked == [1]
    assert [(step.tier, step.called) for step in decision.steps] == [("tier0", False), ("tier1", True)]


def test_the_reference_is_the_way_out_even_if_it_is_no_model_of_the_router() -> None:
    query = make_query((Tier("tier0", supports_tools=False), Tier("tier1")), tools=({"name": "f"},))
    assert ask(Router(always(0.9), {"tier0": 1.0}, 0.0), says(), says(), query=query)[1].asked == [1]


# --- failures ---


def test_a_model_that_fails_is_replaced_by_the_next_best() -> None:
    decision, script = ask(router(0.5, 0.8, 0.9), says("a"), says("b"), TimeoutError("slow"))
    assert script.asked == [2, 1]
    assert [(step.tier, step.reason) for step in decision.steps] == [("tier2", "failed"), ("tier1", "routed")]
    assert decision.steps[1].score == 0.8


def test_failures_that_another_model_does_not_mend_rise_and_so_does_the_last() -> None:
    with pytest.raises(ValueError, match="bad argument"):
        ask(router(0.5, 0.9), says(), ValueError("bad argument"))
    with pytest.raises(TimeoutError, match="cheap"):
        ask(router(0.5, 0.9), TimeoutError("cheap"), TimeoutError("dear"))
    assert ask(router(0.5, 0.9, escalate_on=ValueError), says(), ValueError("mended"))[1].asked == [1, 0]


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (fails, "The predictor fails raised ValueError: no idea"),
        (always(0.5), r"The predictor predictor returned \(0.5,\): it must give 2 numbers from 0 to 1"),
        (always(0.5, 1.5), r"it must give 2 numbers"),
        (always(0.5, math.nan), r"it must give 2 numbers"),
        (lambda query: None, r"returned None: it must give 2 numbers"),
        (lambda query: ["a", "b"], r"it must give 2 numbers"),
    ],
)
def test_a_predictor_that_fails_leaves_the_query_to_the_reference(predictor: Any, message: str) -> None:
    policy = Router(predictor, {"tier0": 1.0, "tier1": 10.0}, 1.0)
    decision, script = ask(policy, says(), says())
    assert script.asked == [1]
    (step,) = decision.steps
    assert (step.reason, step.score) == ("no_signal", None)
    assert step.error is not None
    assert re.search(message, step.error)


def test_without_a_prediction_a_failing_reference_is_replaced_by_the_dearest() -> None:
    policy = Router(fails, COSTS, 1.0)
    assert ask(policy, says(), says(), TimeoutError("slow"))[1].asked == [2, 1]
    query = make_query(3, reference=0)
    assert ask(policy, TimeoutError("slow"), says(), says(), query=query)[1].asked == [0, 2]


def test_all_drivers_decide_alike() -> None:
    queries = [make_query(3, text) for text in ("short", "a longer question than the other one")]
    outcomes = [[says("a"), TimeoutError("slow"), says("c")]] * 2

    def by_length(query: Query) -> list[float]:
        return [0.2, 0.9, 0.5] if len(query.text) > 10 else [0.9, 0.5, 0.6]

    results = in_every_way(partial(Router, by_length, COSTS, 0.001), queries, outcomes)
    assert len(results) >= 5
    for decisions, _ in results.values():
        assert [decision.tier for decision in decisions] == ["tier0", "tier2"]


# --- what it is built from ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, COSTS, 1.0), "predictor=3 must be a predictor"),
        ((PerformancePredictor, COSTS, 1.0), "must be a predictor"),
        ((always(0.5), {}, 1.0), "costs={} must give the expected USD"),
        ((always(0.5), {"tier0": -1.0}, 1.0), "costs=.* must give"),
        ((always(0.5), {"tier0": None}, 1.0), "costs=.* must give"),
        ((always(0.5), [1.0], 1.0), "costs=.* must give"),
        ((always(0.5), {"tier0": math.inf}, 1.0), "costs=.* must give"),
        ((always(0.5), {"tier0": 1.0}, -0.1), "cost_weight=-0.1 is out of range: it is quality per USD"),
        ((always(0.5), {"tier0": 1.0}, math.inf), "cost_weight=inf is out of range"),
        ((always(0.5), {"tier0": 1.0}, True), "cost_weight=True is out of range"),
        ((RandomPredictor(("a", "b")), {"a": 1.0}, 1.0), "costs are given for a, but the predictor knows a, b"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Router(*arguments)


async def afunction(query: Query) -> list[float]:
    return [0.5]


def test_an_async_predictor_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="plain function"):
        Router(afunction, {"tier0": 1.0}, 1.0)  # type: ignore[arg-type]


def test_it_is_saved_whole(tmp_path: Path) -> None:
    queries = [make_query(2, f"{'Add' if n % 2 else 'Explain why it is so'} {n}") for n in range(60)]
    predictor = PerformancePredictor.fit(queries, [[float(n % 2), 1.0] for n in range(60)], ("tier0", "tier1"))
    policy = Router(predictor, {"tier0": 1.0, "tier1": 10.0}, 0.05)
    policy.save(tmp_path / "router")
    loaded = Policy.load(tmp_path / "router")
    assert isinstance(loaded, Router)
    assert (loaded.predictor, loaded.costs, loaded.cost_weight) == (predictor, policy.costs, 0.05)
    assert loaded.version == policy.version
    assert loaded.identity == policy.identity
    assert Router(predictor, policy.costs, 0.06).version != policy.version
    for text, tier in (("Add 7", 0), ("Explain why it is so 8", 1)):
        assert ask(loaded, says(), says(), query=make_query(2, text))[1].asked == [tier]


def test_code_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds data, not code"):
        router(0.5, 0.9).save(tmp_path / "router")
    assert router(0.5, 0.9).identity != router(0.5, 0.9).identity


def test_a_loaded_router_without_its_embedding_asks_the_reference_and_says_why(tmp_path: Path) -> None:
    queries = [make_query(2, f"Question {n}") for n in range(40)]
    predictor = PerformancePredictor.fit(queries, [[1.0, 1.0]] * 40, ("tier0", "tier1"), embed=lambda text: [1.0, len(text)])
    Router(predictor, {"tier0": 1.0, "tier1": 10.0}, 0.05).save(tmp_path / "router")
    loaded = Router.load(tmp_path / "router")
    decision, script = ask(loaded, says(), says())
    assert script.asked == [1]
    assert "with_embedding" in str(decision.steps[0].error)
    assert isinstance(loaded.predictor, PerformancePredictor)
    mended = Router(loaded.predictor.with_embedding(lambda text: [1.0, len(text)]), loaded.costs, loaded.cost_weight)
    assert ask(mended, says(), says())[1].asked == [0]


def test_it_says_what_it_is() -> None:
    assert (
        repr(Router(RandomPredictor(("a",)), {"a": 1.0}, 2)) == "Router(RandomPredictor(models=('a',), seed=0), {'a': 1.0}, 2)"
    )
    assert next(Router(RandomPredictor(("a",)), {"a": 1.0}, 2).decide(Query((Message("user", "x"),), (Tier("a"),)))).tier == 0
