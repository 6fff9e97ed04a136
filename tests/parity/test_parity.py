"""Both frameworks take the same decisions, pay the same, serve the same and fail alike, whichever way they are asked."""

from __future__ import annotations

import gzip
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import lc
from frugal_core.policies import RandomRouter, Single
from frugal_core.scorers import Margin, MeanLogprob, SchemaValid
from frugal_core.types import Answer, Call, Message, Query
from parity_cases import (
    BAD_VALUE,
    CASES,
    SURE,
    TORN_VALUE,
    Case,
    Question,
    Reply,
    Tier,
    agreement,
    by_length,
    get_weather,
    settings,
    two,
    verification,
)
from parity_runs import LANGCHAIN, LLAMAINDEX, Played, differences, play_core, play_langchain, play_llamaindex, speaks

each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_the_core_decides_as_the_table_says(case: Case) -> None:
    played = play_core(case)
    if case.expect:
        assert played.steps == case.expect
    if case.served is not None:
        assert tuple(outcome.served for outcome in played.outcomes) == case.served


@each_case
async def test_langchain_does_as_the_core(case: Case) -> None:
    judge = play_core(case)
    for client in case.clients:
        for how in LANGCHAIN:
            assert differences(case, judge, await play_langchain(case, client, how), client, how) == [], (client, how)


@each_case
async def test_llamaindex_does_as_the_core(case: Case) -> None:
    judge = play_core(case)
    for client in case.clients:
        for how in LLAMAINDEX[case.kind]:
            if speaks(case, how):
                assert differences(case, judge, await play_llamaindex(case, client, how), client, how) == [], (client, how)


# --- where no tier gives a value: what is served differs by the frameworks' natures, what is decided does not ---


@pytest.mark.parametrize("last", [BAD_VALUE, TORN_VALUE, SURE], ids=["lacking", "torn", "words"])
async def test_no_value_at_all(last: Reply) -> None:
    case = Case("no value", two(BAD_VALUE, last), ("small invalid > large last_tier",), kind="structured")
    judge = play_core(case)
    assert judge.steps == case.expect
    for how in LANGCHAIN:  # with `include_raw=True`, an error is told beside the message
        assert differences(case, judge, await play_langchain(case, "wire", how), "wire", how) == []
    for how in LLAMAINDEX["structured"]:
        played = await play_llamaindex(case, "wire", how)
        assert played.asked == judge.asked
        (outcome,) = played.outcomes
        if "stream" in how:  # LlamaIndex's streams give what has grown so far, and never fail for what is missing
            assert type(outcome.served).__name__ == "FlexibleVerdict"
            assert outcome.decision is not None
            assert outcome.decision["cost_usd"] == judge.outcomes[0].decision["cost_usd"]  # type: ignore[index]
        else:
            assert outcome.error is not None
            assert outcome.error[0] == "ValueError"


# --- many at once, which LangChain alone can ---


def asks_the_middle(query: Query, answer: Answer) -> Any:
    """Escalates the question "a", and asks the middle tier about the answer to "b"."""
    if query.text == "a":
        return 0.1
    yield Call(1, Query((Message("user", "Is it right?"),), query.tiers), "score")
    return 0.9


async def test_a_batch_keeps_a_scorers_questions_apart() -> None:
    for how in ("batch", "abatch"):
        mid = lc.Fake(model="mid", reply="the middle answer")
        llm: Any = lc.frugal(lc.small(), mid, lc.large(), scorer=asks_the_middle).bind_tools([get_weather])
        await llm.abatch(["a", "b"]) if how == "abatch" else llm.batch(["a", "b"])
        offered = {call.messages[-1].text: "tools" in call.kwargs for call in mid.log.calls}
        assert offered == {"a": True, "Is it right?": False}, how


# --- recorded answers of real LLMs ---

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")


def recorded(name: str, models: tuple[str, ...], margin: str, given: Any) -> Case:
    """The first forty queries of a set, as a case.

    Args:
        name: The file.
        models: Names of its models, cheapest first.
        margin: The column to take the first token's margin from, or `"confidence_logp"` for the log-probability of it.
        given: Settings of the wrapper.
    """
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name}: set FRUGAL_DATA to the folder of recorded answers")
    says: dict[str, dict[str, Reply]] = {model: {} for model in models}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["model"] not in says:
                continue
            signal = row[margin] if margin == "margin" or row[margin] is None else 2 * math.exp(row[margin]) - 1
            tokens = (row["prompt_tokens"], row["completion_tokens"], 0)
            usage = None if None in tokens else tokens
            says[row["model"]][row["query"]] = Reply(row["answer"], signal, usage)
            if all(len(each) > 40 for each in says.values()):
                break
    asked = [text for text in says[models[0]] if all(text in each for each in says.values())][:40]
    assert len(asked) == 40
    names = ("small", "mid", "large") if len(models) == 3 else ("small", "large")
    tiers = tuple(Tier(tier, says[model]) for tier, model in zip(names, models, strict=True))
    return Case(name, tiers, (), given, tuple(map(Question, asked)))


RECORDED = {
    "margins, a share": (
        *("vlm_uncertainty/mmbench.jsonl.gz", ("MobileVLM_V2-1.7B", "llava-v1.6-vicuna-13b", "llava-v1.6-34b"), "margin"),
        lambda: {"call_large": 0.3},
    ),
    "margins, a threshold": (
        *("vlm_uncertainty/mmbench.jsonl.gz", ("MobileVLM_V2-1.7B", "llava-v1.6-34b"), "margin"),
        settings(threshold=0.4),
    ),
    "probabilities, a budget": (
        *("zellinger/mmlu.jsonl.gz", ("llama3.2-1b", "gpt-4o-mini", "gpt-4o"), "confidence_logp"),
        lambda: {"scorer": MeanLogprob(), "budget_usd": 4e-4},
    ),
}


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_answers(name: str) -> None:
    case = recorded(*RECORDED[name])
    judge = play_core(case)
    assert len(set(judge.steps)) > 1, "some are escalated, some not"
    for client, langchain, llamaindex in (
        ("fake", "invoke", "achat"),
        ("fake", "astream", "stream_complete"),
        ("wire", "ainvoke", "chat"),
        ("wire", "stream", "astream_chat"),
    ):
        assert differences(case, judge, await play_langchain(case, client, langchain), client, langchain) == []
        assert differences(case, judge, await play_llamaindex(case, client, llamaindex), client, llamaindex) == []


# --- random tables ---

texts = st.sampled_from(["", "yes", "an answer", "ünïcode 漢字", "a\nb", "x " * 40])
replies = st.one_of(
    st.builds(
        Reply,
        texts,
        st.sampled_from([None, 0.0, 0.3, 0.5, 0.9, 1.0]),
        st.sampled_from([None, (4, 2, 0), (100, 50, 60), (7, 0, 0)]),
        st.sampled_from(["stop", "stop", "stop", "length", "content_filter"]),
    ),
    st.sampled_from(["rate limit", "timeout", "bad request", "bug", "context overflow"]).map(lambda kind: Reply(fails=kind)),
)
questions = ("What?", "Who?", "w " * 30)
given = st.sampled_from(
    [
        *(lambda value=value: {"threshold": value} for value in (0.0, 0.4, 1.0)),
        *(lambda share=share: {"call_large": share} for share in (0.0, 0.4)),
        lambda: {"budget_usd": 1e-3},
        dict,
        lambda: {"policy": Single(0)},
        lambda: {"policy": RandomRouter(0.5, seed=1)},
        *(
            lambda scorer=scorer, missing=missing: {"scorer": scorer, "threshold": 0.5, "on_missing": missing}
            for scorer in (
                Margin(),
                Margin().or_else(by_length),
                Margin() & MeanLogprob(),
                SchemaValid(),
                agreement,
                verification,
            )
            for missing in ("escalate", "accept", "raise")
        ),
        *(lambda place=place: {"threshold": 0.5, "reference": place} for place in (0, 1)),
        lambda: {"threshold": 0.5, "escalate_on": [LookupError]},
    ]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A table that nobody thought of."""
    names = draw(st.sampled_from([("small", "large"), ("small", "mid", "large"), ("tiny", "small", "mid", "large")]))
    answers = st.fixed_dictionaries(dict.fromkeys((*questions, "*"), st.one_of(replies, st.tuples(replies, replies))))
    tiers = tuple(Tier(name, draw(answers), draw(st.sampled_from([None, None, 20]))) for name in names)
    asked = draw(
        st.lists(st.builds(Question, st.sampled_from(questions), st.sampled_from(["", "Be brief."])), min_size=1, max_size=4)
    )
    prices = {"tiny": (0.1, 0.1), "small": (1.0, 2.0), "mid": (5.0, 5.0), "large": (10.0, 20.0)}
    return Case("random", tiers, (), draw(given), tuple(asked), prices)


def unwarned(case: Case, played: Played) -> Case:
    """The case with the warnings that came: of which there are, LangChain and LlamaIndex must agree."""
    return replace(case, warns=tuple(played.warned))


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(case=cases(), which=st.integers(0, 7))
async def test_any_table(case: Case, which: int) -> None:
    judge = play_core(case)
    samples = case.settings().get("scorer") is agreement  # a batch draws them at once, also those after one that failed
    how = LANGCHAIN[which % (4 if samples else len(LANGCHAIN))]
    played = await play_langchain(case, "fake", how)
    case = unwarned(case, played)
    assert differences(case, judge, played, "fake", how) == []
    how = LLAMAINDEX["chat"][which]
    if not speaks(case, how):
        how = LLAMAINDEX["chat"][which % 4]
    assert differences(case, judge, await play_llamaindex(case, "fake", how), "fake", how) == []
