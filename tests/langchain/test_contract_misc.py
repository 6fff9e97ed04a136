"""What else a program may ask of a chat model: token counts, profiles, identities, the older interface, versions."""

from __future__ import annotations

import builtins
import importlib.metadata
import inspect
import sys
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompt_values import StringPromptValue
from langchain_core.rate_limiters import InMemoryRateLimiter

import frugal_core
import langchain_frugal
from frugal_core.types import Answer, Call, Message, Query
from langchain_frugal import ChatFrugal, UnknownModelError
from langchain_frugal.playground import ChatPlayground
from lc import (
    HOWS,
    PRICES,
    USAGE,
    Fake,
    accepting,
    ask,
    decision,
    escalating,
    frugal,
    large,
    reasons,
    small,
)

each_way = pytest.mark.parametrize("how", HOWS)


# --- the older interface ---


@pytest.mark.parametrize("how", ["generate", "agenerate", "generate_prompt", "agenerate_prompt"])
async def test_the_older_interface(how: str) -> None:
    llm, first, _ = accepting()
    first.reply = lambda messages: f"echo {messages[-1].text}"
    inputs: Any = (
        [[HumanMessage("a")], [HumanMessage("b")]] if "prompt" not in how else [StringPromptValue(text=t) for t in "ab"]
    )
    result: LLMResult = getattr(llm, how)(inputs) if how[0] != "a" else await getattr(llm, how)(inputs)
    assert [[generation.text for generation in each] for each in result.generations] == [["echo a"], ["echo b"]]
    assert first.log.batches == [2]
    for (generation,) in result.generations:
        assert isinstance(generation, ChatGeneration)
        assert isinstance(generation.message, AIMessage)
        assert decision(generation.message)["tier"] == "small"
        assert generation.message.usage_metadata == USAGE


async def test_the_inner_methods_answer_too() -> None:
    llm, _, _ = escalating()
    sync, later = llm._generate([HumanMessage("hi")]), await llm._agenerate([HumanMessage("hi")], stop=["x"])
    assert [result.generations[0].text for result in (sync, later)] == ["the large answer"] * 2


# --- counting tokens ---


@pytest.fixture
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "transformers":
            raise ImportError("no transformers here")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("without_transformers")
def test_tokens_are_counted_without_transformers() -> None:
    llm, _, _ = accepting()
    assert llm.get_num_tokens("one two three") > 0
    assert llm.get_num_tokens("") == 0
    messages = [SystemMessage("Be brief."), HumanMessage("one two three")]
    assert llm.get_num_tokens_from_messages(messages) > llm.get_num_tokens("one two three")

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert llm.get_num_tokens_from_messages(messages, [add]) > llm.get_num_tokens_from_messages(messages)


@pytest.mark.usefixtures("without_transformers")
def test_the_reference_models_tokenizer_counts() -> None:
    class Counting(Fake):
        def get_token_ids(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    llm = frugal(small(), Counting(model="large"))
    assert llm.get_token_ids("abc") == [97, 98, 99]
    assert llm.get_num_tokens("abc") == 3
    playground = ChatFrugal([ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")])
    assert playground.get_num_tokens("What is 2 plus 3?") == ChatPlayground(model="playground-medium").get_num_tokens(
        "What is 2 plus 3?"
    )


@pytest.mark.usefixtures("without_transformers")
def test_the_users_tokenizer_counts_before_all() -> None:
    llm, _, _ = accepting(custom_get_token_ids=lambda text: [7] * len(text.split()))
    assert llm.get_token_ids("one two") == [7, 7]
    assert llm.get_num_tokens("one two three") == 3


# --- profile ---


def test_the_profile_is_what_all_can() -> None:
    one: Any = {"max_input_tokens": 100, "tool_calling": True, "image_inputs": True, "text_inputs": True}
    other: Any = {"max_input_tokens": 50, "tool_calling": False, "text_inputs": True, "audio_inputs": True}
    llm = frugal(small(profile=one), large(profile=other))
    assert llm.profile == {"max_input_tokens": 50, "tool_calling": False, "text_inputs": True}


def test_no_profile_where_one_is_unknown() -> None:
    assert frugal(small(profile={"tool_calling": True}), large()).profile is None


def test_a_profile_that_was_given_stands() -> None:
    llm, _, _ = accepting(profile={"max_input_tokens": 7})
    assert llm.profile == {"max_input_tokens": 7}


def test_the_profile_of_real_models() -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")]
    profile: Any = ChatFrugal(models).profile
    assert profile["tool_calling"] is True
    assert profile["max_input_tokens"] == min(model.profile["max_input_tokens"] for model in models)  # type: ignore[index,typeddict-item]
    assert "name" not in profile


# --- identities ---


def test_parameters_for_tracers() -> None:
    llm, _, _ = accepting(temperature=0.2, max_tokens=9)
    params = llm._get_ls_params(stop=["x"])
    assert params["ls_model_name"] == "small > large"
    assert (params["ls_provider"], params["ls_model_type"]) == ("frugal", "chat")
    assert (params["ls_temperature"], params["ls_max_tokens"], params["ls_stop"]) == (0.2, 9, ["x"])
    assert llm._get_ls_params(model="gpt-4o")["ls_model_name"] == "gpt-4o"
    assert isinstance(llm._get_ls_params(model=None)["ls_model_name"], str)


def test_no_field_is_mistaken_for_a_models_name() -> None:
    llm, _, _ = accepting()
    for name in ("model", "model_name", "model_id"):
        assert isinstance(getattr(llm, name, ""), str)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.6},
        {"on_missing": "accept"},
        {"models": [small("x"), large()]},
        {"models": [small(), small(), large()]},
        {"reference": 0},
        {"temperature": 0.5},
        {"output_version": "v1"},
    ],
    ids=str,
)
def test_the_identity_covers_policy_and_models(change: dict[str, Any]) -> None:
    base: dict[str, Any] = {"models": [small(), large()], "threshold": 0.5, "prices": PRICES}
    one, same, other = ChatFrugal(**base), ChatFrugal(**base), ChatFrugal(**{**base, **change})
    assert one._get_llm_string() == same._get_llm_string()
    assert one._get_llm_string() != other._get_llm_string()
    assert one._identifying_params != other._identifying_params


def test_the_identity_holds_no_secret() -> None:
    llm = ChatFrugal(["openai:gpt-4o-mini"], api_key="sk-secret")
    assert "sk-secret" not in llm._get_llm_string() + repr(llm) + str(llm._identifying_params) + dumps(llm)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_it_is_not_serializable_by_langchain() -> None:
    llm, _, _ = accepting()
    assert ChatFrugal.is_lc_serializable() is False
    assert dumpd(llm)["type"] == "not_implemented"
    with pytest.raises((NotImplementedError, ValueError)):
        load(dumpd(llm), allowed_objects=[ChatFrugal])


def test_versions_are_in_the_metadata() -> None:
    llm, _, _ = accepting(metadata={"own": 1})
    assert llm.metadata is not None
    versions = llm.metadata["lc_versions"]
    assert versions["langchain-frugal"] == frugal_core.__version__
    assert versions["langchain-core"] == importlib.metadata.version("langchain-core")
    assert llm.metadata["own"] == 1


# --- settings of every chat model ---


def test_every_setting_of_a_chat_model_is_taken() -> None:
    values: dict[str, Any] = {
        "name": "n",
        "cache": False,
        "verbose": False,
        "callbacks": [],
        "tags": ["t"],
        "metadata": {"m": 1},
        "custom_get_token_ids": None,
        "rate_limiter": InMemoryRateLimiter(requests_per_second=1e9, max_bucket_size=1e9),
        "disable_streaming": False,
        "output_version": "v0",
        "profile": {},
    }
    assert values.keys() == BaseChatModel.model_fields.keys()
    assert accepting(**values)[0].invoke("hi").text == "the small answer"


def test_the_standard_parameters_are_named_as_everywhere() -> None:
    fields = ChatFrugal.model_fields
    assert {"temperature", "max_tokens", "stop", "timeout", "max_retries", "api_key"} <= fields.keys()


@each_way
async def test_nothing_of_a_call_is_left_on_the_object(how: str) -> None:
    llm, _, _ = escalating()
    before = (dict(llm.__dict__), set(llm.__pydantic_private__ or ()))
    await ask(llm, how)
    after = {name: value for name, value in llm.__dict__.items() if name != "_serialized"}
    assert (after, set(llm.__pydantic_private__ or ())) == before


# --- decisions ---


@each_way
async def test_every_answer_carries_its_decision(how: str) -> None:
    llm, _, _ = escalating()
    found = decision(await ask(llm, how))
    assert [step["tier"] for step in found["steps"]] == ["small", "large"]
    assert [step["cost_usd"] for step in found["steps"]] == [pytest.approx(6e-6), pytest.approx(6e-5)]
    assert found["cost_usd"] == pytest.approx(6.6e-5)
    assert found["baseline_cost_usd"] == pytest.approx(6e-5)
    assert found["saved_usd"] == pytest.approx(-6e-6)
    assert (found["tier"], found["policy"], found["cache"]) == ("large", "cascade", "off")
    first = found["steps"][0]
    assert (first["score"], first["threshold"]) == (pytest.approx(0.1), 0.5)
    assert (first["input_tokens"], first["output_tokens"], first["estimated"]) == (4, 2, False)


@each_way
async def test_the_reference_is_the_baseline(how: str) -> None:
    llm = frugal(small(), large(), reference=0)
    assert decision(await ask(llm, how))["baseline_cost_usd"] == pytest.approx(6e-6)


@each_way
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (AIMessage("cut of", response_metadata={"finish_reason": "length"}), "truncated"),
        (AIMessage("", response_metadata={"stop_reason": "max_tokens"}), "truncated"),
        (AIMessage("x", response_metadata={"finish_reason": "content_filter"}), "filtered"),
        (AIMessage(""), "empty"),
    ],
)
async def test_unusable_drafts_are_escalated_however_sure(how: str, reply: AIMessage, reason: str) -> None:
    if "stop_reason" in reply.response_metadata:
        reply.response_metadata["finish_reason"] = None
    message = await ask(frugal(small(reply, sure=1.0), large(), threshold=0.0), how)
    assert reasons(message) == [("small", reason), ("large", "last_tier")]


@each_way
async def test_a_prompt_too_long_for_a_model_skips_it(how: str) -> None:
    first = small(profile={"max_input_tokens": 20})
    message = await ask(frugal(first, large()), how, "word " * 100)
    assert reasons(message) == [("small", "too_long"), ("large", "last_tier")]
    assert len(first.log) == 0


# --- the package ---


def test_the_package_has_one_sorted_door() -> None:
    assert langchain_frugal.__all__ == sorted(langchain_frugal.__all__)
    assert all(hasattr(langchain_frugal, name) for name in langchain_frugal.__all__)
    assert langchain_frugal.__version__ == frugal_core.__version__


def test_the_signatures_are_those_of_chat_models() -> None:
    for name in ("invoke", "ainvoke", "stream", "astream", "generate", "agenerate"):
        own = inspect.signature(getattr(ChatFrugal, name)).parameters
        core = inspect.signature(getattr(BaseChatModel, name)).parameters
        assert list(own) == list(core), name


def test_names_without_the_package_that_builds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(UnknownModelError, match=r"needs the package langchain: pip install 'langchain-frugal\[models\]'"):
        ChatFrugal(["openai:gpt-4o-mini"])


@pytest.mark.parametrize("how", HOWS)
async def test_a_scorer_may_ask_a_question_of_its_own(how: str) -> None:
    def verified(query: Query, answer: Answer) -> Any:
        asked = Message("user", f"Is {answer.text!r} right?")
        reply = yield Call(answer.tier, replace(query, messages=(asked,), system="Say yes or no."), purpose="score")
        return 1.0 if "small" in reply.text else 0.0

    first = small()
    message = await ask(frugal(first, large(), scorer=verified, threshold=0.5), how, "hi")
    assert reasons(message) == [("small", "sample"), ("small", "confident")]
    assert [[m.text for m in call.messages] for call in first.log.calls] == [
        ["hi"],
        ["Say yes or no.", "Is 'the small answer' right?"],
    ]
