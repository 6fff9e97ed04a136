"""The cascade router: whom it asks next, whose answer it serves, and what becomes of answers that are of no use."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import pytest

from core_builders import ask, in_every_way, make_query, make_tiers, recorded, says
from frugal_core.errors import ConfigurationError
from frugal_core.learning.logistic import Logistic
from frugal_core.policies import CascadeRouter, Policy
from frugal_core.policies.estimates import Estimates, inputs, place_of, subsets
from frugal_core.policies.gains import Gains
from frugal_core.scorers import Margin
from frugal_core.scorers.base import Scoring
from frugal_core.scorers.features import feature_names
from frugal_core.types import Answer, Call, Query

MODELS = ("tier0", "tier1", "tier2")
COSTS = dict(zip(MODELS, (0.01, 0.1, 0.3), strict=True))
FREE = dict.fromkeys(MODELS, 0.0)
PAIRS = dict.fromkeys([(0, 1), (0, 2), (1, 2)], 0.0)
WIDTH = len(feature_names([recorded], ())) + 1


def line(intercept: float, *weights: float) -> Logistic:
    zeros, ends = (0.0,) * len(weights), (1e3,) * len(weights)
    return Logistic(intercept, weights, zeros, tuple(-end for end in ends), ends, 1.0)


def estimates(same: str | None = "normalised", required: bool = True) -> Estimates:
    """A model is right with the chance that its score says, more if others agree; before, with 0.5, 0.7 and 0.9."""
    own = line(log(1e-9), *[0.0] * (WIDTH - 1), 0.0)
    own = replace(own, intercept=-5.0, weights=(*[0.0] * (WIDTH - 1), 10.0))  # log-odds from -5 to 5 by the score
    heads = []
    for known in subsets(3, 3):
        row: list[Logistic | None] = []
        for model in range(3):
            if model not in known:
                count = len(inputs(known, model, [0.0] * 3, (), PAIRS, fusion=same is not None))
                row.append(None if len(known) == 3 else line((0.0, 0.85, 2.2)[model], *[0.0] * count))
            elif same is None:
                row.append(line(0.0, 1.0, *[0.0] * (len(known) - 1)))
            else:  # own log-odds; three numbers for each other answer: agreeing adds its log-odds and 1
                others = len(known) - 1
                row.append(line(0.0, 1.0, *[1.0, -0.5, 1.0] * others, *[0.0] * (others * (others - 1) // 2)))
        heads.append(tuple(row))
    return Estimates(MODELS, 3, same, (required,) * 3, (), (own,) * 3, tuple(heads))


def gains(blind: Any = (0.0, 1.0), looking: Any = (0.05, 1.0)) -> Gains:
    """Serving an answer unseen gains its lead over the best known one; looking at it first gains 0.05 more."""

    def rows(first: tuple[float, float]) -> tuple[tuple[tuple[float, ...], ...], ...]:
        return tuple(
            tuple(
                () if model in known or len(known) == 3 else (first[0], 0.0, 0.0, first[1], 0.0, 0.0) if known else first
                for model in range(3)
            )
            for known in subsets(3, 3)
        )

    return Gains(rows(blind), rows(looking))


EAGER = gains(looking=(1.0, 1.0))
"""Looking at an answer always gains something."""


def router(cost_weight: float = 0.0, **changes: Any) -> CascadeRouter:
    settings: dict[str, Any] = {"estimates": estimates(), "gains": gains(), "costs": COSTS, "scoring_costs": FREE, **changes}
    return CascadeRouter(cost_weight=cost_weight, scorer=settings.pop("scorer", recorded), **settings)


def trace(decision: Any) -> list[tuple[str, str, bool]]:
    return [(step.tier, step.reason, step.accepted) for step in decision.steps]


# Whom it asks


def test_dear_money_asks_the_cheapest_and_stops() -> None:
    decision, script = ask(router(5.0), says("a", 0.6), says("b", 0.9), says("c", 0.9))
    assert script.asked == [0]
    assert trace(decision) == [("tier0", "confident", True)]
    assert decision.steps[0].score == pytest.approx(1 / (1 + 2.718281828**-1.0), rel=1e-6)


def test_an_unsure_answer_is_followed_by_the_model_worth_most_beyond_its_price() -> None:
    policy = router(1.0)  # worth before: 0.5 - 0.01, 0.7 - 0.1 and 0.9 - 0.3
    first, script = ask(policy, says("a"), says("b", 0.9), says("c", 0.9))
    assert script.asked == [1]
    assert trace(first) == [("tier1", "confident", True)]
    second, script = ask(policy, says("a"), says("b", 0.5), says("c", 0.99))
    assert script.asked == [1, 2]  # 0.9 - 0.5 + 0.05 is more than 0.3
    assert trace(second) == [("tier1", "unsure", False), ("tier2", "confident", True)]


def test_free_money_looks_at_all_and_serves_the_likeliest_even_if_it_came_first() -> None:
    decision, script = ask(router(gains=EAGER), says("a", 0.2), says("b", 0.3), says("c", 0.9))
    assert script.asked == [2, 1, 0]
    assert decision.answer.text == "c"
    assert trace(decision) == [("tier2", "confident", True), ("tier1", "unsure", False), ("tier0", "unsure", False)]
    assert decision.tier == "tier2"
    assert decision.cost_usd == 3.0


def test_a_model_that_is_served_unseen_streams_live() -> None:
    decision, script = ask(router(gains=gains(blind=(0.1, 1.0))), says("a"), says("b"), says("c", RuntimeError("not scored")))
    assert [(call.tier, call.final) for call in script.calls] == [(2, True)]
    assert trace(decision) == [("tier2", "routed", True)]
    assert decision.steps[0].score == pytest.approx(0.9, abs=1e-3)


def test_calls_that_are_looked_at_do_not_stream() -> None:
    _, script = ask(router(gains=EAGER), says("a", 0.2), says("b", 0.3), says("c", 0.9))
    assert len(script.calls) == 3
    assert not any(call.final for call in script.calls)


# Fusion


def test_answers_that_agree_spare_the_dear_model() -> None:
    policy = router(1.0, costs={"tier0": 0.02, "tier1": 0.01, "tier2": 0.6})
    unsure = [says(text, 0.6) for text in ("Paris.", "paris", "Rome")]
    agreed, script = ask(policy, *unsure)
    assert script.asked == [1]  # 0.73 already: tier0 cannot be worth more, tier2 not that much
    assert agreed.steps[0].score == pytest.approx(0.731, abs=1e-3)
    eager = router(1.0, costs={"tier0": 0.02, "tier1": 0.01, "tier2": 0.3}, gains=gains(looking=(0.3, 1.0)))
    agreed, script = ask(eager, *unsure)
    assert script.asked == [1, 2, 0]
    differing, _ = ask(eager, says("Paris.", 0.6), says("Oslo", 0.6), says("Rome", 0.6))
    assert agreed.tier in ("tier0", "tier1")
    served = [next(step.score for step in decision.steps if step.accepted) for decision in (agreed, differing)]
    assert (served[0] or 0.0) > 0.9 > (served[1] or 1.0)


def test_estimates_see_agreement_only_where_they_learned_it() -> None:
    pairs = {(0, 1): 1.0}
    fused, plain = estimates(), estimates(same=None)
    own = [0.5, 1.0, 0.0]
    assert fused.chances((0, 1), own, (), pairs)[0] > plain.chances((0, 1), own, (), pairs)[0]
    assert fused.agree(Answer("7"), Answer("7.0")) == 1.0
    assert plain.agree(Answer("7"), Answer("7.0")) != plain.agree(Answer("7"), Answer("7.0"))


def test_another_answer_speaks_for_one_it_agrees_with_and_against_one_it_does_not() -> None:
    own = [0.5, 2.0, -1.0]
    pairs = {(0, 1): 1.0, (0, 2): 0.0, (1, 2): 0.0}
    assert inputs((0, 1), 0, own, (), pairs, fusion=True) == [0.5, 2.0, 0.0, 1.0]
    assert inputs((0, 2), 2, own, (), pairs, fusion=True) == [-1.0, 0.0, 0.5, 0.0]
    assert inputs((0, 1), 2, own, [7.0, 8.0, 9.0], pairs, fusion=True) == [0.5, 2.0, 1.0, 9.0]
    assert inputs((0, 1), 0, own, (), {}, fusion=False) == [0.5, 2.0]


# What is of no use


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says("cut", 0.99, finish_reason="length"), "truncated"),
        (says("", 0.99), "empty"),
        (says("{", 0.99, parsing_error="no JSON"), "invalid"),
        (says("shrug", None), "no_signal"),
    ],
)
def test_an_answer_of_no_use_leaves_the_game(answer: Answer, reason: str) -> None:
    decision, script = ask(router(), says("a", 0.6), says("b", 0.7), answer)
    assert script.asked[0] == 2
    assert decision.steps[0].reason == reason
    assert not decision.steps[0].accepted
    assert decision.answer.text == "b"


def test_a_missing_score_is_no_obstacle_where_it_was_often_missing() -> None:
    decision, _ = ask(router(5.0, estimates=estimates(required=False)), says("a", None), says("b"), says("c"))
    assert decision.answer.text == "a"


def test_where_all_are_of_no_use_the_last_is_served_and_says_so() -> None:
    decision, script = ask(router(gains=EAGER), *[says("cut", 0.9, finish_reason="length")] * 3)
    assert sorted(script.asked) == [0, 1, 2]
    assert trace(decision)[-1] == (f"tier{script.asked[-1]}", "routed", True)  # nothing was left to decide, so it streams live
    assert sum(step.accepted for step in decision.steps) == 1


def test_a_failure_that_another_may_mend_leaves_the_game() -> None:
    decision, script = ask(router(), says("a", 0.6), says("b", 0.9), TimeoutError("read timed out"))
    assert script.asked[0] == 2
    assert trace(decision)[0] == ("tier2", "failed", False)
    assert decision.answer.text == "b"


def test_a_failure_after_an_answer_serves_that() -> None:
    decision, _ = ask(router(gains=EAGER), TimeoutError("a"), TimeoutError("b"), says("c", 0.9))
    assert decision.answer.text == "c"
    assert [step.reason for step in decision.steps] == ["confident", "failed", "failed"]


def test_when_all_fail_the_last_failure_rises() -> None:
    with pytest.raises(TimeoutError):
        ask(router(), *[TimeoutError("read timed out")] * 3)


def test_a_failure_that_nobody_can_mend_rises_at_once() -> None:
    with pytest.raises(ValueError, match="bad key"):
        ask(router(), says("a"), says("b"), ValueError("bad key"))


def test_models_that_cannot_be_asked_are_passed_over() -> None:
    first, second, third = make_tiers(3)
    query = make_query([first, second, replace(third, supports_tools=False)], tools=[{"name": "search", "parameters": {}}])
    decision, script = ask(router(gains=EAGER), says("a", 0.2), says("b", 0.3), says("c", 0.9), query=query)
    assert script.asked == [1, 0]
    assert trace(decision)[0] == ("tier2", "no_tools", False)


def test_when_none_can_be_asked_the_dearest_says_why() -> None:
    query = make_query([replace(tier, supports_tools=False) for tier in make_tiers(3)], tools=[{"name": "f", "parameters": {}}])
    decision, script = ask(router(), says("a", 0.2), says("b", 0.3), says("c", 0.9), query=query)
    assert script.asked == [2]
    assert decision.tier == "tier2"


# Abstention and scoring


def test_hopeless_queries_are_not_paid_for() -> None:
    poor = [says("a", 0.1), says("b", 0.1), says("c", 0.1)]
    first, script = ask(router(gains=EAGER, abstain_below=0.95), *poor)
    assert len(script.asked) == 1
    assert first.steps[0].reason == "hopeless"
    _, every = ask(router(gains=EAGER), *poor)
    assert len(every.asked) == 3


def test_an_answer_that_is_likely_right_is_not_hopeless() -> None:
    decision, _ = ask(router(gains=EAGER, abstain_below=0.95), says("a"), says("b"), says("c", 0.99))
    assert decision.steps[0].reason == "confident"


def test_calls_made_to_score_are_charged() -> None:
    def asks_again(query: Query, answer: Answer) -> Scoring:
        sample = yield Call(answer.tier, query)
        return sample.raw  # type: ignore[no-any-return]

    decision, script = ask(router(5.0, scorer=asks_again), says("a", 0.6), says("b"), says("c"))
    assert [call.purpose for call in script.calls] == ["answer", "score"]
    assert decision.cost_usd == 2.0
    assert [step.reason for step in decision.steps] == ["sample", "confident"]


# Objects


def test_it_decides_alike_however_it_is_driven() -> None:
    outcomes = [
        [says("a", 0.2), says("b", 0.3), says("c", 0.9)],
        [says("a", 0.2), says("b", 0.9), TimeoutError("c")],
        [says("", 0.2), says("a", 0.5), says("a", 0.6)],
    ]
    ways = in_every_way(lambda: router(gains=EAGER), [make_query(3)] * 3, outcomes)
    made = {way: [(one.answer.text, trace(one), one.cost_usd) for one in decisions] for way, (decisions, _) in ways.items()}
    assert all(each == made["drive"] for each in made.values())


def test_it_is_saved_whole(tmp_path: Any) -> None:
    policy = router(1.0, scorer=Margin(), abstain_below=0.1)
    policy.save(tmp_path / "router.frugal")
    loaded = Policy.load(tmp_path / "router.frugal")
    assert isinstance(loaded, CascadeRouter)
    assert loaded.identity == policy.identity
    assert loaded.version == policy.version
    assert loaded.models == MODELS


def test_models_are_found_by_name_in_any_order() -> None:
    query = make_query([make_tiers(3)[place] for place in (2, 0, 1)])
    decision, script = ask(router(5.0), says("c"), says("a", 0.6), says("b"), query=query)
    assert script.asked == [1]
    assert decision.tier == "tier0"
    with pytest.raises(ConfigurationError, match="'tier2'"):
        router().check(make_tiers(2))


def test_it_needs_log_probabilities_where_something_looks_at_them() -> None:
    def plain(query: Query, answer: Answer) -> float:
        return 0.5

    plain.needs_logprobs = False  # type: ignore[attr-defined]
    assert not router(scorer=plain).needs_logprobs
    assert router(scorer=Margin()).needs_logprobs
    looking = estimates()
    weights = tuple(1.0 if place == 5 else weight for place, weight in enumerate(looking.answer[0].weights))
    looking = replace(looking, answer=(replace(looking.answer[0], weights=weights), *looking.answer[1:]))
    assert router(scorer=plain, estimates=looking).needs_logprobs


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cost_weight": -1.0}, "cost_weight=-1.0 is out of range"),
        ({"abstain_below": 1.5}, "abstain_below=1.5 is out of range"),
        ({"costs": {"tier0": 1.0}}, "costs=.* must give the expected USD"),
        ({"scoring_costs": {**FREE, "tier0": float("nan")}}, "scoring_costs=.* must give"),
        ({"scorer": 0.5}, "scorer=0.5 must be a scorer"),
        ({"gains": Gains(((),), ((),))}, "gains.unseen are not those for 3 models and 3 answers"),
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        router(**changes)


def test_estimates_that_were_tampered_with_are_refused() -> None:
    state = dict(estimates().state())
    with pytest.raises(ConfigurationError, match="Saved estimates for 3 models"):
        Estimates.from_state({**state, "heads": state["heads"][:-1]})


def test_sets_have_fixed_places() -> None:
    assert [place_of(known, 4, 2) for known in subsets(4, 2)] == list(range(11))
