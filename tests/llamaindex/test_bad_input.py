"""Every mistake has its own message: what was seen, the number, and the fix. Nothing is called before it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

import lc
from langchain_frugal import ChatFrugal
from li import HOWS, PRICES, Fake, ask, decision, frugal, large, logprobs, reasons, small, stream
from llamaindex_frugal import (
    Cascade,
    ConfigurationError,
    FixedThreshold,
    FrugalError,
    FrugalLLM,
    FrugalWarning,
    Margin,
    PriceBook,
    ScorerError,
    Single,
    UnknownModelError,
)

each_way = pytest.mark.parametrize("how", HOWS)
CHATS = [how for how in HOWS if "chat" in how]
COMPLETES = [how for how in HOWS if "complete" in how]
TOOL = FunctionTool.from_defaults(lambda city: city, name="get_weather", description="Weather.")


def build(models: Any = None, **settings: Any) -> FrugalLLM:
    return FrugalLLM([small(), large()] if models is None else models, **{"prices": PRICES, **settings})


# --- models ---


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], r"models=\[\] is empty: give at least one model"),
        ((), r"models=\[\] is empty|models=\(\) is empty"),
        ("openai:gpt-4o", r"models='openai:gpt-4o' must be a list of models"),
        (None, r"models=None must be a list"),
        ({"a": 1}, r"must be a list of models"),
        ({1}, r"must be a list of models"),
        ((model for model in [small(), large()]), r"must be a list of models, cheapest first"),
        (np.array([1, 2]), r"must be a list of models"),
        ([5], r"5 in models is a int: give LlamaIndex LLMs"),
        ([None], r"None in models is a NoneType"),
        ([small(), len], r"in models is a builtin_function_or_method"),
        ([Fake], r"in models is a ModelMetaclass"),
        ([["nested"]], r"in models is a list"),
        ([MockEmbedding(embed_dim=3), large()], r"in models is a MockEmbedding: give LlamaIndex LLMs"),
        ([lc.small(), large()], r"in models is a Fake: .* Models of LangChain are for langchain_frugal.ChatFrugal"),
    ],
    ids=str,
)
def test_models(models: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        FrugalLLM(models, prices=PRICES)


def test_no_hint_at_langchain_where_it_is_not() -> None:
    with pytest.raises(ConfigurationError) as raised:
        FrugalLLM([MockEmbedding(embed_dim=3)])
    assert "LangChain" not in str(raised.value)


def test_models_of_llamaindex_are_not_for_langchain() -> None:
    with pytest.raises(
        ConfigurationError, match=r"in models is a Fake: .* LLMs of LlamaIndex are for llamaindex_frugal.FrugalLLM"
    ):
        ChatFrugal([small(), lc.large()])
    with pytest.raises(ConfigurationError) as raised:
        ChatFrugal([5])
    assert "LlamaIndex" not in str(raised.value)


def test_no_models_at_all() -> None:
    with pytest.raises(ConfigurationError, match="models"):
        FrugalLLM()


def test_a_single_model_by_itself() -> None:
    with pytest.raises(ConfigurationError, match="must be a list of models, cheapest first"):
        FrugalLLM(small())  # type: ignore[arg-type]


def test_models_in_a_tuple() -> None:
    assert reasons(FrugalLLM((small(), large()), prices=PRICES, threshold=0.5).complete("hi")) == [("small", "confident")]


def test_a_model_by_its_name() -> None:
    llm = FrugalLLM(["openai:gpt-4o-mini", "openai:gpt-4o"], api_key="k", temperature=0.3, max_retries=1)
    first, last = (tier.llm for tier in llm._runner.tiers)
    assert (type(first), type(last)) == (OpenAI, OpenAI)
    assert isinstance(first, OpenAI)
    assert (first.model, first.api_key, first.temperature, first.max_retries) == ("gpt-4o-mini", "k", 0.3, 1)


@pytest.mark.parametrize(
    "name", ["nobody:gpt-4o", "no-such-model", "", "openai", "openai:", ":gpt-4o", "openai:gpt-99", "../os:path"]
)
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownModelError, match=r"(?s)names no model that can be built here.*provider:model.*pip install"):
        FrugalLLM([name])


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": 1.5}, r"threshold=1.5 is out of range.*0 to 1"),
        ({"threshold": -0.1}, r"threshold=-0.1 is out of range"),
        ({"threshold": float("nan")}, r"threshold=nan is out of range"),
        ({"threshold": True}, r"threshold=True is out of range"),
        ({"threshold": "high"}, r"threshold='high' must be a number"),
        ({"threshold": [0.5, 0.6]}, r"2 thresholds for 2 models: give one per escalation, that is 1"),
        ({"threshold": []}, r"0 thresholds for 2 models"),
        ({"threshold": [0.5, 7]}, r"threshold=7 is out of range"),
        ({"threshold": ["x"]}, r"threshold='x' is out of range"),
        ({"threshold": {"a": 1}}, r"threshold={'a': 1} must be a number"),
        ({"threshold": np.float32(1.5)}, r"threshold=1.5 is out of range"),
        ({"threshold": np.array([0.5])}, r"threshold=array\(\[0.5\]\) must be a number from 0 to 1, a list"),
        ({"call_large": 1.2}, r"call_large=1.2 is out of range"),
        ({"call_large": -1}, r"call_large=-1 is out of range"),
        ({"call_large": "30%"}, r"call_large='30%' is out of range"),
        ({"call_large": True}, r"call_large=True is out of range"),
        ({"budget_usd": 0}, r"budget_usd=0 is out of range"),
        ({"budget_usd": -1}, r"budget_usd=-1 is out of range"),
        ({"budget_usd": float("inf")}, r"budget_usd=inf is out of range"),
        ({"budget_usd": "1$"}, r"budget_usd='1\$' is out of range"),
        ({"budget_usd": 1e-12}, r"budget_usd=1e-12 is below the cheapest possible call"),
        ({"call_large": 0.3, "threshold": 0.5}, r"threshold and call_large contradict each other.*Give one"),
        ({"call_large": 0.3, "budget_usd": 0.5}, r"call_large and budget_usd contradict each other"),
        ({"on_missing": "maybe"}, r"on_missing='maybe'.*\"escalate\""),
        ({"scorer": 5}, r"scorer=5 must be a scorer or a function"),
        ({"scorer": "margin"}, r"scorer='margin' must be a scorer or a function"),
        ({"scorer": Margin}, r"scorer=Margin is a class: give an object of it, Margin\(…\)"),
        ({"escalate_on": "errors"}, r"escalate_on='errors' must be exception classes or a predicate"),
        ({"escalate_on": ["x"]}, r"escalate_on=\['x'\] must hold exception classes only"),
        ({"escalate_on": [int]}, r"must hold exception classes only"),
        ({"reference": 2}, r"reference=2 is no index of the 2 models: 0 to 1"),
        ({"reference": -3}, r"reference=-3 is no index"),
        ({"reference": "large"}, r"reference='large' is no index"),
        ({"reference": True}, r"reference=True is no index"),
        ({"prices": 5}, r"prices=5 must map model names"),
        ({"prices": {"small": 5}}, r"prices\['small'\] is 5. Give a Price"),
        ({"prices": {"small": (1, -1)}}, r"Price.output must be a finite number"),
        ({"prices": {"small": "no-such-model"}}, r"stands for 'no-such-model', which is not in the price table"),
        ({"policy": 5}, r"policy=5 must be a Policy or the path of a saved one"),
        ({"policy": Single(-1), "threshold": 0.5}, r"policy already decides all: it cannot be combined with threshold"),
        ({"policy": Single(-1), "scorer": Margin(), "call_large": 0.1}, r"cannot be combined with scorer, call_large"),
        ({"policy": Cascade(threshold=FixedThreshold([0.1, 0.2]))}, r"2 thresholds for 2 models"),
        ({"policy": Single(5)}, r"There is no tier 5: there are 2 models"),
        ({"policy": "/no/such/file"}, r"No saved policy at '/no/such/file'. Save one with policy.save"),
        ({"polcy": Single(-1)}, r"FrugalLLM has no argument 'polcy'. Did you mean 'policy'\?"),
        ({"tresholds": 0.5}, r"has no argument 'tresholds'. Did you mean 'threshold'\?"),
        ({"call_larg": 0.5}, r"has no argument 'call_larg'. Did you mean 'call_large'\?"),
        ({"contextwindow": "min"}, r"has no argument 'contextwindow'. Did you mean 'context_window'\?"),
        ({"xyzzy": 1}, r"FrugalLLM has no argument 'xyzzy'\.$"),
        *(
            ({"context_window": window}, r"context_window=.* must be \"min\" \(prompts fit every model\) or \"max\"")
            for window in ("middle", None, 4096, ["min"])
        ),
    ],
    ids=str,
)
def test_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(**settings)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(1), np.float16(0.25)], ids=repr)
def test_numbers_of_numpy(number: Any, tmp_path: Path) -> None:
    for settings in ({"threshold": number}, {"threshold": [number]}, {"call_large": number}, {"budget_usd": number}):
        build(**settings).policy_in_use.save(tmp_path / "policy")  # as plain numbers, else it could not
        assert "np." not in repr(build(policy=tmp_path / "policy").policy_in_use)


def test_a_policy_for_other_tiers_is_refused_before_anything_is_called() -> None:
    with pytest.raises(ConfigurationError, match="1 thresholds for 3 models"):
        build([small(), Fake(model="mid"), large()], policy=Cascade(threshold=FixedThreshold([0.5])))


def test_a_budget_in_money_needs_all_prices() -> None:
    with pytest.raises(ConfigurationError, match=r"budget_usd needs the price of every model; unknown: large"):
        build(prices={"small": (1, 1)}, budget_usd=0.1)


def test_a_refused_change_changes_nothing() -> None:
    llm = frugal(small(), large(), threshold=0.5)
    with pytest.raises(ConfigurationError, match="threshold=7 is out of range"):
        llm.threshold = 7
    with pytest.raises(ConfigurationError, match="threshold=7 is out of range"):
        llm.model_copy(update={"threshold": 7})
    assert llm.threshold == 0.5
    assert reasons(llm.complete("hi")) == [("small", "confident")]


def test_all_errors_are_of_one_family() -> None:
    assert issubclass(ConfigurationError, FrugalError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(UnknownModelError, ConfigurationError)


def test_an_unknown_price_is_told_once_with_the_fix() -> None:
    with pytest.warns(FrugalWarning, match=r"No price is known for model 'nameless'.*") as warned:
        llm = FrugalLLM([Fake(model="nameless"), large()], prices={"large": (1, 1)}, threshold=0.5)
    assert len(warned) == 1
    assert 'prices={"nameless": (input, output)}' in str(warned[0].message)
    assert warned[0].filename == __file__, "it points at the user's line"
    response = llm.complete("hi")
    assert (decision(response)["cost_usd"], decision(response)["saved_usd"]) == (None, None)


def test_a_price_of_nothing_is_a_price() -> None:
    llm = FrugalLLM([small(), large()], prices={"small": (0, 0), "large": (1, 1)}, threshold=0.5)
    assert decision(llm.complete("hi"))["cost_usd"] == 0.0


def test_a_price_book_is_taken_as_it_is() -> None:
    book = PriceBook.default().override(PRICES)  # type: ignore[arg-type]
    assert decision(FrugalLLM([small(), large()], prices=book, threshold=0.5).complete("hi"))["cost_usd"] == pytest.approx(6e-6)


def test_the_dearer_model_first_is_pointed_out() -> None:
    with pytest.warns(FrugalWarning, match="large costs more than small. Name the cheapest model first"):
        frugal(large(), small())


# --- saved policies ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"garbage", "is not a saved policy"),
        (b'{"frugal": 99, "object": {}}', "has format 99, this version reads 1"),
        (b'{"frugal": 1, "object": {"kind": "margin"}}', "holds a Margin, not a Policy"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [str, Path])
def test_broken_policy_files(tmp_path: Path, content: bytes, words: str, form: Any) -> None:
    path = tmp_path / "policy.frugal"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        build(policy=form(path))


@pytest.mark.parametrize("form", [str, Path])
def test_a_saved_policy_decides_as_before(tmp_path: Path, form: Any) -> None:
    path = tmp_path / "policy.frugal"
    Cascade(threshold=0.95).save(path)
    assert reasons(build(policy=form(path)).complete("hi")) == [("small", "unsure"), ("large", "last_tier")]


# --- scorers and signals ---


def raising(query: Any, answer: Any) -> float:
    raise KeyError("no such thing")


WRONG: dict[str, Any] = {
    "nan": lambda query, answer: float("nan"),
    "above": lambda query, answer: 1.5,
    "text": lambda query, answer: "0.9",
    "raising": raising,
    "wrong arity": lambda answer: 1.0,
}


@each_way
@pytest.mark.parametrize("scorer", WRONG)
async def test_a_wrong_score_is_no_confidence(how: str, scorer: str) -> None:
    llm = frugal(small(), large(), scorer=WRONG[scorer])
    with pytest.warns(FrugalWarning, match="The scorer .* Such answers are escalated"):
        response = await ask(llm, how)
    await ask(llm, how)  # says so once
    assert reasons(response) == [("small", "no_signal"), ("large", "last_tier")]
    assert "The scorer" in decision(response)["steps"][0]["error"]


@each_way
async def test_a_missing_or_wrong_score_may_be_an_error(how: str) -> None:
    first, last = small(), large()
    with pytest.raises(ScorerError, match="raised KeyError"):
        await ask(frugal(first, last, scorer=raising, on_missing="raise"), how)
    with pytest.raises(ScorerError, match="no signal"):
        await ask(frugal(small(sure=None), last, on_missing="raise"), how)
    assert len(last.log) == 0


def spoilt(**changes: Any) -> dict[str, Any]:
    found = logprobs("an answer", 0.9)
    found["content"][0].update(changes)
    return found


@pytest.mark.parametrize(
    "found",
    [
        *("high", 0.9, {}, {"content": None}, {"content": []}, {"content": "abc"}, {"content": [1, 2]}),
        *(spoilt(logprob="-0.1"), spoilt(logprob=float("nan")), spoilt(logprob=3.0), spoilt(token=None)),
        *(spoilt(top_logprobs="ab"), spoilt(top_logprobs=None), spoilt(top_logprobs=[{"token": "an", "logprob": -0.1}])),
    ],
    ids=str,
)
async def test_malformed_logprobs_are_no_confidence(found: Any) -> None:
    answer = ChatResponse(message=ChatMessage("an answer", role="assistant"), raw={"choices": [{"logprobs": found}]})
    for how in ("chat", "astream_complete"):
        with pytest.warns(FrugalWarning, match="log-?prob"):
            response = await ask(frugal(small(answer), large(), threshold=0.0), how)
        assert reasons(response) == [("small", "no_signal"), ("large", "last_tier")]


# --- inputs ---


@pytest.mark.parametrize("how", CHATS)
@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "There are no messages to answer"),
        ((), "There are no messages to answer"),
        (None, "There are no messages to answer"),
        (5, "Invalid input type <class 'int'>: give a list of ChatMessage"),
        ("hi", r"Invalid input type <class 'str'>: give a list of ChatMessage, or ask a text by complete\(\)"),
        (["hi"], "Invalid input type <class 'list'>: give a list of ChatMessage"),
        ([5], "Invalid input type <class 'list'>"),
        ({"role": "user"}, "Invalid input type <class 'dict'>"),
        (ChatMessage("hi"), "Invalid input type <class .*ChatMessage'>"),
    ],
    ids=str,
)
async def test_messages_that_are_none(how: str, messages: Any, words: str) -> None:
    first = small()
    llm = frugal(first, large())

    async def asked() -> Any:
        reply = getattr(llm, how)(messages)
        return await reply if how.startswith("a") else reply

    with pytest.raises(ConfigurationError, match=words):
        await asked()
    assert len(first.log) == 0


@pytest.mark.parametrize("how", COMPLETES)
@pytest.mark.parametrize("prompt", [None, 5, b"hi", ["hi"], [ChatMessage("hi")]], ids=str)
async def test_prompts_that_are_none(how: str, prompt: Any) -> None:
    first = small()
    with pytest.raises(
        ConfigurationError, match=r"Invalid input type <class '.*'>: a prompt is a text; messages are answered by"
    ):
        await stream(frugal(first, large()), how, prompt)
    assert len(first.log) == 0


@each_way
async def test_odd_inputs_that_are_none_of_our_business(how: str) -> None:
    """The provider's answer says it best."""
    for text in ("", " ", "\ud800"):
        response = await ask(frugal(small(), large()), how, text)
        assert reasons(response) == [("small", "confident")]
    messages = [ChatMessage("x", role="system")], [ChatMessage("x", role="assistant")], (ChatMessage(""),)
    for odd in messages:
        assert frugal(small(), large()).chat(odd).message.content == "the small answer"


# --- tools ---


async def test_models_that_can_do_no_tools() -> None:
    first, last = small(tools=False), large(tools=False)
    llm = frugal(first, last)
    words = "None of the models can do tools: small > large"
    with pytest.raises(NotImplementedError, match=words):
        llm.chat_with_tools([TOOL], "hi")
    with pytest.raises(NotImplementedError, match=words):
        await llm.achat_with_tools([TOOL], "hi")
    with pytest.raises(NotImplementedError, match=words):
        llm.stream_chat_with_tools([TOOL], "hi")
    with pytest.raises(NotImplementedError, match=words):
        await llm.astream_chat_with_tools([TOOL], "hi")
    with pytest.raises(NotImplementedError, match=words):
        llm.get_tool_calls_from_response(llm.chat([ChatMessage("hi")]))
    assert (len(first.log), len(last.log)) == (1, 0)
    with pytest.raises(NotImplementedError, match="None of the models can do tools"):  # as LangChain's
        lc.frugal(lc.ToollessFake(model="small"), lc.ToollessFake(model="large")).bind_tools([len])
    assert llm.chat_with_tools([], "hi").message.content == "the small answer", "no tools are no obstacle"


# --- answers ---


@each_way
async def test_usage_that_is_odd(how: str) -> None:
    for usage in ({"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "4", "completion_tokens": 2}, {}):
        response = await ask(frugal(small(usage=usage), large()), how)
        (step,) = decision(response)["steps"]
        assert step["estimated"]
        assert step["cost_usd"] > 0
