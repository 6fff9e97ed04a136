"""The same questions through the cache's core, `ChatFrugal` and `FrugalLLM`: the same hits and misses, decisions and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import caching
from frugal_core.cache.guards import STANDARD
from parity_cases import BAD_CALL, BEST, BLIND, GOOD_CALL, GOOD_VALUE, SURE, UNSURE, Case, Question, Reply, two
from parity_runs import LANGCHAIN, LLAMAINDEX, differences, play_core, play_langchain, play_llamaindex, speaks

ASKED, ALIKE, OTHER = "what is the capital of france", "what is the capital of the france", "who won the cup"
LONG = "Context information is below. " * 20


def cached(threshold: Any = 0.5, *, wrapper: Any = None, **settings: Any) -> Callable[[], dict[str, Any]]:
    """Settings of a wrapper with a new cache."""
    rule = {} if threshold is None else {"threshold": threshold}
    return lambda: {"cache": caching.cache(**settings), **rule, **(wrapper or {})}


def case(name: str, tiers: Any, *questions: Question, told: str, settings: Any = None, **more: Any) -> tuple[Case, str]:
    """A case, and what becomes of its questions: + hit, - miss, o without the cache, ! error."""
    return Case(name, tiers, (), settings or cached(), questions, **more), told


def asks(*texts: str, **more: Any) -> tuple[Question, ...]:
    return tuple(Question(text, **more) for text in texts)


REFUSAL, CUT = Reply("I'm sorry, but I can't help with that."), Reply("the answer begins", finish="length")
CASES = [
    case("same alike other", two(SURE, BEST), *asks(ASKED, ASKED, ALIKE, OTHER, ALIKE), told="-++-+"),
    case("escalated", two(UNSURE, BEST), *asks(ASKED, ALIKE, ASKED), told="-++"),
    case("a threshold", two(SURE, BEST), *asks(ASKED, ALIKE, ASKED), told="--+", settings=cached(decider=0.99)),
    case("no embedder", two(SURE, BEST), *asks(ASKED, ALIKE, ASKED), told="--+", settings=cached(embed=None)),
    case(
        "guards",
        two(SURE, BEST),
        *asks("how do I enable two factor login", "how do I disable two factor login", "how do I enable two factor login now"),
        told="--+",
        settings=cached(guards=STANDARD),
    ),
    case(
        "numbers",
        two(SURE, BEST),
        *asks("what does a ticket for 2 days cost", "what does a ticket for 3 days cost"),
        told="--",
        settings=cached(guards=STANDARD),
    ),
    case("a refusal", two(REFUSAL, REFUSAL), *asks(ASKED, ASKED), told="--"),
    case("cut off", two(CUT, CUT), *asks(ASKED, ASKED), told="--"),
    case(
        "low confidence",
        two(BLIND, BEST),
        *asks(ASKED, ASKED),
        told="--",
        settings=cached(wrapper={"on_missing": "accept"}),
        warns=("log-probabilities",),
    ),
    case(
        "options",
        two(SURE, BEST),
        Question(ASKED),
        Question(ALIKE, options={"no_cache": True}),
        Question(ASKED, options={"refresh": True}),
        Question(ALIKE, options={"namespace": "a"}),
        Question(ASKED, options={"namespace": "a"}),
        Question(ALIKE, options={"namespace": "b"}),
        Question(ALIKE),
        told="-o--+-+",
    ),
    case(
        "a system prompt",
        two(SURE, BEST),
        Question(ASKED),
        Question(ALIKE, "Be brief."),
        Question(ASKED, "Be brief."),
        Question(ASKED, "Be long."),
        told="--+-",
    ),
    case(
        "earlier turns",
        two(SURE, BEST),
        Question(ASKED, before=(("user", "hi"), ("assistant", "hello"))),
        Question(ALIKE, before=(("user", "hi"), ("assistant", "hello"))),
        Question(ALIKE, before=(("user", "hi"), ("assistant", "hello"))),
        Question(ASKED, before=(("user", "hi"), ("assistant", "bye"))),
        told="--+-",
    ),
    case(
        "two turns allowed",
        two(SURE, BEST),
        Question(ASKED, before=(("user", "hi"), ("assistant", "hello"))),
        Question(ALIKE, before=(("user", "hi"), ("assistant", "hello"))),
        told="-+",
        settings=cached(max_turns=2),
    ),
    case("long prompts", two(SURE, BEST), *asks(LONG + ASKED, LONG + ALIKE, LONG + ASKED), told="--+"),
    case("errors", two(Reply(fails="wrong key"), Reply(fails="wrong key")), *asks(ASKED, ASKED), told="!!"),
    case("a tool call", two(GOOD_CALL, BEST), *asks(ASKED, ASKED, ALIKE), told="-+-", kind="tools"),
    case("words where tools are offered", two(SURE, BEST), *asks(ASKED, ALIKE), told="-+", kind="tools"),
    case("a broken call", two(BAD_CALL, BAD_CALL), *asks(ASKED, ASKED), told="--", kind="tools"),
    case("a value", two(GOOD_VALUE, BEST), *asks(ASKED, ASKED), told="-+", kind="structured"),
]
each_case = pytest.mark.parametrize(("case", "told"), CASES, ids=[str(each) for each, _ in CASES])
SIGNS = {"hit": "+", "miss": "-", "off": "o"}


@each_case
def test_the_core_answers_as_the_table_says(case: Case, told: str) -> None:
    outcomes = play_core(case).outcomes
    assert "".join("!" if each.decision is None else SIGNS[each.decision["cache"]] for each in outcomes) == told


@each_case
async def test_langchain_does_as_the_core(case: Case, told: str) -> None:
    judge = play_core(case)
    for client in case.clients:
        for how in LANGCHAIN:
            assert differences(case, judge, await play_langchain(case, client, how), client, how) == [], (client, how)


@each_case
async def test_llamaindex_does_as_the_core(case: Case, told: str) -> None:
    judge = play_core(case)
    for client in case.clients:
        for how in LLAMAINDEX[case.kind]:
            if speaks(case, how):
                assert differences(case, judge, await play_llamaindex(case, client, how), client, how) == [], (client, how)


async def test_answers_sampled_at_a_temperature_are_kept_by_neither() -> None:
    sampled = Case("sampled", two(SURE, BEST), (), cached(wrapper={"temperature": 0.7}), asks(ASKED, ASKED))
    plays: list[tuple[Any, tuple[str, ...]]] = [(play_langchain, LANGCHAIN), (play_llamaindex, LLAMAINDEX["chat"])]
    for play, hows in plays:
        for how in hows:
            played = await play(sampled, "wire", how)
            assert (played.counted["kept_out"], played.counted["stored"]) == ({"sampled": 2}, 0), how
