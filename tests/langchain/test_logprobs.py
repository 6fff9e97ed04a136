from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import ConfigurableField, RunnableBinding
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from frugal_core.types import TokenLogprob
from langchain_frugal._logprobs import extract_logprobs, logprob_kwargs, missing_logprobs_hint, refuses_logprobs, unwrap

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


def answered(found: Any, key: str = "logprobs") -> AIMessage:
    return AIMessage("x", response_metadata={key: found})


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


class _ApiError(Exception):
    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        vars(self).update(fields)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (_ApiError("top_logprobs must be <= 5", status_code=400), True),
        (_ApiError("Logprobs is not enabled", code=400), True),
        (_ApiError("logprobs", response=SimpleNamespace(status_code=422)), True),
        (_caused(_ApiError("model error"), _ApiError("logprobs", status_code=400)), True),
        (_ApiError("logprobs", status_code=500), False),
        (_ApiError("rate limited while computing logprobs", status_code=429), False),
        (_ApiError("temperature", status_code=400), False),
        (_ApiError("logprobs", code="unsupported"), False),
        (TimeoutError(), False),
    ],
    ids=repr,
)
def test_only_a_complaint_about_logprobs_is_a_refusal(error: Exception, refused: bool) -> None:
    assert refuses_logprobs(error) is refused


# --- finding ---

ONE = (TokenLogprob("a", -0.1, (("a", -0.1), ("b", -3.0))),)
LEGACY = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"b": -3.0, "a": -0.1}]}


def _objects(value: Any) -> Any:
    """The same structure as an SDK's objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _objects(item) for key, item in value.items()})
    return [_objects(item) for item in value] if isinstance(value, list) else value


def _candidate(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "token_id": 7, "log_probability": logprob}


SHAPES = {
    "openai": answered({"content": [token("a", -0.1, a=-0.1, b=-3.0)], "refusal": None}),
    "openai objects": answered(_objects({"content": [token("a", -0.1, a=-0.1, b=-3.0)], "refusal": None})),
    "unsorted": answered({"content": [token("a", -0.1, b=-3.0, a=-0.1)]}),
    "ollama": answered([token("a", -0.1, a=-0.1, b=-3.0)]),
    "ollama objects": answered([_objects(token("a", -0.1, a=-0.1, b=-3.0))]),
    "vertex": answered([token("a", -0.1, a=-0.1, b=-3.0)], "logprobs_result"),
    "google": answered(
        {
            "chosen_candidates": [_candidate("a", -0.1)],
            "top_candidates": [{"candidates": [_candidate("a", -0.1), _candidate("b", -3.0)]}],
        },
        "logprobs_result",
    ),
    "together": answered(LEGACY),
    "together through the openai client": answered({"content": None, "refusal": None, **LEGACY}),
    "content block": AIMessage([{"type": "text", "text": "a", "logprobs": [token("a", -0.1, a=-0.1, b=-3.0)]}]),
}


@pytest.mark.parametrize("message", SHAPES.values(), ids=SHAPES)
def test_every_shape_reads_alike(message: AIMessage) -> None:
    assert extract_logprobs(message) == ONE


@pytest.mark.parametrize(
    "found",
    [
        {"content": [token("a", -0.1)]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": None}]},
        {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": None},
        {"chosen_candidates": [_candidate("a", -0.1)], "top_candidates": None},
    ],
    ids=repr,
)
def test_alternatives_may_be_missing(found: Any) -> None:
    assert extract_logprobs(answered(found)) == (TokenLogprob("a", -0.1),)


def test_merged_legacy_chunks_stay_in_step() -> None:
    first = AIMessageChunk("a", response_metadata={"logprobs": {"tokens": ["a"], "token_logprobs": [-0.1]}})
    second = AIMessageChunk("b", response_metadata={"logprobs": {"tokens": ["b"], "token_logprobs": [-0.2]}})
    assert extract_logprobs(first + second) == (TokenLogprob("a", -0.1), TokenLogprob("b", -0.2))


@pytest.mark.parametrize(("logprob", "read"), [(-math.inf, -math.inf), (0, 0.0), (1e-3, 0.0), (-9999, -9999.0)])
def test_legal_extremes(logprob: float, read: float) -> None:
    assert extract_logprobs(answered({"content": [token("a", logprob, a=logprob)]})) == (
        TokenLogprob("a", read, (("a", read),)),
    )


@pytest.mark.parametrize("logprob", ["-0.1", None, True, False, math.nan, math.inf, 0.01, [-0.1], 10**400])
@pytest.mark.parametrize("place", ["token", "alternative"])
def test_a_malformed_number_discards_all(logprob: Any, place: str) -> None:
    bad = token("a", logprob) if place == "token" else token("a", -0.1, a=logprob)
    assert extract_logprobs(answered({"content": [token("x", -0.1), bad]})) == ()


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        [],
        "logprobs",
        -0.1,
        {"content": None},
        {"content": {}},
        {"content": [None]},
        {"content": [[token("a", -0.1)]]},
        {"content": [{"logprob": -0.1}]},
        {"content": [{"token": "a"}]},
        {"content": [{"token": 7, "logprob": -0.1}]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [None]}]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": "a"}]},
        {"content": None, "refusal": [token("Sorry", -0.01)]},
        {"tokens": ["a", "b"], "token_logprobs": [-0.1]},
        {"tokens": ["a"], "token_logprobs": [None]},
        {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [None]},
        {"tokens": ["a"]},
        {"chosen_candidates": [_candidate("a", -0.1)], "top_candidates": [{}, {}]},
        {"chosen_candidates": "a"},
    ],
    ids=repr,
)
def test_what_is_not_a_signal_is_none(found: Any) -> None:
    assert extract_logprobs(answered(found)) == ()
    assert extract_logprobs(answered(found, "logprobs_result")) == ()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "content",
                    "token",
                    "logprob",
                    "log_probability",
                    "top_logprobs",
                    "tokens",
                    "token_logprobs",
                    "chosen_candidates",
                    "top_candidates",
                    "candidates",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(junk=JUNK, key=st.sampled_from(["logprobs", "logprobs_result"]))
def test_junk_never_raises_and_never_passes_for_a_probability(junk: Any, key: str) -> None:
    in_a_block: list[str | dict[Any, Any]] = [{"type": "text", "text": "x", "logprobs": junk}]
    for message in (answered(junk, key), AIMessage(in_a_block)):
        for entry in extract_logprobs(message):
            assert isinstance(entry.token, str)
            assert all(logprob <= 0.0 for logprob in (entry.logprob, *(value for _, value in entry.top)))


# --- telling ---


def test_the_hint_names_the_tier_and_the_way_out() -> None:
    hint = missing_logprobs_hint(chat("o3").bind(stop=["x"]))
    assert hint.startswith("ChatOpenAI('o3') gave an answer without token log-probabilities")
    assert "SchemaValid()" in hint
    assert "scorer=lambda query, answer" in hint
    assert missing_logprobs_hint(named("ChatNameless")).startswith("ChatNameless gave")
