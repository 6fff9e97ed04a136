from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import ConfigurableField, RunnableBinding
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from frugal_core.provider_logprobs import refuses_logprobs
from frugal_core.types import TokenLogprob
from langchain_frugal._logprobs import extract_logprobs, logprob_kwargs, missing_logprobs_hint, unwrap

ASK = {"logprobs": True, "top_logprobs": 10}


def chat(model: str = "gpt-4o", **kwargs: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, api_key="test", max_retries=0, **kwargs)


def named(*names: str, **fields: Any) -> Any:
    """A model whose class and bases are called like a provider's, without its package."""
    cls: type = object
    for name in reversed(names):
        cls = type(name, (cls,), {})
    model = cls()
    vars(model).update(fields, model_fields_set=set(fields))
    return model


def token(text: str, logprob: Any, **top: Any) -> dict[str, Any]:
    alternatives = [{"token": other, "bytes": None, "logprob": value} for other, value in top.items()]
    return {"token": text, "bytes": [120], "logprob": logprob, "top_logprobs": alternatives}


# --- asking ---


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        (chat(), ASK),
        (chat("gpt-5-chat-latest"), ASK),
        (chat("gpt-5.2", reasoning_effort="none"), ASK),
        (chat("gpt-35-turbo"), ASK),
        (chat("gpt-4o", base_url="http://localhost:8000/v1"), ASK),
        (chat("openai/gpt-oss-20b"), ASK),
        (AzureChatOpenAI(azure_deployment="d", azure_endpoint="https://x", api_version="2024-10-21", api_key="k"), ASK),
        (chat("o1"), None),
        (chat("o3-mini"), None),
        (chat("ft:o4-mini-2025-04-16:me"), None),
        (chat("gpt-5"), None),
        (chat("gpt-5.2"), None),
        (chat("openai/gpt-5-mini"), None),
        (chat(use_responses_api=True), None),
        (chat(include=["message.output_text.logprobs"]), None),
        (chat(reasoning={"effort": "low"}), None),
        (chat().bind(reasoning={"effort": "low"}), None),
        (chat().bind_tools([{"type": "web_search"}]), None),
        (chat().bind(model="o3"), None),
    ],
    ids=repr,
)
def test_openai_is_asked_where_it_answers(model: Any, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(model) == kwargs


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        (chat(logprobs=True, top_logprobs=3), {}),
        (chat(logprobs=True, top_logprobs=0), {}),
        (chat(logprobs=True), {"top_logprobs": 10}),
        (chat(top_logprobs=3), {"logprobs": True}),
        (chat(logprobs=False), None),
        (chat().bind(logprobs=True), {"top_logprobs": 10}),
        (chat().bind(logprobs=True).bind(top_logprobs=2), {}),
        (chat(logprobs=True).bind(logprobs=False), None),
        (named("ChatTogether", "BaseChatOpenAI", logprobs=True), {"logprobs": 10}),
        (named("ChatTogether", "BaseChatOpenAI", logprobs=5), {}),
        (named("ChatOllama", logprobs=None, model_kwargs={"logprobs": True}), {"top_logprobs": 10}),
    ],
    ids=repr,
)
def test_what_the_user_set_is_completed_and_never_overridden(model: Any, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(model) == kwargs


@pytest.mark.parametrize(
    ("model", "kwargs"),
    [
        (named("ChatPlayground"), ASK),
        (named("ChatOllama"), ASK),
        (named("ChatOpenRouter", model_name="meta-llama/llama-3.3-70b"), ASK),
        (named("ChatOpenRouter", model_name="openai/o3"), None),
        (named("ChatLiteLLMRouter", "ChatLiteLLM"), ASK),
        (named("ChatDeepSeek", "BaseChatOpenAI", model_name="deepseek-chat"), ASK),
        (named("ChatDeepSeek", "BaseChatOpenAI", model_name="deepseek-reasoner"), None),
        (named("ChatXAI", "BaseChatOpenAI", model_name="grok-3"), {"logprobs": True, "top_logprobs": 8}),
        (named("ChatFireworks"), {"logprobs": True, "top_logprobs": 5}),
        (named("ChatTogether", "BaseChatOpenAI"), {"logprobs": 10}),
        (named("ChatHuggingFace", llm=named("HuggingFaceEndpoint")), {"logprobs": True, "top_logprobs": 5}),
        (named("ChatHuggingFace", llm=named("HuggingFacePipeline")), None),
        (named("ChatLlamaCpp", logits_all=True), ASK),
        (named("ChatLlamaCpp", logits_all=False), None),
        (named("ChatVertexAI", logprobs=5), {}),
        (named("ChatVertexAI"), None),
        (named("ChatAnthropic"), None),
        (named("ChatGoogleGenerativeAI"), None),
        (named("ChatGroq"), None),
        (named("ChatMistralAI"), None),
        (named("ChatBedrockConverse"), None),
        (named("ChatCohere"), None),
        (named("SomethingElse"), None),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_provider_in_its_own_words(model: Any, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(model) == kwargs


def test_wrappers_are_seen_through() -> None:
    model = chat()
    wrapped = (
        model.configurable_fields(temperature=ConfigurableField(id="t"))
        .with_config(tags=["a"])
        .bind(stop=["b"], seed=1)
        .with_retry()
        .bind(seed=2)
    )
    assert unwrap(wrapped) == (model, {"stop": ["b"], "seed": 2})
    assert unwrap(RunnableBinding(bound=wrapped, kwargs={"seed": 3}))[1]["seed"] == 3
    assert logprob_kwargs(wrapped, top=3) == {"logprobs": True, "top_logprobs": 3}


def test_no_more_alternatives_than_the_provider_takes() -> None:
    assert logprob_kwargs(chat(), top=50) == {"logprobs": True, "top_logprobs": 20}


# --- over the wire: the real client, a canned provider ---


def client(reply: Any, status: int = 200) -> httpx.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(reply, str):
            return httpx.Response(status, text=reply, headers={"content-type": "text/event-stream"})
        return httpx.Response(status, json=reply)

    return httpx.Client(transport=httpx.MockTransport(respond))


def completion(logprobs: Any, **delta: Any) -> dict[str, Any]:
    said = {"delta": delta} if delta else {"message": {"role": "assistant", "content": "yes"}}
    choice = {"index": 0, "finish_reason": None if delta else "stop", "logprobs": logprobs, **said}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}


def test_a_completion_carries_its_logprobs() -> None:
    with client(completion({"content": [token("yes", -0.25, yes=-0.25, no=-2.0)], "refusal": None})) as http:
        message = chat(http_client=http).invoke("?", logprobs=True, top_logprobs=2)
    assert extract_logprobs(message) == (TokenLogprob("yes", -0.25, (("yes", -0.25), ("no", -2.0))),)


def test_a_stream_carries_its_logprobs_once_merged() -> None:
    chunks = [
        completion(None, role="assistant", content=""),
        completion({"content": [token("ye", -0.25, ye=-0.25)], "refusal": None}, content="ye"),
        completion({"content": [token("s", -0.5, s=-0.5)], "refusal": None}, content="s"),
        completion({"content": [], "refusal": None}, content=""),
    ]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    expected = (TokenLogprob("ye", -0.25, (("ye", -0.25),)), TokenLogprob("s", -0.5, (("s", -0.5),)))
    with client(events) as http:
        merged: Any = None
        for chunk in chat(http_client=http).stream("?", logprobs=True):
            merged = chunk if merged is None else merged + chunk
    assert merged.content == "yes"
    assert extract_logprobs(merged) == expected
    with client(events) as http:
        assert extract_logprobs(chat(http_client=http, streaming=True).invoke("?", logprobs=True)) == expected


def test_the_responses_api_still_loses_logprobs() -> None:
    """langchain #36211: when this fails, `_chat_completions` may let the Responses API through."""
    text = {"type": "output_text", "text": "yes", "annotations": [], "logprobs": [token("yes", -0.25, yes=-0.25)]}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    reply = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o", "output": [message], "tools": []}
    with client({**reply, "parallel_tool_calls": True, "tool_choice": "auto"}) as http:
        model = chat(http_client=http, use_responses_api=True, include=["message.output_text.logprobs"])
        assert extract_logprobs(model.invoke("?", top_logprobs=2)) == ()


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_of_logprobs_is_recognised(status: int) -> None:
    complaint = {"error": {"message": "You are not allowed to request logprobs from this model", "param": "logprobs"}}
    with client(complaint, status) as http, pytest.raises(openai.APIStatusError) as caught:
        chat(http_client=http).invoke("?", logprobs=True)
    assert refuses_logprobs(caught.value)


def test_an_argument_the_client_does_not_know_is_a_refusal() -> None:
    with client({}) as http, pytest.raises(TypeError) as caught:
        chat(http_client=http, use_responses_api=True).invoke("?", logprobs=True)
    assert refuses_logprobs(caught.value)


# --- finding: what the shapes are read as is told by tests/unit/core/test_provider_logprobs.py ---

YES = {"token": "yes", "logprob": -0.25, "top_logprobs": [{"token": "no", "logprob": -2.0}]}
FOUND = (TokenLogprob("yes", -0.25, (("no", -2.0),)),)


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("yes", response_metadata={"logprobs": {"content": [YES]}}),
        AIMessage("yes", response_metadata={"logprobs": [YES]}),
        AIMessage("yes", response_metadata={"logprobs": None, "logprobs_result": [YES]}),
        AIMessage([{"type": "text", "text": "yes", "logprobs": [YES]}]),
        AIMessage(["", {"type": "reasoning"}, {"type": "text", "text": "yes", "logprobs": [YES]}, {"logprobs": []}]),
    ],
    ids=repr,
)
def test_every_place_is_looked_into(message: AIMessage) -> None:
    assert extract_logprobs(message) == FOUND


def test_blocks_follow_one_another() -> None:
    blocks: list[str | dict[Any, Any]] = [{"type": "text", "text": "yes", "logprobs": [YES]}] * 2
    assert extract_logprobs(AIMessage(blocks)) == FOUND * 2


@pytest.mark.parametrize("second", [{"logprobs": 7}, {"logprobs": "yes"}, {"logprobs": [None]}], ids=repr)
def test_one_malformed_block_discards_all(second: dict[Any, Any]) -> None:
    assert extract_logprobs(AIMessage([{"type": "text", "text": "yes", "logprobs": [YES]}, second])) == ()


@pytest.mark.parametrize(
    "metadata", [{}, {"logprobs": None}, {"logprobs": {"content": None}}, {"logprobs_result": "yes"}], ids=repr
)
def test_what_is_not_a_signal_is_none(metadata: dict[str, Any]) -> None:
    assert extract_logprobs(AIMessage("yes", response_metadata=metadata)) == ()


def test_merged_legacy_chunks_stay_in_step() -> None:
    first = AIMessageChunk("a", response_metadata={"logprobs": {"tokens": ["a"], "token_logprobs": [-0.1]}})
    second = AIMessageChunk("b", response_metadata={"logprobs": {"tokens": ["b"], "token_logprobs": [-0.2]}})
    assert extract_logprobs(first + second) == (TokenLogprob("a", -0.1), TokenLogprob("b", -0.2))


# --- telling ---


def test_the_hint_names_the_tier_and_the_way_out() -> None:
    hint = missing_logprobs_hint(chat("o3").bind(stop=["x"]))
    assert hint.startswith("ChatOpenAI('o3') gave an answer without token log-probabilities")
    assert "SchemaValid()" in hint
    assert "scorer=lambda query, answer" in hint
    assert missing_logprobs_hint(named("ChatNameless")).startswith("ChatNameless gave")
